//! `splice`, `tee` and `vmsplice`: bytes between a pipe and another file, pipe or memory, without a buffer of the
//! program's.
//!
//! Between pipes, and out of stored files and memory, pages go by reference; what a device or a made-up file gives, and
//! what goes into a file, is copied. One call blocks only until it can move something. That pages may be moved or given
//! away (`SPLICE_F_MOVE`, `SPLICE_F_GIFT`) and that more will follow (`SPLICE_F_MORE`) changes nothing, as for a file
//! in memory on Linux.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{Iovec, O_APPEND, O_NONBLOCK, SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK};
use filesystems::pipe::{Kept, Piece, Pipe, Waiting};
use hal::frame::SharedFrame;
use libkernel::addr::{PAGE_SIZE, UserAddr};
use libkernel::fault::Access;
use memory::user::IoSink;
use memory::{AddressSpace, Object, PageContent};
use outcome::OrErrno;
use vfs::File;

use super::at::{content_file, content_files, only};
use super::io::with_vectors;
use super::transfer::{Side, position_argument, return_position, transfer};
use super::{Caller, Failure};

/// The flags that all three calls take.
const FLAGS: u32 = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;

/// `splice(in, in_offset, out, out_offset, count, flags)`.
pub fn splice(
    caller: &mut Caller<'_>,
    input: i32,
    in_offset: UserAddr,
    out: i32,
    out_offset: UserAddr,
    count: usize,
    flags: u32,
) -> Result<usize, Failure> {
    if count == 0 {
        return Ok(0);
    }
    only(flags, FLAGS)?;
    let [input, out] = content_files(caller, input, out)?;
    let (from_pipe, to_pipe) = (pipe_of(&input), pipe_of(&out));
    let positions_a_pipe =
        from_pipe.is_some() && !in_offset.is_null() || to_pipe.is_some() && !out_offset.is_null();
    if positions_a_pipe {
        return Err(Errno::ESPIPE.into());
    }
    if !input.is_readable() || !out.is_writable() {
        return Err(Errno::EBADF.into());
    }
    check_side(from_pipe, &input, File::can_be_spliced, in_offset)?;
    check_side(to_pipe, &out, File::takes_splices, out_offset)?;
    // A count that is negative as a signed number is seen only where it is not first cut to the pipe's room.
    if to_pipe.is_none() && isize::try_from(count).is_err() {
        return Err(Errno::EINVAL.into());
    }
    if to_pipe.is_none() && out.flags() & O_APPEND != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut from = Side::at(&input, position_argument(in_offset)?);
    let mut to = Side::at(&out, position_argument(out_offset)?);
    let done = match (from_pipe, to_pipe) {
        (None, None) => return Err(Errno::EINVAL.into()),
        (Some(from), Some(to)) if core::ptr::eq(from, to) => return Err(Errno::EINVAL.into()),
        (Some(from), Some(to)) => {
            let waiting = waiting_for(flags, input.flags() | out.flags());
            return Pipe::pass(from, to, count, Kept::Leaves, waiting);
        }
        (Some(pipe), None) => {
            let waiting = waiting_for(flags, input.flags());
            once_there(pipe, waiting, || transfer(&mut from, &mut to, count))?
        }
        (None, Some(pipe)) => fill_pipe(&mut from, &mut to, pipe, count, waiting_for(flags, out.flags()))?,
    };
    return_position(in_offset, from.position)?;
    return_position(out_offset, to.position)?;
    Ok(done)
}

/// `tee(in, out, count, flags)`: bytes of a pipe into another one, which the first keeps.
pub fn tee(
    caller: &mut Caller<'_>,
    input: i32,
    out: i32,
    count: usize,
    flags: u32,
) -> Result<usize, Failure> {
    only(flags, FLAGS)?;
    if count == 0 {
        return Ok(0);
    }
    let [input, out] = content_files(caller, input, out)?;
    if !input.is_readable() || !out.is_writable() {
        return Err(Errno::EBADF.into());
    }
    match (pipe_of(&input), pipe_of(&out)) {
        (Some(from), Some(to)) if !core::ptr::eq(from, to) => {
            Pipe::pass(from, to, count, Kept::Stays, waiting_for(flags, input.flags() | out.flags()))
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `vmsplice(fd, buffers, count, flags)`: memory into a pipe, by page; out of a pipe that is open for reading alone,
/// bytes are copied. What the program stores in its pages afterwards shows in the pipe. Of the file's own `O_NONBLOCK`
/// Linux takes no notice here.
pub fn vmsplice(
    caller: &mut Caller<'_>,
    fd: i32,
    buffers: UserAddr,
    count: u32,
    flags: u32,
) -> Result<usize, Failure> {
    only(flags, FLAGS)?;
    let file = content_file(caller, fd)?;
    if !file.is_writable() && !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    let waiting = waiting_for(flags, 0);
    with_vectors(buffers, count, |vectors| {
        let mut sink = IoSink::vectors(vectors)?;
        if sink.remaining() == 0 {
            return Ok(0);
        }
        let pipe = pipe_of(&file).ok_or(Errno::EBADF)?;
        if file.is_writable() {
            let space = caller.thread.process().address_space().ok_or(Errno::EFAULT)?;
            return add_user_pages(pipe, waiting, || UserPages {
                space: &space,
                vectors,
                left: sink.remaining(),
                done: 0,
            });
        }
        once_there(pipe, waiting, || {
            let outcome = pipe.read_stream(&mut sink);
            Ok(sink.finish(outcome)?)
        })
    })
}

/// Waits for bytes of a pipe and moves them: how many. None where no more will come.
fn once_there(
    pipe: &Pipe,
    waiting: Waiting,
    mut moves: impl FnMut() -> Result<usize, Failure>,
) -> Result<usize, Failure> {
    loop {
        if !pipe.await_bytes(waiting)? {
            return Ok(0);
        }
        let moved = moves()?;
        if moved > 0 {
            return Ok(moved);
        }
        // Another reader was faster.
    }
}

/// Gives a pipe as many of a program's pages as it has room for. They are brought in and held before the pipe is
/// locked.
fn add_user_pages<'a>(
    pipe: &Pipe,
    waiting: Waiting,
    pages: impl Fn() -> UserPages<'a>,
) -> Result<usize, Failure> {
    loop {
        pipe.await_room(waiting)?;
        let mut pieces = pages().gather(pipe.room() / PAGE_SIZE as usize)?.into_iter();
        let moved = pipe.add_pieces(|| Ok(pieces.next()))?;
        if moved > 0 {
            return Ok(moved);
        }
        // Another writer was faster.
    }
}

/// The pages that a program's buffers lie in, one after the other.
struct UserPages<'a> {
    space: &'a AddressSpace,
    vectors: &'a [Iovec],
    /// Bytes that all of them have left.
    left: usize,
    /// Bytes of the first that are done.
    done: u64,
}

impl UserPages<'_> {
    /// Up to `most` of them, up to the first that cannot be had, whose error counts where none comes before it.
    fn gather(mut self, most: usize) -> Result<Vec<Piece>, Errno> {
        let mut pieces = Vec::new();
        while pieces.len() < most {
            match self.next() {
                Ok(Some(piece)) => {
                    pieces.try_reserve(1).or_errno()?;
                    pieces.push(piece);
                }
                Ok(None) => break,
                Err(errno) if pieces.is_empty() => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(pieces)
    }

    fn next(&mut self) -> Result<Option<Piece>, Errno> {
        while let Some((vector, rest)) = self.vectors.split_first() {
            let room = vector.iov_len - self.done;
            if room == 0 {
                (self.vectors, self.done) = (rest, 0);
                continue;
            }
            if self.left == 0 {
                return Ok(None);
            }
            let address = UserAddr::new(vector.iov_base + self.done);
            let start = address.page_offset();
            let length = (PAGE_SIZE - start as u64).min(room).min(self.left as u64) as usize;
            let frame = self.space.frame_for(address, Access::Read).map_err(|_| Errno::EFAULT)?;
            self.done += length as u64;
            self.left -= length;
            return Ok(Some(Piece { frame, start, length }));
        }
        Ok(None)
    }
}

/// Fills a pipe from a file, as far as it has room: `splice` and `sendfile`.
pub(super) fn fill_pipe(
    from: &mut Side<'_>,
    to: &mut Side<'_>,
    pipe: &Pipe,
    count: usize,
    waiting: Waiting,
) -> Result<usize, Failure> {
    loop {
        pipe.await_room(waiting)?;
        let Some(object) = from.file.object() else {
            return transfer(from, to, count.min(pipe.room()));
        };
        let moved = from.with_position(|position| {
            let mut pages = FilePages { object, position, end: position.saturating_add(count as u64) };
            pipe.add_pieces(|| pages.next())
        })?;
        if moved > 0 {
            from.file.note_read();
        }
        if moved > 0 || pipe.room() > 0 {
            return Ok(moved);
        }
        // Another writer was faster.
    }
}

/// The pages of a stored file from a position on, one after the other. Holes are zeroes.
struct FilePages<'a> {
    object: &'a Object,
    position: u64,
    end: u64,
}

impl FilePages<'_> {
    fn next(&mut self) -> Result<Option<Piece>, Errno> {
        let left = self.end.min(self.object.size()).saturating_sub(self.position);
        if left == 0 {
            return Ok(None);
        }
        let frame = match self.object.content(self.position / PAGE_SIZE) {
            PageContent::Frame(frame) => frame,
            PageContent::Hole => SharedFrame::zero(),
        };
        let start = self.position % PAGE_SIZE;
        let length = (PAGE_SIZE - start).min(left);
        self.position += length;
        Ok(Some(Piece { frame, start: start as usize, length: length as usize }))
    }
}

/// Whether a call with these flags, on files with those, waits.
pub(super) fn waiting_for(flags: u32, file_flags: u32) -> Waiting {
    let refuses = flags & SPLICE_F_NONBLOCK != 0 || file_flags & O_NONBLOCK != 0;
    if refuses { Waiting::Refuses } else { Waiting::Waits }
}

pub(super) fn pipe_of(file: &Arc<File>) -> Option<&Pipe> {
    file.operations()
}

/// The side that is no pipe is a file that can be spliced, and has positions if one is given.
fn check_side(
    pipe: Option<&Pipe>,
    file: &File,
    can: fn(&File) -> bool,
    offset: UserAddr,
) -> Result<(), Errno> {
    let is_right = can(file) && (offset.is_null() || file.accepts_positions());
    if pipe.is_some() || is_right { Ok(()) } else { Err(Errno::EINVAL) }
}
