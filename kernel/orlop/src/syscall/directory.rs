//! Directories: listing them, and the working and root directories.

use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{AT_FDCWD, Dirent, Dirent64};
use libkernel::addr::UserAddr;
use memory::user::PathBuffer;
use subject::{Credentials, capability};
use vfs::listing::{self, Listed};
use vfs::mount::Location;
use vfs::notify::Event;
use vfs::permission::{self, Access};
use vfs::walk::LastLink;
use vfs::{path_from, short};
use zerocopy::IntoBytes;

use super::at::{PathCall, content_file, file, path_argument};
use super::{Caller, Failure};

/// `getdents64(fd, buffer, size)`.
pub fn getdents64(caller: &mut Caller<'_>, fd: i32, buffer: UserAddr, size: i32) -> Result<usize, Failure> {
    list(caller, fd, buffer, size, encode_new)
}

/// `getdents(fd, buffer, size)`: the older record, with the type in its last byte.
pub fn getdents(caller: &mut Caller<'_>, fd: i32, buffer: UserAddr, size: i32) -> Result<usize, Failure> {
    list(caller, fd, buffer, size, encode_old)
}

/// Appends one record to the listing, unless it would grow beyond `limit`.
type Encode = fn(records: &mut Vec<u8>, limit: usize, entry: &Listed<'_>) -> bool;

fn list(caller: &Caller<'_>, fd: i32, buffer: UserAddr, size: i32, encode: Encode) -> Result<usize, Failure> {
    /// What one call returns at most; programs ask again.
    const MOST: usize = 32768;
    let file = content_file(caller, fd)?;
    if !file.is_directory() {
        return Err(Errno::ENOTDIR.into());
    }
    // A negative size has no room, and matters only where there is something to tell.
    let limit = usize::try_from(size).unwrap_or(0).min(MOST);
    let mut records = Vec::new();
    records.try_reserve_exact(limit)?;
    let mut position = file.position().take()?;
    let mut next = *position;
    let mut too_small = false;
    if file.location().dentry.is_removed() {
        return Err(Errno::ENOENT.into());
    }
    listing::list(file.location(), *position, |entry| {
        let fits = encode(&mut records, limit, &entry);
        if fits {
            next = entry.next;
        } else {
            too_small = records.is_empty();
        }
        fits
    })?;
    if too_small {
        return Err(Errno::EINVAL.into());
    }
    memory::user::write_bytes(buffer, &records)?;
    *position = next;
    drop(position);
    file.note_read();
    file.location().dentry.tell(Event::Accessed);
    Ok(records.len())
}

fn encode_new(records: &mut Vec<u8>, limit: usize, entry: &Listed<'_>) -> bool {
    let fixed = size_of::<Dirent64>();
    let length = (fixed + entry.name.len() + 1).next_multiple_of(8);
    if records.len() + length > limit {
        return false;
    }
    let head = Dirent64 {
        d_ino: entry.number,
        d_off: entry.next.cast_signed(),
        d_reclen: length as u16,
        d_type: entry.kind.directory_entry_type(),
    };
    let end = records.len() + length;
    records.extend_from_slice(head.as_bytes());
    records.extend_from_slice(entry.name);
    records.resize(end, 0);
    true
}

fn encode_old(records: &mut Vec<u8>, limit: usize, entry: &Listed<'_>) -> bool {
    let fixed = size_of::<Dirent>();
    let length = (fixed + entry.name.len() + 2).next_multiple_of(8);
    if records.len() + length > limit {
        return false;
    }
    let head = Dirent { d_ino: entry.number, d_off: entry.next.cast_signed(), d_reclen: length as u16 };
    let end = records.len() + length;
    records.extend_from_slice(head.as_bytes());
    records.extend_from_slice(entry.name);
    records.resize(end - 1, 0);
    records.push(entry.kind.directory_entry_type());
    true
}

/// `getcwd(buffer, size)`: returns the length with the NUL. ENOENT when the directory has been removed.
pub fn getcwd(caller: &mut Caller<'_>, buffer: UserAddr, size: usize) -> Result<usize, Failure> {
    let context = caller.thread.fs();
    let path = path_from(&context.working_directory(), &context.root())?;
    if path.removed {
        return Err(Errno::ENOENT.into());
    }
    let mut text = if path.reachable { Vec::new() } else { b"(unreachable)".to_vec() };
    text.extend_from_slice(&path.text);
    let mut text = short(text)?;
    text.push(0);
    if text.len() > size {
        return Err(Errno::ERANGE.into());
    }
    memory::user::write_bytes(buffer, &text)?;
    Ok(text.len())
}

/// `chdir(path)`.
pub fn chdir(caller: &mut Caller<'_>, path: UserAddr) -> Result<(), Failure> {
    let call = PathCall::of(caller);
    let directory = directory_argument(caller, &call, path)?;
    call.context.set_working_directory(directory);
    Ok(())
}

/// `fchdir(fd)`.
pub fn fchdir(caller: &mut Caller<'_>, fd: i32) -> Result<(), Failure> {
    let file = file(caller, fd)?;
    let place = file.location();
    check_directory(place, &caller.thread.credentials())?;
    caller.thread.fs().set_working_directory(place.clone());
    Ok(())
}

/// `chroot(path)`.
pub fn chroot(caller: &mut Caller<'_>, path: UserAddr) -> Result<(), Failure> {
    let call = PathCall::of(caller);
    let directory = directory_argument(caller, &call, path)?;
    call.credentials.require(capability::SYS_CHROOT)?;
    call.context.set_root(directory);
    Ok(())
}

fn directory_argument(caller: &Caller<'_>, call: &PathCall, path: UserAddr) -> Result<Location, Errno> {
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, 0, &mut buffer)?;
    let place = call.resolve(caller, AT_FDCWD, path, LastLink::Follow)?;
    check_directory(&place, &call.credentials)?;
    Ok(place)
}

fn check_directory(place: &Location, credentials: &Credentials) -> Result<(), Errno> {
    let inode = place.dentry.inode();
    if !inode.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    permission::check(inode, credentials, Access::EXECUTE)
}

/// `umask(mask)`: returns the one before.
pub fn umask(caller: &mut Caller<'_>, mask: u32) -> Result<u32, Failure> {
    Ok(caller.thread.with_fs(|context| context.set_umask(mask)))
}
