//! x86_64: registers, flags and instructions that a kernel's entry code has to survive.

use crate::Test;
use core::arch::naked_asm;

/// What only this architecture can be asked.
pub const TESTS: &[Test] = &[];

/// Where a signal handler returns to: calls `rt_sigreturn`. RSP points to the frame behind its return address.
#[unsafe(naked)]
unsafe extern "C" fn sigreturn() -> ! {
    naked_asm!("mov eax, {number}", "syscall", "ud2", number = const abi::arch::x86_64::nr::rt_sigreturn)
}

/// `sa_restorer`: x86_64 has no default one.
pub fn restorer() -> Option<u64> {
    Some(sigreturn as *const () as u64)
}
