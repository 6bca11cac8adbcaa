//! The calls on extended attributes, which no file system here has.
//!
//! They look at their arguments in Linux's order, and answer as Linux does for a file system without them: EOPNOTSUPP, and an empty
//! list. Names of `user.` on what is neither file nor directory and of `trusted.` without the right for them are none at all.

use abi::Errno;
use abi::fs::{AT_FDCWD, XATTR_CREATE, XATTR_REPLACE};
use libkernel::addr::UserAddr;

use super::at::{PathCall, content_file, path_argument};
use super::{Caller, Failure};
use crate::fs::attributes::FileKind;
use crate::fs::mount::Location;
use crate::fs::walk::LastLink;
use crate::fs::writers::MountWriter;
use crate::process::capability;
use crate::user::UserSlice;
use crate::user::string::read_string;

/// The longest name with its NUL, and the longest value: `XATTR_NAME_MAX`, `XATTR_SIZE_MAX` of xattr(7).
const NAME_SIZE: usize = 256;
const VALUE_SIZE: usize = 65536;

fn place(caller: &Caller<'_>, path: UserAddr, last_link: LastLink) -> Result<Location, Errno> {
    let path = path_argument(path, 0)?;
    PathCall::of(caller).resolve(caller, AT_FDCWD, &path, last_link)
}

fn opened(caller: &Caller<'_>, fd: i32) -> Result<Location, Errno> {
    Ok(content_file(caller, fd)?.location().clone())
}

/// ERANGE for a name without bytes, or with too many.
fn check_name(name: UserAddr) -> Result<alloc::vec::Vec<u8>, Errno> {
    let text = read_string(name, NAME_SIZE)?.ok_or(Errno::ERANGE)?;
    if text.is_empty() { Err(Errno::ERANGE) } else { Ok(text) }
}

/// Why there is no attribute of this name to be read (ENODATA, EOPNOTSUPP) or written (EPERM, EOPNOTSUPP).
fn refusal(caller: &Caller<'_>, place: &Location, name: &[u8], refused: Errno) -> Failure {
    let stored = matches!(place.dentry.inode().kind, FileKind::Regular | FileKind::Directory);
    let trusted =
        caller.thread.with_credentials(|credentials| credentials.has_capability(capability::SYS_ADMIN));
    let hidden = name.starts_with(b"user.") && !stored || name.starts_with(b"trusted.") && !trusted;
    if hidden { refused } else { Errno::EOPNOTSUPP }.into()
}

fn set(
    caller: &Caller<'_>,
    place: &Location,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> Result<(), Failure> {
    let _writer = MountWriter::enter(&place.mount)?;
    super::at::only(flags, XATTR_CREATE | XATTR_REPLACE)?;
    let name = check_name(name)?;
    if size > VALUE_SIZE {
        return Err(Errno::E2BIG.into());
    }
    UserSlice::<u8>::new(value, size).read_to_vec()?;
    Err(refusal(caller, place, &name, Errno::EPERM))
}

/// `setxattr(path, name, value, size, flags)`.
pub fn setxattr(
    caller: &mut Caller<'_>,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> Result<(), Failure> {
    let place = place(caller, path, LastLink::Follow)?;
    set(caller, &place, name, value, size, flags)
}

/// `lsetxattr(path, name, value, size, flags)`.
pub fn lsetxattr(
    caller: &mut Caller<'_>,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> Result<(), Failure> {
    let place = place(caller, path, LastLink::Keep)?;
    set(caller, &place, name, value, size, flags)
}

/// `fsetxattr(fd, name, value, size, flags)`.
pub fn fsetxattr(
    caller: &mut Caller<'_>,
    fd: i32,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> Result<(), Failure> {
    let place = opened(caller, fd)?;
    set(caller, &place, name, value, size, flags)
}

fn get(caller: &Caller<'_>, place: &Location, name: UserAddr) -> Result<usize, Failure> {
    let name = check_name(name)?;
    Err(refusal(caller, place, &name, Errno::ENODATA))
}

/// `getxattr(path, name, value, size)`.
pub fn getxattr(caller: &mut Caller<'_>, path: UserAddr, name: UserAddr) -> Result<usize, Failure> {
    let place = place(caller, path, LastLink::Follow)?;
    get(caller, &place, name)
}

/// `lgetxattr(path, name, value, size)`.
pub fn lgetxattr(caller: &mut Caller<'_>, path: UserAddr, name: UserAddr) -> Result<usize, Failure> {
    let place = place(caller, path, LastLink::Keep)?;
    get(caller, &place, name)
}

/// `fgetxattr(fd, name, value, size)`.
pub fn fgetxattr(caller: &mut Caller<'_>, fd: i32, name: UserAddr) -> Result<usize, Failure> {
    let place = opened(caller, fd)?;
    get(caller, &place, name)
}

/// `listxattr(path, list, size)`.
pub fn listxattr(caller: &mut Caller<'_>, path: UserAddr) -> Result<usize, Failure> {
    Ok(place(caller, path, LastLink::Follow).map(|_| 0)?)
}

/// `llistxattr(path, list, size)`.
pub fn llistxattr(caller: &mut Caller<'_>, path: UserAddr) -> Result<usize, Failure> {
    Ok(place(caller, path, LastLink::Keep).map(|_| 0)?)
}

/// `flistxattr(fd, list, size)`.
pub fn flistxattr(caller: &mut Caller<'_>, fd: i32) -> Result<usize, Failure> {
    Ok(opened(caller, fd).map(|_| 0)?)
}

fn remove(caller: &Caller<'_>, place: &Location, name: UserAddr) -> Result<(), Failure> {
    let _writer = MountWriter::enter(&place.mount)?;
    let name = check_name(name)?;
    Err(refusal(caller, place, &name, Errno::EPERM))
}

/// `removexattr(path, name)`.
pub fn removexattr(caller: &mut Caller<'_>, path: UserAddr, name: UserAddr) -> Result<(), Failure> {
    let place = place(caller, path, LastLink::Follow)?;
    remove(caller, &place, name)
}

/// `lremovexattr(path, name)`.
pub fn lremovexattr(caller: &mut Caller<'_>, path: UserAddr, name: UserAddr) -> Result<(), Failure> {
    let place = place(caller, path, LastLink::Keep)?;
    remove(caller, &place, name)
}

/// `fremovexattr(fd, name)`.
pub fn fremovexattr(caller: &mut Caller<'_>, fd: i32, name: UserAddr) -> Result<(), Failure> {
    let place = opened(caller, fd)?;
    remove(caller, &place, name)
}
