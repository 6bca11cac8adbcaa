//! What the executing CPU holds of what was written to it, looked at once more: a hypervisor that traps such registers
//! may let writes go by.
//!
//! Nothing here has a fallback, so a loss ends the kernel. docs/read-backs.md lists it with what is looked at
//! elsewhere.
use super::super::cpu::{read_register, write_register};
use super::super::{boot, patches, timer};
use super::{errata, known_state};
use crate::arch::Arch;
use crate::contract::Cpu as _;
use libkernel::arch::aarch64::errata::Answer;
use libkernel::arch::aarch64::paging::MAIR;
use libkernel::command_line::CommandLine;
use libkernel::read_back::{Expected, find_lost};

/// SCTLR_EL1.UCT.
const USER_CACHE_TYPE: u64 = 1 << 15;
/// SCTLR_EL1: M, A, C, SA, SA0, UMA, I, DZE, UCT, nTWI, nTWE, WXN, UCI: those that every CPU has.
const CONTROL: u64 =
    0b1_1111 | 1 << 9 | 1 << 12 | 1 << 14 | USER_CACHE_TYPE | 1 << 16 | 1 << 18 | 1 << 19 | 1 << 26;
/// TCR_EL1: T0SZ, EPD0, TG0, T1SZ, A1, EPD1, TG1, TBI0, TBI1.
const TRANSLATION: u64 = 0x3f | 1 << 7 | 3 << 14 | 0x3f << 16 | 3 << 22 | 3 << 30 | 3 << 37;
/// CPACR_EL1: ZEN, FPEN, SMEN.
const COPROCESSORS: u64 = 3 << 16 | 3 << 20 | 3 << 24;
/// MDSCR_EL1: SS, KDE, MDE.
const DEBUG: u64 = 1 << 0 | 1 << 13 | 1 << 15;
/// CNTKCTL_EL1: EL0PCTEN, EL0VCTEN, EVNTEN, EL0VTEN, EL0PTEN.
const TIMER: u64 = 0b111 | 3 << 8;
/// PSTATE.PAN, as the register PAN shows it.
const PAN: u64 = 1 << 22;

/// Panics with the name of a register that does not hold what the kernel goes by. On each CPU, when its state and its
/// timer are set.
pub fn check() {
    let hidden = if errata::is_done(Answer::HidesCoherence) { USER_CACHE_TYPE } else { 0 };
    let masked = |register: u64, name, value, mask| Expected { register, name, value, mask };
    let state = [
        masked(read_register!("sctlr_el1"), "SCTLR_EL1", boot::SCTLR_MMU_ON & !hidden, CONTROL),
        masked(read_register!("tcr_el1"), "TCR_EL1", boot::TCR_VALUE, TRANSLATION),
        Expected::whole(read_register!("mair_el1"), "MAIR_EL1", MAIR),
        Expected::whole(read_register!("vbar_el1"), "VBAR_EL1", boot::exception_vectors()),
        masked(read_register!("cpacr_el1"), "CPACR_EL1", known_state::COPROCESSORS, COPROCESSORS),
        masked(read_register!("mdscr_el1"), "MDSCR_EL1", known_state::DEBUG, DEBUG),
        masked(read_register!("cntkctl_el1"), "CNTKCTL_EL1", timer::control(), TIMER),
    ];
    // By number: the assembler does not know its name.
    let access = patches::has_pan().then(|| masked(read_register!("s3_0_c4_c2_3"), "PAN", PAN, PAN));
    if let Some(lost) = find_lost(state.into_iter().chain(access), Some) {
        panic!("CPU {}: {lost}", Arch::id());
    }
}

/// Takes floating point away from programs, where `provoke=register` asks for it: a test of [`check`], which follows.
pub fn provoke(words: CommandLine<'_>) {
    if words.option("provoke") == Some(b"register") {
        // SAFETY: no program runs yet, and none will.
        unsafe { write_register!("cpacr_el1", 0) };
    }
}
