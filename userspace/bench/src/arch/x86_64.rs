//! x86_64: the time-stamp counter.

use core::arch::naked_asm;
use core::arch::x86_64::_rdtsc;
use core::ffi::CStr;

/// The vDSO's name for `clock_gettime`.
pub const CLOCK_GETTIME: &CStr = c"__vdso_clock_gettime";

/// The counter; under `-icount shift=0` the instructions since reset.
pub fn counter() -> u64 {
    // SAFETY: reading the counter has no effect; neither kernel sets CR4.TSD.
    unsafe { _rdtsc() }
}

/// Where a signal handler returns to: calls `rt_sigreturn`. RSP points to the frame behind its return address.
#[unsafe(naked)]
unsafe extern "C" fn sigreturn() -> ! {
    naked_asm!("mov eax, {number}", "syscall", "ud2", number = const abi::arch::x86_64::nr::rt_sigreturn)
}

/// `sa_restorer`: x86_64 has no default one.
pub fn restorer() -> Option<u64> {
    Some(sigreturn as *const () as u64)
}
