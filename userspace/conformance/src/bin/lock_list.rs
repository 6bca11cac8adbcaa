//! `/proc/locks`: what is held on files, and who waits for it.
#![no_std]
#![no_main]

extern crate alloc;

use abi::fs::*;
use abi::native::nr;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use libsyscall::file::*;
use libsyscall::process::{exit_group, getpid};

conformance::tests!(&[
    ("a_file_without_locks_is_not_listed", a_file_without_locks_is_not_listed),
    ("records_of_processes", records_of_processes),
    ("records_of_open_files", records_of_open_files),
    ("whole_files", whole_files),
    ("who_waits_stands_behind_the_lock", who_waits_stands_behind_the_lock),
    ("many_locks_are_listed_once", many_locks_are_listed_once),
    ("what_is_given_up_is_not_listed", what_is_given_up_is_not_listed),
    ("a_file_that_is_gone_is_not_listed", a_file_that_is_gone_is_not_listed),
]);

/// The lines about a file, without their numbers and the file's own.
fn lines(fd: i32) -> Result<Vec<String>, Failure> {
    Ok(numbered_lines(fd)?.into_iter().map(|(_, line)| line).collect())
}

fn numbered_lines(fd: i32) -> Result<Vec<(u32, String)>, Failure> {
    let stat = fstat(fd)?;
    let device = (device_major(stat.st_dev), device_minor(stat.st_dev));
    let file = format!(" {:02x}:{:02x}:{} ", device.0, device.1, stat.st_ino);
    let text = String::from_utf8_lossy(&files::content(c"/proc/locks")?).into_owned();
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.contains(&file)) {
        let (number, rest) = line.split_once(": ").ok_or_else(|| Failure::new(line))?;
        found.push((number.parse().map_err(|_| Failure::new(line))?, rest.replace(&file, " ")));
    }
    Ok(found)
}

fn lock(fd: i32, command: u32, kind: i16, start: i64, length: i64) -> Outcome {
    let lock =
        Flock { l_type: kind, l_whence: SEEK_SET as i16, l_start: start, l_len: length, ..Flock::default() };
    fcntl(fd, command, (&raw const lock).addr() as u64)?;
    Ok(())
}

fn flock(fd: i32, operation: u32) -> Outcome {
    raw::call(nr::flock, &[fd as u64, operation.into()])?;
    Ok(())
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn a_file_without_locks_is_not_listed() -> Outcome {
    scratch::enter()?;
    let fd = files::create(c"f", b"")?;
    check!(lines(fd)?.is_empty());
    check_eq!(files::mode_of(c"/proc/locks")? & 0o777, 0o444);
    Ok(())
}

fn records_of_processes() -> Outcome {
    scratch::enter()?;
    let (fd, own) = (files::create(c"f", b"")?, getpid());
    lock(fd, F_SETLK, F_WRLCK, 5, 10)?;
    check_eq!(lines(fd)?, [format!("POSIX  ADVISORY  WRITE {own} 5 14")]);
    lock(fd, F_SETLK, F_RDLCK, 100, 0)?;
    let expected =
        [format!("POSIX  ADVISORY  READ {own} 100 EOF"), format!("POSIX  ADVISORY  WRITE {own} 5 14")];
    check_eq!(sorted(lines(fd)?), expected);
    lock(fd, F_SETLK, F_UNLCK, 0, 0)?;
    check!(lines(fd)?.is_empty());
    Ok(())
}

fn records_of_open_files() -> Outcome {
    scratch::enter()?;
    let fd = files::create(c"f", b"")?;
    lock(fd, F_OFD_SETLK, F_WRLCK, 0, 0)?;
    check_eq!(lines(fd)?, ["OFDLCK ADVISORY  WRITE -1 0 EOF"]);
    Ok(())
}

/// The process is the one that took the lock, also when it is gone and another has the file.
fn whole_files() -> Outcome {
    scratch::enter()?;
    let fd = files::create(c"f", b"")?;
    flock(fd, LOCK_SH)?;
    check_eq!(lines(fd)?, [format!("FLOCK  ADVISORY  READ {} 0 EOF", getpid())]);
    let pid = child::start(|| i32::from(flock(fd, LOCK_EX).is_err()))?;
    check_eq!(child::wait(pid)?.exit_code(), Some(0));
    check_eq!(lines(fd)?, [format!("FLOCK  ADVISORY  WRITE {pid} 0 EOF")]);
    flock(fd, LOCK_UN)?;
    check!(lines(fd)?.is_empty());
    let other = open(c"f", O_RDWR, 0)?;
    flock(fd, LOCK_SH)?;
    flock(other, LOCK_SH)?;
    check_eq!(lines(fd)?.len(), 2);
    Ok(())
}

/// Starts a process that waits in `wait` until it gets its lock; returns when it is listed.
fn waiter(fd: i32, wait: impl FnOnce() -> Outcome) -> Result<i32, Failure> {
    let pid = child::start(|| exit_group(i32::from(wait().is_err())))?;
    let name = format!(" {pid} ");
    while !lines(fd)?.iter().any(|line| line.contains(&name)) {
        raw::call(nr::sched_yield, &[])?;
    }
    Ok(pid)
}

fn who_waits_stands_behind_the_lock() -> Outcome {
    scratch::enter()?;
    let (fd, own) = (files::create(c"f", b"")?, getpid());
    lock(fd, F_SETLK, F_WRLCK, 0, 10)?;
    let pid = waiter(fd, || lock(fd, F_SETLKW, F_RDLCK, 3, 2))?;
    let found = numbered_lines(fd)?;
    check_eq!(found.len(), 2);
    check_eq!(found[0].1, format!("POSIX  ADVISORY  WRITE {own} 0 9"));
    check_eq!(found[1].1, format!("-> POSIX  ADVISORY  READ {pid} 3 4"));
    check_eq!(found[0].0, found[1].0);
    lock(fd, F_SETLK, F_UNLCK, 0, 0)?;
    check_eq!(child::wait(pid)?.exit_code(), Some(0));
    let holder = open(c"f", O_RDWR, 0)?;
    flock(holder, LOCK_EX)?;
    let pid = waiter(fd, || {
        close(holder)?;
        flock(open(c"f", O_RDWR, 0)?, LOCK_SH)
    })?;
    let found = numbered_lines(fd)?;
    check_eq!(found.len(), 2);
    check_eq!(found[0].1, format!("FLOCK  ADVISORY  WRITE {own} 0 EOF"));
    check_eq!(found[1].1, format!("-> FLOCK  ADVISORY  READ {pid} 0 EOF"));
    check_eq!(found[0].0, found[1].0);
    close(holder)?;
    check_eq!(child::wait(pid)?.exit_code(), Some(0));
    check!(lines(fd)?.is_empty());
    Ok(())
}

fn many_locks_are_listed_once() -> Outcome {
    const COUNT: usize = 500;
    scratch::enter()?;
    let fd = files::create(c"f", b"")?;
    for number in 0..COUNT {
        lock(fd, F_SETLK, F_WRLCK, 2 * number as i64, 1)?;
    }
    let found = numbered_lines(fd)?;
    check_eq!(found.len(), COUNT);
    let start = |line: &String| line.rsplit(' ').next().and_then(|last| last.parse::<usize>().ok());
    let mut starts: Vec<_> = found.iter().filter_map(|(_, line)| start(line)).collect();
    starts.sort_unstable();
    check!(starts.iter().enumerate().all(|(number, &start)| start == 2 * number));
    check!(found.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
    Ok(())
}

fn what_is_given_up_is_not_listed() -> Outcome {
    scratch::enter()?;
    let fd = files::create(c"f", b"")?;
    for _ in 0..3 {
        flock(fd, LOCK_EX)?;
        lock(fd, F_SETLK, F_WRLCK, 0, 1)?;
        check_eq!(lines(fd)?.len(), 2);
        flock(fd, LOCK_UN)?;
        close(dup(fd)?)?;
        check!(lines(fd)?.is_empty());
    }
    Ok(())
}

fn a_file_that_is_gone_is_not_listed() -> Outcome {
    scratch::enter()?;
    for round in 0..100 {
        let fd = files::create(c"f", b"")?;
        flock(fd, LOCK_EX)?;
        files::unlink(c"f")?;
        check!(round % 10 != 0 || lines(fd)?.len() == 1);
        close(fd)?;
    }
    let fd = files::create(c"f", b"")?;
    check!(lines(fd)?.is_empty());
    Ok(())
}
