//! Waits for a time of day while the clock is set.
//!
//! Every wait is for an hour or more: without the clock being set none of them ends while a test may run.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::futex::*;
use abi::native::nr;
use abi::signal::*;
use abi::time::NANOSECONDS_PER_SECOND;
use abi::time::*;
use alloc::ffi::CString;
use alloc::format;
use conformance::handler::{count, record_signal};
use conformance::{Failure, Outcome, check, check_eq, files, raw};
use core::hint::black_box;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};
use core::time::Duration;
use libsyscall::thread::gettid;
use libsyscall::time::clock_gettime;
use ulib::thread::{JoinHandle, spawn};
use ulib::time::sleep;

conformance::tests!(&[
    ("setting_the_clock_ends_sleeping", setting_the_clock_ends_sleeping),
    ("setting_the_time_of_day_ends_sleeping", setting_the_time_of_day_ends_sleeping),
    ("setting_the_clock_ends_waiting_for_a_word", setting_the_clock_ends_waiting_for_a_word),
    ("setting_the_clock_ends_waiting_for_a_lock", setting_the_clock_ends_waiting_for_a_lock),
    ("setting_the_clock_fires_timers", setting_the_clock_fires_timers),
    ("timers_follow_the_clock_back", timers_follow_the_clock_back),
    ("a_span_of_time_stays_what_it_is", a_span_of_time_stays_what_it_is),
    ("setting_the_clock_refuses", setting_the_clock_refuses),
]);

const HOUR: i64 = 3600;

/// Sets the clock so many seconds ahead, or back.
fn jump(seconds: i64) -> Result<(), Errno> {
    let mut now = clock_gettime(CLOCK_REALTIME)?;
    now.tv_sec += seconds;
    raw::call(nr::clock_settime, &[CLOCK_REALTIME as u64, (&raw const now) as u64]).map(drop)
}

/// So many seconds from now.
fn in_seconds(seconds: i64) -> Result<Timespec, Errno> {
    let mut time = clock_gettime(CLOCK_REALTIME)?;
    time.tv_sec += seconds;
    Ok(time)
}

fn is_asleep(thread: i32) -> Result<bool, Failure> {
    let path = CString::new(format!("/proc/self/task/{thread}/stat")).map_err(|_| Failure::new("a path"))?;
    let text = files::content(&path)?;
    Ok(text.windows(3).any(|part| part == b") S"))
}

/// Starts a thread that waits in `body`, and returns once it sleeps there.
fn start_asleep<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    NUMBER.store(0, SeqCst);
    let thread = spawn(move || {
        NUMBER.store(gettid(), SeqCst);
        body()
    })?;
    while NUMBER.load(SeqCst) == 0 || !is_asleep(NUMBER.load(SeqCst))? {
        sleep(Duration::from_millis(1));
    }
    Ok(thread)
}

fn sleep_until(clock: i32, time: Timespec) -> Result<(), Errno> {
    let arguments = [clock as u64, u64::from(TIMER_ABSTIME), (&raw const time) as u64, 0];
    raw::call(nr::clock_nanosleep, &arguments).map(drop)
}

fn setting_the_clock_ends_sleeping() -> Outcome {
    for clock in [CLOCK_REALTIME, CLOCK_TAI] {
        let time = in_seconds(HOUR)?;
        let sleeper = start_asleep(move || sleep_until(clock, time))?;
        let other = start_asleep(move || sleep_until(clock, time))?;
        jump(2 * HOUR)?;
        check_eq!(sleeper.join(), Ok(()));
        check_eq!(other.join(), Ok(()));
        jump(-2 * HOUR)?;
    }
    Ok(())
}

fn setting_the_time_of_day_ends_sleeping() -> Outcome {
    let time = in_seconds(HOUR)?;
    let sleeper = start_asleep(move || sleep_until(CLOCK_REALTIME, time))?;
    let later = in_seconds(2 * HOUR)?;
    let later = Timeval { tv_sec: later.tv_sec, tv_usec: later.tv_nsec / 1000 };
    raw::call(nr::settimeofday, &[(&raw const later) as u64, 0])?;
    check_eq!(sleeper.join(), Ok(()));
    jump(-2 * HOUR)?;
    Ok(())
}

fn futex(word: &AtomicU32, operation: u32, value: u32, time: &Timespec) -> Result<u64, Errno> {
    let bits = u64::from(FUTEX_BITSET_MATCH_ANY);
    let arguments = [
        (&raw const *word) as u64,
        u64::from(operation | FUTEX_PRIVATE_FLAG),
        u64::from(value),
        (&raw const *time) as u64,
        0,
        bits,
    ];
    raw::call(nr::futex, &arguments)
}

fn setting_the_clock_ends_waiting_for_a_word() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let time = in_seconds(HOUR)?;
    let waiter = start_asleep(move || futex(&WORD, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &time))?;
    jump(2 * HOUR)?;
    check_eq!(waiter.join(), Err(Errno::ETIMEDOUT));
    jump(-2 * HOUR)?;
    Ok(())
}

fn setting_the_clock_ends_waiting_for_a_lock() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    WORD.store(gettid() as u32, SeqCst);
    let time = in_seconds(HOUR)?;
    let waiter = start_asleep(move || futex(&WORD, FUTEX_LOCK_PI, 0, &time))?;
    jump(2 * HOUR)?;
    check_eq!(waiter.join(), Err(Errno::ETIMEDOUT));
    jump(-2 * HOUR)?;
    Ok(())
}

fn create(clock: i32) -> Result<i32, Errno> {
    let mut id = -1;
    raw::call(nr::timer_create, &[clock as u64, 0, (&raw mut id) as u64])?;
    Ok(black_box(id))
}

fn set(id: i32, flags: u32, value: Timespec) -> Result<(), Errno> {
    let setting = Itimerspec { it_interval: Timespec::default(), it_value: value };
    raw::call(nr::timer_settime, &[id as u64, u64::from(flags), (&raw const setting) as u64, 0]).map(drop)
}

/// Seconds to the next expiry.
fn left(id: i32) -> Result<i64, Errno> {
    let mut setting = Itimerspec::default();
    raw::call(nr::timer_gettime, &[id as u64, (&raw mut setting) as u64])?;
    Ok(black_box(setting).it_value.tv_sec)
}

fn setting_the_clock_fires_timers() -> Outcome {
    record_signal(SIGALRM, 0)?;
    for (turn, clock) in [CLOCK_REALTIME, CLOCK_TAI].into_iter().enumerate() {
        let id = create(clock)?;
        set(id, TIMER_ABSTIME, in_seconds(HOUR)?)?;
        jump(2 * HOUR)?;
        while count() == turn as u32 {
            sleep(Duration::from_millis(1));
        }
        check_eq!((count(), left(id)?), (turn as u32 + 1, 0));
        jump(-2 * HOUR)?;
    }
    Ok(())
}

fn timers_follow_the_clock_back() -> Outcome {
    record_signal(SIGALRM, 0)?;
    let id = create(CLOCK_REALTIME)?;
    set(id, TIMER_ABSTIME, in_seconds(HOUR)?)?;
    jump(-10 * HOUR)?;
    let far = left(id)?;
    jump(10 * HOUR)?;
    let near = left(id)?;
    check!((10 * HOUR..=11 * HOUR).contains(&far), "{far} s");
    check!((1..=HOUR).contains(&near), "{near} s");
    check_eq!(count(), 0);
    Ok(())
}

fn a_span_of_time_stays_what_it_is() -> Outcome {
    record_signal(SIGALRM, 0)?;
    let (by_day, by_boot) = (create(CLOCK_REALTIME)?, create(CLOCK_MONOTONIC)?);
    let mut boot = clock_gettime(CLOCK_MONOTONIC)?;
    boot.tv_sec += HOUR;
    set(by_day, 0, Timespec { tv_sec: HOUR, tv_nsec: 0 })?;
    set(by_boot, TIMER_ABSTIME, boot)?;
    jump(2 * HOUR)?;
    for id in [by_day, by_boot] {
        let left = left(id)?;
        check!((1..=HOUR).contains(&left), "{left} s");
    }
    check_eq!(count(), 0);
    jump(-2 * HOUR)?;
    Ok(())
}

fn setting_the_clock_refuses() -> Outcome {
    let attempt =
        |clock: i32, time: Timespec| raw::call(nr::clock_settime, &[clock as u64, (&raw const time) as u64]);
    let second = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    check_eq!(attempt(CLOCK_REALTIME, second(-1, 0)), Err(Errno::EINVAL));
    check_eq!(attempt(CLOCK_REALTIME, second(1, NANOSECONDS_PER_SECOND)), Err(Errno::EINVAL));
    // Before the machine was started in 1970, and so late that it would overflow within 30 years.
    check_eq!(attempt(CLOCK_REALTIME, second(0, 0)), Err(Errno::EINVAL));
    check_eq!(attempt(CLOCK_REALTIME, second(i64::MAX / NANOSECONDS_PER_SECOND, 0)), Err(Errno::EINVAL));
    check_eq!(attempt(CLOCK_REALTIME, second(i64::MAX, 0)), Err(Errno::EINVAL));
    for clock in [CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID, 99] {
        check_eq!(attempt(clock, second(2_000_000_000, 0)), Err(Errno::EINVAL));
    }
    // The processor time of this process, by its other name.
    check_eq!(attempt(!0 << 3 | 2, second(1, 0)), Err(Errno::EPERM));
    let time_of_day = |time: &Timeval| raw::call(nr::settimeofday, &[(&raw const *time) as u64, 0]);
    check_eq!(time_of_day(&Timeval { tv_sec: 1, tv_usec: 1_000_000 }), Err(Errno::EINVAL));
    check_eq!(time_of_day(&Timeval { tv_sec: -1, tv_usec: 0 }), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::settimeofday, &[8, 0]), Err(Errno::EFAULT));
    Ok(())
}
