//! Clocks, times and interval timers. Source: Linux 6.1, `include/uapi/linux/time.h`, `times(2)`, `timerfd_create(2)`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Seconds and nanoseconds.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Timespec {
    /// Whole seconds.
    pub tv_sec: i64,
    /// Nanoseconds, valid in 0..1_000_000_000; utimensat also takes [`UTIME_NOW`] and [`UTIME_OMIT`].
    pub tv_nsec: i64,
}

/// Seconds and microseconds.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Timeval {
    /// Whole seconds.
    pub tv_sec: i64,
    /// Microseconds, valid in 0..1_000_000.
    pub tv_usec: i64,
}

/// The time zone that `gettimeofday` and `settimeofday` carry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Timezone {
    /// Minutes west of Greenwich.
    pub tz_minuteswest: i32,
    /// Kind of daylight saving; always 0.
    pub tz_dsttime: i32,
}

/// Period and next expiry of an interval timer in microseconds (`setitimer`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Itimerval {
    /// Period; zero for a timer that fires once.
    pub it_interval: Timeval,
    /// Time to the next expiry; zero disarms.
    pub it_value: Timeval,
}

/// Period and next expiry of a timer in nanoseconds (`timer_settime`, `timerfd_settime`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Itimerspec {
    /// Period; zero for a timer that fires once.
    pub it_interval: Timespec,
    /// Time to the next expiry; zero disarms.
    pub it_value: Timespec,
}

/// Processor times in ticks of 1/[`USER_HZ`] s (`times`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Tms {
    /// The process in its own code.
    pub tms_utime: i64,
    /// The process in the kernel.
    pub tms_stime: i64,
    /// Its waited-for children in their own code.
    pub tms_cutime: i64,
    /// Its waited-for children in the kernel.
    pub tms_cstime: i64,
}

constants! { i64:
    USER_HZ = 100, "ticks a second in `times` and AT_CLKTCK";
    UTIME_NOW = 0x3fff_ffff, "a `tv_nsec` for utimensat: now";
    UTIME_OMIT = 0x3fff_fffe, "a `tv_nsec` for utimensat: leave this time as it is";
    NANOSECONDS_PER_SECOND = 1_000_000_000, "the bound of a valid `tv_nsec`";
    MICROSECONDS_PER_SECOND = 1_000_000, "the bound of a valid `tv_usec`";
}

constants! { i32:
    CLOCK_REALTIME = 0, "wall clock";
    CLOCK_MONOTONIC = 1, "time since boot, without time suspended";
    CLOCK_PROCESS_CPUTIME_ID = 2, "processor time of the process";
    CLOCK_THREAD_CPUTIME_ID = 3, "processor time of the thread";
    CLOCK_MONOTONIC_RAW = 4, "monotonic, not slewed";
    CLOCK_REALTIME_COARSE = 5, "wall clock at tick resolution";
    CLOCK_MONOTONIC_COARSE = 6, "monotonic at tick resolution";
    CLOCK_BOOTTIME = 7, "time since boot, with time suspended";
    CLOCK_REALTIME_ALARM = 8, "wall clock, timers wake a suspended machine";
    CLOCK_BOOTTIME_ALARM = 9, "boot time, timers wake a suspended machine";
    CLOCK_TAI = 11, "international atomic time";
}

constants! { u32:
    TIMER_ABSTIME = 1, "the given time is a point on the clock, not a span from now";
    ITIMER_REAL = 0, "real time, SIGALRM";
    ITIMER_VIRTUAL = 1, "the process's own processor time, SIGVTALRM";
    ITIMER_PROF = 2, "processor time with the kernel's share, SIGPROF";
    TFD_TIMER_ABSTIME = 1, "timerfd_settime: absolute expiry";
    TFD_TIMER_CANCEL_ON_SET = 2, "timerfd_settime: ECANCELED when the wall clock is set";
    TFD_CLOEXEC = 0o2_000_000, "timerfd_create: close on execve";
    TFD_NONBLOCK = 0o4000, "timerfd_create: do not block";
}
