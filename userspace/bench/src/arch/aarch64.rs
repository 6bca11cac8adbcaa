//! AArch64: the virtual counter.

use core::arch::asm;
use core::ffi::CStr;

/// The vDSO's name for `clock_gettime`.
pub const CLOCK_GETTIME: &CStr = c"__kernel_clock_gettime";

/// Nanoseconds since reset by the virtual counter; under `-icount shift=0` the instructions since reset.
pub fn counter() -> u64 {
    let (count, frequency): (u64, u64);
    // SAFETY: both registers can be read at EL0 on both kernels; reading has no effect.
    unsafe {
        asm!("isb", "mrs {}, CNTVCT_EL0", "mrs {}, CNTFRQ_EL0", out(reg) count, out(reg) frequency, options(nomem, nostack));
    }
    (u128::from(count) * 1_000_000_000 / u128::from(frequency.max(1))) as u64
}

/// `sa_restorer`: the kernel's own is in the vDSO.
pub fn restorer() -> Option<u64> {
    None
}
