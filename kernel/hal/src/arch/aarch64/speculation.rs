//! The plan against speculation: made at boot, kept by PSTATE.SSBS of programs. The code on the way in is
//! `platform::guards`'s.
use super::Arch;
use super::cpu::read_register;
use super::patches::{number, patched};
use super::platform::identity::{Identity, Register, known};
use super::platform::machine::Machine;
use super::platform::{guards, psci};
use crate::contract::Speculation;
use crate::sync::Once;
use core::arch::asm;
use core::fmt;
use core::sync::atomic::Ordering;
use libkernel::arch::aarch64::registers::pstate;
use libkernel::arch::aarch64::speculation::{
    Branches, Firmware, Plan, Processor, WORKAROUND_1, WORKAROUND_2, WORKAROUND_3,
};
use libkernel::arch::native::UserRegs;
use libkernel::command_line::CommandLine;
use libkernel::device_tree::Conduit;
use libkernel::patch::Features;
use libkernel::speculation::{Limits, Means, Weakness, Wishes};

static PLAN: Once<(Plan, Wishes)> = Once::new();

/// Decides, for all CPUs. On the boot CPU, with the conduit to firmware known, before the text is patched.
pub fn decide(machine: &Machine, command_line: &[u8]) {
    let wishes = Wishes::read(CommandLine::new(command_line));
    let own = processor(&Identity::read());
    let plan = Plan::of_machine(&own, machine.cpus.iter().map(|cpu| cpu.core), wishes);
    guards::ROUNDS.store(plan.history.rounds, Ordering::Relaxed);
    let _ = PLAN.set((plan, wishes));
}

/// Whether the executing CPU, whose identity that is, has what it needs.
pub fn is_covered(identity: &Identity) -> bool {
    PLAN.get().is_some_and(|(plan, wishes)| plan.covers(&Plan::new(&processor(identity), *wishes)))
}

/// The executing CPU.
fn processor(identity: &Identity) -> Processor {
    Processor {
        identity: read_register!("midr_el1"),
        features: identity.get(Register::Processor0),
        more_features: identity.get(Register::Processor1),
        memory: identity.get(Register::Memory1),
        instructions: identity.get(Register::Instructions2),
        firmware: [WORKAROUND_1, WORKAROUND_2, WORKAROUND_3].map(ask),
    }
}

/// What firmware says of a work-around (DEN 0028, 7.3 and 7.4).
fn ask(workaround: u32) -> Firmware {
    const VERSION: u64 = 0x8000_0000;
    const FEATURES: u64 = 0x8000_0001;
    const FIRST_WITH_FEATURES: i32 = 0x1_0001;
    // SAFETY: both only tell.
    let answer = |function, argument| unsafe { psci::ask(function, [argument, 0, 0]) }[0] as i32;
    if answer(VERSION, 0) < FIRST_WITH_FEATURES {
        return Firmware::Silent;
    }
    Firmware::from_answer(answer(FEATURES, workaround.into()))
}

/// What is to be patched for the plan.
pub fn features() -> Features {
    let Some((plan, _)) = PLAN.get() else { return Features::NONE };
    let by = |conduit| psci::conduit() == conduit;
    let branches = plan.branches == Branches::Firmware;
    let history = plan.history.by_firmware;
    let (rounds, instruction) = (plan.history.rounds > 0, plan.history.by_instruction);
    Features::NONE
        .with(number!(MASKS), plan.masks)
        .with(number!(HISTORY), plan.history.is_cleared())
        .with(number!(ROUNDS), rounds)
        .with(number!(MORE_THAN_ROUNDS), rounds && (instruction || history))
        .with(number!(CLEAR_INSTRUCTION), instruction)
        .with(number!(HISTORY_BY_HYPERVISOR), history && by(Conduit::Hypervisor))
        .with(number!(HISTORY_BY_MONITOR), history && by(Conduit::SecureMonitor))
        .with(number!(BRANCHES), branches)
        .with(number!(BRANCHES_BY_HYPERVISOR), branches && by(Conduit::Hypervisor))
        .with(number!(BRANCHES_BY_MONITOR), branches && by(Conduit::SecureMonitor))
}

impl Speculation for Arch {
    fn describe(weakness: Weakness, _shares_cores: bool, out: &mut dyn fmt::Write) -> fmt::Result {
        PLAN.get().map_or(Ok(()), |(plan, _)| plan.describe(weakness, out))
    }

    /// CSDB keeps what follows from going by a guess of the selection (DDI 0487, B2.3.10).
    #[inline(always)]
    fn slot<const LIMIT: usize>(number: u32) -> usize {
        let mut slot = number as usize;
        // SAFETY: registers alone.
        unsafe {
            asm!("cmp {slot}, {limit}",
                patched!(MASKS, "csinc {slot}, xzr, {slot}, hs" => "b 8f"),
                "9:",
                ".pushsection .text.masks, \"ax\"",
                "8: csinc {slot}, xzr, {slot}, hs",
                "csdb",
                "b 9b",
                ".popsection",
                slot = inout(reg) slot, limit = const LIMIT, options(pure, nomem, nostack));
            core::hint::assert_unchecked(slot <= LIMIT);
        }
        slot
    }

    fn store_bypass() -> Means {
        PLAN.get().map_or(Means::None, |(plan, _)| plan.store_bypass)
    }

    fn indirect_branches() -> Option<Means> {
        None
    }

    /// PSTATE.SSBS set: loads may pass stores.
    fn limit(_state: &mut super::user_registers::State, regs: &mut UserRegs, limits: Limits) {
        let has_bit = known(Register::Processor1) >> 4 & 0xf != 0;
        regs.pstate &= !pstate::SSBS;
        if has_bit && !limits.store_bypass {
            regs.pstate |= pstate::SSBS;
        }
    }
}
