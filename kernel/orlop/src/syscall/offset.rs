//! Positions and sizes: `lseek`, `truncate`, `fallocate`, `fadvise64`, `readahead`.

use abi::Errno;
use abi::fs::{
    AT_FDCWD, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};
use libkernel::addr::UserAddr;

use super::at::{PathCall, content_file, path_argument};
use super::{Caller, Failure};
use crate::fs::attributes::FileKind;
use crate::fs::permission::{self, Access};
use crate::fs::walk::LastLink;
use crate::fs::writers::ContentWriter;
use crate::fs::{File, clock, limits};
use crate::memory::object::Growth;

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
    let mut position = file.position().lock();
    let target = target_of(&file, *position, offset, whence)?;
    *position = target;
    Ok(target)
}

fn target_of(file: &File, position: u64, offset: i64, whence: u32) -> Result<u64, Errno> {
    let size = file.inode().size();
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

fn moved(base: u64, offset: i64) -> Result<u64, Errno> {
    let target = base.checked_add_signed(offset).ok_or(Errno::EINVAL)?;
    if target > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(target) }
}

/// `truncate(path, length)`.
pub fn truncate(caller: &mut Caller<'_>, path: UserAddr, length: i64) -> Result<(), Failure> {
    let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let call = PathCall::of(caller);
    let path = path_argument(path, 0)?;
    let place = call.resolve(caller, AT_FDCWD, &path, LastLink::Follow)?;
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
    Ok(limits::set_size(inode, length, &writer)?)
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
    Ok(limits::set_size(file.inode(), length, writer)?)
}

/// `fallocate(fd, mode, offset, length)`.
pub fn fallocate(
    caller: &mut Caller<'_>,
    fd: i32,
    mode: u32,
    offset: i64,
    length: i64,
) -> Result<(), Failure> {
    let file = content_file(caller, fd)?;
    let (Ok(start), Ok(count)) = (u64::try_from(offset), u64::try_from(length)) else {
        return Err(Errno::EINVAL.into());
    };
    if count == 0 {
        return Err(Errno::EINVAL.into());
    }
    check_allocation_mode(mode)?;
    if !file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    let inode = file.inode();
    let object = match inode.kind {
        FileKind::Regular => inode.object().ok_or(Errno::ENODEV)?,
        FileKind::Directory => return Err(Errno::EISDIR.into()),
        FileKind::Fifo => return Err(Errno::ESPIPE.into()),
        _ => return Err(Errno::ENODEV.into()),
    };
    let end = start.checked_add(count).filter(|&end| end <= i64::MAX as u64).ok_or(Errno::EFBIG)?;
    if mode & FALLOC_FL_PUNCH_HOLE != 0 {
        object.punch(start, count)?;
    } else {
        let growth = if mode & FALLOC_FL_KEEP_SIZE != 0 { Growth::Keep } else { Growth::Grow };
        if end > inode.size() {
            limits::check_size(end)?;
        }
        object.allocate(start, count, growth)?;
    }
    inode.touch_modified(clock::now());
    limits::drop_set_id_bits(inode);
    Ok(())
}

/// EOPNOTSUPP for modes that Linux's tmpfs cannot do either, and for a hole that would change the size.
fn check_allocation_mode(mode: u32) -> Result<(), Errno> {
    match mode {
        0 | FALLOC_FL_KEEP_SIZE => Ok(()),
        _ if mode == FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
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
pub fn readahead(caller: &mut Caller<'_>, fd: i32, _offset: i64, _count: usize) -> Result<(), Failure> {
    let file = content_file(caller, fd)?;
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    if file.object().is_none() { Err(Errno::EINVAL.into()) } else { Ok(()) }
}
