//! What this machine lets programs find out by speculation, and what is done about it. docs/security.md states the
//! model.
//!
//! The boot CPU decides once, by the plan of `libkernel::arch::*::speculation`, and the text is patched accordingly.
use crate::arch::Arch;
use crate::contract::Speculation as _;
use core::fmt;
use libkernel::arch::native::UserRegs;
use libkernel::speculation::{Limits, Means, NOT_AFFECTED, Weakness};
use libkernel::topology::CpuPosition;

/// Says in Linux's words how things stand with a weakness.
pub fn describe(weakness: Weakness, out: &mut dyn fmt::Write) -> fmt::Result {
    let places = || (0..crate::cpu::count()).map(crate::cpu::place);
    let shares =
        |(cpu, place): (usize, CpuPosition)| places().skip(cpu + 1).any(|other| place.shares_core(other));
    Arch::describe(weakness, places().enumerate().any(shares), out)
}

/// [`describe`], for formatting.
pub struct Words(pub Weakness);

impl fmt::Display for Words {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(self.0, formatter)
    }
}

/// Whether the machine has a weakness.
pub fn is_affected(weakness: Weakness) -> bool {
    struct Same(bool);
    impl fmt::Write for Same {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 &= text == NOT_AFFECTED;
            Ok(())
        }
    }
    let mut same = Same(true);
    let _ = Arch::describe(weakness, false, &mut same);
    !same.0
}

/// `number + 1` if the number is below `LIMIT`, else 0: by data and not by a branch, so that a CPU that guesses does
/// not go beyond either. For tables with a first entry for what is not there.
#[inline(always)]
pub fn slot<const LIMIT: usize>(number: u32) -> usize {
    let slot = Arch::slot::<LIMIT>(number);
    debug_assert!(slot <= LIMIT);
    slot
}

/// What a thread can do about loads that pass older stores.
pub fn store_bypass() -> Means {
    Arch::store_bypass()
}

/// What a thread can do about targets of branches that others trained; `None`: nobody asks that here.
pub fn indirect_branches() -> Option<Means> {
    Arch::indirect_branches()
}

/// Lets the running task, whose registers are given, speculate no further than that, from now on; its children inherit
/// it.
pub fn limit(regs: &mut UserRegs, limits: Limits) {
    crate::task::limit_speculation(regs, limits);
}
