//! What counts as an access to a file: which calls move its access time on, and which do not.
//!
//! The mount is `relatime`: an access counts where the time of the last one is older than the content. Each call is
//! tried on a file that was last accessed long before it was written.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::memory::{MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ};
use abi::native::nr;
use abi::time::Timespec;
use conformance::{Failure, Outcome, check_eq, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;

conformance::tests!(&[
    ("calls_that_read", calls_that_read),
    ("calls_that_do_not", calls_that_do_not),
    ("who_asks_not_to_be_noted_is_not", who_asks_not_to_be_noted_is_not),
    ("directories_and_links", directories_and_links),
]);

const ACCESSED: i64 = 1_000;
const SIZE: usize = 100;

/// A file that was last accessed long before it was written.
fn fresh(flags: u32) -> Result<i32, Failure> {
    scratch::enter_tmpfs()?;
    close(files::create(c"f", &[b'x'; SIZE])?)?;
    libsyscall::file::fchmodat(AT_FDCWD, c"f", 0o755)?;
    grow_old(c"f")?;
    Ok(open(c"f", flags, 0)?)
}

fn grow_old(path: &CStr) -> Outcome {
    let time = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
    Ok(utimensat(AT_FDCWD, path, Some(&[time(ACCESSED), time(2 * ACCESSED)]), AT_SYMLINK_NOFOLLOW)?)
}

fn is_accessed(path: &CStr) -> Result<bool, Failure> {
    Ok(newfstatat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?.st_atime as i64 != ACCESSED)
}

fn map(fd: i32, protection: u32, flags: u32) -> Result<u64, Errno> {
    raw::call(nr::mmap, &[0, SIZE as u64, protection.into(), flags.into(), fd as u64, 0])
}

/// A call on a descriptor, by name.
type Call = (&'static str, fn(i32) -> Result<u64, Errno>);

/// Where bytes go that nobody wants.
fn sink() -> Result<u64, Errno> {
    open(c"other", O_WRONLY | O_CREAT, 0o600).map(|fd| fd as u64)
}

fn splice(fd: i32) -> Result<u64, Errno> {
    let (_reader, writer) = pipe2(0)?;
    raw::call(nr::splice, &[fd as u64, 0, writer as u64, 0, SIZE as u64, 0])
}

fn pread(fd: i32, count: usize, offset: u64) -> Result<u64, Errno> {
    let mut buffer = [0; SIZE];
    raw::call(nr::pread64, &[fd as u64, buffer.as_mut_ptr() as u64, count as u64, offset])
}

fn execute(_fd: i32) -> Result<u64, Errno> {
    let nothing = [0u64];
    let call = [c"f".as_ptr() as u64, nothing.as_ptr() as u64, nothing.as_ptr() as u64];
    match raw::call(nr::execve, &call) {
        Err(Errno::ENOEXEC) => Ok(0),
        other => other,
    }
}

/// Whether each of the calls, on a descriptor with these flags, is an access.
fn check_calls(calls: &[Call], flags: u32, are_accesses: bool) -> Outcome {
    for (name, call) in calls {
        let fd = fresh(flags)?;
        check_eq!((name, call(fd).map(drop)), (name, Ok(())));
        check_eq!((name, is_accessed(c"f")?), (name, are_accesses));
        close(fd)?;
    }
    Ok(())
}

fn calls_that_read() -> Outcome {
    let calls: &[Call] = &[
        ("read", |fd| read(fd, &mut [0; SIZE]).map(|count| count as u64)),
        ("pread", |fd| pread(fd, 1, 0)),
        ("pread at the end", |fd| pread(fd, 1, SIZE as u64)),
        ("splice", splice),
        ("sendfile", |fd| raw::call(nr::sendfile, &[sink()?, fd as u64, 0, 1])),
        ("copy_file_range", |fd| raw::call(nr::copy_file_range, &[fd as u64, 0, sink()?, 0, 1, 0])),
        ("mmap, shared", |fd| map(fd, PROT_READ, MAP_SHARED)),
        ("mmap, private", |fd| map(fd, PROT_READ, MAP_PRIVATE)),
        ("mmap of what cannot be touched", |fd| map(fd, PROT_NONE, MAP_SHARED)),
        ("execve", execute),
    ];
    check_calls(calls, O_RDONLY, true)
}

fn calls_that_do_not() -> Outcome {
    let calls: &[Call] = &[
        ("open", |_| open(c"f", O_RDWR, 0).map(|fd| fd as u64)),
        ("fstat", |fd| fstat(fd).map(|_| 0)),
        ("lseek", |fd| lseek(fd, 0, SEEK_END)),
        ("readahead", |fd| raw::call(nr::readahead, &[fd as u64, 0, SIZE as u64])),
        ("a write", |fd| write(fd, b"x").map(|count| count as u64)),
        ("fsync", |fd| raw::call(nr::fsync, &[fd as u64])),
        ("a mapping that fails", |fd| {
            map(fd, PROT_READ, 0)
                .map_or_else(|error| if error == Errno::EINVAL { Ok(0) } else { Err(error) }, Ok)
        }),
        ("a touch of what is mapped", |fd| {
            let address = map(fd, PROT_READ, MAP_SHARED)?;
            grow_old(c"f").map_err(|_| Errno::EIO)?;
            // SAFETY: the page was mapped for reading.
            Ok(unsafe { (address as *const u8).read_volatile() }.into())
        }),
    ];
    check_calls(calls, O_RDWR, false)
}

fn who_asks_not_to_be_noted_is_not() -> Outcome {
    let calls: &[Call] = &[
        ("pread", |fd| pread(fd, 1, 0)),
        ("splice", splice),
        ("sendfile", |fd| raw::call(nr::sendfile, &[sink()?, fd as u64, 0, 1])),
        ("mmap", |fd| map(fd, PROT_READ, MAP_SHARED)),
    ];
    check_calls(calls, O_RDONLY | O_NOATIME, false)
}

fn directories_and_links() -> Outcome {
    scratch::enter_tmpfs()?;
    files::symlink(c"target", c"link")?;
    close(files::create(c"target", b"x")?)?;
    libsyscall::file::mkdirat(AT_FDCWD, c"d", 0o755)?;

    grow_old(c"link")?;
    check_eq!(newfstatat(AT_FDCWD, c"link", AT_SYMLINK_NOFOLLOW).is_ok(), true);
    check_eq!(is_accessed(c"link")?, false);
    readlinkat(AT_FDCWD, c"link", &mut [0; 64])?;
    check_eq!(is_accessed(c"link")?, true);

    grow_old(c"link")?;
    check_eq!(newfstatat(AT_FDCWD, c"link", 0).is_ok(), true);
    check_eq!(is_accessed(c"link")?, true);

    grow_old(c"d")?;
    check_eq!(open(c"d/none", O_RDONLY, 0), Err(Errno::ENOENT));
    let fd = open(c"d", O_RDONLY | O_DIRECTORY, 0)?;
    check_eq!(is_accessed(c"d")?, false);
    getdents64(fd, &mut [0; 256])?;
    check_eq!(is_accessed(c"d")?, true);
    Ok(close(fd)?)
}
