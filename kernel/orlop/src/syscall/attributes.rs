//! The calls that change what `stat` shows: which file, and to what. Who may is asked in `vfs::attribute_changes`.

use abi::Errno;
use abi::fs::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW};
use abi::time::{Timespec, Timeval, UTIME_NOW, UTIME_OMIT};
use libkernel::addr::UserAddr;
use memory::user::{PathBuffer, UserPtr, UserSlice};
use vfs::attribute_changes::{NewTime, set_mode, set_owner, set_times};
use vfs::walk::LastLink;

use super::at::{self, PathCall, follow_unless, only, path_argument};
use super::{Caller, Failure};

/// `chmod(path, mode)`.
pub fn chmod(caller: &mut Caller<'_>, path: UserAddr, mode: u32) -> Result<(), Failure> {
    fchmodat(caller, AT_FDCWD, path, mode)
}

/// `fchmodat(dirfd, path, mode)`.
pub fn fchmodat(caller: &mut Caller<'_>, directory: i32, path: UserAddr, mode: u32) -> Result<(), Failure> {
    let call = PathCall::of(caller);
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, 0, &mut buffer)?;
    let place = call.resolve(caller, directory, path, LastLink::Follow)?;
    Ok(set_mode(&place, mode, &call.credentials)?)
}

/// `fchmod(fd, mode)`.
pub fn fchmod(caller: &mut Caller<'_>, fd: i32, mode: u32) -> Result<(), Failure> {
    let file = at::content_file(caller, fd)?;
    Ok(set_mode(file.location(), mode, &caller.thread.credentials())?)
}

/// `chown(path, owner, group)`.
pub fn chown(caller: &mut Caller<'_>, path: UserAddr, owner: u32, group: u32) -> Result<(), Failure> {
    fchownat(caller, AT_FDCWD, path, owner, group, 0)
}

/// `lchown(path, owner, group)`.
pub fn lchown(caller: &mut Caller<'_>, path: UserAddr, owner: u32, group: u32) -> Result<(), Failure> {
    fchownat(caller, AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW)
}

/// `fchownat(dirfd, path, owner, group, flags)`.
pub fn fchownat(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    owner: u32,
    group: u32,
    flags: u32,
) -> Result<(), Failure> {
    only(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let call = PathCall::of(caller);
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, flags, &mut buffer)?;
    let place = call.resolve_or_self(caller, directory, path, flags, follow_unless(flags))?;
    Ok(set_owner(&place, owner, group, &call.credentials)?)
}

/// `fchown(fd, owner, group)`.
pub fn fchown(caller: &mut Caller<'_>, fd: i32, owner: u32, group: u32) -> Result<(), Failure> {
    let file = at::content_file(caller, fd)?;
    Ok(set_owner(file.location(), owner, group, &caller.thread.credentials())?)
}

/// A time as utimensat(2) has it. Whether it is one is asked when the file is found.
fn from_nanoseconds(time: Timespec) -> NewTime {
    match time.tv_nsec {
        UTIME_NOW => NewTime::Now,
        UTIME_OMIT => NewTime::Keep,
        _ => NewTime::At(time),
    }
}

/// `utimensat(dirfd, path, times, flags)`: a null path is the descriptor itself.
pub fn utimensat(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    times: UserAddr,
    flags: u32,
) -> Result<(), Failure> {
    let times = if times.is_null() {
        [NewTime::Now; 2]
    } else {
        let mut given = [Timespec::default(); 2];
        UserSlice::new(times, 2).read_into(&mut given)?;
        let [accessed, modified] = given;
        [from_nanoseconds(accessed), from_nanoseconds(modified)]
    };
    if times == [NewTime::Keep; 2] {
        return Ok(());
    }
    only(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let call = PathCall::of(caller);
    let place = if path.is_null() && directory != AT_FDCWD {
        only(flags, 0)?;
        at::content_file(caller, directory)?.location().clone()
    } else {
        let mut buffer = PathBuffer::new();
        let path = path_argument(path, flags, &mut buffer)?;
        call.resolve_or_self(caller, directory, path, flags, follow_unless(flags))?
    };
    Ok(set_times(&place, times, &call.credentials)?)
}

/// `utimes(path, times)`.
pub fn utimes(caller: &mut Caller<'_>, path: UserAddr, times: UserAddr) -> Result<(), Failure> {
    futimesat(caller, AT_FDCWD, path, times)
}

/// `futimesat(dirfd, path, times)`.
pub fn futimesat(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    times: UserAddr,
) -> Result<(), Failure> {
    let times = if times.is_null() {
        [NewTime::Now; 2]
    } else {
        let mut given = [Timeval::default(); 2];
        UserSlice::new(times, 2).read_into(&mut given)?;
        let [accessed, modified] = given;
        [from_microseconds(accessed)?, from_microseconds(modified)?]
    };
    set_path_times(caller, directory, path, times)
}

fn from_microseconds(time: Timeval) -> Result<NewTime, Errno> {
    match time.tv_usec {
        0..1_000_000 => Ok(NewTime::At(Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_usec * 1000 })),
        _ => Err(Errno::EINVAL),
    }
}

/// `utime(path, times)`: two counts of seconds.
pub fn utime(caller: &mut Caller<'_>, path: UserAddr, times: UserAddr) -> Result<(), Failure> {
    let times = if times.is_null() {
        [NewTime::Now; 2]
    } else {
        let given: [i64; 2] = UserPtr::new(times).read()?;
        given.map(|tv_sec| NewTime::At(Timespec { tv_sec, tv_nsec: 0 }))
    };
    set_path_times(caller, AT_FDCWD, path, times)
}

fn set_path_times(
    caller: &Caller<'_>,
    directory: i32,
    path: UserAddr,
    times: [NewTime; 2],
) -> Result<(), Failure> {
    let call = PathCall::of(caller);
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, 0, &mut buffer)?;
    let place = call.resolve(caller, directory, path, LastLink::Follow)?;
    Ok(set_times(&place, times, &call.credentials)?)
}
