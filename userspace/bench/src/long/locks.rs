//! Record locks on a file that has many.

use crate::Operation;
use crate::measure::repeat;
use abi::Errno;
use abi::fs::{F_SETLK, F_UNLCK, F_WRLCK, Flock, O_CREAT, O_RDWR, SEEK_SET};
use libsyscall::file::{close, fcntl, open};

pub const OPERATIONS: &[(&str, Operation)] = &[("record lock + unlock beside 1,000", beside)];

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
