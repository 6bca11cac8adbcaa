//! A directory of many names.

use super::MANY;
use crate::Operation;
use crate::arch::counter;
use crate::measure::repeat;
use abi::Errno;
use abi::fs::{AT_FDCWD, AT_REMOVEDIR, O_CREAT, O_DIRECTORY, O_RDONLY, O_WRONLY};
use alloc::ffi::CString;
use alloc::format;
use alloc::vec;
use core::ffi::CStr;
use libsyscall::file::{close, getdents64, mkdirat, newfstatat, open, renameat2, unlinkat};
use libsyscall::system::{mount, umount2};

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("stat of file%d beside 10,000", stat),
    ("create + unlink beside 10,000 names", create_unlink),
    ("rename there and back beside 10,000 names", rename),
    ("mkdir + rmdir beside 10,000 names", make_directory),
    ("list 10,000 names", list),
    ("create of 10,000 names, each", || create_all(MANY)),
    ("create of 100,000 names, each", || create_all(10 * MANY)),
    ("unlink of 10,000 names, each", || unlink_all(MANY)),
    ("unlink of 100,000 names, each", || unlink_all(10 * MANY)),
    ("stat of file%d beside 100,000", stat_beside_more),
    ("list 100,000 names, each", list_more),
];

const DIRECTORY: &CStr = c"/tmp/many";

fn name(number: usize) -> Result<CString, Errno> {
    CString::new(format!("/tmp/many/file{number}")).map_err(|_| Errno::EINVAL)
}

fn make(name: &CStr) -> Result<(), Errno> {
    close(open(name, O_WRONLY | O_CREAT, 0o600)?)
}

fn with_names(operation: impl FnOnce() -> Result<u64, Errno>) -> Result<u64, Errno> {
    with_so_many(MANY, operation).map(|(_, result, _)| result)
}

/// Runs `operation` beside so many names. What each took to be made, what the operation took, and what each took to be
/// removed.
fn with_so_many(
    count: usize,
    operation: impl FnOnce() -> Result<u64, Errno>,
) -> Result<(u64, u64, u64), Errno> {
    mkdirat(AT_FDCWD, DIRECTORY, 0o755)?;
    // Without this Linux has room for half as many files as there are pages.
    mount(c"none", DIRECTORY, c"tmpfs", 0, Some(c"nr_inodes=0"))?;
    let begin = counter();
    (0..count).try_for_each(|number| make(&name(number)?))?;
    let made = counter().wrapping_sub(begin) / count as u64;
    let result = operation();
    let begin = counter();
    (0..count).try_for_each(|number| unlinkat(AT_FDCWD, &name(number)?, 0))?;
    let removed = counter().wrapping_sub(begin) / count as u64;
    umount2(DIRECTORY, 0)?;
    unlinkat(AT_FDCWD, DIRECTORY, AT_REMOVEDIR)?;
    result.map(|result| (made, result, removed))
}

fn create_all(count: usize) -> Result<u64, Errno> {
    with_so_many(count, || Ok(0)).map(|(made, ..)| made)
}

fn unlink_all(count: usize) -> Result<u64, Errno> {
    with_so_many(count, || Ok(0)).map(|(.., removed)| removed)
}

fn stat_beside_more() -> Result<u64, Errno> {
    let stat = || repeat_stat(10 * MANY);
    with_so_many(10 * MANY, stat).map(|(_, result, _)| result)
}

fn list_more() -> Result<u64, Errno> {
    with_so_many(10 * MANY, repeat_list).map(|(_, result, _)| result / (10 * MANY as u64))
}

fn stat() -> Result<u64, Errno> {
    with_names(|| repeat_stat(MANY))
}

fn repeat_stat(count: usize) -> Result<u64, Errno> {
    let mut number = 0;
    repeat(500, || {
        number = (number + 37) % count;
        newfstatat(AT_FDCWD, &name(number)?, 0).map(drop)
    })
}

fn create_unlink() -> Result<u64, Errno> {
    with_names(|| {
        repeat(300, || {
            make(c"/tmp/many/fresh")?;
            unlinkat(AT_FDCWD, c"/tmp/many/fresh", 0)
        })
    })
}

fn rename() -> Result<u64, Errno> {
    let (one, other) = (c"/tmp/many/file5000", c"/tmp/many/moved");
    with_names(|| {
        repeat(300, || {
            renameat2((AT_FDCWD, one), (AT_FDCWD, other), 0)?;
            renameat2((AT_FDCWD, other), (AT_FDCWD, one), 0)
        })
    })
}

fn make_directory() -> Result<u64, Errno> {
    with_names(|| {
        repeat(300, || {
            mkdirat(AT_FDCWD, c"/tmp/many/fresh", 0o755)?;
            unlinkat(AT_FDCWD, c"/tmp/many/fresh", AT_REMOVEDIR)
        })
    })
}

fn list() -> Result<u64, Errno> {
    with_names(repeat_list)
}

fn repeat_list() -> Result<u64, Errno> {
    let mut buffer = vec![0; 32768];
    repeat(4, || {
        let fd = open(DIRECTORY, O_RDONLY | O_DIRECTORY, 0)?;
        while getdents64(fd, &mut buffer)? > 0 {}
        close(fd)
    })
}
