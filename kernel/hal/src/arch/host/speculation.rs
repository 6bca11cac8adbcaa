//! No defences: programs of tests are not run by the host machine.
use super::Arch;
use crate::contract::Speculation;
use core::fmt;
use libkernel::arch::native::UserRegs;
use libkernel::speculation::{Limits, Means, NOT_AFFECTED, Weakness};

impl Speculation for Arch {
    fn describe(_weakness: Weakness, _shares_cores: bool, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(NOT_AFFECTED)
    }

    fn slot<const LIMIT: usize>(number: u32) -> usize {
        if (number as usize) < LIMIT { number as usize + 1 } else { 0 }
    }

    fn store_bypass() -> Means {
        Means::NotAffected
    }

    fn indirect_branches() -> Option<Means> {
        None
    }

    fn limit(
        _state: &mut <Arch as crate::contract::UserRegisters>::State,
        _regs: &mut UserRegs,
        _limits: Limits,
    ) {
    }
}
