//! The counters that the clocks can run by, and the change from one to another.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::O_WRONLY;
use abi::native::nr;
use abi::time::*;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, files, raw};
use core::ffi::CStr;
use core::time::Duration;
use libsyscall::file::{close, open, write};
use libsyscall::time::clock_gettime;

conformance::tests!(&[
    ("one_of_those_that_there_are_is_in_use", one_of_those_that_there_are_is_in_use),
    ("time_goes_on_by_each_of_them", time_goes_on_by_each_of_them),
    ("names_that_no_counter_has", names_that_no_counter_has),
    ("a_user_may_only_look", a_user_may_only_look),
]);

const AVAILABLE: &CStr = c"/sys/devices/system/clocksource/clocksource0/available_clocksource";
const CURRENT: &CStr = c"/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// The names, each of which a space follows.
fn available() -> Result<Vec<Vec<u8>>, Failure> {
    files::mount_sys()?;
    let text = files::content(AVAILABLE)?;
    let names = text.strip_suffix(b" \n").ok_or(Failure::new("the list does not end with a space"))?;
    Ok(names.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect())
}

fn current() -> Result<Vec<u8>, Failure> {
    let text = files::content(CURRENT)?;
    Ok(text.strip_suffix(b"\n").ok_or(Failure::new("the name has no end"))?.to_vec())
}

fn choose(text: &[u8]) -> Result<usize, Errno> {
    let file = open(CURRENT, O_WRONLY, 0)?;
    let written = write(file, text);
    close(file)?;
    written
}

fn monotonic() -> Result<Duration, Errno> {
    let time = clock_gettime(CLOCK_MONOTONIC)?;
    Ok(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32))
}

fn one_of_those_that_there_are_is_in_use() -> Outcome {
    let names = available()?;
    check!(names.iter().all(|name| !name.is_empty()));
    check!(names.contains(&current()?));
    Ok(())
}

fn time_goes_on_by_each_of_them() -> Outcome {
    let before = current()?;
    let wall = clock_gettime(CLOCK_REALTIME)?;
    let mut last = monotonic()?;
    let start = last;
    let names = available()?;
    for name in names.iter().chain(&names).chain([&before]) {
        check_eq!(choose(name), Ok(name.len()));
        check_eq!(&current()?, name);
        for _ in 0..1000 {
            let now = monotonic()?;
            check!(now >= last);
            last = now;
        }
        let span = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        raw::call(nr::nanosleep, &[(&raw const span) as u64, 0])?;
        let now = monotonic()?;
        check!(now >= last + Duration::from_millis(20));
        last = now;
    }
    // The time of day went on with it: a machine that is stopped for a while stops both.
    let wall_now = clock_gettime(CLOCK_REALTIME)?;
    let passed = (last - start).as_millis() as i64;
    let wall_passed = (wall_now.tv_sec - wall.tv_sec) * 1000 + (wall_now.tv_nsec - wall.tv_nsec) / 1_000_000;
    check!((wall_passed - passed).abs() < 1000);
    Ok(())
}

fn names_that_no_counter_has() -> Outcome {
    check_eq!(choose(b"sundial\n"), Ok(8));
    check!(available()?.contains(&current()?));
    check_eq!(choose(&[b'x'; 31]), Ok(31));
    check_eq!(choose(&[b'x'; 32]), Err(Errno::EINVAL));
    Ok(())
}

fn a_user_may_only_look() -> Outcome {
    files::as_user(|| {
        check!(available()?.contains(&current()?));
        check_eq!(choose(b"tsc"), Err(Errno::EACCES));
        Ok(())
    })
}
