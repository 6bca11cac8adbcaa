//! `splice`: bytes between a pipe and another file, without a buffer of the program's.
//!
//! The bytes are copied. One call moves at most [`STEP`] of them, and blocks only until it can move something.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{O_APPEND, SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK};
use libkernel::addr::UserAddr;

use super::at::{self, content_files};
use super::transfer::{STEP, Side, position_argument, return_position, transfer};
use super::{Caller, Failure};
use crate::fs::File;
use crate::fs::file::SpecialKind;
use crate::fs::pipe::Pipe;

/// A page of the pipe: what a full one has to make room for.
const PAGE: usize = 4096;

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
    at::only(flags, SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)?;
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
    let ready = match (from_pipe, to_pipe) {
        (None, None) => return Err(Errno::EINVAL.into()),
        (Some(from), Some(to)) if core::ptr::eq(from, to) => return Err(Errno::EINVAL.into()),
        (from, to) => {
            let there = from.map_or(STEP, |pipe| pipe.filled() as usize);
            let room = to.map_or(STEP, Pipe::room);
            if flags & SPLICE_F_NONBLOCK != 0 && (room == 0 || from.is_some_and(Pipe::is_waiting_for_writers))
            {
                return Err(Errno::EAGAIN.into());
            }
            // Where there is nothing yet the pipe itself waits; what it then gives is not known before.
            (if there == 0 { STEP } else { there }).min(if room == 0 { PAGE } else { room })
        }
    };
    let mut from = Side { file: &input, position: position_argument(in_offset)? };
    let mut to = Side { file: &out, position: position_argument(out_offset)? };
    let done = transfer(&mut from, &mut to, count.min(ready).min(STEP))?;
    return_position(in_offset, from.position)?;
    return_position(out_offset, to.position)?;
    Ok(done)
}

fn pipe_of(file: &Arc<File>) -> Option<&Pipe> {
    match file.special_kind() {
        SpecialKind::Pipe(pipe) => Some(pipe),
        _ => None,
    }
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
