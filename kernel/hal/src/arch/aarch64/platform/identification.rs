//! Reads of identification registers from EL0, answered in software: what AT_HWCAP's bit CPUID promises.
//!
//! The CPU refuses them (as an unknown instruction, or from Armv8.4 on as a trapped system register); a program sees
//! only what it may use (Linux, Documentation/arm64/cpu-feature-registers.rst).
use super::super::clock;
use super::super::cpu::read_register;
use super::capabilities::visible;
use super::identity::{Register, cache_type, known};
use crate::user_copy::copy_from_user;
use libkernel::addr::UserAddr;
use libkernel::arch::aarch64::fault::{class, class_of};
use libkernel::arch::native::UserRegs;

/// `mrs Xt, …`: which register is read, and where to.
struct Read {
    /// op0, op1, CRn, CRm, op2, as the instruction names them.
    register: [u32; 5],
    target: usize,
}

/// Carries out the instruction at `pc` if it reads an identification register. True if so; then `pc` is behind it.
/// May page in; interrupts are on.
pub fn emulate(regs: &mut UserRegs, syndrome: u64) -> bool {
    let read = match class_of(syndrome) {
        class::SYSTEM_REGISTER => from_syndrome(syndrome as u32),
        class::UNKNOWN => instruction(regs.pc).and_then(from_instruction),
        _ => None,
    };
    let Some((value, target)) = read.and_then(|read| Some((value(read.register)?, read.target))) else {
        return false;
    };
    // Number 31 is the zero register.
    if let Some(register) = regs.x.get_mut(target) {
        *register = value;
    }
    regs.pc = regs.pc.wrapping_add(4);
    true
}

/// ESR_EL1.ISS of a trapped MRS (D17.2.37); none for MSR.
fn from_syndrome(iss: u32) -> Option<Read> {
    let field = |shift: u32, bits: u32| iss >> shift & ((1 << bits) - 1);
    let register = [field(20, 2), field(14, 3), field(10, 4), field(1, 4), field(17, 3)];
    (iss & 1 == 1).then(|| Read { register, target: field(5, 5) as usize })
}

/// The encoding of MRS (C6.2.228).
fn from_instruction(word: u32) -> Option<Read> {
    const READ: u32 = 0xd530_0000;
    let field = |shift: u32, bits: u32| word >> shift & ((1 << bits) - 1);
    let register = [2 + field(19, 1), field(16, 3), field(12, 4), field(8, 4), field(5, 3)];
    (word & 0xfff0_0000 == READ).then(|| Read { register, target: field(0, 5) as usize })
}

fn instruction(pc: u64) -> Option<u32> {
    let mut word = [0; 4];
    let done = copy_from_user(&mut word, UserAddr::new(pc));
    (done == word.len()).then(|| u32::from_le_bytes(word))
}

/// What a program sees in a register; none for one that it may not read.
fn value(register: [u32; 5]) -> Option<u64> {
    // MPIDR_EL1 with nothing but its RES1 bit, ID_AA64PFR0_EL1 with AArch64 at EL0 and EL1, and registers of which
    // Linux shows constants.
    const MPIDR: u64 = 1 << 31;
    const LEVELS: u64 = 0x11;
    const FLOATING_POINT: u64 = 0xff << 16;
    const DEBUG_FEATURES: u64 = 6;
    const GRANULES: u64 = 0xff << 24;
    const INSTRUCTION_COHERENCE: u64 = 1 << 29;
    match register {
        [3, 0, 0, 0, 0] => Some(read_register!("midr_el1")),
        [3, 0, 0, 0, 5] => Some(MPIDR),
        [3, 0, 0, 0, 6] => Some(known(Register::Revision)),
        [3, 0, 0, 4, 0] => {
            let own = LEVELS | known(Register::Processor0) & FLOATING_POINT;
            Some(own | visible(Register::Processor0))
        }
        [3, 0, 0, 4, 1] => Some(visible(Register::Processor1)),
        [3, 0, 0, 5, 0] => Some(DEBUG_FEATURES),
        [3, 0, 0, 6, 0] => Some(visible(Register::Instructions0)),
        [3, 0, 0, 6, 1] => Some(visible(Register::Instructions1)),
        [3, 0, 0, 6, 2] => Some(visible(Register::Instructions2)),
        [3, 0, 0, 7, 0] => Some(GRANULES | visible(Register::Memory0)),
        [3, 0, 0, 7, 1] => Some(visible(Register::Memory1)),
        [3, 0, 0, 7, 2] => Some(visible(Register::Memory2)),
        [3, 0, 0, 2..=7, _] => Some(0),
        // Those that are trapped where a core has a fault: CTR_EL0 without DIC, and the counter.
        [3, 3, 0, 0, 1] => Some(cache_type() & !INSTRUCTION_COHERENCE),
        [3, 3, 14, 0, 0] => Some(read_register!("cntfrq_el0")),
        [3, 3, 14, 0, 2] => Some(clock::count()),
        _ => None,
    }
}
