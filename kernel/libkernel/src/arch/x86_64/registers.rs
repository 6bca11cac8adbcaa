//! x86_64's register frame: what the entry code saves, in the order of Linux's `pt_regs`.
//!
//! The frame is laid out so that `syscall_entry` can push from `ss` downwards; the last five words are what an
//! interrupt pushes and `iretq` pops. `hal`'s assembly takes every offset from `offset_of!` on this type.

use super::segments::{USER_CODE, USER_DATA};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// All general registers of a thread in ring 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)]
pub struct UserRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The system-call number while one is handled, [`UserRegs::NO_SYSCALL`] otherwise: kept for restarts.
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Bits of RFLAGS (SDM volume 1, 3.4.3).
#[allow(missing_docs)]
pub mod rflags {
    pub const CARRY: u64 = 1 << 0;
    /// Bit 1 reads as one always.
    pub const FIXED: u64 = 1 << 1;
    pub const PARITY: u64 = 1 << 2;
    pub const ADJUST: u64 = 1 << 4;
    pub const ZERO: u64 = 1 << 6;
    pub const SIGN: u64 = 1 << 7;
    pub const TRAP: u64 = 1 << 8;
    pub const INTERRUPT: u64 = 1 << 9;
    pub const DIRECTION: u64 = 1 << 10;
    pub const OVERFLOW: u64 = 1 << 11;
    pub const IO_PRIVILEGE: u64 = 3 << 12;
    pub const NESTED_TASK: u64 = 1 << 14;
    pub const RESUME: u64 = 1 << 16;
    pub const VIRTUAL_8086: u64 = 1 << 17;
    pub const ALIGNMENT_CHECK: u64 = 1 << 18;
    pub const VIRTUAL_INTERRUPT: u64 = 1 << 19;
    pub const VIRTUAL_INTERRUPT_PENDING: u64 = 1 << 20;
    pub const IDENTIFICATION: u64 = 1 << 21;

    /// What `syscall` clears on its way in (IA32_FMASK): everything a program can set, except the fixed bit. The
    /// kernel then runs without interrupts, single step, direction, nested task and alignment checks (which SMAP
    /// reads).
    pub const SYSCALL_MASK: u64 = CARRY
        | PARITY
        | ADJUST
        | ZERO
        | SIGN
        | TRAP
        | INTERRUPT
        | DIRECTION
        | OVERFLOW
        | IO_PRIVILEGE
        | NESTED_TASK
        | RESUME
        | ALIGNMENT_CHECK
        | IDENTIFICATION;
}

impl UserRegs {
    /// `orig_rax` outside a system call.
    pub const NO_SYSCALL: u64 = u64::MAX;

    /// Length of the `syscall` instruction, by which a restart steps back.
    pub const SYSCALL_LENGTH: u64 = 2;

    /// A fresh program at `entry` with its stack at `stack`; all other registers are zero, interrupts on.
    pub const fn new(entry: u64, stack: u64) -> Self {
        Self {
            r15: 0,
            r14: 0,
            r13: 0,
            r12: 0,
            rbp: 0,
            rbx: 0,
            r11: 0,
            r10: 0,
            r9: 0,
            r8: 0,
            rax: 0,
            rcx: 0,
            rdx: 0,
            rsi: 0,
            rdi: 0,
            orig_rax: Self::NO_SYSCALL,
            rip: entry,
            cs: USER_CODE as u64,
            rflags: rflags::FIXED | rflags::INTERRUPT,
            rsp: stack,
            ss: USER_DATA as u64,
        }
    }

    /// The call that the program asked for; a restart reads the same number again.
    pub const fn syscall_number(&self) -> u64 {
        self.orig_rax
    }

    /// The six arguments of a system call.
    pub const fn syscall_arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// What a system call returned.
    pub const fn return_value(&self) -> u64 {
        self.rax
    }

    /// Sets what a system call returns.
    pub const fn set_return_value(&mut self, value: u64) {
        self.rax = value;
    }

    /// True while a system call of the program is being handled.
    pub const fn in_syscall(&self) -> bool {
        self.orig_rax != Self::NO_SYSCALL
    }

    /// The system call is over: it can no longer be restarted.
    pub const fn finish_syscall(&mut self) {
        self.orig_rax = Self::NO_SYSCALL;
    }

    /// Makes the program execute its `syscall` instruction again, with the number it had.
    pub const fn restart_syscall(&mut self) {
        self.restart_syscall_as(self.orig_rax);
    }

    /// Makes the program execute its `syscall` instruction again with another number (`restart_syscall`).
    pub const fn restart_syscall_as(&mut self, number: u64) {
        self.rax = number;
        self.rip = self.rip.wrapping_sub(Self::SYSCALL_LENGTH);
        self.orig_rax = Self::NO_SYSCALL;
    }

    /// Where the program goes on.
    pub const fn instruction_pointer(&self) -> u64 {
        self.rip
    }

    /// Sets where the program goes on.
    pub const fn set_instruction_pointer(&mut self, address: u64) {
        self.rip = address;
    }

    /// The program's stack pointer.
    pub const fn stack_pointer(&self) -> u64 {
        self.rsp
    }

    /// Sets the program's stack pointer.
    pub const fn set_stack_pointer(&mut self, address: u64) {
        self.rsp = address;
    }

    /// Frame pointer, for backtraces of a program.
    pub const fn frame_pointer(&self) -> u64 {
        self.rbp
    }

    /// Sets the first three integer arguments of a C function, as a signal handler receives them.
    pub const fn set_call_arguments(&mut self, arguments: [u64; 3]) {
        [self.rdi, self.rsi, self.rdx] = arguments;
    }

    /// Whether the program single-steps itself or is stepped.
    pub const fn is_single_step(&self) -> bool {
        self.rflags & rflags::TRAP != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn the_frame_ends_as_an_interrupt_pushes_it() {
        assert_eq!(size_of::<UserRegs>(), 21 * 8);
        assert_eq!(offset_of!(UserRegs, rip), 16 * 8);
        assert_eq!(offset_of!(UserRegs, ss), 20 * 8);
    }

    #[test]
    fn a_restart_repeats_the_call() {
        let mut regs = UserRegs { orig_rax: 7, rax: 4, rip: 0x1002, ..UserRegs::new(0, 0) };
        regs.restart_syscall();
        assert_eq!((regs.rax, regs.rip, regs.in_syscall()), (7, 0x1000, false));
    }
}
