//! Long texts that the kernel makes while they are read.

use crate::Operation;
use crate::measure::repeat;
use abi::Errno;
use abi::fs::{AT_FDCWD, AT_REMOVEDIR, O_RDONLY};
use abi::memory::PROT_READ;
use alloc::ffi::CString;
use alloc::format;
use core::ffi::CStr;
use libsyscall::file::{close, mkdirat, open, pread64, read, unlinkat};
use libsyscall::memory::{map_anonymous, mprotect, munmap};
use libsyscall::system::{mount, umount2};

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("read maps of 4,000 areas by 1 KiB", maps),
    ("pread in maps of 4,000 areas, going on", maps_by_position),
    ("read mounts of 500 by 1 KiB", mounts),
    ("open, read and close of stat", status),
];

const PAGE: usize = 4096;
const AREAS: usize = 4000;
const MOUNTS: usize = 500;
const MAPS: &CStr = c"/proc/self/maps";

/// Reads a file to its end; how many bytes there were.
fn read_all(path: &CStr) -> Result<usize, Errno> {
    let fd = open(path, O_RDONLY, 0)?;
    let (mut buffer, mut total) = ([0; 1024], 0);
    loop {
        match read(fd, &mut buffer)? {
            0 => break,
            count => total += count,
        }
    }
    close(fd)?;
    Ok(total)
}

fn prepare() -> Result<(), Errno> {
    let _ = mkdirat(AT_FDCWD, c"/proc", 0o555);
    match mount(c"proc", c"/proc", c"proc", 0, None) {
        Err(Errno::EBUSY) | Ok(()) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Every other page has other rights, so that each is an area.
fn with_areas(operation: impl FnOnce() -> Result<u64, Errno>) -> Result<u64, Errno> {
    prepare()?;
    let start = map_anonymous(AREAS * PAGE)?;
    for index in (0..AREAS).step_by(2) {
        // SAFETY: nothing refers to these pages.
        unsafe { mprotect(start.wrapping_add(index * PAGE), PAGE, PROT_READ) }?;
    }
    let result = operation();
    // SAFETY: nothing refers to these pages.
    unsafe { munmap(start, AREAS * PAGE) }?;
    result
}

fn maps() -> Result<u64, Errno> {
    with_areas(|| repeat(2, || read_all(MAPS).map(drop)))
}

fn maps_by_position() -> Result<u64, Errno> {
    with_areas(|| {
        let fd = open(MAPS, O_RDONLY, 0)?;
        let (mut buffer, mut position) = ([0; 512], 0);
        let result = repeat(300, || {
            position += pread64(fd, &mut buffer, position)? as u64;
            Ok(())
        });
        close(fd)?;
        result
    })
}

fn place(number: usize) -> Result<CString, Errno> {
    CString::new(format!("/tmp/mounted{number}")).map_err(|_| Errno::EINVAL)
}

fn mounts() -> Result<u64, Errno> {
    prepare()?;
    for number in 0..MOUNTS {
        mkdirat(AT_FDCWD, &place(number)?, 0o755)?;
        mount(c"none", &place(number)?, c"tmpfs", 0, None)?;
    }
    let result = repeat(4, || read_all(c"/proc/self/mounts").map(drop));
    for number in 0..MOUNTS {
        umount2(&place(number)?, 0)?;
        unlinkat(AT_FDCWD, &place(number)?, AT_REMOVEDIR)?;
    }
    result
}

fn status() -> Result<u64, Errno> {
    prepare()?;
    repeat(200, || read_all(c"/proc/self/stat").map(drop))
}
