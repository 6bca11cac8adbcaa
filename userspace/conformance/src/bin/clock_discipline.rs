//! Makes the clock run right, as a time daemon does: rates, offsets, steps, leap seconds, and who may.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::signal::{SIGEV_NONE, Sigevent};
use abi::time::*;
use conformance::{Outcome, check, check_eq, child, raw};
use core::time::Duration;
use libsyscall::time::clock_gettime;
use ulib::thread::spawn;
use ulib::time::sleep;

conformance::tests!(&[
    ("the_state_is_told", the_state_is_told),
    ("a_longer_tick_makes_the_clock_fast", a_longer_tick_makes_the_clock_fast),
    ("a_frequency_is_kept_and_bounded", a_frequency_is_kept_and_bounded),
    ("the_clock_is_stepped", the_clock_is_stepped),
    ("no_step_is_lost", no_step_is_lost),
    ("adjtime_approaches", adjtime_approaches),
    ("an_offset_needs_the_loop", an_offset_needs_the_loop),
    ("nanoseconds_or_microseconds", nanoseconds_or_microseconds),
    ("atomic_time_is_ahead", atomic_time_is_ahead),
    ("timers_go_by_atomic_time", timers_go_by_atomic_time),
    ("the_raw_clock_cannot_be_waited_for", the_raw_clock_cannot_be_waited_for),
    ("wishes_that_are_refused", wishes_that_are_refused),
    ("a_user_may_only_look", a_user_may_only_look),
    ("a_leap_second_is_inserted", a_leap_second_is_inserted),
]);

const SECOND_NS: i64 = NANOSECONDS_PER_SECOND;

/// `adjtimex`: the state, `TIME_*`, and what was told.
fn adjust(wish: Timex) -> Result<(i32, Timex), Errno> {
    let mut told = wish;
    let state = raw::call(nr::adjtimex, &[(&raw mut told) as u64])?;
    Ok((state as i32, told))
}

fn wish(modes: u32) -> Timex {
    Timex { modes, ..Timex::default() }
}

fn ns(clock: i32) -> Result<i64, Errno> {
    let time = clock_gettime(clock)?;
    Ok(time.tv_sec * SECOND_NS + time.tv_nsec)
}

fn the_state_is_told() -> Outcome {
    let (state, told) = adjust(wish(0))?;
    check_eq!(told.status & STA_UNSYNC != 0, state == TIME_ERROR);
    check_eq!((told.tick, told.precision, told.tolerance), (10_000, 1, 32_768_000));
    check_eq!((told.ppsfreq, told.jitter, told.stabil, told.calcnt), (0, 0, 0, 0));
    let now = clock_gettime(CLOCK_REALTIME)?;
    check!((0..60).contains(&(now.tv_sec - told.time.tv_sec)), "{:?} is not {now:?}", told.time);
    let mut other = wish(0);
    let arguments = [CLOCK_REALTIME as u64, (&raw mut other) as u64];
    check_eq!(raw::call(nr::clock_adjtime, &arguments)?, i64::from(state) as _);
    check_eq!((other.tick, other.status), (told.tick, told.status));
    Ok(())
}

/// Time on two clocks at the same moment, as nearly as a few looks find it.
fn both(one: i32, other: i32) -> Result<(i64, i64), Errno> {
    let mut best = (i64::MAX, (0, 0));
    for _ in 0..50 {
        let (before, between, after) = (ns(one)?, ns(other)?, ns(one)?);
        best = best.min((after - before, (before, between)));
    }
    Ok(best.1)
}

/// By how many parts per million the monotonic clock is faster than the raw one.
fn speed() -> Result<i64, Errno> {
    let (raw_start, start) = both(CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC)?;
    sleep(Duration::from_millis(100));
    let (raw_end, end) = both(CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC)?;
    let (raw_span, span) = (raw_end - raw_start, end - start);
    Ok((span - raw_span) * 1_000_000 / raw_span)
}

fn a_longer_tick_makes_the_clock_fast() -> Outcome {
    for (tick, parts) in [(11_000, 100_000), (9_000, -100_000), (10_000, 0)] {
        let (_, told) = adjust(Timex { tick, ..wish(ADJ_TICK) })?;
        check_eq!(told.tick, tick);
        // Linux moves to the new rate with its next tick.
        sleep(Duration::from_millis(20));
        let found = speed()?;
        check!((found - parts).abs() < 20_000, "{found} and not {parts} parts in a million");
    }
    Ok(())
}

fn a_frequency_is_kept_and_bounded() -> Outcome {
    let before = adjust(wish(0))?.1.freq;
    for (freq, kept) in
        [(12 << 16, 12 << 16), (-(3 << 15), -(3 << 15)), (900 << 16, 500 << 16), (-(501 << 16), -(500 << 16))]
    {
        check_eq!(adjust(Timex { freq, ..wish(ADJ_FREQUENCY) })?.1.freq, kept);
    }
    check_eq!(adjust(Timex { freq: before, ..wish(ADJ_FREQUENCY) })?.1.freq, before);
    Ok(())
}

fn step(seconds: i64, parts: i64, modes: u32) -> Result<(i32, Timex), Errno> {
    adjust(Timex { time: Timeval { tv_sec: seconds, tv_usec: parts }, ..wish(ADJ_SETOFFSET | modes) })
}

fn the_clock_is_stepped() -> Outcome {
    for modes in [0, ADJ_NANO] {
        let (start, wall_start) = both(CLOCK_MONOTONIC, CLOCK_REALTIME)?;
        step(5, 250_000, modes)?;
        let (end, wall_end) = both(CLOCK_MONOTONIC, CLOCK_REALTIME)?;
        let moved = (wall_end - end) - (wall_start - start);
        let wanted = 5 * SECOND_NS + if modes == 0 { 250_000_000 } else { 250_000 };
        check!((moved - wanted).abs() < 50_000_000, "moved by {moved} and not {wanted}");
        // Back: minus six seconds and three quarters.
        step(-6, 750_000, modes)?;
    }
    adjust(wish(ADJ_MICRO))?;
    // To before the machine was started at 1970.
    check_eq!(step(-60 * 365 * 24 * 3600, 0, 0), Err(Errno::EINVAL));
    Ok(())
}

/// Two threads step the clock to and fro at once.
fn no_step_is_lost() -> Outcome {
    const STEPS: i64 = 2_000;
    let (start, wall_start) = both(CLOCK_MONOTONIC, CLOCK_REALTIME)?;
    let forth = spawn(|| (0..STEPS).try_for_each(|_| step(1, 0, 0).map(drop)))?;
    (0..STEPS).try_for_each(|_| step(-1, 0, 0).map(drop))?;
    forth.join()?;
    let (end, wall_end) = both(CLOCK_MONOTONIC, CLOCK_REALTIME)?;
    check_eq!(((wall_end - wall_start) - (end - start) + SECOND_NS / 2).div_euclid(SECOND_NS), 0);
    Ok(())
}

fn adjtime_approaches() -> Outcome {
    let slowly = wish(ADJ_ADJTIME | ADJ_OFFSET);
    let look = wish(ADJ_ADJTIME | ADJ_OFFSET | ADJ_OFFSET_READONLY);
    check_eq!(adjust(Timex { offset: 40_000, ..slowly })?.1.offset, 0);
    let left = adjust(look)?.1.offset;
    check!((39_000..=40_000).contains(&left), "{left} left");
    let (start, wall_start) = both(CLOCK_MONOTONIC_RAW, CLOCK_REALTIME)?;
    sleep(Duration::from_millis(2_100));
    let left = adjust(look)?.1.offset;
    let (end, wall_end) = both(CLOCK_MONOTONIC_RAW, CLOCK_REALTIME)?;
    let moved_us = ((wall_end - wall_start) - (end - start)) / 1_000;
    check!((100..20_000).contains(&moved_us), "moved by {moved_us} us");
    check!(left < 40_000, "{left} left");
    // The old rest is told when another takes its place.
    let told = adjust(slowly)?.1.offset;
    check!((left - 1_000..=left).contains(&told), "{told} and not {left}");
    check_eq!(adjust(look)?.1.offset, 0);
    Ok(())
}

fn an_offset_needs_the_loop() -> Outcome {
    let before = adjust(Timex { status: STA_UNSYNC, ..wish(ADJ_STATUS | ADJ_MICRO) })?.1;
    check_eq!(adjust(Timex { offset: 1_000, ..wish(ADJ_OFFSET) })?.1.offset, 0);
    let (state, told) = adjust(Timex { status: STA_PLL, ..wish(ADJ_STATUS) })?;
    check_eq!((state, told.status & STA_PLL), (TIME_OK, STA_PLL));
    // Largest first: beyond half of a second it is cut.
    for (offset, taken) in [(2_000_000, 500_000), (-700_000, -500_000), (3_000, 3_000)] {
        check_eq!(adjust(Timex { offset, ..wish(ADJ_OFFSET) })?.1.offset, taken);
    }
    check_eq!(adjust(Timex { constant: 3, ..wish(ADJ_TIMECONST) })?.1.constant, 7);
    check_eq!(adjust(Timex { constant: 99, ..wish(ADJ_TIMECONST) })?.1.constant, 10);
    check_eq!(adjust(Timex { constant: 2, ..wish(ADJ_TIMECONST | ADJ_NANO) })?.1.constant, 2);
    adjust(Timex { offset: 0, freq: before.freq, ..wish(ADJ_OFFSET | ADJ_FREQUENCY | ADJ_MICRO) })?;
    // The bits that tell are not set by a wish; the end of the loop is the end of what was known.
    let (state, told) = adjust(Timex { status: STA_CLOCKERR | STA_UNSYNC, ..wish(ADJ_STATUS) })?;
    check_eq!((state, told.status), (TIME_ERROR, STA_UNSYNC));
    Ok(())
}

fn nanoseconds_or_microseconds() -> Outcome {
    let told = adjust(wish(ADJ_NANO))?.1;
    check!(told.status & STA_NANO != 0, "status {:#x}", told.status);
    // One look in a thousand ends in three zeros anyway.
    let mut is_fine = false;
    for _ in 0..100 {
        is_fine |= adjust(wish(0))?.1.time.tv_usec >= MICROSECONDS_PER_SECOND;
        sleep(Duration::from_millis(1));
    }
    check!(is_fine, "no time in nanoseconds");
    let told = adjust(wish(ADJ_MICRO))?.1;
    check_eq!(told.status & STA_NANO, 0);
    check!(told.time.tv_usec < MICROSECONDS_PER_SECOND, "{:?}", told.time);
    Ok(())
}

fn atomic_time_is_ahead() -> Outcome {
    check_eq!(adjust(Timex { constant: 37, ..wish(ADJ_TAI) })?.1.tai, 37);
    let (wall, atomic) = both(CLOCK_REALTIME, CLOCK_TAI)?;
    check_eq!((atomic - wall + SECOND_NS / 2) / SECOND_NS, 37);
    // In time that is over on this clock, though not on the wall clock.
    let due = Timespec { tv_sec: wall / SECOND_NS + 20, tv_nsec: 0 };
    let arguments = [CLOCK_TAI as u64, u64::from(TIMER_ABSTIME), (&raw const due) as u64, 0];
    check_eq!(raw::call(nr::clock_nanosleep, &arguments), Ok(0));
    check_eq!(adjust(Timex { constant: -1, ..wish(ADJ_TAI) })?.1.tai, 37);
    check_eq!(adjust(Timex { constant: 0, ..wish(ADJ_TAI) })?.1.tai, 0);
    Ok(())
}

fn timers_go_by_atomic_time() -> Outcome {
    adjust(Timex { constant: 37, ..wish(ADJ_TAI) })?;
    let event = Sigevent { sigev_notify: SIGEV_NONE, ..Sigevent::default() };
    let mut id = 0_i32;
    let arguments = [CLOCK_TAI as u64, (&raw const event) as u64, (&raw mut id) as u64];
    raw::call(nr::timer_create, &arguments)?;
    let wall = clock_gettime(CLOCK_REALTIME)?;
    // On the wall clock the first is to come, and the second later than it is here.
    for (seconds, left) in [(20, 0), (100, 63)] {
        let due = Timespec { tv_sec: wall.tv_sec + seconds, tv_nsec: wall.tv_nsec };
        let setting = Itimerspec { it_value: due, ..Itimerspec::default() };
        let arguments = [id as u64, u64::from(TIMER_ABSTIME), (&raw const setting) as u64, 0];
        raw::call(nr::timer_settime, &arguments)?;
        let mut told = Itimerspec::default();
        raw::call(nr::timer_gettime, &[id as u64, (&raw mut told) as u64])?;
        let told = told.it_value.tv_sec;
        check!((left - 10..=left).contains(&told), "{told} s and not {left} are left");
    }
    raw::call(nr::timer_delete, &[id as u64])?;
    adjust(Timex { constant: 0, ..wish(ADJ_TAI) })?;
    Ok(())
}

fn the_raw_clock_cannot_be_waited_for() -> Outcome {
    let time = Timespec { tv_sec: 0, tv_nsec: 1 };
    let arguments = [CLOCK_MONOTONIC_RAW as u64, 0, (&raw const time) as u64, 0];
    check_eq!(raw::call(nr::clock_nanosleep, &arguments), Err(Errno::EOPNOTSUPP));
    Ok(())
}

fn wishes_that_are_refused() -> Outcome {
    for tick in [8_999, 11_001, -1, i64::MAX] {
        check_eq!(adjust(Timex { tick, ..wish(ADJ_TICK) }), Err(Errno::EINVAL));
    }
    check_eq!(adjust(wish(ADJ_ADJTIME)), Err(Errno::EINVAL));
    check_eq!(step(0, -1, 0), Err(Errno::EINVAL));
    check_eq!(step(0, 1_000_000, 0), Err(Errno::EINVAL));
    check_eq!(step(0, NANOSECONDS_PER_SECOND, ADJ_NANO), Err(Errno::EINVAL));
    check_eq!(adjust(Timex { freq: i64::MIN, ..wish(ADJ_FREQUENCY) }), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::adjtimex, &[8]), Err(Errno::EFAULT));
    let mut told = wish(0);
    let mut on_clock = |clock: i32| raw::call(nr::clock_adjtime, &[clock as u64, (&raw mut told) as u64]);
    check_eq!(on_clock(CLOCK_MONOTONIC), Err(Errno::EOPNOTSUPP));
    check_eq!(on_clock(CLOCK_PROCESS_CPUTIME_ID), Err(Errno::EOPNOTSUPP));
    check_eq!(on_clock(10), Err(Errno::EINVAL));
    check_eq!(on_clock(99), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::clock_adjtime, &[CLOCK_REALTIME as u64, 8]), Err(Errno::EFAULT));
    Ok(())
}

fn a_user_may_only_look() -> Outcome {
    let status = child::run(|| {
        if raw::call(nr::setresuid, &[1000, 1000, 1000]) != Ok(0) {
            return 1;
        }
        let is_refused = |wish: Timex| adjust(wish).err() == Some(Errno::EPERM);
        let may_look =
            adjust(wish(0)).is_ok() && adjust(wish(ADJ_ADJTIME | ADJ_OFFSET | ADJ_OFFSET_READONLY)).is_ok();
        let refused = [
            wish(ADJ_STATUS),
            wish(ADJ_TICK),
            wish(ADJ_ADJTIME | ADJ_OFFSET),
            wish(ADJ_SETOFFSET),
            wish(ADJ_NANO),
        ];
        i32::from(!(may_look && refused.into_iter().all(is_refused)))
    })?;
    check_eq!(status, ulib::process::WaitStatus::exited(0));
    Ok(())
}

/// At the end of a day its last second comes twice.
fn a_leap_second_is_inserted() -> Outcome {
    const DAY_S: i64 = 24 * 3600;
    let (start, wall_start) = both(CLOCK_MONOTONIC, CLOCK_REALTIME)?;
    let midnight = (wall_start / SECOND_NS / DAY_S + 1) * DAY_S;
    let before = Timespec { tv_sec: midnight - 2, tv_nsec: 900_000_000 };
    raw::call(nr::clock_settime, &[CLOCK_REALTIME as u64, (&raw const before) as u64])?;
    // An error beyond 16 seconds counts as a clock that nobody synchronises.
    let synchronised = Timex { status: STA_PLL, constant: 37, maxerror: 1_000, ..Timex::default() };
    let modes = ADJ_STATUS | ADJ_TAI | ADJ_MAXERROR;
    let (state, told) = adjust(Timex { modes, ..synchronised })?;
    check_eq!((state, told.tai), (TIME_OK, 37));
    adjust(Timex { status: STA_PLL | STA_INS, ..wish(ADJ_STATUS) })?;
    // Linux sees the wish with its next second.
    let mut seen = [false; 3];
    let mut last = (0, 0);
    for _ in 0..40 {
        let (state, told) = adjust(wish(0))?;
        seen[0] |= state == TIME_INS && told.time.tv_sec == midnight - 1;
        seen[1] |= state == TIME_OOP && told.time.tv_sec == midnight - 1 && told.tai == 38;
        seen[2] |= state == TIME_WAIT && told.time.tv_sec == midnight && told.tai == 38;
        last = (state, told.time.tv_sec - midnight);
        if seen[2] {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    check!(seen == [true; 3], "seen {seen:?}, at last {last:?}");
    check_eq!(adjust(Timex { status: STA_PLL, constant: 0, ..wish(ADJ_STATUS | ADJ_TAI) })?.1.tai, 0);
    adjust(Timex { status: STA_UNSYNC, ..wish(ADJ_STATUS) })?;
    // Back to where the clock stood, and a little on.
    let now = wall_start + (ns(CLOCK_MONOTONIC)? - start);
    let now = Timespec { tv_sec: now / SECOND_NS, tv_nsec: now % SECOND_NS };
    raw::call(nr::clock_settime, &[CLOCK_REALTIME as u64, (&raw const now) as u64])?;
    Ok(())
}
