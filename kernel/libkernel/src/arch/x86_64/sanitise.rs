//! What a program or a tracer may put into a register frame.
//!
//! Every writer of registers (`sigreturn`, `ptrace`) goes through here, so that a frame never asks for privilege. What
//! the CPU would still refuse is caught by `return_path::decide`.

use super::registers::{UserRegs, rflags};
use super::segments::RING_3;

/// Flags that `sigreturn` and `ptrace` may change; Linux's set (`FIX_EFLAGS` in its signal code).
const WRITABLE: u64 = rflags::CARRY
    | rflags::PARITY
    | rflags::ADJUST
    | rflags::ZERO
    | rflags::SIGN
    | rflags::TRAP
    | rflags::DIRECTION
    | rflags::OVERFLOW
    | rflags::RESUME
    | rflags::ALIGNMENT_CHECK;

/// Flags a program can have set by itself, with `popfq`, and keeps over a signal.
const KEPT: u64 = rflags::NESTED_TASK | rflags::IDENTIFICATION;

/// The flags after a program asked for `wanted` while it had `current`.
pub const fn flags(current: u64, wanted: u64) -> u64 {
    (wanted & WRITABLE) | (current & KEPT) | rflags::FIXED | rflags::INTERRUPT
}

/// A selector as a program gave it, at ring 3 always.
pub const fn selector(wanted: u16) -> u64 {
    (wanted | RING_3) as u64
}

/// Makes `regs`, filled from untrusted memory, a frame of ring 3. `previous` is the frame before.
pub const fn frame(regs: &mut UserRegs, previous: &UserRegs) {
    regs.rflags = flags(previous.rflags, regs.rflags);
    regs.cs = selector(regs.cs as u16);
    regs.ss = selector(regs.ss as u16);
    regs.orig_rax = UserRegs::NO_SYSCALL;
}

/// The flags a signal handler starts with (`DF`, `RF` and `TF` clear, as Linux's ABI says).
pub const fn handler_flags(current: u64) -> u64 {
    current & !(rflags::DIRECTION | rflags::RESUME | rflags::TRAP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_frame_asks_for_privilege(wanted: u64, current: u64, cs: u16, ss: u16) {
            let previous = UserRegs { rflags: current, ..UserRegs::new(0, 0) };
            let mut regs = UserRegs { rflags: wanted, cs: cs.into(), ss: ss.into(), ..UserRegs::new(0, 0) };
            frame(&mut regs, &previous);
            prop_assert_eq!(regs.rflags & (rflags::IO_PRIVILEGE | rflags::VIRTUAL_8086), 0);
            prop_assert_ne!(regs.rflags & rflags::INTERRUPT, 0);
            prop_assert_eq!(regs.rflags >> 22, 0);
            prop_assert_eq!(regs.cs & regs.ss & 3, 3);
        }
    }
}
