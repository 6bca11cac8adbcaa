//! A directory of many names.

use super::MANY;
use crate::Operation;
use crate::measure::repeat;
use abi::Errno;
use abi::fs::{AT_FDCWD, AT_REMOVEDIR, O_CREAT, O_DIRECTORY, O_RDONLY, O_WRONLY};
use alloc::ffi::CString;
use alloc::format;
use alloc::vec;
use core::ffi::CStr;
use libsyscall::file::{close, getdents64, mkdirat, newfstatat, open, renameat2, unlinkat};

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("stat of file%d beside 10,000", stat),
    ("create + unlink beside 10,000 names", create_unlink),
    ("rename there and back beside 10,000 names", rename),
    ("mkdir + rmdir beside 10,000 names", make_directory),
    ("list 10,000 names", list),
];

const DIRECTORY: &CStr = c"/tmp/many";

fn name(number: usize) -> Result<CString, Errno> {
    CString::new(format!("/tmp/many/file{number}")).map_err(|_| Errno::EINVAL)
}

fn make(name: &CStr) -> Result<(), Errno> {
    close(open(name, O_WRONLY | O_CREAT, 0o600)?)
}

fn with_names(operation: impl FnOnce() -> Result<u64, Errno>) -> Result<u64, Errno> {
    mkdirat(AT_FDCWD, DIRECTORY, 0o755)?;
    for number in 0..MANY {
        make(&name(number)?)?;
    }
    let result = operation();
    for number in 0..MANY {
        unlinkat(AT_FDCWD, &name(number)?, 0)?;
    }
    unlinkat(AT_FDCWD, DIRECTORY, AT_REMOVEDIR)?;
    result
}

fn stat() -> Result<u64, Errno> {
    with_names(|| {
        let mut number = 0;
        repeat(500, || {
            number = (number + 37) % MANY;
            newfstatat(AT_FDCWD, &name(number)?, 0).map(drop)
        })
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
    let mut buffer = vec![0; 32768];
    with_names(|| {
        repeat(4, || {
            let fd = open(DIRECTORY, O_RDONLY | O_DIRECTORY, 0)?;
            while getdents64(fd, &mut buffer)? > 0 {}
            close(fd)
        })
    })
}
