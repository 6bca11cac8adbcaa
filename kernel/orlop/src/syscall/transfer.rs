//! Moving bytes from file to file: `sendfile`, `copy_file_range`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use libkernel::addr::UserAddr;
use memory::user::io::MAX_TRANSFER;
use memory::user::{IoSink, IoSource, UserPtr};
use outcome::OrErrno;

use super::at::content_file;
use super::splice::{fill_pipe, pipe_of, waiting_for};
use super::{Caller, Failure};
use filesystems::pipe::Pipe;
use sched::work;
use vfs::File;
use vfs::attributes::FileKind;
use vfs::inode::Body;
use vfs::notify::Event;

/// Bytes that are in flight at once.
const STEP: usize = 16384;

/// One side of a transfer: a file, and the position to use instead of its own.
pub(super) struct Side<'a> {
    pub(super) file: &'a Arc<File>,
    pub(super) position: Option<u64>,
}

impl<'a> Side<'a> {
    pub(super) fn at(file: &'a Arc<File>, position: Option<u64>) -> Side<'a> {
        Side { file, position }
    }

    /// Moves bytes from where this side is, and goes on by as many.
    pub(super) fn with_position(
        &mut self,
        moves: impl FnOnce(u64) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        if let Some(position) = &mut self.position {
            let moved = moves(*position)?;
            *position += moved as u64;
            return Ok(moved);
        }
        let mut position = self.file.position().take().or_errno()?;
        let moved = moves(*position)?;
        *position += moved as u64;
        Ok(moved)
    }

    /// Reads; from a pipe what is there.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Failure> {
        let mut sink = IoSink::kernel(bytes);
        if let Some(pipe) = self.file.operations::<Pipe>() {
            let outcome = pipe.read_stream(&mut sink);
            return Ok(sink.finish(outcome)?);
        }
        let Some(position) = self.position else { return self.file.read(&mut sink) };
        let moved = self.file.read_at(position, &mut sink)?;
        self.position = Some(position + self.passed(moved));
        Ok(moved)
    }

    /// Writes; into a pipe what fits.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut source = IoSource::kernel(bytes);
        if let Some(pipe) = self.file.operations::<Pipe>() {
            let outcome = pipe.write_apart(&mut source);
            return Ok(source.finish(outcome)?);
        }
        let Some(position) = self.position else { return self.file.write(&mut source) };
        let moved = self.file.write_at(position, &mut source)?;
        self.position = Some(position + self.passed(moved));
        Ok(moved)
    }

    /// How far the position goes with so many bytes: nowhere where one is as good as another.
    fn passed(&self, moved: usize) -> u64 {
        if self.file.is_seekable() { moved as u64 } else { 0 }
    }

    /// Takes back what was read and found no taker.
    fn unread(&mut self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        match (&mut self.position, self.file.operations::<Pipe>()) {
            (Some(_), _) if !self.file.is_seekable() => {}
            (Some(position), _) => *position = position.saturating_sub(count),
            (None, Some(pipe)) => pipe.unread(bytes),
            (None, None) => {
                // A thread that is killed here leaves a position that others have moved on from.
                if let Ok(mut position) = self.file.position().take() {
                    *position = position.saturating_sub(count);
                }
            }
        }
    }
}

/// Moves up to `count` bytes; what was moved before an error wins over it.
pub(super) fn transfer(from: &mut Side<'_>, to: &mut Side<'_>, count: usize) -> Result<usize, Failure> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(STEP.min(count))?;
    buffer.resize(STEP.min(count), 0);
    let count = count.min(MAX_TRANSFER);
    let mut done = 0;
    while done < count {
        let wanted = buffer.len().min(count - done);
        let outcome = move_step(from, to, buffer.get_mut(..wanted).unwrap_or_default());
        match outcome {
            Ok(0) => break,
            Ok(moved) => {
                done += moved;
                if moved < wanted || work::signal_is_pending() {
                    break;
                }
            }
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => break,
        }
    }
    if done > 0 && to.file.object().is_some() {
        to.file.location().dentry.tell(Event::Modified);
    }
    Ok(done)
}

/// Tells who watches the files' directories that a call has moved bytes from one to the other. As on Linux that comes
/// on top of what was told of the single writes.
fn tell_of_transfer(from: &File, to: &File, moved: usize) {
    if moved > 0 {
        from.location().dentry.tell(Event::Accessed);
        to.location().dentry.tell(Event::Modified);
    }
}

fn move_step(from: &mut Side<'_>, to: &mut Side<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
    let taken = from.read(buffer)?;
    let outcome = to.write(buffer.get(..taken).unwrap_or_default());
    let given = outcome.as_ref().map_or(0, |&given| given);
    if given < taken {
        from.unread(buffer.get(given..taken).unwrap_or_default());
    }
    outcome
}

/// A position argument: where it says and whether there is one. EINVAL below zero.
pub(super) fn position_argument(address: UserAddr) -> Result<Option<u64>, Errno> {
    if address.is_null() {
        return Ok(None);
    }
    let position: i64 = UserPtr::new(address).read()?;
    u64::try_from(position).map(Some).map_err(|_| Errno::EINVAL)
}

pub(super) fn return_position(address: UserAddr, position: Option<u64>) -> Result<(), Errno> {
    match position {
        Some(position) => UserPtr::new(address).write(&position.cast_signed()),
        None => Ok(()),
    }
}

/// `sendfile(out, in, offset, count)`: from a file that has positions.
pub fn sendfile(
    caller: &mut Caller<'_>,
    out: i32,
    input: i32,
    offset: UserAddr,
    count: usize,
) -> Result<usize, Failure> {
    let position = position_argument(offset)?;
    let input = content_file(caller, input)?;
    let out = content_file(caller, out)?;
    if !input.is_readable() || !out.is_writable() {
        return Err(Errno::EBADF.into());
    }
    if position.is_some() && !input.accepts_positions() {
        return Err(Errno::ESPIPE.into());
    }
    if !input.can_be_spliced() || !out.takes_splices() || isize::try_from(count).is_err() {
        return Err(Errno::EINVAL.into());
    }
    if out.flags() & abi::fs::O_APPEND != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (mut from, mut to) = (Side::at(&input, position), Side::at(&out, None));
    let done = match pipe_of(&out) {
        Some(pipe) => fill_pipe(&mut from, &mut to, pipe, count, waiting_for(0, out.flags()))?,
        None => transfer(&mut from, &mut to, count)?,
    };
    tell_of_transfer(&input, &out, done);
    return_position(offset, from.position)?;
    Ok(done)
}

/// `copy_file_range(in, in_offset, out, out_offset, count, flags)`: between regular files.
pub fn copy_file_range(
    caller: &mut Caller<'_>,
    input: i32,
    in_offset: UserAddr,
    out: i32,
    out_offset: UserAddr,
    count: usize,
    flags: u32,
) -> Result<usize, Failure> {
    let input = content_file(caller, input)?;
    let out = content_file(caller, out)?;
    let (in_position, out_position) = (position_argument(in_offset)?, position_argument(out_offset)?);
    // There are none yet.
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    for file in [&input, &out] {
        match file.inode().kind {
            FileKind::Regular if file.object().is_some() || matches!(file.inode().body, Body::Made(_)) => {}
            FileKind::Directory => return Err(Errno::EISDIR.into()),
            _ => return Err(Errno::EINVAL.into()),
        }
    }
    if !input.is_readable() || !out.is_writable() || out.flags() & abi::fs::O_APPEND != 0 {
        return Err(Errno::EBADF.into());
    }
    // Files that the kernel makes up can be copied to no other file system, and nothing is there to be copied within
    // their own.
    let is_made = [&input, &out].map(|file| matches!(file.inode().body, Body::Made(_)));
    if is_made[0] || is_made[1] {
        return if is_made[0] && is_made[1] { Ok(0) } else { Err(Errno::EXDEV.into()) };
    }
    let count = count_between(&input, in_position, &out, out_position, count)?;
    let (mut from, mut to) = (Side::at(&input, in_position), Side::at(&out, out_position));
    let done = transfer(&mut from, &mut to, count)?;
    tell_of_transfer(&input, &out, done);
    return_position(in_offset, from.position)?;
    return_position(out_offset, to.position)?;
    Ok(done)
}

/// How much there is to copy: what was asked for, up to the source's end (Linux: `generic_copy_file_checks`). EOVERFLOW
/// where a range would end beyond all positions, EINVAL where both lie in one file and overlap.
fn count_between(
    input: &File,
    in_position: Option<u64>,
    out: &File,
    out_position: Option<u64>,
    count: usize,
) -> Result<usize, Errno> {
    let place = |file: &File, position: Option<u64>| match position {
        Some(position) => Ok(position),
        None => file.position().take().map(|position| *position).or_errno(),
    };
    let (start, target) = (place(input, in_position)?, place(out, out_position)?);
    if [start, target].iter().any(|position| position.checked_add(count as u64).is_none()) {
        return Err(Errno::EOVERFLOW);
    }
    let left = input.inode().size().saturating_sub(start);
    let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
    let overlap = Arc::ptr_eq(input.inode(), out.inode()) && start.abs_diff(target) < count as u64;
    if overlap { Err(Errno::EINVAL) } else { Ok(count) }
}
