//! Path arguments: a directory descriptor and a path, as the `*at` calls take them.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW};
use libkernel::addr::UserAddr;
use memory::user::PathBuffer;
use subject::Credentials;
use vfs::mount::Location;
use vfs::walk::{LastLink, Walk};
use vfs::{FdTable, File, FsContext};

use super::Caller;

/// What a call on paths knows of its caller.
pub struct PathCall {
    /// Root, working directory, umask.
    pub context: Arc<FsContext>,
    /// On whose behalf the path is walked.
    pub credentials: Arc<Credentials>,
}

impl PathCall {
    /// What the caller's paths start from and are walked with.
    pub fn of(caller: &Caller<'_>) -> PathCall {
        PathCall { context: caller.thread.fs(), credentials: caller.thread.credentials() }
    }

    /// A walk without restrictions.
    pub fn walk(&self) -> Walk<'_> {
        Walk::new(&self.context, &self.credentials)
    }

    /// Where a relative `path` starts; an absolute one starts nowhere. EBADF for a bad descriptor, ENOTDIR for one of a
    /// file.
    pub fn start(&self, caller: &Caller<'_>, directory: i32, path: &[u8]) -> Result<Option<Location>, Errno> {
        if path.first() == Some(&b'/') {
            return Ok(None);
        }
        if directory == AT_FDCWD {
            return Ok(Some(self.context.working_directory()));
        }
        let file = file(caller, directory)?;
        if path.is_empty() || file.inode().is_directory() {
            Ok(Some(file.location().clone()))
        } else {
            Err(Errno::ENOTDIR)
        }
    }

    /// The place that a path argument names.
    pub fn resolve(
        &self,
        caller: &Caller<'_>,
        directory: i32,
        path: &[u8],
        last_link: LastLink,
    ) -> Result<Location, Errno> {
        let start = self.start(caller, directory, path)?;
        self.walk().resolve(start, path, last_link)
    }

    /// As [`PathCall::resolve`], where `AT_EMPTY_PATH` makes an empty path stand for the descriptor itself.
    pub fn resolve_or_self(
        &self,
        caller: &Caller<'_>,
        directory: i32,
        path: &[u8],
        flags: u32,
        last_link: LastLink,
    ) -> Result<Location, Errno> {
        if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
            if directory == AT_FDCWD {
                return Ok(self.context.working_directory());
            }
            return Ok(file(caller, directory)?.location().clone());
        }
        self.resolve(caller, directory, path, last_link)
    }
}

/// Whether the last link is followed, for calls that follow unless `AT_SYMLINK_NOFOLLOW`.
pub fn follow_unless(flags: u32) -> LastLink {
    if flags & AT_SYMLINK_NOFOLLOW != 0 { LastLink::Keep } else { LastLink::Follow }
}

/// Whether the last link is followed, for calls that do not unless `AT_SYMLINK_FOLLOW`.
pub fn keep_unless(flags: u32) -> LastLink {
    if flags & AT_SYMLINK_FOLLOW != 0 { LastLink::Follow } else { LastLink::Keep }
}

/// EINVAL if `flags` has bits beside `known`.
pub fn only(flags: u32, known: u32) -> Result<(), Errno> {
    if flags & !known != 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Reads a path argument. An empty one is ENOENT unless `AT_EMPTY_PATH` is among `flags`.
pub fn path_argument(address: UserAddr, flags: u32, buffer: &mut PathBuffer) -> Result<&[u8], Errno> {
    let path = buffer.read(address)?;
    if path.is_empty() && flags & AT_EMPTY_PATH == 0 { Err(Errno::ENOENT) } else { Ok(path) }
}

/// The file behind a descriptor argument, be it open for its content or only for its place. EBADF if there is none.
#[inline]
pub fn file(caller: &Caller<'_>, fd: i32) -> Result<Arc<File>, Errno> {
    caller.thread.with_files(|files: &Arc<FdTable>| files.get(fd.cast_unsigned()))
}

/// The files behind two descriptor arguments of a call on content, found in one look.
pub fn content_files(caller: &Caller<'_>, first: i32, second: i32) -> Result<[Arc<File>; 2], Errno> {
    let numbers = [first, second].map(i32::cast_unsigned);
    let files = caller.thread.with_files(|files: &Arc<FdTable>| files.get_both(numbers))?;
    if files.iter().any(|file| file.is_path_only()) { Err(Errno::EBADF) } else { Ok(files) }
}

/// The file behind a descriptor argument of a call on content: EBADF also for one opened with `O_PATH`.
#[inline]
pub fn content_file(caller: &Caller<'_>, fd: i32) -> Result<Arc<File>, Errno> {
    let file = file(caller, fd)?;
    if file.is_path_only() { Err(Errno::EBADF) } else { Ok(file) }
}
