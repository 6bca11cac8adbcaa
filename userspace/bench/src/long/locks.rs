//! Record locks and leases on a file that has many.

use super::MANY;
use crate::Operation;
use crate::arch::counter;
use crate::measure::repeat;
use abi::Errno;
use abi::fs::{
    F_RDLCK, F_SETLEASE, F_SETLK, F_UNLCK, F_WRLCK, Flock, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY,
    SEEK_SET,
};
use abi::resource::{RLIMIT_NOFILE, Rlimit};
use abi::signal::{SIG_BLOCK, SIGIO};
use libsyscall::file::{close, fcntl, open};
use libsyscall::process::prlimit64;
use libsyscall::signal::rt_sigprocmask;

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("record lock + unlock beside 1,000", beside),
    ("lease taken + given up beside 10,000", lease_beside),
    ("lease taken + broken + given up, of 10,000", leases_broken),
];

/// Locks beside the one that is measured; none touches another.
const LOCKS: i64 = 1_000;

fn set(fd: i32, kind: i16, start: i64) -> Result<(), Errno> {
    let lock =
        Flock { l_type: kind, l_whence: SEEK_SET as i16, l_start: start, l_len: 1, ..Flock::default() };
    fcntl(fd, F_SETLK, (&raw const lock).addr() as u64).map(drop)
}

fn beside() -> Result<u64, Errno> {
    let fd = open(c"/tmp/locked", O_RDWR | O_CREAT, 0o600)?;
    for number in 0..LOCKS {
        set(fd, F_WRLCK, 2 * number)?;
    }
    let result = repeat(300, || {
        set(fd, F_WRLCK, 2 * LOCKS)?;
        set(fd, F_UNLCK, 2 * LOCKS)
    });
    close(fd)?;
    result
}

/// Opens a file so often that each opening can have a lease, and hands the openings on.
fn with_openings(measure: impl FnOnce(&[i32]) -> Result<u64, Errno>) -> Result<u64, Errno> {
    prlimit64(0, RLIMIT_NOFILE, Some(&Rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 }))?;
    rt_sigprocmask(SIG_BLOCK, 1 << (SIGIO - 1))?;
    close(open(c"/tmp/leased", O_RDWR | O_CREAT, 0o600)?)?;
    let mut openings = alloc::vec::Vec::new();
    for _ in 0..MANY {
        openings.push(open(c"/tmp/leased", O_RDONLY, 0)?);
    }
    let result = measure(&openings);
    openings.into_iter().try_for_each(close)?;
    result
}

fn lease(fd: i32, kind: i16) -> Result<(), Errno> {
    fcntl(fd, F_SETLEASE, kind as u64).map(drop)
}

fn lease_beside() -> Result<u64, Errno> {
    with_openings(|openings| {
        let (&last, others) = openings.split_last().ok_or(Errno::EINVAL)?;
        others.iter().try_for_each(|&fd| lease(fd, F_RDLCK))?;
        repeat(100, || {
            lease(last, F_RDLCK)?;
            lease(last, F_UNLCK)
        })
    })
}

fn leases_broken() -> Result<u64, Errno> {
    with_openings(|openings| {
        let start = counter();
        openings.iter().try_for_each(|&fd| lease(fd, F_RDLCK))?;
        match open(c"/tmp/leased", O_WRONLY | O_NONBLOCK, 0) {
            Err(Errno::EAGAIN) => openings.iter().try_for_each(|&fd| lease(fd, F_UNLCK))?,
            outcome => return Err(outcome.err().unwrap_or(Errno::EINVAL)),
        }
        Ok(counter().wrapping_sub(start) / MANY as u64)
    })
}
