//! Finds `clock_gettime` in the shared object that the kernel maps into every program.

use crate::arch::CLOCK_GETTIME;
use abi::time::Timespec;

/// The C function.
pub type ClockGettime = unsafe extern "C" fn(clock: i32, time: *mut Timespec) -> i32;

/// The vDSO's function; `None` where there is none.
pub fn clock_gettime() -> Option<ClockGettime> {
    // SAFETY: the function of this name has this type, vdso(7).
    ulib::vdso::function(CLOCK_GETTIME)
        .map(|address| unsafe { core::mem::transmute::<*const (), ClockGettime>(address) })
}
