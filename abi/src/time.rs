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

impl Timespec {
    /// A time in nanoseconds.
    pub const fn of_ns(ns: u64) -> Timespec {
        let second = NANOSECONDS_PER_SECOND.cast_unsigned();
        Timespec { tv_sec: (ns / second).cast_signed(), tv_nsec: (ns % second).cast_signed() }
    }
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

/// What `adjtimex` and `clock_adjtime` take and tell. Source: Linux 6.1, `include/uapi/linux/timex.h`, `adjtimex(2)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Timex {
    /// What is to be changed, `ADJ_*`.
    pub modes: u32,
    /// Keeps the layout without padding.
    pub reserved1: u32,
    /// What is left to slew, in microseconds, or nanoseconds with [`STA_NANO`].
    pub offset: i64,
    /// Correction of the frequency in parts per million with 16 fraction bits.
    pub freq: i64,
    /// Largest error in microseconds.
    pub maxerror: i64,
    /// Estimated error in microseconds.
    pub esterror: i64,
    /// `STA_*`.
    pub status: i32,
    /// Keeps the layout without padding.
    pub reserved2: u32,
    /// Time constant of the loop, as a power of two.
    pub constant: i64,
    /// Precision of the clock in microseconds.
    pub precision: i64,
    /// Largest correction of the frequency, as `freq`.
    pub tolerance: i64,
    /// The time of day; its second part counts nanoseconds with [`STA_NANO`].
    pub time: Timeval,
    /// Microseconds for each of [`USER_HZ`] ticks.
    pub tick: i64,
    /// Of a pulse each second, which nobody gives: always zero, like all until `stbcnt`.
    pub ppsfreq: i64,
    /// See `ppsfreq`.
    pub jitter: i64,
    /// See `ppsfreq`.
    pub shift: i32,
    /// Keeps the layout without padding.
    pub reserved3: u32,
    /// See `ppsfreq`.
    pub stabil: i64,
    /// See `ppsfreq`.
    pub jitcnt: i64,
    /// See `ppsfreq`.
    pub calcnt: i64,
    /// See `ppsfreq`.
    pub errcnt: i64,
    /// See `ppsfreq`.
    pub stbcnt: i64,
    /// International atomic time less UTC, in seconds.
    pub tai: i32,
    /// Zero.
    pub reserved4: [u32; 11],
}

constants! { u32:
    ADJ_OFFSET = 0x0001, "adjtimex: slew the clock by `offset`";
    ADJ_FREQUENCY = 0x0002, "adjtimex: set `freq`";
    ADJ_MAXERROR = 0x0004, "adjtimex: set `maxerror`";
    ADJ_ESTERROR = 0x0008, "adjtimex: set `esterror`";
    ADJ_STATUS = 0x0010, "adjtimex: set `status`";
    ADJ_TIMECONST = 0x0020, "adjtimex: set `constant`";
    ADJ_TAI = 0x0080, "adjtimex: set `tai` from `constant`";
    ADJ_SETOFFSET = 0x0100, "adjtimex: add `time` to the clock at once";
    ADJ_MICRO = 0x1000, "adjtimex: times in microseconds from now on";
    ADJ_NANO = 0x2000, "adjtimex: times in nanoseconds from now on";
    ADJ_TICK = 0x4000, "adjtimex: set `tick`";
    ADJ_ADJTIME = 0x8000, "adjtimex: as adjtime(3)";
    ADJ_OFFSET_READONLY = 0x2000, "with ADJ_ADJTIME: only tell what is left";
}

constants! { i32:
    STA_PLL = 0x0001, "offsets move the phase";
    STA_PPSFREQ = 0x0002, "a pulse each second corrects the frequency";
    STA_PPSTIME = 0x0004, "a pulse each second corrects the time";
    STA_FLL = 0x0008, "offsets move the frequency";
    STA_INS = 0x0010, "the day ends with a second more";
    STA_DEL = 0x0020, "the day ends with a second less";
    STA_UNSYNC = 0x0040, "the clock is not synchronised";
    STA_FREQHOLD = 0x0080, "offsets leave the frequency alone";
    STA_PPSSIGNAL = 0x0100, "a pulse each second is there";
    STA_CLOCKERR = 0x1000, "the clock's hardware failed";
    STA_NANO = 0x2000, "times are in nanoseconds";
    STA_MODE = 0x4000, "the last offset moved the frequency";
    STA_RONLY = 0xff00, "the bits that a program cannot set";
    TIME_OK = 0, "adjtimex: the clock is synchronised";
    TIME_INS = 1, "adjtimex: a second will be inserted";
    TIME_DEL = 2, "adjtimex: a second will be left out";
    TIME_OOP = 3, "adjtimex: the inserted second runs";
    TIME_WAIT = 4, "adjtimex: a leap second is over";
    TIME_ERROR = 5, "adjtimex: the clock is not synchronised";
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
