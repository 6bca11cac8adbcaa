//! Clocks and sleeping.

use crate::{call, nr};
use abi::Errno;
use abi::time::Timespec;

/// Reads a clock (`CLOCK_*`).
pub fn clock_gettime(clock: i32) -> Result<Timespec, Errno> {
    let mut time = Timespec::default();
    // SAFETY: the kernel writes one `Timespec`.
    unsafe { call!(nr::clock_gettime, clock, &raw mut time) }.map(|_| time)
}

/// Sleeps. `Err` carries what was left when a signal came, or the error alone.
pub fn nanosleep(duration: Timespec) -> Result<(), (Errno, Timespec)> {
    let mut left = Timespec::default();
    // SAFETY: the kernel reads one `Timespec` and writes one.
    unsafe { call!(nr::nanosleep, &raw const duration, &raw mut left) }
        .map(drop)
        .map_err(|error| (error, left))
}
