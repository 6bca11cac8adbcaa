//! What a program or a tracer may put into a register frame.
//!
//! SPSR decides the exception level that `eret` goes to, so nothing of it is taken over but the bits that a program may
//! change by itself.

use super::registers::{UserRegs, pstate};

/// PSTATE bits that `sigreturn` and `ptrace` may set.
const WRITABLE: u64 = pstate::NZCV | pstate::DIT | pstate::SSBS | pstate::BRANCH_TYPE;

/// Exception level, stack selection, AArch32, and the four interrupt masks.
const PRIVILEGED: u64 = 0x1f | 0xf << 6;

/// True when `wanted` is more than a slip: Linux refuses such a frame as a whole.
pub const fn asks_for_privilege(wanted: u64) -> bool {
    wanted & PRIVILEGED != 0
}

/// PSTATE after a program asked for `wanted`: EL0, AArch64, all exceptions unmasked, no illegal-state bit. Of a state
/// that is refused only the condition flags are shown.
pub const fn flags(wanted: u64) -> u64 {
    let taken = if asks_for_privilege(wanted) { pstate::NZCV } else { WRITABLE };
    (wanted & taken) | pstate::EL0
}

/// Makes `regs`, filled from untrusted memory, a frame of EL0. `previous` is the frame before: its step bit stays.
pub const fn frame(regs: &mut UserRegs, previous: &UserRegs) {
    regs.pstate = flags(regs.pstate) | (previous.pstate & pstate::SINGLE_STEP);
    regs.syscall = UserRegs::NO_SYSCALL;
}

/// PSTATE that a signal handler starts with: a call is about to be made, so the branch type is that of `blr`.
pub const fn handler_flags(current: u64) -> u64 {
    current & !(pstate::SINGLE_STEP | pstate::BRANCH_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_frame_asks_for_privilege(wanted: u64, previous: u64) {
            let mut regs = UserRegs { pstate: wanted, ..UserRegs::default() };
            frame(&mut regs, &UserRegs { pstate: previous, ..UserRegs::default() });
            prop_assert_eq!(regs.pstate & 0x1f, 0, "mode and register width");
            prop_assert_eq!(regs.pstate & (0xf << 6), 0, "masked exceptions");
            prop_assert_eq!(regs.pstate & (1 << 20), 0, "illegal state");
            prop_assert_eq!(regs.pstate >> 32, 0);
            prop_assert!(!asks_for_privilege(regs.pstate));
        }
    }
}
