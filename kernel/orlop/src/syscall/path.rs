//! Making, removing and moving names.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{
    AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, RENAME_EXCHANGE, RENAME_NOREPLACE,
    RENAME_WHITEOUT,
};
use libkernel::addr::UserAddr;
use memory::user::PathBuffer;
use subject::capability;
use vfs::attributes::{DeviceNumber, FileKind};
use vfs::change::{self, NewFile};
use vfs::directory::Key;
use vfs::permission::{self, Access};
use vfs::remove::{self, Victim};
use vfs::rename::{self, Behind, End, Target};
use vfs::walk::{self, Last, Tail};

use super::at::{PathCall, keep_unless, only, path_argument};
use super::{Caller, Failure};

/// `mkdir(path, mode)`.
pub fn mkdir(caller: &mut Caller<'_>, path: UserAddr, mode: u32) -> Result<(), Failure> {
    mkdirat(caller, AT_FDCWD, path, mode)
}

/// `mkdirat(dirfd, path, mode)`.
pub fn mkdirat(caller: &mut Caller<'_>, directory: i32, path: UserAddr, mode: u32) -> Result<(), Failure> {
    let call = PathCall::of(caller);
    let new = NewFile::directory(mode & 0o1777 & !call.context.umask());
    make(caller, &call, directory, path, Slashes::Allowed, new)
}

/// `mknod(path, mode, device)`.
pub fn mknod(caller: &mut Caller<'_>, path: UserAddr, mode: u32, device: u32) -> Result<(), Failure> {
    mknodat(caller, AT_FDCWD, path, mode, device)
}

/// `mknodat(dirfd, path, mode, device)`.
pub fn mknodat(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    mode: u32,
    device: u32,
) -> Result<(), Failure> {
    let kind = FileKind::from_mode(mode).ok_or(Errno::EINVAL)?;
    let number = DeviceNumber::decode(u64::from(device));
    let call = PathCall::of(caller);
    match kind {
        FileKind::Directory => return Err(Errno::EPERM.into()),
        FileKind::Symlink | FileKind::Untyped => return Err(Errno::EINVAL.into()),
        _ => {}
    }
    let permissions = mode & 0o7777 & !call.context.umask();
    let new = NewFile::node(kind, permissions, number);
    make(caller, &call, directory, path, Slashes::Refused, new)
}

/// `symlink(text, path)`.
pub fn symlink(caller: &mut Caller<'_>, text: UserAddr, path: UserAddr) -> Result<(), Failure> {
    symlinkat(caller, text, AT_FDCWD, path)
}

/// `symlinkat(text, dirfd, path)`.
pub fn symlinkat(
    caller: &mut Caller<'_>,
    text: UserAddr,
    directory: i32,
    path: UserAddr,
) -> Result<(), Failure> {
    let mut buffer = PathBuffer::new();
    let text = path_argument(text, 0, &mut buffer)?;
    let new = NewFile::symlink(Arc::from(text));
    make(caller, &PathCall::of(caller), directory, path, Slashes::Refused, new)
}

/// Whether slashes may follow the name of what is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slashes {
    Allowed,
    Refused,
}

fn make(
    caller: &Caller<'_>,
    call: &PathCall,
    directory: i32,
    path: UserAddr,
    slashes: Slashes,
    new: NewFile,
) -> Result<(), Failure> {
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, 0, &mut buffer)?;
    let start = call.start(caller, directory, path)?;
    let tail = call.walk().to_parent(start, path)?;
    let Last::Name(name) = &tail.last else { return Err(Errno::EEXIST.into()) };
    if tail.must_be_directory && slashes == Slashes::Refused {
        let missing = walk::child(&tail.directory.dentry, name).is_err();
        return Err(if missing { Errno::ENOENT } else { Errno::EEXIST }.into());
    }
    change::create(&tail.directory, name, new, &call.credentials)?;
    Ok(())
}

/// `link(old, new)`.
pub fn link(caller: &mut Caller<'_>, old: UserAddr, new: UserAddr) -> Result<(), Failure> {
    linkat(caller, AT_FDCWD, old, AT_FDCWD, new, 0)
}

/// `linkat(old_dirfd, old, new_dirfd, new, flags)`.
pub fn linkat(
    caller: &mut Caller<'_>,
    old_directory: i32,
    old: UserAddr,
    new_directory: i32,
    new: UserAddr,
    flags: u32,
) -> Result<(), Failure> {
    only(flags, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)?;
    let call = PathCall::of(caller);
    if flags & AT_EMPTY_PATH != 0 && !call.credentials.has_capability(capability::DAC_READ_SEARCH) {
        return Err(Errno::ENOENT.into());
    }
    let mut old_buffer = PathBuffer::new();
    let old = path_argument(old, flags, &mut old_buffer)?;
    let target = call.resolve_or_self(caller, old_directory, old, flags, keep_unless(flags))?;
    let mut new_buffer = PathBuffer::new();
    let new = path_argument(new, 0, &mut new_buffer)?;
    let start = call.start(caller, new_directory, new)?;
    let tail = call.walk().to_parent(start, new)?;
    let Last::Name(name) = &tail.last else { return Err(Errno::EEXIST.into()) };
    if tail.must_be_directory {
        let missing = walk::child(&tail.directory.dentry, name).is_err();
        return Err(if missing { Errno::ENOENT } else { Errno::EEXIST }.into());
    }
    Ok(change::link(&target, &tail.directory, name, &call.credentials)?)
}

/// `unlink(path)`.
pub fn unlink(caller: &mut Caller<'_>, path: UserAddr) -> Result<(), Failure> {
    unlinkat(caller, AT_FDCWD, path, 0)
}

/// `rmdir(path)`.
pub fn rmdir(caller: &mut Caller<'_>, path: UserAddr) -> Result<(), Failure> {
    unlinkat(caller, AT_FDCWD, path, AT_REMOVEDIR)
}

/// `unlinkat(dirfd, path, flags)`.
pub fn unlinkat(caller: &mut Caller<'_>, directory: i32, path: UserAddr, flags: u32) -> Result<(), Failure> {
    only(flags, AT_REMOVEDIR)?;
    let victim = if flags & AT_REMOVEDIR != 0 { Victim::Directory } else { Victim::File };
    let call = PathCall::of(caller);
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, 0, &mut buffer)?;
    let start = call.start(caller, directory, path)?;
    let tail = call.walk().to_parent(start, path)?;
    let name = match (&tail.last, victim) {
        (Last::Name(name), _) => name,
        (_, Victim::File) => return Err(Errno::EISDIR.into()),
        (Last::Up, Victim::Directory) => return Err(Errno::ENOTEMPTY.into()),
        (Last::Here, Victim::Directory) => {
            let is_root = path.iter().all(|&byte| byte == b'/');
            return Err(if is_root { Errno::EBUSY } else { Errno::EINVAL }.into());
        }
    };
    if tail.must_be_directory && victim == Victim::File {
        permission::check_mount(&tail.directory.mount, Access::WRITE)?;
        let found = walk::child(&tail.directory.dentry, name)?;
        let is_directory = found.inode().is_directory();
        return Err(if is_directory { Errno::EISDIR } else { Errno::ENOTDIR }.into());
    }
    Ok(remove::remove(&tail.directory, name, victim, &call.credentials)?)
}

/// `rename(old, new)`.
pub fn rename(caller: &mut Caller<'_>, old: UserAddr, new: UserAddr) -> Result<(), Failure> {
    renameat2(caller, AT_FDCWD, old, AT_FDCWD, new, 0)
}

/// `renameat(old_dirfd, old, new_dirfd, new)`.
pub fn renameat(
    caller: &mut Caller<'_>,
    old_directory: i32,
    old: UserAddr,
    new_directory: i32,
    new: UserAddr,
) -> Result<(), Failure> {
    renameat2(caller, old_directory, old, new_directory, new, 0)
}

/// `renameat2(old_dirfd, old, new_dirfd, new, flags)`.
pub fn renameat2(
    caller: &mut Caller<'_>,
    old_directory: i32,
    old: UserAddr,
    new_directory: i32,
    new: UserAddr,
    flags: u32,
) -> Result<(), Failure> {
    let (target, behind) = rename_mode(flags)?;
    let call = PathCall::of(caller);
    let mut old_buffer = PathBuffer::new();
    let old = path_argument(old, 0, &mut old_buffer)?;
    let mut new_buffer = PathBuffer::new();
    let new = path_argument(new, 0, &mut new_buffer)?;
    let old_start = call.start(caller, old_directory, old)?;
    let from = call.walk().to_parent(old_start, old)?;
    let new_start = call.start(caller, new_directory, new)?;
    let to = call.walk().to_parent(new_start, new)?;
    if !Arc::ptr_eq(&from.directory.mount, &to.directory.mount) {
        return Err(Errno::EXDEV.into());
    }
    let to_error = if target == Target::Keep { Errno::EEXIST } else { Errno::EBUSY };
    let ends = (end(&from).ok_or(Errno::EBUSY)?, end(&to).ok_or(to_error)?);
    Ok(rename::rename(ends.0, ends.1, target, behind, &call.credentials)?)
}

fn rename_mode(flags: u32) -> Result<(Target, Behind), Errno> {
    let behind = if flags & RENAME_WHITEOUT != 0 { Behind::Whiteout } else { Behind::Nothing };
    let target = match flags & !RENAME_WHITEOUT {
        0 => Target::Replace,
        RENAME_NOREPLACE => Target::Keep,
        RENAME_EXCHANGE if behind == Behind::Nothing => Target::Exchange,
        _ => return Err(Errno::EINVAL),
    };
    Ok((target, behind))
}

/// The end of a rename; `None` for `.`, `..` and the root, which cannot be renamed.
fn end<'a>(tail: &'a Tail<'_>) -> Option<End<'a>> {
    let Last::Name(name) = &tail.last else { return None };
    Some(End { directory: &tail.directory, name: Key::new(name), must_be_directory: tail.must_be_directory })
}
