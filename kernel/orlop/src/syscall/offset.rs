//! Positions and sizes: `lseek`, `truncate`, `fallocate`, `fadvise64`, `readahead`.

use abi::Errno;
use abi::fs::{
    AT_FDCWD, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_UNSHARE_RANGE, FALLOC_FL_ZERO_RANGE, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};
use libkernel::addr::UserAddr;
use memory::object::Growth;
use memory::user::PathBuffer;
use vfs::attributes::FileKind;
use vfs::lock::{Blocking, LockKind};
use vfs::notify::Event;
use vfs::permission::{self, Access};
use vfs::walk::LastLink;
use vfs::writers::ContentWriter;
use vfs::{File, clock, limits};

use super::at::{PathCall, content_file, path_argument};
use super::{Caller, Failure};

/// `lseek(fd, offset, whence)`.
pub fn lseek(caller: &mut Caller<'_>, fd: i32, offset: i64, whence: u32) -> Result<u64, Failure> {
    let file = content_file(caller, fd)?;
    if whence > SEEK_HOLE {
        return Err(Errno::EINVAL.into());
    }
    if let Some(moved) = file.special().and_then(|operations| operations.seek(offset, whence)) {
        return Ok(moved?);
    }
    if !file.is_seekable() {
        return if file.accepts_positions() { Ok(0) } else { Err(Errno::ESPIPE.into()) };
    }
    let mut position = file.position().take()?;
    let target = target_of(&file, *position, offset, whence)?;
    *position = target;
    Ok(target)
}

fn target_of(file: &File, position: u64, offset: i64, whence: u32) -> Result<u64, Errno> {
    let size = file.inode().size();
    if file.is_directory() && file.inode().is_made_up() {
        return made_up_target(position, offset, whence);
    }
    match whence {
        SEEK_SET => u64::try_from(offset).map_err(|_| Errno::EINVAL),
        SEEK_CUR => moved(position, offset),
        _ if !file.knows_its_end() => Err(Errno::EINVAL),
        SEEK_END => moved(size, offset),
        _ => {
            let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
            if offset >= size {
                return Err(Errno::ENXIO);
            }
            let object = file.object().ok_or(Errno::EINVAL)?;
            match whence {
                SEEK_DATA => object.next_data(offset).filter(|&data| data < size).ok_or(Errno::ENXIO),
                _ => Ok(object.next_hole(offset).min(size)),
            }
        }
    }
}

/// In a directory that the kernel makes up: its size is 0, and its positions have 31 bits (Linux: `generic_file_llseek`
/// with the `s_maxbytes` of a file system that sets none).
fn made_up_target(position: u64, offset: i64, whence: u32) -> Result<u64, Errno> {
    const LAST: u64 = i32::MAX as u64;
    let target = match whence {
        SEEK_SET | SEEK_END => u64::try_from(offset).map_err(|_| Errno::EINVAL)?,
        SEEK_CUR => moved(position, offset)?,
        _ => return Err(Errno::ENXIO),
    };
    if target > LAST { Err(Errno::EINVAL) } else { Ok(target) }
}

fn moved(base: u64, offset: i64) -> Result<u64, Errno> {
    let target = base.checked_add_signed(offset).ok_or(Errno::EINVAL)?;
    if target > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(target) }
}

/// `truncate(path, length)`.
pub fn truncate(caller: &mut Caller<'_>, path: UserAddr, length: i64) -> Result<(), Failure> {
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let call = PathCall::of(caller);
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, 0, &mut buffer)?;
    let place = call.resolve(caller, AT_FDCWD, path, LastLink::Follow)?;
    let inode = place.dentry.inode();
    match inode.kind {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Errno::EISDIR.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    permission::check_mount(&place.mount, Access::WRITE)?;
    permission::check(inode, &call.credentials, Access::WRITE)?;
    if inode.generated_class().is_some() {
        // There is nothing to be cut, and no harm in it: shells open settings with O_TRUNC.
        return Ok(());
    }
    let object = inode.object().ok_or(Errno::EINVAL)?;
    let writer = ContentWriter::enter(&place.mount, object)?;
    inode.locks.break_leases(LockKind::Exclusive, Blocking::Wait)?;
    Ok(limits::set_size(&place.dentry, length, &writer)?)
}

/// `ftruncate(fd, length)`.
pub fn ftruncate(caller: &mut Caller<'_>, fd: i32, length: i64) -> Result<(), Failure> {
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let file = content_file(caller, fd)?;
    if !file.is_writable() {
        return Err(Errno::EINVAL.into());
    }
    if file.inode().generated_class().is_some() {
        return Ok(());
    }
    let writer = file.writer().ok_or(Errno::EINVAL)?;
    Ok(limits::set_size(&file.location().dentry, length, writer)?)
}

/// `fallocate(fd, mode, offset, length)`.
pub fn fallocate(
    caller: &mut Caller<'_>,
    fd: i32,
    mode: u32,
    offset: i64,
    length: i64,
) -> Result<(), Failure> {
    Ok(allocate(&*content_file(caller, fd)?, mode, offset, length)?)
}

/// What `fallocate` does, with errors in Linux's order.
pub(super) fn allocate(file: &File, mode: u32, offset: i64, length: i64) -> Result<(), Errno> {
    let start = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let count = u64::try_from(length).ok().filter(|&count| count > 0).ok_or(Errno::EINVAL)?;
    check_allocation_mode(mode)?;
    if !file.is_writable() {
        return Err(Errno::EBADF);
    }
    let inode = file.inode();
    match inode.kind {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Errno::EISDIR),
        FileKind::Fifo => return Err(Errno::ESPIPE),
        _ => return Err(Errno::ENODEV),
    }
    let end = start.checked_add(count).filter(|&end| end <= i64::MAX as u64).ok_or(Errno::EFBIG)?;
    let object = inode.object().filter(|_| mode & !KNOWN_TO_TMPFS == 0).ok_or(Errno::EOPNOTSUPP)?;
    if mode & FALLOC_FL_PUNCH_HOLE != 0 {
        object.punch(start, count)?;
    } else {
        let growth = if mode & FALLOC_FL_KEEP_SIZE != 0 { Growth::Keep } else { Growth::Grow };
        object.allocate(start, count, growth, || limits::check_size(end))?;
    }
    inode.touch_modified(clock::now());
    if limits::drop_privileges(inode)? {
        file.location().dentry.tell(Event::Attributes);
    }
    file.location().dentry.tell(Event::Modified);
    Ok(())
}

/// The modes that Linux's tmpfs can do.
const KNOWN_TO_TMPFS: u32 = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;

/// Modes that no file system can do, before the file is looked at: EOPNOTSUPP for unknown ones, for a hole that would
/// change the size or be filled with zeroes; EINVAL where a range that moves, or stops being shared, is to be something
/// else as well.
fn check_allocation_mode(mode: u32) -> Result<(), Errno> {
    const MOVES: u32 = FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;
    const KNOWN: u32 = KNOWN_TO_TMPFS | MOVES | FALLOC_FL_ZERO_RANGE | FALLOC_FL_UNSHARE_RANGE;
    let punches = mode & FALLOC_FL_PUNCH_HOLE != 0;
    if mode & !KNOWN != 0 || punches && (mode & FALLOC_FL_KEEP_SIZE == 0 || mode & FALLOC_FL_ZERO_RANGE != 0)
    {
        return Err(Errno::EOPNOTSUPP);
    }
    let moves_and_more = mode & MOVES != 0 && !mode.is_power_of_two();
    let unshares = mode & FALLOC_FL_UNSHARE_RANGE != 0;
    let unshares_and_more = unshares && mode & !(FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE) != 0;
    if moves_and_more || unshares_and_more { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `fadvise64(fd, offset, length, advice)`: everything is in memory already.
pub fn fadvise64(
    caller: &mut Caller<'_>,
    fd: i32,
    _offset: i64,
    length: i64,
    advice: u32,
) -> Result<(), Failure> {
    const LAST_ADVICE: u32 = 5;
    let file = content_file(caller, fd)?;
    if file.inode().kind == FileKind::Fifo {
        return Err(Errno::ESPIPE.into());
    }
    if length < 0 || advice > LAST_ADVICE { Err(Errno::EINVAL.into()) } else { Ok(()) }
}

/// `readahead(fd, offset, count)`: as `fadvise64`.
pub fn readahead(caller: &mut Caller<'_>, fd: i32, _offset: i64, count: i64) -> Result<(), Failure> {
    let file = content_file(caller, fd)?;
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    if file.inode().kind != FileKind::Regular || count < 0 { Err(Errno::EINVAL.into()) } else { Ok(()) }
}
