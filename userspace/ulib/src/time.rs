//! Sleeping and reading clocks.

use abi::time::{CLOCK_MONOTONIC, CLOCK_REALTIME, Timespec};
use core::time::Duration;
use libsyscall::time::{clock_gettime, nanosleep};

/// Sleeps for the whole duration, whatever signals come.
pub fn sleep(duration: Duration) {
    let mut left = from_duration(duration);
    while let Err((abi::Errno::EINTR, rest)) = nanosleep(left) {
        left = rest;
    }
}

/// Time since a fixed point, never going back.
pub fn monotonic() -> Duration {
    to_duration(clock_gettime(CLOCK_MONOTONIC).unwrap_or_default())
}

/// Time since 1970.
pub fn since_epoch() -> Duration {
    to_duration(clock_gettime(CLOCK_REALTIME).unwrap_or_default())
}

/// A `Timespec` of the same length; what does not fit becomes the longest.
pub fn from_duration(duration: Duration) -> Timespec {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: duration.subsec_nanos().into() }
}

/// A `Duration` of the same length; what is negative becomes zero.
pub fn to_duration(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
