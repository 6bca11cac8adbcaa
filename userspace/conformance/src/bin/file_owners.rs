//! Whom the signals of an open file are meant for.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use conformance::{Outcome, check_eq, child, raw};
use libsyscall::file::*;
use libsyscall::process::{exit_group, getpid, setpgid};
use libsyscall::thread::gettid;

conformance::tests!(&[
    ("what_is_set_is_shown", what_is_set_is_shown),
    ("numbers_that_nothing_has", numbers_that_nothing_has),
    ("an_owner_that_is_gone", an_owner_that_is_gone),
    ("a_number_of_another_kind", a_number_of_another_kind),
    ("commands_that_are_refused", commands_that_are_refused),
]);

fn signed(fd: i32) -> i64 {
    raw::call_raw(nr::fcntl, &[fd as u64, u64::from(F_GETOWN)])
}

fn set_signed(fd: i32, owner: i32) -> Result<(), Errno> {
    fcntl(fd, F_SETOWN, i64::from(owner) as u64).map(drop)
}

fn extended(fd: i32) -> Result<(u32, i32), Errno> {
    let mut owner = OwnerEx { kind: 77, pid: 77 };
    fcntl(fd, F_GETOWN_EX, (&raw mut owner).addr() as u64)?;
    Ok((owner.kind, owner.pid))
}

fn set(fd: i32, kind: u32, pid: i32) -> Result<(), Errno> {
    let owner = OwnerEx { kind, pid };
    fcntl(fd, F_SETOWN_EX, (&raw const owner).addr() as u64).map(drop)
}

/// An end of a pipe.
fn file() -> Result<i32, Errno> {
    pipe2(0).map(|(reader, _)| reader)
}

fn what_is_set_is_shown() -> Outcome {
    let fd = file()?;
    let (own, thread) = (getpid(), gettid());
    check_eq!((signed(fd), extended(fd)?), (0, (F_OWNER_TID, 0)));
    set_signed(fd, own)?;
    check_eq!((signed(fd), extended(fd)?), (i64::from(own), (F_OWNER_PID, own)));
    set(fd, F_OWNER_TID, thread)?;
    check_eq!((signed(fd), extended(fd)?), (i64::from(thread), (F_OWNER_TID, thread)));
    let pid = child::start(|| {
        let group = getpid();
        let outcome = setpgid(0, 0).and_then(|()| set_signed(fd, -group)).and_then(|()| extended(fd));
        i32::from(outcome != Ok((F_OWNER_PGRP, group)) || signed(fd) != -i64::from(group))
    })?;
    check_eq!(child::wait(pid)?.exit_code(), Some(0));
    let twin = dup(fd)?;
    set(fd, F_OWNER_PID, own)?;
    check_eq!(extended(twin)?, (F_OWNER_PID, own));
    set(fd, F_OWNER_PGRP, 0)?;
    check_eq!((signed(fd), extended(twin)?), (0, (F_OWNER_PGRP, 0)));
    set_signed(fd, 0)?;
    check_eq!(extended(fd)?, (F_OWNER_PID, 0));
    Ok(())
}

fn numbers_that_nothing_has() -> Outcome {
    let fd = file()?;
    let own = getpid();
    set_signed(fd, own)?;
    for nobody in [0x3f_fff0, i32::MAX, -0x3f_fff0, -i32::MAX] {
        check_eq!(set_signed(fd, nobody), Err(Errno::ESRCH));
    }
    check_eq!(set_signed(fd, i32::MIN), Err(Errno::EINVAL));
    for kind in [F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP] {
        for nobody in [0x3f_fff0, -own, -1, i32::MIN] {
            check_eq!(set(fd, kind, nobody), Err(Errno::ESRCH));
        }
    }
    for kind in [3, 77, u32::MAX] {
        check_eq!((set(fd, kind, own), set(fd, kind, -1)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    }
    check_eq!(extended(fd)?, (F_OWNER_PID, own));
    Ok(())
}

/// A zombie is somebody until it has been waited for.
fn an_owner_that_is_gone() -> Outcome {
    let fd = file()?;
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| exit_group(0))?;
    close(writer)?;
    // The end of the child, which held the other end.
    check_eq!(read(reader, &mut [0])?, 0);
    set_signed(fd, pid)?;
    check_eq!((signed(fd), extended(fd)?), (i64::from(pid), (F_OWNER_PID, pid)));
    child::wait(pid)?;
    check_eq!((signed(fd), extended(fd)?), (0, (F_OWNER_PID, 0)));
    check_eq!(set_signed(fd, pid), Err(Errno::ESRCH));
    Ok(())
}

/// The number of a process that leads no group is accepted as that of a group, and shown as nobody.
fn a_number_of_another_kind() -> Outcome {
    let fd = file()?;
    let pid = child::start(|| {
        let own = getpid();
        let outcome = set(fd, F_OWNER_PGRP, own).and_then(|()| extended(fd));
        i32::from(outcome != Ok((F_OWNER_PGRP, 0)) || signed(fd) != 0)
    })?;
    check_eq!(child::wait(pid)?.exit_code(), Some(0));
    Ok(())
}

fn commands_that_are_refused() -> Outcome {
    let fd = file()?;
    check_eq!(fcntl(fd, F_SETOWN_EX, 8), Err(Errno::EFAULT));
    check_eq!(fcntl(fd, F_GETOWN_EX, 8), Err(Errno::EFAULT));
    check_eq!(extended(-1), Err(Errno::EBADF));
    let path = open(c"/", O_PATH, 0)?;
    check_eq!((extended(path), set_signed(path, 0)), (Err(Errno::EBADF), Err(Errno::EBADF)));
    Ok(())
}
