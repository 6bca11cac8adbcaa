//! AArch64's register frame: what the exception entry saves, beginning as Linux's `user_pt_regs`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// All general registers of a thread at EL0. A multiple of 16 bytes, so that it can lie on a kernel stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UserRegs {
    /// X0 to X30.
    pub x: [u64; 31],
    /// SP_EL0.
    pub sp: u64,
    /// ELR_EL1.
    pub pc: u64,
    /// SPSR_EL1.
    pub pstate: u64,
    /// X0 at the system call, which the return value overwrites: kept for restarts.
    pub orig_x0: u64,
    /// X8 at the system call, [`UserRegs::NO_SYSCALL`] outside one.
    pub syscall: u64,
}

/// Bits of PSTATE as SPSR_EL1 holds them (C5.2.18).
#[allow(missing_docs)]
pub mod pstate {
    /// The condition flags.
    pub const NZCV: u64 = 0xf << 28;
    /// Data-independent timing.
    pub const DIT: u64 = 1 << 24;
    /// Software step.
    pub const SINGLE_STEP: u64 = 1 << 21;
    /// Speculative store bypass is safe.
    pub const SSBS: u64 = 1 << 12;
    /// Branch type, for branch target identification.
    pub const BRANCH_TYPE: u64 = 3 << 10;
    /// EL0 with its stack pointer, AArch64, all exceptions unmasked.
    pub const EL0: u64 = 0;
}

impl Default for UserRegs {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl UserRegs {
    /// `syscall` outside a system call.
    pub const NO_SYSCALL: u64 = u64::MAX;

    /// Length of the `svc` instruction, by which a restart steps back.
    pub const SYSCALL_LENGTH: u64 = 4;

    /// The register that carries the system-call number.
    const NUMBER: usize = 8;
    /// The frame pointer of the procedure-call standard.
    const FRAME_POINTER: usize = 29;
    /// The link register.
    const LINK: usize = 30;

    /// A fresh program at `entry` with its stack at `stack`; all other registers are zero.
    pub const fn new(entry: u64, stack: u64) -> Self {
        Self { x: [0; 31], sp: stack, pc: entry, pstate: pstate::EL0, orig_x0: 0, syscall: Self::NO_SYSCALL }
    }

    /// The call that the program asked for.
    pub const fn syscall_number(&self) -> u64 {
        self.syscall
    }

    /// The six arguments of a system call.
    pub const fn syscall_arguments(&self) -> [u64; 6] {
        [self.orig_x0, self.x[1], self.x[2], self.x[3], self.x[4], self.x[5]]
    }

    /// What a system call returned.
    pub const fn return_value(&self) -> u64 {
        self.x[0]
    }

    /// Sets what a system call returns.
    pub const fn set_return_value(&mut self, value: u64) {
        self.x[0] = value;
    }

    /// True while a system call of the program is being handled.
    pub const fn in_syscall(&self) -> bool {
        self.syscall != Self::NO_SYSCALL
    }

    /// The system call is over: it can no longer be restarted.
    pub const fn finish_syscall(&mut self) {
        self.syscall = Self::NO_SYSCALL;
    }

    /// Makes the program execute its `svc` instruction again, with the number and first argument it had.
    pub const fn restart_syscall(&mut self) {
        self.restart_syscall_as(self.syscall);
    }

    /// Makes the program execute its `svc` instruction again with another number (`restart_syscall`).
    pub const fn restart_syscall_as(&mut self, number: u64) {
        self.x[Self::NUMBER] = number;
        self.x[0] = self.orig_x0;
        self.pc = self.pc.wrapping_sub(Self::SYSCALL_LENGTH);
        self.syscall = Self::NO_SYSCALL;
    }

    /// Where the program goes on.
    pub const fn instruction_pointer(&self) -> u64 {
        self.pc
    }

    /// Sets where the program goes on.
    pub const fn set_instruction_pointer(&mut self, address: u64) {
        self.pc = address;
    }

    /// The program's stack pointer.
    pub const fn stack_pointer(&self) -> u64 {
        self.sp
    }

    /// Sets the program's stack pointer.
    pub const fn set_stack_pointer(&mut self, address: u64) {
        self.sp = address;
    }

    /// Frame pointer, for backtraces of a program and for the signal frame's record.
    pub const fn frame_pointer(&self) -> u64 {
        self.x[Self::FRAME_POINTER]
    }

    /// Sets the frame pointer.
    pub const fn set_frame_pointer(&mut self, address: u64) {
        self.x[Self::FRAME_POINTER] = address;
    }

    /// The address that a function returns to.
    pub const fn link_register(&self) -> u64 {
        self.x[Self::LINK]
    }

    /// Sets the address that a function returns to.
    pub const fn set_link_register(&mut self, address: u64) {
        self.x[Self::LINK] = address;
    }

    /// Sets the first three integer arguments of a C function, as a signal handler receives them.
    pub const fn set_call_arguments(&mut self, arguments: [u64; 3]) {
        [self.x[0], self.x[1], self.x[2]] = arguments;
    }

    /// Whether the program is stepped.
    pub const fn is_single_step(&self) -> bool {
        self.pstate & pstate::SINGLE_STEP != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn the_frame_begins_as_linux_shows_it() {
        assert_eq!(offset_of!(UserRegs, sp), 31 * 8);
        assert_eq!(offset_of!(UserRegs, pstate), 33 * 8);
        assert_eq!(size_of::<UserRegs>() % 16, 0);
    }

    #[test]
    fn a_restart_repeats_the_call() {
        let mut regs = UserRegs::new(0x1004, 0);
        (regs.syscall, regs.orig_x0, regs.x[0]) = (63, 5, u64::MAX);
        regs.restart_syscall();
        assert_eq!((regs.x[8], regs.x[0], regs.pc, regs.in_syscall()), (63, 5, 0x1000, false));
    }
}
