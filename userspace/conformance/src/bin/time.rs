//! Clocks, sleeping and timers.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::signal::*;
use abi::time::NANOSECONDS_PER_SECOND;
use abi::time::*;
use conformance::handler::{count, record_signal};
use conformance::{Failure, Outcome, check, check_eq, child, raw};
use core::time::Duration;
use libsyscall::process::{getpid, kill};
use libsyscall::time::*;
use ulib::time::{monotonic, to_duration};

conformance::tests!(&[
    ("clocks_go_forward", clocks_go_forward),
    ("clocks_refuse", clocks_refuse),
    ("clocks_have_a_resolution", clocks_have_a_resolution),
    ("cpu_clocks_count_work", cpu_clocks_count_work),
    ("sleeping_takes_its_time", sleeping_takes_its_time),
    ("sleeping_refuses", sleeping_refuses),
    ("sleeping_is_interrupted", sleeping_is_interrupted),
    ("a_sleep_that_was_told_of_is_over", a_sleep_that_was_told_of_is_over),
    ("sleeping_until", sleeping_until),
    ("sleepers_wake_in_order", sleepers_wake_in_order),
    ("a_timer_sends_a_signal", a_timer_sends_a_signal),
    ("a_timer_repeats", a_timer_repeats),
    ("a_timer_can_be_read_and_stopped", a_timer_can_be_read_and_stopped),
    ("busy_processes_share_the_processor", busy_processes_share_the_processor),
]);

fn clocks_go_forward() -> Outcome {
    for clock in
        [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE]
    {
        let mut last = Duration::ZERO;
        for _ in 0..1000 {
            let now = to_duration(clock_gettime(clock)?);
            check!(now >= last, "clock {clock}: {now:?} after {last:?}");
            last = now;
        }
    }
    // After 2020, if there is a clock in the machine at all.
    check!(to_duration(clock_gettime(CLOCK_REALTIME)?).as_secs() > 1_577_836_800);
    let mut value = Timeval::default();
    raw::call(nr::gettimeofday, &[(&raw mut value) as u64, 0])?;
    let value = core::hint::black_box(value);
    let difference = value.tv_sec - clock_gettime(CLOCK_REALTIME)?.tv_sec;
    check!((-2..=0).contains(&difference));
    Ok(())
}

fn clocks_refuse() -> Outcome {
    check_eq!(clock_gettime(99), Err(Errno::EINVAL));
    check_eq!(clock_gettime(i32::MAX), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::clock_gettime, &[CLOCK_MONOTONIC as u64, 8]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::clock_settime, &[CLOCK_MONOTONIC as u64, 8]), Err(Errno::EINVAL));
    Ok(())
}

fn clocks_have_a_resolution() -> Outcome {
    let mut resolution = Timespec::default();
    raw::call(nr::clock_getres, &[CLOCK_MONOTONIC as u64, (&raw mut resolution) as u64])?;
    check_eq!(core::hint::black_box(resolution), Timespec { tv_sec: 0, tv_nsec: 1 });
    check_eq!(raw::call(nr::clock_getres, &[CLOCK_MONOTONIC as u64, 0]), Ok(0));
    Ok(())
}

fn work(duration: Duration) {
    let start = monotonic();
    while monotonic() - start < duration {
        core::hint::spin_loop();
    }
}

fn cpu_clocks_count_work() -> Outcome {
    let spent = |clock| clock_gettime(clock).map(to_duration);
    let (process, thread) = (spent(CLOCK_PROCESS_CPUTIME_ID)?, spent(CLOCK_THREAD_CPUTIME_ID)?);
    ulib::time::sleep(Duration::from_millis(400));
    check!(spent(CLOCK_THREAD_CPUTIME_ID)? - thread < Duration::from_millis(300));
    work(Duration::from_millis(50));
    check!(spent(CLOCK_PROCESS_CPUTIME_ID)? > process);
    check!(spent(CLOCK_THREAD_CPUTIME_ID)? > thread);
    Ok(())
}

fn sleeping_takes_its_time() -> Outcome {
    for milliseconds in [0, 1, 15] {
        let start = monotonic();
        nanosleep(Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 }).map_err(|(error, _)| error)?;
        check!(monotonic() - start >= Duration::from_millis(milliseconds as u64));
    }
    Ok(())
}

fn sleeping_refuses() -> Outcome {
    for (tv_sec, tv_nsec) in [(0, -1), (0, NANOSECONDS_PER_SECOND), (-1, 0), (i64::MIN, 0)] {
        let result = nanosleep(Timespec { tv_sec, tv_nsec });
        check_eq!(result.map_err(|(error, _)| error), Err(Errno::EINVAL));
    }
    check_eq!(raw::call(nr::nanosleep, &[8, 0]), Err(Errno::EFAULT));
    Ok(())
}

/// Sends `signal` to this process after `delay`.
fn sender(signal: u32, delay: Duration) -> Result<i32, Failure> {
    let target = getpid();
    child::start(|| {
        ulib::time::sleep(delay);
        let _ = kill(target, signal);
        0
    })
}

fn sleeping_is_interrupted() -> Outcome {
    record_signal(SIGUSR1, SA_RESTART)?;
    let pid = sender(SIGUSR1, Duration::from_millis(10))?;
    // The longest sleep there is: must not overflow, and tells what was left.
    let result = nanosleep(Timespec { tv_sec: i64::MAX, tv_nsec: 999_999_999 });
    check!(result.is_err_and(|(error, left)| error == Errno::EINTR && left.tv_sec > 1_000_000));
    check_eq!(count(), 1);
    child::wait(pid)?;
    Ok(())
}

fn sleeping_until() -> Outcome {
    let start = monotonic();
    let end = ulib::time::from_duration(start + Duration::from_millis(10));
    let sleep = |flags: u32, time: &Timespec| {
        raw::call(
            nr::clock_nanosleep,
            &[CLOCK_MONOTONIC as u64, flags.into(), core::ptr::from_ref(time) as u64, 0],
        )
    };
    check_eq!(sleep(TIMER_ABSTIME, &end), Ok(0));
    check!(monotonic() - start >= Duration::from_millis(10));
    check_eq!(sleep(TIMER_ABSTIME, &Timespec { tv_sec: 0, tv_nsec: 1 }), Ok(0));
    Ok(())
}

fn sleepers_wake_in_order() -> Outcome {
    // A host that stops the machine between two sleepers' steps may change the order, but not each time.
    const ROUNDS: usize = 5;
    let mut order = [9; 5];
    for _ in 0..ROUNDS {
        order = order_of_waking()?;
        if order == [0, 1, 2, 3, 4] {
            return Ok(());
        }
    }
    Err(Failure::new(alloc::format!("order is {order:?}")))
}

fn order_of_waking() -> Result<[u8; 5], Failure> {
    let (reader, writer) = libsyscall::file::pipe2(0)?;
    let start = monotonic() + Duration::from_millis(30);
    for number in [3u8, 1, 4, 2, 0] {
        child::start(|| {
            let end = start + Duration::from_millis(40) * u32::from(number);
            ulib::time::sleep(end.saturating_sub(monotonic()));
            let _ = libsyscall::file::write(writer, &[number]);
            0
        })?;
    }
    let mut order = [9; 5];
    for place in &mut order {
        libsyscall::file::read(reader, core::slice::from_mut(place))?;
    }
    libsyscall::file::close(reader)?;
    libsyscall::file::close(writer)?;
    Ok(order)
}

const REAL: u64 = 0;

fn set_timer(which: u64, value_ms: i64, interval_ms: i64) -> Result<Itimerval, Errno> {
    let time =
        |milliseconds: i64| Timeval { tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000 };
    let new = Itimerval { it_interval: time(interval_ms), it_value: time(value_ms) };
    let mut old = Itimerval::default();
    raw::call(nr::setitimer, &[which, (&raw const new) as u64, (&raw mut old) as u64])?;
    Ok(core::hint::black_box(old))
}

/// Once a handler has run, nothing is left to be continued.
fn a_sleep_that_was_told_of_is_over() -> Outcome {
    record_signal(SIGALRM, 0)?;
    set_timer(REAL, 10, 0)?;
    let long = Timespec { tv_sec: 1000, tv_nsec: 0 };
    check_eq!(raw::call(nr::nanosleep, &[(&raw const long) as u64, 0]), Err(Errno::EINTR));
    check_eq!(raw::call(nr::restart_syscall, &[]), Err(Errno::EINTR));
    Ok(())
}

fn a_timer_sends_a_signal() -> Outcome {
    record_signal(SIGALRM, 0)?;
    let start = monotonic();
    set_timer(REAL, 10, 0)?;
    let mut nothing: [abi::poll::Pollfd; 0] = [];
    check_eq!(libsyscall::file::ppoll(&mut nothing, None), Err(Errno::EINTR));
    check!(monotonic() - start >= Duration::from_millis(9));
    check_eq!(count(), 1);
    ulib::time::sleep(Duration::from_millis(25));
    check_eq!(count(), 1);
    let status = child::run(|| {
        // A child has no timer of its parent's, and dies of its own.
        let inherited = set_timer(REAL, 5, 0) != Ok(Itimerval::default());
        let _ = libsyscall::signal::set_disposition(SIGALRM, libsyscall::signal::Disposition::Default);
        ulib::time::sleep(Duration::from_secs(10));
        i32::from(inherited)
    })?;
    check_eq!(status.term_signal(), Some(SIGALRM));
    Ok(())
}

fn a_timer_repeats() -> Outcome {
    record_signal(SIGALRM, 0)?;
    set_timer(REAL, 5, 5)?;
    while count() < 5 {
        core::hint::spin_loop();
    }
    set_timer(REAL, 0, 0)?;
    let stopped = count();
    ulib::time::sleep(Duration::from_millis(20));
    check_eq!(count(), stopped);
    Ok(())
}

fn a_timer_can_be_read_and_stopped() -> Outcome {
    set_timer(REAL, 100_000, 3_000)?;
    let mut value = Itimerval::default();
    raw::call(nr::getitimer, &[REAL, (&raw mut value) as u64])?;
    let value = core::hint::black_box(value);
    check!((90..=100).contains(&value.it_value.tv_sec) && value.it_interval.tv_sec == 3);
    let old = set_timer(REAL, 0, 0)?;
    check!((90..=100).contains(&old.it_value.tv_sec));
    check_eq!(raw::call(nr::setitimer, &[9, 0, 0]), Err(Errno::EINVAL));
    Ok(())
}

fn busy_processes_share_the_processor() -> Outcome {
    let mut pids = alloc::vec::Vec::new();
    for _ in 0..3 {
        pids.push(child::start(|| {
            loop {
                core::hint::spin_loop();
            }
        })?);
    }
    // This process gets its turns.
    for _ in 0..5 {
        ulib::time::sleep(Duration::from_millis(2));
        work(Duration::from_millis(1));
    }
    for pid in pids {
        kill(pid, SIGKILL)?;
        check_eq!(child::wait(pid)?.term_signal(), Some(SIGKILL));
    }
    Ok(())
}
