//! Timers that count processor time, and sleeping for it.
//!
//! No test judges by the wall clock: a busy machine makes everything here take longer, and nothing wrong.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::*;
use abi::time::NANOSECONDS_PER_SECOND;
use abi::time::*;
use conformance::handler::{CODE, FIELD, SIGNAL, VALUE, count, record_signal};
use conformance::processor_time::*;
use conformance::{Outcome, check, check_eq, child, files, raw};
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use core::time::Duration;
use libsyscall::process::{execve, getpid, kill};
use libsyscall::signal::{Disposition, set_disposition};
use libsyscall::thread::{gettid, sched_yield};
use ulib::thread::spawn;
use ulib::time::{from_duration, sleep, to_duration};

conformance::tests!(
    &[
        ("a_virtual_timer_counts_work", a_virtual_timer_counts_work),
        ("a_profiling_timer_repeats", a_profiling_timer_repeats),
        ("cpu_timers_stand_still_in_sleep", cpu_timers_stand_still_in_sleep),
        ("cpu_timers_are_read_and_stopped", cpu_timers_are_read_and_stopped),
        ("children_have_no_cpu_timers", children_have_no_cpu_timers),
        ("programs_keep_their_timers", programs_keep_their_timers),
        ("a_timer_counts_the_process", a_timer_counts_the_process),
        ("a_timer_counts_one_thread", a_timer_counts_one_thread),
        ("a_timer_counts_another_process", a_timer_counts_another_process),
        ("a_timer_in_the_past_fires", a_timer_in_the_past_fires),
        ("a_timer_outlives_what_it_counts", a_timer_outlives_what_it_counts),
        ("sleeping_for_the_time_of_others", sleeping_for_the_time_of_others),
        ("sleeping_for_the_time_of_the_dead", sleeping_for_the_time_of_the_dead),
        ("sleeping_for_cpu_time_refuses", sleeping_for_cpu_time_refuses),
    ],
    &[("timer_is_set", timer_is_set)]
);

fn timeval(time: Duration) -> Timeval {
    Timeval { tv_sec: time.as_secs() as i64, tv_usec: i64::from(time.subsec_micros()) }
}

/// `setitimer`: the value and the interval before.
fn set_timer(which: u32, value: Duration, interval: Duration) -> Result<(Duration, Duration), Errno> {
    let new = Itimerval { it_interval: timeval(interval), it_value: timeval(value) };
    let mut old = Itimerval::default();
    raw::call(nr::setitimer, &[u64::from(which), (&raw const new) as u64, (&raw mut old) as u64])?;
    let old = black_box(old);
    Ok((duration(old.it_value), duration(old.it_interval)))
}

/// `getitimer`: the value and the interval.
fn timer(which: u32) -> Result<(Duration, Duration), Errno> {
    let mut now = Itimerval::default();
    raw::call(nr::getitimer, &[u64::from(which), (&raw mut now) as u64])?;
    let now = black_box(now);
    Ok((duration(now.it_value), duration(now.it_interval)))
}

const STOPPED: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

fn a_virtual_timer_counts_work() -> Outcome {
    record_signal(SIGVTALRM, 0)?;
    let user_time = || spent(clock_of_process(0, Kind::Virtual));
    let before = user_time()?;
    check_eq!(set_timer(ITIMER_VIRTUAL, 20 * MS, Duration::ZERO)?, STOPPED);
    call(20 * MS)?;
    spin_until(|| count() > 0);
    let used = user_time()? - before;
    check!(used >= 20 * MS, "after {used:?} of user time");
    check_eq!((SIGNAL.load(Ordering::Relaxed), CODE.load(Ordering::Relaxed)), (SIGVTALRM as i32, SI_KERNEL));
    check_eq!(timer(ITIMER_VIRTUAL)?, STOPPED);
    work(30 * MS)?;
    check_eq!(count(), 1);
    Ok(())
}

fn a_profiling_timer_repeats() -> Outcome {
    record_signal(SIGPROF, SA_RESTART)?;
    let before = spent(CLOCK_PROCESS_CPUTIME_ID)?;
    set_timer(ITIMER_PROF, 10 * MS, 20 * MS)?;
    call(50 * MS)?;
    spin_until(|| count() >= 5);
    let used = spent(CLOCK_PROCESS_CPUTIME_ID)? - before;
    check!(used >= 80 * MS, "five expiries in {used:?}");
    set_timer(ITIMER_PROF, Duration::ZERO, Duration::ZERO)?;
    let stopped = count();
    work(50 * MS)?;
    check_eq!(count(), stopped);
    Ok(())
}

fn cpu_timers_stand_still_in_sleep() -> Outcome {
    record_signal(SIGPROF, 0)?;
    set_timer(ITIMER_PROF, 300 * MS, Duration::ZERO)?;
    set_timer(ITIMER_VIRTUAL, 10_000 * MS, Duration::ZERO)?;
    sleep(400 * MS);
    check_eq!(count(), 0);
    check!(timer(ITIMER_PROF)?.0 > MS);
    check!(timer(ITIMER_VIRTUAL)?.0 > 9_900 * MS);
    spin_until(|| count() == 1);
    check!(timer(ITIMER_VIRTUAL)?.0 < 10_000 * MS);
    Ok(())
}

fn cpu_timers_are_read_and_stopped() -> Outcome {
    for which in [ITIMER_VIRTUAL, ITIMER_PROF] {
        check_eq!(timer(which)?, STOPPED);
        set_timer(which, 100_000 * MS, 3_000 * MS)?;
        work(5 * MS)?;
        let (value, interval) = timer(which)?;
        check!(
            value > 90_000 * MS && value <= 100_004 * MS && interval == 3_000 * MS,
            "{value:?}, {interval:?}"
        );
    }
    check!(set_timer(ITIMER_VIRTUAL, Duration::ZERO, 9 * MS)?.0 > 90_000 * MS);
    check_eq!(timer(ITIMER_VIRTUAL)?.0, Duration::ZERO);
    check!(timer(ITIMER_PROF)?.0 > 90_000 * MS);
    check_eq!(raw::call(nr::setitimer, &[3, 0, 0]), Err(Errno::EINVAL));
    let wrong =
        Itimerval { it_interval: Timeval::default(), it_value: Timeval { tv_sec: 0, tv_usec: 1_000_000 } };
    check_eq!(
        raw::call(nr::setitimer, &[ITIMER_PROF as u64, (&raw const wrong) as u64, 0]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn children_have_no_cpu_timers() -> Outcome {
    set_timer(ITIMER_PROF, 100_000 * MS, Duration::ZERO)?;
    check!(child::succeeds(|| {
        check_eq!(timer(ITIMER_PROF)?, STOPPED);
        Ok(())
    })?);
    // And die of theirs, without a handler.
    let status = child::run(|| {
        let set = set_timer(ITIMER_PROF, 5 * MS, Duration::ZERO).is_ok();
        spin_until(|| !set);
        1
    })?;
    check_eq!(status.term_signal(), Some(SIGPROF));
    Ok(())
}

fn programs_keep_their_timers() -> Outcome {
    let status = child::run(|| {
        let program = ulib::args::args().next().unwrap_or_default();
        let arguments = [program.as_ptr(), c"--helper".as_ptr(), c"timer_is_set".as_ptr(), core::ptr::null()];
        if set_timer(ITIMER_PROF, 100_000 * MS, Duration::ZERO).is_err() || create(CLOCK_MONOTONIC) != Ok(0) {
            return 2;
        }
        // SAFETY: NUL-terminated strings, and a null pointer after them.
        i32::from(unsafe { execve(program, arguments.as_ptr(), arguments[3..].as_ptr().cast()) }.number())
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn timer_is_set(_arguments: &[&[u8]]) -> i32 {
    let kept = timer(ITIMER_PROF).is_ok_and(|(value, _)| value > 90_000 * MS);
    // POSIX timers are not kept.
    i32::from(!kept || get(0) != Err(Errno::EINVAL))
}

/// A POSIX timer that sends SIGUSR1 with the value 77.
fn create(clock: i32) -> Result<i32, Errno> {
    let event = Sigevent {
        sigev_value: 77,
        sigev_signo: SIGUSR1 as i32,
        sigev_notify: SIGEV_SIGNAL,
        sigev_tid: 0,
        pad: [0; 11],
    };
    let mut timer = -1;
    raw::call(nr::timer_create, &[clock as u64, (&raw const event) as u64, (&raw mut timer) as u64])?;
    Ok(black_box(timer))
}

fn set(timer: i32, flags: u32, value: Duration, interval: Duration) -> Result<(), Errno> {
    let new = Itimerspec { it_interval: from_duration(interval), it_value: from_duration(value) };
    raw::call(nr::timer_settime, &[timer as u64, u64::from(flags), (&raw const new) as u64, 0]).map(drop)
}

/// The value of a POSIX timer.
fn get(timer: i32) -> Result<Duration, Errno> {
    let mut now = Itimerspec::default();
    raw::call(nr::timer_gettime, &[timer as u64, (&raw mut now) as u64])?;
    Ok(to_duration(black_box(now).it_value))
}

fn a_timer_counts_the_process() -> Outcome {
    record_signal(SIGUSR1, 0)?;
    let timer = create(CLOCK_PROCESS_CPUTIME_ID)?;
    check_eq!(get(timer)?, Duration::ZERO);
    let before = spent(CLOCK_PROCESS_CPUTIME_ID)?;
    set(timer, 0, 300 * MS, 10 * MS)?;
    let left = get(timer)?;
    check!(left > Duration::ZERO && left <= 300 * MS, "left {left:?}");
    sleep(400 * MS);
    check_eq!(count(), 0);
    // Another thread's time counts as well.
    spawn(|| spin_until(|| count() >= 3))?.join();
    let used = spent(CLOCK_PROCESS_CPUTIME_ID)? - before;
    check!(used >= 320 * MS, "three expiries in {used:?}");
    check_eq!((CODE.load(Ordering::Relaxed), VALUE.load(Ordering::Relaxed)), (SI_TIMER, 77));
    check_eq!(FIELD.load(Ordering::Relaxed) as u32, timer as u32);
    set(timer, 0, Duration::ZERO, Duration::ZERO)?;
    let stopped = count();
    work(30 * MS)?;
    check_eq!(count(), stopped);
    raw::call(nr::timer_delete, &[timer as u64])?;
    check_eq!(get(timer), Err(Errno::EINVAL));
    Ok(())
}

fn a_timer_counts_one_thread() -> Outcome {
    static BUSY: AtomicI32 = AtomicI32::new(0);
    record_signal(SIGUSR1, 0)?;
    let timer = create(CLOCK_THREAD_CPUTIME_ID)?;
    set(timer, 0, 300 * MS, Duration::ZERO)?;
    // Not the time of another thread, however much that works.
    let end = spent(CLOCK_PROCESS_CPUTIME_ID)? + 400 * MS;
    let other = spawn(move || {
        spin_until(|| spent(CLOCK_PROCESS_CPUTIME_ID).is_ok_and(|now| now > end));
    })?;
    other.join();
    check_eq!(count(), 0);
    let before = spent(CLOCK_THREAD_CPUTIME_ID)?;
    spin_until(|| count() == 1);
    check!(spent(CLOCK_THREAD_CPUTIME_ID)? >= before);
    // A timer of this thread for the time of that one.
    let other = spawn(|| {
        BUSY.store(gettid(), Ordering::SeqCst);
        spin_until(|| BUSY.load(Ordering::SeqCst) == 0);
    })?;
    spin_until(|| BUSY.load(Ordering::SeqCst) != 0);
    let timer = create(clock_of_thread(BUSY.load(Ordering::SeqCst), Kind::Scheduled))?;
    set(timer, 0, 10 * MS, Duration::ZERO)?;
    while count() < 2 {
        sched_yield();
    }
    BUSY.store(0, Ordering::SeqCst);
    other.join();
    check_eq!(create(clock_of_thread(1, Kind::Scheduled)), Err(Errno::EINVAL));
    Ok(())
}

fn a_timer_counts_another_process() -> Outcome {
    record_signal(SIGUSR1, 0)?;
    let busy = child::start(|| {
        let _ = set_disposition(SIGUSR1, Disposition::Ignore);
        spin_until(|| false);
        0
    })?;
    let timer = create(clock_of_process(busy, Kind::Scheduled))?;
    set(timer, 0, 20 * MS, Duration::ZERO)?;
    while count() == 0 {
        sleep(MS);
    }
    check!(spent(clock_of_process(busy, Kind::Scheduled))? >= 20 * MS);
    kill(busy, SIGKILL)?;
    child::wait(busy)?;
    Ok(())
}

fn a_timer_in_the_past_fires() -> Outcome {
    work(2 * MS)?;
    for clock in [CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID] {
        record_signal(SIGUSR1, 0)?;
        let timer = create(clock)?;
        set(timer, TIMER_ABSTIME, MS, Duration::ZERO)?;
        spin_until(|| count() == 1);
        check_eq!(get(timer)?, Duration::ZERO);
        // And one in the future waits for its time.
        let end = spent(clock)? + 15 * MS;
        set(timer, TIMER_ABSTIME, end, Duration::ZERO)?;
        spin_until(|| count() == 2);
        check!(spent(clock)? >= end);
    }
    Ok(())
}

fn a_timer_outlives_what_it_counts() -> Outcome {
    static OVER: AtomicBool = AtomicBool::new(false);
    static THREAD: AtomicI32 = AtomicI32::new(0);
    let other = spawn(|| {
        THREAD.store(gettid(), Ordering::SeqCst);
        spin_until(|| OVER.load(Ordering::SeqCst));
    })?;
    spin_until(|| THREAD.load(Ordering::SeqCst) != 0);
    let timer = create(clock_of_thread(THREAD.load(Ordering::SeqCst), Kind::Scheduled))?;
    set(timer, 0, 100_000 * MS, Duration::ZERO)?;
    OVER.store(true, Ordering::SeqCst);
    other.join();
    // The thread may need a moment until it is gone.
    while get(timer)? != Duration::ZERO {
        sched_yield();
    }
    check_eq!(set(timer, 0, MS, Duration::ZERO), Err(Errno::ESRCH));
    raw::call(nr::timer_delete, &[timer as u64])?;
    Ok(())
}

fn sleep_on(clock: i32, flags: u32, time: Duration) -> Result<(), Errno> {
    let time = from_duration(time);
    raw::call(nr::clock_nanosleep, &[clock as u64, u64::from(flags), (&raw const time) as u64, 0]).map(drop)
}

fn sleeping_for_the_time_of_others() -> Outcome {
    static OVER: AtomicBool = AtomicBool::new(false);
    let other = spawn(|| spin_until(|| OVER.load(Ordering::SeqCst)))?;
    let before = spent(CLOCK_PROCESS_CPUTIME_ID)?;
    sleep_on(CLOCK_PROCESS_CPUTIME_ID, 0, 20 * MS)?;
    let now = spent(CLOCK_PROCESS_CPUTIME_ID)?;
    check!(now - before >= 20 * MS, "slept {:?}", now - before);
    sleep_on(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, now + 15 * MS)?;
    check!(spent(CLOCK_PROCESS_CPUTIME_ID)? >= now + 15 * MS);
    sleep_on(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, MS)?;
    record_signal(SIGUSR2, 0)?;
    let me = getpid();
    // Again and again, as the first one may come before the sleep.
    let sender = child::start(|| {
        while kill(me, SIGUSR2).is_ok() {
            sleep(5 * MS);
        }
        1
    })?;
    check_eq!(sleep_on(CLOCK_PROCESS_CPUTIME_ID, 0, 100_000 * MS), Err(Errno::EINTR));
    kill(sender, SIGKILL)?;
    child::wait(sender)?;
    OVER.store(true, Ordering::SeqCst);
    other.join();
    Ok(())
}

/// Whether the process's first thread sleeps, in a sleep that signals end.
fn first_thread_sleeps() -> bool {
    files::content(c"/proc/self/stat").is_ok_and(|text| {
        let name_end = text.iter().rposition(|&byte| byte == b')').unwrap_or_default();
        text[name_end..].starts_with(b") S")
    })
}

fn sleeping_for_the_time_of_the_dead() -> Outcome {
    static THREAD: AtomicI32 = AtomicI32::new(0);
    record_signal(SIGALRM, 0)?;
    let other = spawn(|| {
        THREAD.store(gettid(), Ordering::SeqCst);
        spin_until(first_thread_sleeps);
        set_timer(ITIMER_REAL, 100 * MS, 100 * MS)
    })?;
    spin_until(|| THREAD.load(Ordering::SeqCst) != 0);
    let clock = clock_of_thread(THREAD.load(Ordering::SeqCst), Kind::Scheduled);
    check_eq!(sleep_on(clock, 0, 100_000 * MS), Err(Errno::EINTR));
    check_eq!(other.join()?, STOPPED);
    Ok(())
}

fn sleeping_for_cpu_time_refuses() -> Outcome {
    check_eq!(sleep_on(CLOCK_THREAD_CPUTIME_ID, 0, MS), Err(Errno::EOPNOTSUPP));
    check_eq!(sleep_on(clock_of_thread(0, Kind::Scheduled), 0, MS), Err(Errno::EINVAL));
    check_eq!(sleep_on(clock_of_thread(gettid(), Kind::Scheduled), 0, MS), Err(Errno::EINVAL));
    check_eq!(sleep_on(clock_of_thread(1, Kind::Scheduled), 0, MS), Err(Errno::EINVAL));
    let wrong = Timespec { tv_sec: 0, tv_nsec: NANOSECONDS_PER_SECOND };
    let clock = CLOCK_PROCESS_CPUTIME_ID as u64;
    check_eq!(raw::call(nr::clock_nanosleep, &[clock, 0, (&raw const wrong) as u64, 0]), Err(Errno::EINVAL));
    Ok(())
}
