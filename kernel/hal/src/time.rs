//! The monotonic clock, this CPU's deadline timer and the wall clock at boot.
use crate::arch::Arch;
use crate::contract::Platform as _;

/// Nanoseconds since boot; never goes back.
#[inline]
pub fn now_ns() -> u64 {
    Arch::now_ns()
}

/// What [`now_ns`] computes with: `base_ns + ((cycles - base_cycles) * factor >> 32)` for the CPU's counter.
#[derive(Clone, Copy, Debug)]
pub struct ClockParameters {
    /// The counter's value at `base_ns`.
    pub base_cycles: u64,
    /// The time at `base_cycles`.
    pub base_ns: u64,
    /// Nanoseconds for each cycle, with 32 fractional bits.
    pub nanoseconds_per_cycle_32_32: u64,
}

/// For programs that read the counter themselves.
pub fn clock_parameters() -> ClockParameters {
    Arch::clock_parameters()
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
