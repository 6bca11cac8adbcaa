//! Time: clocks, and what happens at a later one.
//!
//! All clocks are the machine's monotonic one plus an offset, or processor time. Waits carry a `Deadline`, which stays
//! a point of the wall clock if it was given as one; [`alarm`] serves what ends in a signal, [`cpu_alarm`] what waits
//! for processor time. [`interval`] and [`posix`] are the timers of processes. [`discipline`] lets programs make the
//! clock run right.

pub mod alarm;
pub mod clock;
pub mod cpu_alarm;
pub mod discipline;
pub mod interval;
pub mod pause;
pub mod posix;

pub use clock::{Clock, CpuClock};
pub use cpu_alarm::CpuAlarms;
pub use discipline::choose_counter;

use abi::Errno;
pub use libkernel::clock::SECOND_NS;

use abi::time::{MICROSECONDS_PER_SECOND, NANOSECONDS_PER_SECOND, Timespec, Timeval};

/// A time in nanoseconds, cut to microseconds, as programs see it.
pub fn to_timeval(ns: u64) -> Timeval {
    let time = Timespec::of_ns(ns);
    Timeval { tv_sec: time.tv_sec, tv_usec: time.tv_nsec / 1000 }
}

/// A program's time in nanoseconds; times beyond 584 years are as far as can be. EINVAL unless it is normalised and not
/// negative.
pub fn from_timespec(time: &Timespec) -> Result<u64, Errno> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::EINVAL)?;
    if !(0..NANOSECONDS_PER_SECOND).contains(&time.tv_nsec) {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(SECOND_NS).saturating_add(time.tv_nsec.cast_unsigned()))
}

/// As [`from_timespec`], from microseconds.
pub fn from_timeval(time: &Timeval) -> Result<u64, Errno> {
    if !(0..MICROSECONDS_PER_SECOND).contains(&time.tv_usec) {
        return Err(Errno::EINVAL);
    }
    from_timespec(&Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_usec * 1000 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_convert_there_and_back() {
        let time = Timespec::of_ns(3 * SECOND_NS + 7);
        assert_eq!((time.tv_sec, time.tv_nsec), (3, 7));
        assert_eq!(from_timespec(&time), Ok(3 * SECOND_NS + 7));
        assert_eq!(from_timeval(&to_timeval(5_000_000)), Ok(5_000_000));
    }

    #[test]
    fn bad_times_are_refused_and_long_ones_bounded() {
        assert_eq!(from_timespec(&Timespec { tv_sec: -1, tv_nsec: 0 }), Err(Errno::EINVAL));
        assert_eq!(
            from_timespec(&Timespec { tv_sec: 0, tv_nsec: NANOSECONDS_PER_SECOND }),
            Err(Errno::EINVAL)
        );
        assert_eq!(from_timespec(&Timespec { tv_sec: i64::MAX, tv_nsec: 0 }), Ok(u64::MAX));
    }
}
