//! Timers whose signals wait, are ignored, or go to one thread; their numbers and limits.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::resource::{RLIMIT_SIGPENDING, Rlimit};
use abi::signal::*;
use abi::time::NANOSECONDS_PER_SECOND;
use abi::time::*;
use alloc::vec::Vec;
use conformance::handler::{bit, count, record_signal};
use conformance::processor_time::MS;
use conformance::{Outcome, check, check_eq, child, raw};
use core::hint::black_box;
use libsyscall::process::getpid;
use libsyscall::signal::{Disposition, rt_sigprocmask, set_disposition};
use libsyscall::thread::gettid;
use ulib::thread::spawn;
use ulib::time::sleep;

conformance::tests!(&[
    ("a_waiting_signal_counts_what_it_misses", a_waiting_signal_counts_what_it_misses),
    ("each_timer_has_a_signal_of_its_own", each_timer_has_a_signal_of_its_own),
    ("a_waiting_signal_is_kept_from_a_changed_timer", a_waiting_signal_is_kept_from_a_changed_timer),
    ("an_overrun_saturates", an_overrun_saturates),
    ("an_ignored_timer_goes_on", an_ignored_timer_goes_on),
    ("a_forgotten_signal_is_sent_again", a_forgotten_signal_is_sent_again),
    ("a_silent_timer_only_shows_its_time", a_silent_timer_only_shows_its_time),
    ("one_thread_hears_of_a_timer", one_thread_hears_of_a_timer),
    ("a_timer_of_a_thread_of_the_library", a_timer_of_a_thread_of_the_library),
    ("notification_is_checked", notification_is_checked),
    ("every_clock_has_its_timers", every_clock_has_its_timers),
    ("timers_are_limited", timers_are_limited),
    ("an_alarm_waits_for_its_signal", an_alarm_waits_for_its_signal),
    ("an_ignored_alarm_comes_once", an_ignored_alarm_comes_once),
    ("a_program_cannot_speak_for_a_timer", a_program_cannot_speak_for_a_timer),
]);

const RT: u32 = 40;

fn event(signal: u32) -> Sigevent {
    Sigevent { sigev_signo: signal as i32, sigev_value: 0x1234_5678_9abc, ..Sigevent::default() }
}

fn create(clock: i32, event: &Sigevent) -> Result<i32, Errno> {
    let mut id = -1;
    raw::call(nr::timer_create, &[clock as u64, (&raw const *event) as u64, (&raw mut id) as u64])?;
    Ok(black_box(id))
}

fn spec(ns: i64) -> Timespec {
    Timespec { tv_sec: ns / NANOSECONDS_PER_SECOND, tv_nsec: ns % NANOSECONDS_PER_SECOND }
}

fn set(id: i32, value_ns: i64, interval_ns: i64) -> Result<(), Errno> {
    let setting = Itimerspec { it_interval: spec(interval_ns), it_value: spec(value_ns) };
    raw::call(nr::timer_settime, &[id as u64, 0, (&raw const setting) as u64, 0]).map(drop)
}

/// Nanoseconds to the next expiry, and the period.
fn get(id: i32) -> Result<(i64, i64), Errno> {
    let mut setting = Itimerspec::default();
    raw::call(nr::timer_gettime, &[id as u64, (&raw mut setting) as u64])?;
    let setting = black_box(setting);
    let ns = |time: Timespec| time.tv_sec * NANOSECONDS_PER_SECOND + time.tv_nsec;
    Ok((ns(setting.it_value), ns(setting.it_interval)))
}

fn overrun(id: i32) -> Result<i64, Errno> {
    raw::call(nr::timer_getoverrun, &[id as u64]).map(|count| count as i64)
}

fn delete(id: i32) -> Result<(), Errno> {
    raw::call(nr::timer_delete, &[id as u64]).map(drop)
}

/// Takes a pending signal, waiting for so long.
fn take(signal: u32, milliseconds: i64) -> Result<SigInfo, Errno> {
    let (set, timeout) = (bit(signal), spec(milliseconds * 1_000_000));
    let mut info = SigInfo::default();
    let arguments = [(&raw const set) as u64, (&raw mut info) as u64, (&raw const timeout) as u64, 8];
    raw::call(nr::rt_sigtimedwait, &arguments)?;
    Ok(black_box(info))
}

/// What the information says that a timer sent: its number and its overrun.
fn of_timer(info: &SigInfo) -> (i32, i32) {
    (info.fields[0] as i32, (info.fields[0] >> 32) as i32)
}

/// Longer than any of these timers takes.
const LONG: i64 = 20_000;

fn a_waiting_signal_counts_what_it_misses() -> Outcome {
    for signal in [SIGUSR1, RT] {
        rt_sigprocmask(SIG_BLOCK, bit(signal))?;
        let id = create(CLOCK_MONOTONIC, &event(signal))?;
        set(id, 1_000_000, 1_000_000)?;
        sleep(50 * MS);
        let info = take(signal, LONG)?;
        check_eq!((info.si_code, info.si_value()), (SI_TIMER, 0x1234_5678_9abc));
        let (number, missed) = of_timer(&info);
        check_eq!((number, i64::from(missed)), (id, overrun(id)?));
        check!(missed >= 40, "{missed} missed");
        check_eq!(info.fields[2..], [0; 12]);
        set(id, 0, 0)?;
        check_eq!(overrun(id)?, 0);
        // The next one may have come in between, but not many of them.
        while take(signal, 0).is_ok() {}
        delete(id)?;
    }
    Ok(())
}

fn each_timer_has_a_signal_of_its_own() -> Outcome {
    rt_sigprocmask(SIG_BLOCK, bit(SIGUSR1))?;
    let ids: Vec<i32> = (0..8).map(|_| create(CLOCK_MONOTONIC, &event(SIGUSR1))).collect::<Result<_, _>>()?;
    for &id in &ids {
        // Eight such timers shall leave the processor to others.
        set(id, 1, 1)?;
    }
    sleep(20 * MS);
    for &id in &ids {
        let before = get(id)?;
        check!(before.0 >= 1 && before.1 == 1, "{before:?}");
        set(id, 0, 0)?;
    }
    let mut seen = Vec::new();
    while let Ok(info) = take(SIGUSR1, 0) {
        seen.push(of_timer(&info).0);
    }
    seen.sort_unstable();
    check_eq!(seen, ids);
    Ok(())
}

fn a_waiting_signal_is_kept_from_a_changed_timer() -> Outcome {
    rt_sigprocmask(SIG_BLOCK, bit(RT))?;
    let id = create(CLOCK_MONOTONIC, &event(RT))?;
    set(id, 1, 1_000_000)?;
    while get(id)?.0 > 1_000_000 {
        sleep(MS);
    }
    sleep(20 * MS);
    // The signal that waits is of before, and starts nothing.
    set(id, 3_600_000_000_000, 1)?;
    check_eq!(of_timer(&take(RT, LONG)?), (id, 0));
    check!(get(id)?.0 > 3_000_000_000_000);
    check_eq!(take(RT, 0), Err(Errno::EAGAIN));
    // One that has been set anew and expired counts once more.
    set(id, 1, 0)?;
    sleep(20 * MS);
    set(id, 1, 0)?;
    sleep(20 * MS);
    check_eq!(of_timer(&take(RT, LONG)?), (id, 1));
    check_eq!(take(RT, 0), Err(Errno::EAGAIN));
    // A signal survives its timer.
    set(id, 1, 1)?;
    sleep(20 * MS);
    delete(id)?;
    check_eq!(of_timer(&take(RT, LONG)?), (id, 0));
    check_eq!(take(RT, 0), Err(Errno::EAGAIN));
    check_eq!(get(id), Err(Errno::EINVAL));
    Ok(())
}

fn an_overrun_saturates() -> Outcome {
    rt_sigprocmask(SIG_BLOCK, bit(RT))?;
    let id = create(CLOCK_MONOTONIC, &event(RT))?;
    // Since a nanosecond after boot: more periods than a number holds.
    let setting = Itimerspec { it_interval: spec(1), it_value: spec(1) };
    let uptime = libsyscall::time::clock_gettime(CLOCK_MONOTONIC)?;
    raw::call(nr::timer_settime, &[id as u64, u64::from(TIMER_ABSTIME), (&raw const setting) as u64, 0])?;
    let info = take(RT, LONG)?;
    set(id, 0, 0)?;
    let periods = uptime.tv_sec * NANOSECONDS_PER_SECOND + uptime.tv_nsec;
    let missed = i64::from(of_timer(&info).1);
    check!(missed == i64::from(i32::MAX) || (missed >= periods - 2 && missed > 0), "{missed} of {periods}");
    Ok(())
}

fn an_ignored_timer_goes_on() -> Outcome {
    set_disposition(SIGUSR1, Disposition::Ignore)?;
    let id = create(CLOCK_MONOTONIC, &event(SIGUSR1))?;
    set(id, 1, 1_000_000)?;
    sleep(30 * MS);
    // What is blocked is not ignored.
    rt_sigprocmask(SIG_BLOCK, bit(SIGUSR1))?;
    let missed = of_timer(&take(SIGUSR1, LONG)?).1;
    check!(missed >= 20, "{missed} missed");
    delete(id)?;
    Ok(())
}

fn a_forgotten_signal_is_sent_again() -> Outcome {
    rt_sigprocmask(SIG_BLOCK, bit(SIGUSR1))?;
    let id = create(CLOCK_MONOTONIC, &event(SIGUSR1))?;
    set(id, 1, 0)?;
    sleep(20 * MS);
    set_disposition(SIGUSR1, Disposition::Ignore)?;
    set_disposition(SIGUSR1, Disposition::Default)?;
    check_eq!(take(SIGUSR1, 0), Err(Errno::EAGAIN));
    set(id, 1, 0)?;
    check_eq!(of_timer(&take(SIGUSR1, LONG)?), (id, 0));
    Ok(())
}

fn a_silent_timer_only_shows_its_time() -> Outcome {
    let silent = Sigevent { sigev_notify: SIGEV_NONE, sigev_signo: -5, ..Sigevent::default() };
    let id = create(CLOCK_MONOTONIC, &silent)?;
    check_eq!(get(id)?, (0, 0));
    set(id, 3_600_000_000_000, 0)?;
    let left = get(id)?.0;
    check!(left > 3_000_000_000_000, "{left}");
    set(id, 1, 0)?;
    sleep(MS);
    check_eq!(get(id)?, (0, 0));
    set(id, 1, 3_600_000_000_000)?;
    sleep(MS);
    let (left, period) = get(id)?;
    check!(left > 3_000_000_000_000 && period == 3_600_000_000_000, "{left} of {period}");
    check_eq!(overrun(id)?, 0);
    Ok(())
}

fn one_thread_hears_of_a_timer() -> Outcome {
    rt_sigprocmask(SIG_BLOCK, bit(RT))?;
    let own = Sigevent { sigev_notify: SIGEV_THREAD_ID, sigev_tid: gettid(), ..event(RT) };
    let id = create(CLOCK_MONOTONIC, &own)?;
    set(id, 1_000_000, 1_000_000)?;
    // It is for this thread alone, so no other sees it.
    let other = spawn(|| take(RT, 30))?;
    check_eq!(other.join(), Err(Errno::EAGAIN));
    check!(of_timer(&take(RT, LONG)?).1 >= 20);
    delete(id)?;
    // A signal that was on its way stays.
    while take(RT, 0).is_ok() {}
    // Of a thread that has ended nobody hears.
    let gone = spawn(|| {
        let of_thread = Sigevent { sigev_notify: SIGEV_THREAD_ID, sigev_tid: gettid(), ..event(RT) };
        create(CLOCK_MONOTONIC, &of_thread)
    })?
    .join()?;
    set(gone, 1, 1)?;
    check_eq!(take(RT, 20), Err(Errno::EAGAIN));
    delete(gone)?;
    Ok(())
}

fn a_timer_of_a_thread_of_the_library() -> Outcome {
    rt_sigprocmask(SIG_BLOCK, bit(RT))?;
    let event = Sigevent { sigev_notify: SIGEV_THREAD, ..event(RT) };
    let id = create(CLOCK_MONOTONIC, &event)?;
    set(id, 1, 0)?;
    let info = take(RT, LONG)?;
    check_eq!((info.si_code, of_timer(&info), info.si_value()), (SI_TIMER, (id, 0), 0x1234_5678_9abc));
    Ok(())
}

fn notification_is_checked() -> Outcome {
    let attempt = |notify: i32, signal: i32, thread: i32| {
        let event =
            Sigevent { sigev_notify: notify, sigev_signo: signal, sigev_tid: thread, ..Sigevent::default() };
        create(CLOCK_MONOTONIC, &event).map(drop)
    };
    for notify in [SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID] {
        for signal in [0, -1, 65, i32::MAX] {
            check_eq!(attempt(notify, signal, gettid()), Err(Errno::EINVAL));
        }
        check_eq!(attempt(notify, 64, gettid()), Ok(()));
    }
    for thread in [0, -1, 1, i32::MAX] {
        check_eq!(attempt(SIGEV_THREAD_ID, 10, thread), Err(Errno::EINVAL));
    }
    for notify in [3, 5, 6, 7, 8, -1, i32::MAX] {
        check_eq!(attempt(notify, 10, gettid()), Err(Errno::EINVAL));
    }
    check_eq!(raw::call(nr::timer_create, &[99, 8, 8]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::timer_create, &[1, 0, 8]), Err(Errno::EFAULT));
    // A number is told before the clock refuses, and is nobody's.
    let mut number = -1i32;
    check_eq!(raw::call(nr::timer_create, &[u64::MAX, 0, (&raw mut number) as u64]), Err(Errno::EINVAL));
    check!(core::hint::black_box(number) >= 0, "{number}");
    check_eq!(raw::call(nr::timer_delete, &[number as u64]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::timer_settime, &[77, 0, 0, 0]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::timer_settime, &[77, 0, 8, 0]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::timer_gettime, &[77, 8]), Err(Errno::EINVAL));
    for id in [-1, 77, i32::MAX] {
        check_eq!(
            (overrun(id), delete(id), set(id, 1, 1)),
            (Err(Errno::EINVAL), Err(Errno::EINVAL), Err(Errno::EINVAL))
        );
    }
    let id = create(CLOCK_MONOTONIC, &event(RT))?;
    check_eq!(set(id, -1, 0), Err(Errno::EINVAL));
    check_eq!(set(id, 0, -1), Err(Errno::EINVAL));
    Ok(())
}

fn every_clock_has_its_timers() -> Outcome {
    for clock in [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID] {
        check!(create(clock, &event(RT)).is_ok(), "{clock}");
    }
    check!(create(CLOCK_THREAD_CPUTIME_ID, &event(RT)).is_ok());
    for clock in [CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE] {
        check_eq!(create(clock, &event(RT)), Err(Errno::EOPNOTSUPP));
        let second = spec(1);
        let arguments = [clock as u64, 0, (&raw const second) as u64, 0];
        check_eq!(raw::call(nr::clock_nanosleep, &arguments), Err(Errno::EOPNOTSUPP));
        check_eq!(raw::call(nr::clock_nanosleep, &[clock as u64, 0, 8, 0]), Err(Errno::EOPNOTSUPP));
    }
    for clock in [10, 12, 15, 16, 99] {
        check_eq!(create(clock, &event(RT)), Err(Errno::EINVAL));
    }
    Ok(())
}

fn timers_are_limited() -> Outcome {
    // Signals of the same user count, too; here there are none.
    let limit = |number: u64| {
        let limit = Rlimit { rlim_cur: number, rlim_max: number };
        raw::call(nr::prlimit64, &[0, u64::from(RLIMIT_SIGPENDING), (&raw const limit) as u64, 0])
    };
    let ok = child::succeeds(|| {
        limit(1500)?;
        let mut ids = Vec::new();
        let error = loop {
            match create(CLOCK_MONOTONIC, &event(RT)) {
                Ok(id) => ids.push(id),
                Err(error) => break error,
            }
        };
        check_eq!((ids.len(), error), (1500, Errno::EAGAIN));
        check!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        delete(ids[7])?;
        check!(create(CLOCK_MONOTONIC, &event(RT))? > ids[1499]);
        limit(0)?;
        check_eq!(create(CLOCK_MONOTONIC, &event(RT)), Err(Errno::EAGAIN));
        Ok(())
    })?;
    check!(ok);
    Ok(())
}

/// `setitimer`, in microseconds.
fn set_alarm(value: i64, interval: i64) -> Result<(), Errno> {
    let time = |us: i64| Timeval { tv_sec: us / 1_000_000, tv_usec: us % 1_000_000 };
    let setting = Itimerval { it_interval: time(interval), it_value: time(value) };
    raw::call(nr::setitimer, &[u64::from(ITIMER_REAL), (&raw const setting) as u64, 0]).map(drop)
}

/// `getitimer`, in microseconds.
fn alarm() -> Result<(i64, i64), Errno> {
    let mut setting = Itimerval::default();
    raw::call(nr::getitimer, &[u64::from(ITIMER_REAL), (&raw mut setting) as u64])?;
    let setting = black_box(setting);
    let us = |time: Timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    Ok((us(setting.it_value), us(setting.it_interval)))
}

/// The alarm when it is not about to come any more. One that is due shows a microsecond until the CPU that has it finds
/// the time.
fn settled_alarm() -> Result<(i64, i64), Errno> {
    loop {
        sleep(20 * MS);
        let (left, period) = alarm()?;
        if left != 1 {
            return Ok((left, period));
        }
    }
}

fn an_alarm_waits_for_its_signal() -> Outcome {
    rt_sigprocmask(SIG_BLOCK, bit(SIGALRM))?;
    set_alarm(1, 1)?;
    // It is not armed while its signal waits.
    check_eq!(settled_alarm()?, (0, 1));
    set_alarm(1, 3_600_000_000)?;
    check_eq!(settled_alarm()?, (0, 3_600_000_000));
    check_eq!(take(SIGALRM, LONG)?.si_code, SI_KERNEL);
    let (left, period) = alarm()?;
    check!(left > 3_000_000_000 && period == 3_600_000_000, "{left} of {period}");
    check_eq!(take(SIGALRM, 0), Err(Errno::EAGAIN));
    set_alarm(0, 0)?;
    Ok(())
}

fn an_ignored_alarm_comes_once() -> Outcome {
    set_disposition(SIGALRM, Disposition::Ignore)?;
    set_alarm(1, 1000)?;
    check_eq!(settled_alarm()?, (0, 1000));
    record_signal(SIGALRM, 0)?;
    sleep(20 * MS);
    check_eq!(count(), 0);
    // Any such signal starts it again.
    libsyscall::process::kill(getpid(), SIGALRM)?;
    while count() < 3 {
        sleep(MS);
    }
    set_alarm(0, 0)?;
    Ok(())
}

fn a_program_cannot_speak_for_a_timer() -> Outcome {
    rt_sigprocmask(SIG_BLOCK, bit(RT))?;
    let id = create(CLOCK_MONOTONIC, &event(RT))?;
    set(id, 1, 3_600_000_000_000)?;
    sleep(20 * MS);
    for private in 0..4 {
        let mut info = SigInfo::new(RT, SI_TIMER);
        info.fields[0] = u64::from(id.cast_unsigned());
        info.fields[2] = private;
        let arguments = [getpid() as u64, u64::from(RT), (&raw const info) as u64];
        raw::call(nr::rt_sigqueueinfo, &arguments)?;
    }
    check_eq!(of_timer(&take(RT, LONG)?), (id, 0));
    set(id, 0, 0)?;
    for _ in 0..4 {
        check_eq!(of_timer(&take(RT, LONG)?), (id, 0));
        check_eq!(get(id)?, (0, 0));
    }
    Ok(())
}
