//! The monotonic clock, this CPU's deadline timer and the wall clock at boot.
use crate::arch::Arch;
use crate::contract::Platform as _;

/// Nanoseconds since boot; never goes back.
#[inline]
pub fn now_ns() -> u64 {
    Arch::now_ns()
}

/// Arms this CPU's one-shot timer for an absolute time of [`now_ns`], or stops it. A deadline that has
/// passed fires at once.
pub fn set_deadline(deadline_ns: Option<u64>) {
    Arch::set_deadline(deadline_ns);
}

/// Nanoseconds since 1970 when `now_ns` was zero; zero if the machine has no clock.
pub fn wall_clock_at_boot_ns() -> u64 {
    Arch::wall_clock_at_boot_ns()
}
