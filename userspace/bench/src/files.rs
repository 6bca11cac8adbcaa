//! Files on a tmpfs.

use crate::measure::repeat;
use abi::Errno;
use abi::fs::{AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR};
use core::ffi::CStr;
use libsyscall::file::{close, newfstatat, open, pread64, pwrite64, unlinkat};

const FILE: &CStr = c"/tmp/bench";
const OTHER_FILE: &CStr = c"/tmp/bench-fresh";

/// Runs `operation` on a file of 4 KiB, which is removed afterwards.
fn with_file(operation: impl FnOnce(i32) -> Result<u64, Errno>) -> Result<u64, Errno> {
    let fd = open(FILE, O_RDWR | O_CREAT, 0o600)?;
    let result = pwrite64(fd, &[1; 4096], 0).and_then(|_| operation(fd));
    close(fd)?;
    unlinkat(AT_FDCWD, FILE, 0)?;
    result
}

pub fn open_close() -> Result<u64, Errno> {
    with_file(|_| repeat(500, || close(open(FILE, O_RDONLY, 0)?)))
}

pub fn stat() -> Result<u64, Errno> {
    with_file(|_| repeat(500, || newfstatat(AT_FDCWD, FILE, 0).map(drop)))
}

pub fn create_unlink() -> Result<u64, Errno> {
    repeat(300, || {
        close(open(OTHER_FILE, O_RDWR | O_CREAT, 0o600)?)?;
        unlinkat(AT_FDCWD, OTHER_FILE, 0)
    })
}

pub fn read_page() -> Result<u64, Errno> {
    let mut page = [0; 4096];
    with_file(|fd| repeat(500, || pread64(fd, &mut page, 0).map(drop)))
}

pub fn write_page() -> Result<u64, Errno> {
    with_file(|fd| repeat(500, || pwrite64(fd, &[2; 4096], 0).map(drop)))
}
