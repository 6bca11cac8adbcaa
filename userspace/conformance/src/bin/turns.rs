//! Calls that come one after the other at one file: who is killed while it waits leaves no trace, and does not keep the
//! others from coming.
#![no_std]
#![no_main]

extern crate alloc;

use abi::fs::*;
use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::SIGKILL;
use alloc::vec;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use core::time::Duration;
use libsyscall::file::*;
use libsyscall::process::kill;

conformance::tests!(&[
    ("writers_killed_while_they_wait_write_nothing", writers_killed_while_they_wait_write_nothing),
    ("seekers_killed_while_they_wait_leave_the_position", seekers_killed_while_they_wait_leave_the_position),
]);

const MIB: usize = 1 << 20;
const PAGE: usize = 4096;
/// How much one call moves at first, while others wait for it, and at most.
const SIZE: usize = 32 * MIB;
const MOST: usize = 128 * MIB;
/// How many wait. Every other one is killed.
const WAITERS: usize = 6;
const ROUNDS: usize = 3;

/// Moves `size` bytes by one call, from or to one piece of memory again and again; status 0 if all were moved.
fn move_at_once(number: u64, fd: i32, size: usize) -> i32 {
    let mut piece = vec![b'h'; MIB];
    let iovec = Iovec { iov_base: piece.as_mut_ptr().expose_provenance() as u64, iov_len: MIB as u64 };
    let iovecs = vec![iovec; size / MIB];
    let address = iovecs.as_ptr().expose_provenance() as u64;
    let moved = raw::call(number, &[fd as u64, address, iovecs.len() as u64, 0, 0]);
    i32::from(moved != Ok(size as u64))
}

/// Whether a process is not running: it waits, or has ended.
fn rests(pid: i32) -> Result<bool, Failure> {
    let stat = files::page(&alloc::format!("/proc/{pid}/stat"))?;
    Ok(stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('R')))
}

/// Starts processes that do `body` with their numbers, each when the one before has come to rest.
fn start_waiters(body: impl Fn(usize) -> i32) -> Result<Vec<i32>, Failure> {
    let mut waiters = Vec::new();
    for number in 0..WAITERS {
        let pid = child::start(|| body(number))?;
        while !rests(pid)? {
            ulib::time::sleep(Duration::from_micros(100));
        }
        waiters.push(pid);
    }
    Ok(waiters)
}

fn is_killed(number: usize) -> bool {
    number.is_multiple_of(2)
}

fn kill_some(waiters: &[i32]) -> Outcome {
    for (_, &pid) in waiters.iter().enumerate().filter(|(number, _)| is_killed(*number)) {
        kill(pid, SIGKILL)?;
    }
    Ok(())
}

/// Waits for all, of whom those that were not killed must have done their work.
fn wait_for(holder: i32, waiters: &[i32]) -> Outcome {
    for (number, &pid) in waiters.iter().enumerate() {
        let status = child::wait(pid)?;
        check!(is_killed(number) || status == WaitStatus(0), "{number} ended with {status:?}");
    }
    check_eq!(child::wait(holder)?, WaitStatus(0));
    Ok(())
}

fn writers_killed_while_they_wait_write_nothing() -> Outcome {
    scratch::enter_tmpfs()?;
    let mut size = SIZE;
    for _ in 0..ROUNDS {
        // Longer, where the first writer was through too early to tell anything.
        if !write_round(size)? {
            size = MOST.min(2 * size);
        }
    }
    Ok(())
}

/// A round of one long write and short ones behind its end. False if the long one was over before the kill.
fn write_round(size: usize) -> Result<bool, Failure> {
    let fd = files::create(c"written", b"")?;
    let place = |number: usize| (size + number * PAGE) as u64;
    let holder = child::start(|| move_at_once(nr::pwritev, fd, size))?;
    // Its size is seen to grow, or its writer to end.
    while fstat(fd)?.st_size == 0 && !rests(holder)? {}
    let waiters = start_waiters(|number| i32::from(pwrite64(fd, b"w", place(number)) != Ok(1)))?;
    kill_some(&waiters)?;
    let was_early = (fstat(fd)?.st_size as usize) < size;
    wait_for(holder, &waiters)?;
    let bytes = |number: usize| {
        let mut byte = [0];
        pread64(fd, &mut byte, place(number)).map(|_| byte[0])
    };
    for number in 0..WAITERS {
        let wanted = if is_killed(number) { 0 } else { b'w' };
        check!(
            bytes(number)? == wanted || is_killed(number) && !was_early,
            "{number}: {}, early: {was_early}",
            bytes(number)?
        );
    }
    close(fd)?;
    files::unlink(c"written")?;
    Ok(was_early)
}

fn seekers_killed_while_they_wait_leave_the_position() -> Outcome {
    scratch::enter_tmpfs()?;
    let fd = files::create(c"read", b"")?;
    ftruncate(fd, SIZE as u64)?;
    for _ in 0..ROUNDS {
        check_eq!(lseek(fd, 0, SEEK_SET), Ok(0));
        let holder = child::start(|| move_at_once(nr::readv, fd, SIZE))?;
        let waiters = start_waiters(|_| i32::from(lseek(fd, 0, SEEK_CUR).is_err()))?;
        kill_some(&waiters)?;
        wait_for(holder, &waiters)?;
        check_eq!(lseek(fd, 0, SEEK_CUR), Ok(SIZE as u64));
    }
    Ok(())
}
