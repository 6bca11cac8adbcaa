//! Reading and writing: `read`, `write` and their vectored and positioned forms.

use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{Iovec, RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC};
use libkernel::addr::UserAddr;
use memory::user::io::MAX_SEGMENTS;
use memory::user::{IoSink, IoSource, UserSlice};
use vfs::File;
use vfs::attributes::FileKind;
use vfs::notify::{self, Event};

use super::at::{content_file, only};
use super::{Caller, Failure};

/// Reads or writes a file, and tells who watches its directory.
#[inline(always)]
fn told(file: &File, event: Event, moves: impl FnOnce() -> Result<usize, Failure>) -> Result<usize, Failure> {
    let mut outcome = moves();
    if notify::is_any() {
        outcome = file.tell_of_bytes(event, outcome);
    }
    outcome
}

/// `read(fd, buffer, count)`.
pub fn read(caller: &mut Caller<'_>, fd: i32, buffer: UserAddr, count: usize) -> Result<usize, Failure> {
    let file = content_file(caller, fd)?;
    told(&file, Event::Accessed, || file.read(&mut user_sink(buffer, count)?))
}

/// `write(fd, buffer, count)`.
pub fn write(caller: &mut Caller<'_>, fd: i32, buffer: UserAddr, count: usize) -> Result<usize, Failure> {
    let file = content_file(caller, fd)?;
    told(&file, Event::Modified, || file.write(&mut user_source(buffer, count)?))
}

/// `pread64(fd, buffer, count, offset)`.
pub fn pread64(
    caller: &mut Caller<'_>,
    fd: i32,
    buffer: UserAddr,
    count: usize,
    offset: i64,
) -> Result<usize, Failure> {
    let position = position(offset)?;
    let file = positioned_file(caller, fd)?;
    told(&file, Event::Accessed, || file.read_at(position, &mut user_sink(buffer, count)?))
}

/// `pwrite64(fd, buffer, count, offset)`. A file opened with `O_APPEND` is appended to whatever the offset, as on
/// Linux.
pub fn pwrite64(
    caller: &mut Caller<'_>,
    fd: i32,
    buffer: UserAddr,
    count: usize,
    offset: i64,
) -> Result<usize, Failure> {
    let position = position(offset)?;
    let file = positioned_file(caller, fd)?;
    told(&file, Event::Modified, || write_positioned(&file, position, &mut user_source(buffer, count)?, 0))
}

/// `readv(fd, buffers, count)`.
pub fn readv(caller: &mut Caller<'_>, fd: i32, buffers: UserAddr, count: u32) -> Result<usize, Failure> {
    let file = content_file(caller, fd)?;
    with_vectors(buffers, count, |vectors| {
        told(&file, Event::Accessed, || file.read(&mut IoSink::vectors(vectors)?))
    })
}

/// `writev(fd, buffers, count)`.
pub fn writev(caller: &mut Caller<'_>, fd: i32, buffers: UserAddr, count: u32) -> Result<usize, Failure> {
    let file = content_file(caller, fd)?;
    with_vectors(buffers, count, |vectors| {
        told(&file, Event::Modified, || file.write(&mut IoSource::vectors(vectors)?))
    })
}

/// `preadv(fd, buffers, count, offset)`; the offset's upper half comes in a register that 64-bit machines do not use.
pub fn preadv(
    caller: &mut Caller<'_>,
    fd: i32,
    buffers: UserAddr,
    count: u32,
    offset: i64,
) -> Result<usize, Failure> {
    let position = position(offset)?;
    let file = positioned_file(caller, fd)?;
    with_vectors(buffers, count, |vectors| {
        told(&file, Event::Accessed, || file.read_at(position, &mut IoSink::vectors(vectors)?))
    })
}

/// `pwritev(fd, buffers, count, offset)`.
pub fn pwritev(
    caller: &mut Caller<'_>,
    fd: i32,
    buffers: UserAddr,
    count: u32,
    offset: i64,
) -> Result<usize, Failure> {
    let position = position(offset)?;
    let file = positioned_file(caller, fd)?;
    with_vectors(buffers, count, |vectors| {
        told(&file, Event::Modified, || {
            write_positioned(&file, position, &mut IoSource::vectors(vectors)?, 0)
        })
    })
}

/// `preadv2(fd, buffers, count, offset, unused, flags)`: an offset of -1 is the file's own position.
pub fn preadv2(
    caller: &mut Caller<'_>,
    fd: i32,
    buffers: UserAddr,
    count: u32,
    offset: i64,
    _offset_high: u64,
    flags: u32,
) -> Result<usize, Failure> {
    known_transfer_flags(flags)?;
    if flags & RWF_NOWAIT != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if offset == -1 { readv(caller, fd, buffers, count) } else { preadv(caller, fd, buffers, count, offset) }
}

/// `pwritev2(fd, buffers, count, offset, unused, flags)`: an offset of -1 is the file's own position.
pub fn pwritev2(
    caller: &mut Caller<'_>,
    fd: i32,
    buffers: UserAddr,
    count: u32,
    offset: i64,
    _offset_high: u64,
    flags: u32,
) -> Result<usize, Failure> {
    known_transfer_flags(flags)?;
    if flags & RWF_NOWAIT != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if offset == -1 && flags & RWF_APPEND == 0 {
        return writev(caller, fd, buffers, count);
    }
    let position = if offset == -1 { 0 } else { position(offset)? };
    let file = positioned_file(caller, fd)?;
    with_vectors(buffers, count, |vectors| {
        told(&file, Event::Modified, || {
            write_positioned(&file, position, &mut IoSource::vectors(vectors)?, flags)
        })
    })
}

fn known_transfer_flags(flags: u32) -> Result<(), Failure> {
    let known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
    if flags & !known != 0 { Err(Errno::EOPNOTSUPP.into()) } else { Ok(()) }
}

/// Writes at a position, or at the end where the file's flags or the call's say so.
fn write_positioned(
    file: &File,
    position: u64,
    source: &mut IoSource<'_>,
    flags: u32,
) -> Result<usize, Failure> {
    let appends = file.flags() & abi::fs::O_APPEND != 0 || flags & RWF_APPEND != 0;
    if appends && file.object().is_some() {
        return file.append(source).map(|(_, moved)| moved);
    }
    file.write_at(position, source)
}

/// An offset argument: EINVAL below zero.
fn position(offset: i64) -> Result<u64, Errno> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// The file of a positioned call: ESPIPE for one that has no positions.
fn positioned_file(caller: &Caller<'_>, fd: i32) -> Result<alloc::sync::Arc<File>, Errno> {
    let file = content_file(caller, fd)?;
    if file.accepts_positions() { Ok(file) } else { Err(Errno::ESPIPE) }
}

/// A buffer that reaches beyond the user half is EFAULT before anything else is looked at, as Linux's `access_ok` has
/// it. That covers counts that are negative as signed numbers, too.
fn check_buffer(buffer: UserAddr, count: usize) -> Result<(), Errno> {
    hal::user_copy::checked(buffer, count as u64).map(drop).ok_or(Errno::EFAULT)
}

fn user_sink<'a>(buffer: UserAddr, count: usize) -> Result<IoSink<'a>, Errno> {
    check_buffer(buffer, count)?;
    Ok(IoSink::user(buffer, count))
}

fn user_source<'a>(buffer: UserAddr, count: usize) -> Result<IoSource<'a>, Errno> {
    check_buffer(buffer, count)?;
    Ok(IoSource::user(buffer, count))
}

/// Copies the buffers' descriptions in, and has `transfer` use them; few of them need no allocation. Of their number
/// Linux looks at 32 bits, in all calls that take such a list.
pub fn with_vectors<R>(
    buffers: UserAddr,
    count: u32,
    transfer: impl FnOnce(&[Iovec]) -> Result<R, Failure>,
) -> Result<R, Failure> {
    const FEW: usize = 8;
    let count = count as usize;
    if count > MAX_SEGMENTS {
        return Err(Errno::EINVAL.into());
    }
    let claimed = UserSlice::<Iovec>::new(buffers, count);
    if count <= FEW {
        let mut few = [Iovec::default(); FEW];
        let vectors = few.get_mut(..count).unwrap_or_default();
        claimed.read_into(vectors)?;
        return transfer(vectors);
    }
    let vectors: Vec<Iovec> = claimed.read_to_vec()?;
    transfer(&vectors)
}

/// `sync()` and its like: files are memory, there is nothing to be written out.
pub fn sync(_caller: &mut Caller<'_>) -> Result<(), Failure> {
    Ok(())
}

/// `fsync(fd)`. EINVAL for files that cannot be synchronised.
pub fn fsync(caller: &mut Caller<'_>, fd: i32) -> Result<(), Failure> {
    let file = content_file(caller, fd)?;
    if file.special().is_some() || file.inode().is_made_up() { Err(Errno::EINVAL.into()) } else { Ok(()) }
}

/// `syncfs(fd)`.
pub fn syncfs(caller: &mut Caller<'_>, fd: i32) -> Result<(), Failure> {
    content_file(caller, fd)?;
    Ok(())
}

/// `sync_file_range(fd, offset, count, flags)`.
pub fn sync_file_range(
    caller: &mut Caller<'_>,
    fd: i32,
    offset: i64,
    count: i64,
    flags: u32,
) -> Result<(), Failure> {
    const KNOWN: u32 = 7;
    only(flags, KNOWN)?;
    let file = content_file(caller, fd)?;
    if offset < 0 || count < 0 || offset.checked_add(count).is_none() {
        return Err(Errno::EINVAL.into());
    }
    match file.inode().kind {
        FileKind::Regular | FileKind::Directory | FileKind::BlockDevice => Ok(()),
        _ => Err(Errno::ESPIPE.into()),
    }
}
