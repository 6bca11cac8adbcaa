//! `execve` and `execveat`: from arguments to an [`exec::Request`].

use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW};
use libkernel::addr::UserAddr;
use memory::user::PathBuffer;
use outcome::OrErrno;
use vfs::fd_table::OnExec;
use vfs::mount::Location;
use vfs::walk::LastLink;

use super::{Caller, Failure};
use crate::exec::{self, Request, UserVectors};

/// `execve(2)`.
pub fn execve(
    caller: &mut Caller<'_>,
    path: UserAddr,
    arguments: UserAddr,
    environment: UserAddr,
) -> Result<(), Failure> {
    execveat(caller, AT_FDCWD, path, arguments, environment, 0)
}

/// `execveat(2)`.
pub fn execveat(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    arguments: UserAddr,
    environment: UserAddr,
    flags: u32,
) -> Result<(), Failure> {
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut buffer = PathBuffer::new();
    let path = buffer.read(path)?;
    if path.is_empty() && flags & AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT.into());
    }
    let last_link = if flags & AT_SYMLINK_NOFOLLOW != 0 { LastLink::Keep } else { LastLink::Follow };
    let by_descriptor = directory != AT_FDCWD && !path.starts_with(b"/");
    let (start, name, name_vanishes) = if by_descriptor {
        let (start, vanishes) = descriptor_location(caller, directory)?;
        (Some(start), descriptor_name(directory, path)?, vanishes)
    } else {
        (None, bytes_of(&[path])?, false)
    };
    let request = Request { start, path, last_link, name, name_vanishes };
    exec::execute(caller.thread, caller.context, request, UserVectors { arguments, environment })
}

/// Where a descriptor points, and whether `execve` will close it.
fn descriptor_location(caller: &Caller<'_>, directory: i32) -> Result<(Location, bool), Errno> {
    let files = caller.thread.files();
    let fd = u32::try_from(directory).map_err(|_| Errno::EBADF)?;
    Ok((files.get(fd)?.location().clone(), files.on_exec(fd)? == OnExec::Close))
}

/// The name that Linux gives a program started by descriptor: `/dev/fd/N` or `/dev/fd/N/path`.
fn descriptor_name(directory: i32, path: &[u8]) -> Result<Vec<u8>, Errno> {
    let number = alloc::format!("/dev/fd/{directory}");
    if path.is_empty() { bytes_of(&[number.as_bytes()]) } else { bytes_of(&[number.as_bytes(), b"/", path]) }
}

fn bytes_of(pieces: &[&[u8]]) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(pieces.iter().map(|piece| piece.len()).sum()).or_errno()?;
    pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    Ok(bytes)
}
