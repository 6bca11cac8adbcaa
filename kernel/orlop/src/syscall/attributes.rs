//! Changing what `stat` shows: mode, owner, times.

use abi::Errno;
use abi::fs::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, S_ISGID};
use abi::time::{NANOSECONDS_PER_SECOND, Timespec, Timeval, UTIME_NOW, UTIME_OMIT};
use libkernel::addr::UserAddr;
use memory::user::{PathBuffer, UserPtr, UserSlice};
use subject::{Credentials, capability};
use vfs::attribute_operations::Change;
use vfs::clock;
use vfs::extended;
use vfs::limits;
use vfs::mount::Location;
use vfs::notify::Event;
use vfs::permission::{self, Access, Attribute};
use vfs::walk::LastLink;
use vfs::writers::MountWriter;

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
    Ok(change_mode(&place, mode, &call.credentials)?)
}

/// `fchmod(fd, mode)`.
pub fn fchmod(caller: &mut Caller<'_>, fd: i32, mode: u32) -> Result<(), Failure> {
    let file = at::content_file(caller, fd)?;
    Ok(change_mode(file.location(), mode, &caller.thread.credentials())?)
}

fn change_mode(place: &Location, mode: u32, credentials: &Credentials) -> Result<(), Errno> {
    let _writer = MountWriter::enter(&place.mount)?;
    let inode = place.dentry.inode();
    if inode.is_symlink() {
        return Err(Errno::EOPNOTSUPP);
    }
    permission::require_owner(inode, credentials)?;
    permission::require_changeable(inode, Attribute::Mode)?;
    let keeps_group_bit =
        credentials.in_group(inode.attributes.group()) || credentials.has_capability(capability::FSETID);
    let mode = if keeps_group_bit { mode } else { mode & !S_ISGID };
    inode.change_attributes(Change::Mode(mode))?;
    inode.touch_changed(clock::now());
    place.dentry.tell(Event::Attributes);
    Ok(())
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
    Ok(change_owner(&place, owner, group, &call.credentials)?)
}

/// `fchown(fd, owner, group)`.
pub fn fchown(caller: &mut Caller<'_>, fd: i32, owner: u32, group: u32) -> Result<(), Failure> {
    let file = at::content_file(caller, fd)?;
    Ok(change_owner(file.location(), owner, group, &caller.thread.credentials())?)
}

/// Sets owner and group, either left alone if it is -1: chown(2).
fn change_owner(place: &Location, owner: u32, group: u32, credentials: &Credentials) -> Result<(), Errno> {
    const UNCHANGED: u32 = u32::MAX;
    let _writer = MountWriter::enter(&place.mount)?;
    let inode = place.dentry.inode();
    let attributes = &inode.attributes;
    let (old_owner, old_group) = (attributes.owner(), attributes.group());
    let new_owner = if owner == UNCHANGED { old_owner } else { owner };
    let new_group = if group == UNCHANGED { old_group } else { group };
    if !credentials.has_capability(capability::CHOWN) {
        let owns = credentials.user.file_system == old_owner;
        let gives_away = owner != UNCHANGED && !(owns && owner == old_owner);
        let foreign_group =
            group != UNCHANGED && !(owns && (credentials.in_group(group) || group == old_group));
        if gives_away || foreign_group {
            return Err(Errno::EPERM);
        }
    }
    if (new_owner, new_group) != (old_owner, old_group) {
        permission::require_changeable(inode, Attribute::Owner)?;
    }
    let lost = if inode.is_directory() { 0 } else { limits::lost_bits(inode, credentials) };
    if lost != 0 {
        permission::require_owner(inode, credentials)?;
        inode.change_attributes(Change::Loss(lost))?;
    }
    // Those of a directory stay, as on Linux: nobody executes it.
    if !inode.is_directory() && inode.extended.has_capabilities() {
        extended::drop_capabilities(inode);
    }
    inode.change_attributes(Change::Owner(new_owner, new_group))?;
    inode.touch_changed(clock::now());
    if (owner, group) != (UNCHANGED, UNCHANGED) || lost != 0 {
        place.dentry.tell(Event::Attributes);
    }
    Ok(())
}

/// What a time is set to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewTime {
    Now,
    Keep,
    At(Timespec),
}

impl NewTime {
    fn from_user(time: Timespec) -> Result<NewTime, Errno> {
        match time.tv_nsec {
            UTIME_NOW => Ok(NewTime::Now),
            UTIME_OMIT => Ok(NewTime::Keep),
            0..NANOSECONDS_PER_SECOND => Ok(NewTime::At(time)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn resolve(self, now: Timespec) -> Option<Timespec> {
        match self {
            NewTime::Now => Some(now),
            NewTime::Keep => None,
            NewTime::At(time) => Some(time),
        }
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
        [NewTime::from_user(accessed)?, NewTime::from_user(modified)?]
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
    Ok(change_times(&place, times, &call.credentials)?)
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
    Ok(change_times(&place, times, &call.credentials)?)
}

/// Sets the times. Who may write may say "now"; any other time is for the owner: utimensat(2).
fn change_times(place: &Location, times: [NewTime; 2], credentials: &Credentials) -> Result<(), Errno> {
    let _writer = MountWriter::enter(&place.mount)?;
    let inode = place.dentry.inode();
    permission::require_changeable(inode, Attribute::Time)?;
    if !permission::is_owner(inode, credentials) {
        if times != [NewTime::Now; 2] {
            return Err(Errno::EPERM);
        }
        permission::check(inode, credentials, Access::WRITE)?;
    }
    let now = clock::now();
    let [accessed, modified] = times.map(|time| time.resolve(now));
    inode.change_attributes(Change::Times { accessed, modified, changed: now })?;
    let event = match (accessed, modified) {
        (Some(_), None) => Event::Accessed,
        (None, Some(_)) => Event::Modified,
        _ => Event::Attributes,
    };
    place.dentry.tell(event);
    Ok(())
}
