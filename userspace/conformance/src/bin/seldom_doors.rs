//! Doors of files that are seldom gone through: what they say first, and what they leave alone.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::resource::{RLIM_INFINITY, RLIMIT_FSIZE, Rlimit};
use abi::signal::SIGXFSZ;
use abi::time::Timespec;
use alloc::format;
use conformance::files::{as_user, content, create, mode_of, mount_proc};
use conformance::{Outcome, check, check_eq, child, handler, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::*;

conformance::tests!(&[
    ("creating_through_a_descriptor", creating_through_a_descriptor),
    ("a_temporary_file_where_none_can_be", a_temporary_file_where_none_can_be),
    ("names_that_are_numbers", names_that_are_numbers),
    ("copying_a_file_onto_itself", copying_a_file_onto_itself),
    ("a_lock_that_is_asked_for_twice", a_lock_that_is_asked_for_twice),
    ("appending_up_to_the_limit", appending_up_to_the_limit),
    ("times_that_are_none", times_that_are_none),
    ("set_id_bits_go_before_the_bytes_come", set_id_bits_go_before_the_bytes_come),
]);

/// The file is found first.
fn times_that_are_none() -> Outcome {
    scratch::enter()?;
    close(create(c"f", b"")?)?;
    for nanoseconds in [-1, 1_000_000_000] {
        let times = [Timespec { tv_sec: 1, tv_nsec: nanoseconds }; 2];
        let set = |directory: i32, path: &CStr| utimensat(directory, path, Some(&times), 0);
        check_eq!(set(AT_FDCWD, c"none"), Err(Errno::ENOENT));
        check_eq!(set(AT_FDCWD, c"f/x"), Err(Errno::ENOTDIR));
        check_eq!(set(1000, c"f"), Err(Errno::EBADF));
        check_eq!(set(AT_FDCWD, c"f"), Err(Errno::EINVAL));
    }
    Ok(())
}

/// Opens what a text names.
fn open_text(path: &str, flags: u32) -> Result<i32, Errno> {
    let path = format!("{path}\0");
    open(CStr::from_bytes_with_nul(path.as_bytes()).unwrap_or_default(), flags, 0o600)
}

fn creating_through_a_descriptor() -> Outcome {
    scratch::enter()?;
    mount_proc()?;
    let folder = open(c".", O_RDONLY | O_DIRECTORY, 0)?;
    let file = create(c"f", b"text")?;
    for flags in [O_RDONLY, O_WRONLY, O_PATH] {
        let expected = if flags == O_PATH { Ok(()) } else { Err(Errno::EISDIR) };
        let made = open_text(&format!("/proc/self/fd/{folder}"), flags | O_CREAT);
        check_eq!(made.map(drop), expected);
    }
    check_eq!(open_text(&format!("/proc/self/fd/{folder}"), O_CREAT | O_EXCL), Err(Errno::EEXIST));
    check_eq!(open_text("/proc/self/cwd", O_CREAT), Err(Errno::EISDIR));
    let again = open_text(&format!("/proc/self/fd/{file}"), O_RDWR | O_CREAT)?;
    check_eq!(write(again, b"T"), Ok(1));
    check_eq!(content(c"f")?, b"Text");
    Ok(())
}

/// Permission is asked before whether the file system can.
fn a_temporary_file_where_none_can_be() -> Outcome {
    mount_proc()?;
    let places = [
        (c"/proc", Errno::EOPNOTSUPP, Errno::EACCES),
        (c"/proc/self", Errno::EPERM, Errno::EPERM),
        (c"/proc/sys", Errno::EACCES, Errno::EACCES),
    ];
    let make = |place: &CStr| open(place, O_TMPFILE | O_RDWR, 0o600);
    for (place, expected, _) in places {
        check_eq!((place, make(place)), (place, Err(expected)));
    }
    as_user(|| {
        for (place, _, expected) in places {
            check_eq!((place, make(place)), (place, Err(expected)));
        }
        Ok(())
    })
}

fn names_that_are_numbers() -> Outcome {
    mount_proc()?;
    let is_there = |path: &str| open_text(path, O_PATH).and_then(close);
    let fd = dup3(0, 7, 0).or_else(|_| open(c"/proc", O_RDONLY, 0).and_then(|fd| dup3(fd, 7, 0)))?;
    check_eq!(fd, 7);
    check_eq!(dup3(7, 0, 0), Ok(0));
    for folder in ["/proc/self/fd", "/proc/self/fdinfo", "/proc/thread-self/fd"] {
        check_eq!((is_there(&format!("{folder}/7")), is_there(&format!("{folder}/0"))), (Ok(()), Ok(())));
        for name in
            ["+7", "07", "007", "00", "-0", "+0", "7 ", " 7", "0x7", "4294967303", "18446744073709551623"]
        {
            check_eq!((name, is_there(&format!("{folder}/{name}"))), (name, Err(Errno::ENOENT)));
        }
    }
    let pid = getpid();
    check_eq!(
        (is_there(&format!("/proc/{pid}")), is_there(&format!("/proc/self/task/{pid}"))),
        (Ok(()), Ok(()))
    );
    for folder in ["/proc", "/proc/self/task"] {
        for name in [format!("+{pid}"), format!("0{pid}"), format!("{pid} "), "0".into(), "00".into()] {
            check_eq!((&name, is_there(&format!("{folder}/{name}"))), (&name, Err(Errno::ENOENT)));
        }
    }
    Ok(())
}

fn copy(fd: i32, from: u64, to: u64, count: u64) -> Result<u64, Errno> {
    let mut offsets = [from, to];
    let [from, to] = &mut offsets;
    let (from, to) = ((&raw mut *from) as u64, (&raw mut *to) as u64);
    raw::call(nr::copy_file_range, &[fd as u64, from, fd as u64, to, count, 0])
}

/// A count is cut to where the source ends before anything else is asked.
fn copying_a_file_onto_itself() -> Outcome {
    scratch::enter()?;
    let fd = create(c"f", &[b'x'; 100])?;
    check_eq!(copy(fd, 0, 4096, 1 << 20), Ok(100));
    check_eq!(lseek(fd, 0, SEEK_END), Ok(4196));
    ftruncate(fd, 100)?;
    check_eq!((copy(fd, 0, 99, 1 << 20), copy(fd, 0, 100, 1 << 20)), (Err(Errno::EINVAL), Ok(100)));
    check_eq!(
        (copy(fd, 0, 0, 0), copy(fd, 0, 0, 1), copy(fd, 150, 0, 150)),
        (Ok(0), Err(Errno::EINVAL), Ok(50))
    );
    // Nothing is left to overlap behind the end.
    check_eq!((copy(fd, 200, 200, 10), copy(fd, 300, 299, 10)), (Ok(0), Ok(0)));
    check_eq!(
        (copy(fd, 10, 0, u64::MAX), copy(fd, 0, 10, u64::MAX - 5)),
        (Err(Errno::EOVERFLOW), Err(Errno::EOVERFLOW))
    );
    check_eq!(copy(fd, 190, 0, 1 << 62), Ok(10));
    check_eq!(lseek(fd, 0, SEEK_END), Ok(200));
    Ok(())
}

fn flock(fd: i32, operation: u32) -> Result<(), Errno> {
    raw::call(nr::flock, &[fd as u64, u64::from(operation)]).map(drop)
}

/// Who has the lock that he asks for keeps it, though others wait; who wants another kind gives his up.
fn a_lock_that_is_asked_for_twice() -> Outcome {
    scratch::enter()?;
    let first = create(c"f", b"")?;
    let (second, third) = (open(c"f", O_RDONLY, 0)?, open(c"f", O_RDONLY, 0)?);
    flock(first, LOCK_EX)?;
    let waiter = child::start(|| i32::from(flock(second, LOCK_EX).is_err()))?;
    for _ in 0..2000 {
        check_eq!(flock(first, LOCK_EX | LOCK_NB), Ok(()));
        check_eq!(flock(third, LOCK_SH | LOCK_NB), Err(Errno::EAGAIN));
    }
    flock(first, LOCK_UN)?;
    check_eq!(child::wait(waiter)?.exit_code(), Some(0));
    flock(second, LOCK_UN)?;
    flock(first, LOCK_SH)?;
    flock(third, LOCK_SH)?;
    check_eq!(
        (flock(first, LOCK_SH | LOCK_NB), flock(first, LOCK_EX | LOCK_NB)),
        (Ok(()), Err(Errno::EAGAIN))
    );
    // That cost it the shared one.
    check_eq!(flock(third, LOCK_EX | LOCK_NB), Ok(()));
    Ok(())
}

/// Several that append never pass the limit on the file's size together.
fn appending_up_to_the_limit() -> Outcome {
    const LIMIT: u64 = 1000;
    scratch::enter()?;
    close(create(c"f", b"")?)?;
    let append_all = || {
        handler::record_signal(SIGXFSZ, 0)?;
        prlimit64(0, RLIMIT_FSIZE, Some(&Rlimit { rlim_cur: LIMIT, rlim_max: RLIM_INFINITY }))?;
        let fd = open(c"f", O_WRONLY | O_APPEND, 0)?;
        let mut written = 0;
        loop {
            match write(fd, b"seven b") {
                Ok(count) => written += count as u64,
                Err(error) => {
                    check_eq!(error, Errno::EFBIG);
                    break;
                }
            }
            let position = lseek(fd, 0, SEEK_CUR)?;
            check!(position >= written && position <= LIMIT);
        }
        Ok(())
    };
    let writers = [0; 3]
        .map(|_| child::start(|| i32::from(!matches!(append_all(), Ok::<(), conformance::Failure>(())))));
    for writer in writers {
        check_eq!(child::wait(writer?)?.exit_code(), Some(0));
    }
    check_eq!(content(c"f")?.len() as u64, LIMIT);
    Ok(())
}

/// What a write takes away goes even if nothing can be written after all, but not for a write of nothing, or beyond the
/// limit.
fn set_id_bits_go_before_the_bytes_come() -> Outcome {
    scratch::enter()?;
    let fd = create(c"f", b"")?;
    fchownat(AT_FDCWD, c"f", 1000, 1000, 0)?;
    let again = || fchmodat(AT_FDCWD, c"f", 0o6777);
    again()?;
    as_user(|| {
        for flags in [0, O_APPEND] {
            let own = open(c"f", O_WRONLY | flags, 0)?;
            again()?;
            check_eq!((write(own, b""), mode_of(c"f")?), (Ok(0), S_IFREG | 0o6777));
            let nowhere = raw::call(nr::write, &[own as u64, 8, 1]);
            check_eq!((nowhere, mode_of(c"f")?), (Err(Errno::EFAULT), S_IFREG | 0o777));
            again()?;
            check_eq!((write(own, b"x"), mode_of(c"f")?), (Ok(1), S_IFREG | 0o777));
            again()?;
            check!(child::succeeds(|| {
                handler::record_signal(SIGXFSZ, 0)?;
                prlimit64(0, RLIMIT_FSIZE, Some(&Rlimit { rlim_cur: 0, rlim_max: RLIM_INFINITY }))?;
                check_eq!(write(own, b"x"), Err(Errno::EFBIG));
                Ok(())
            })?);
            check_eq!(mode_of(c"f")?, S_IFREG | 0o6777);
        }
        Ok(())
    })?;
    close(fd)?;
    Ok(())
}
