//! Opening and closing: `open`, `openat`, `openat2`, `creat`, `close`, `close_range`.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{
    AT_FDCWD, CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE, O_CREAT, O_PATH, O_TRUNC, O_WRONLY, OpenHow,
};
use libkernel::addr::UserAddr;
use memory::user::PathBuffer;
use vfs::fd_table::OnExec;
use vfs::open::{self, How, KNOWN_FLAGS, PATH_FLAGS, TMPFILE_BIT};
use vfs::walk::{Rules, Walk};
use vfs::{FdTable, File};

use super::at::{self, PathCall};
use super::{Caller, Failure};

/// `open(path, flags, mode)`.
pub fn open(caller: &mut Caller<'_>, path: UserAddr, flags: u32, mode: u32) -> Result<u32, Failure> {
    openat(caller, AT_FDCWD, path, flags, mode)
}

/// `creat(path, mode)`.
pub fn creat(caller: &mut Caller<'_>, path: UserAddr, mode: u32) -> Result<u32, Failure> {
    openat(caller, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)
}

/// `openat(dirfd, path, flags, mode)`.
pub fn openat(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    flags: u32,
    mode: u32,
) -> Result<u32, Failure> {
    open_with(caller, directory, path, flags, mode, Rules::default())
}

/// `openat2(dirfd, path, how, size)`: refuses what `openat` ignores.
pub fn openat2(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    how: UserAddr,
    size: usize,
) -> Result<u32, Failure> {
    let how: OpenHow = super::extensible::read(how, size)?;
    let flags = u32::try_from(how.flags).map_err(|_| Errno::EINVAL)?;
    let makes_file = flags & (O_CREAT | abi::fs::__O_TMPFILE) != 0;
    let mode_is_wrong = how.mode & !0o7777 != 0 || (!makes_file && how.mode != 0);
    if flags & !KNOWN_FLAGS != 0 || mode_is_wrong || how.resolve & !Rules::KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & O_PATH != 0 && flags & !PATH_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    if how.resolve & Rules::BENEATH.0 != 0 && how.resolve & Rules::IN_ROOT.0 != 0 {
        return Err(Errno::EINVAL.into());
    }
    if how.resolve & Rules::CACHED.0 != 0 && flags & (O_TRUNC | O_CREAT | TMPFILE_BIT) != 0 {
        return Err(Errno::EAGAIN.into());
    }
    open_with(caller, directory, path, flags, how.mode as u32, Rules(how.resolve))
}

fn open_with(
    caller: &mut Caller<'_>,
    directory: i32,
    path: UserAddr,
    flags: u32,
    mode: u32,
    rules: Rules,
) -> Result<u32, Failure> {
    let call = PathCall::of(caller);
    let how = How::new(flags, mode & 0o7777 & !call.context.umask())?;
    let mut buffer = PathBuffer::new();
    let path = at::path_argument(path, 0, &mut buffer)?;
    let files = caller.thread.files();
    let slot = files.reserve(0, descriptor_limit(caller))?;
    let start = call.start(caller, directory, path)?;
    let file = if rules == Rules::default() {
        open::open(&mut call.walk(), start, path, how)?
    } else {
        let anchor = match &start {
            Some(place) => place.clone(),
            None => call.start(caller, directory, b".")?.ok_or(Errno::EBADF)?,
        };
        let mut walk = Walk::restricted(&call.context, &call.credentials, rules, &anchor);
        open::open(&mut walk, Some(anchor), path, how)?
    };
    Ok(slot.install(file, OnExec::from_open_flags(flags)))
}

/// One more than the highest descriptor the caller may have.
pub fn descriptor_limit(caller: &Caller<'_>) -> u64 {
    caller.thread.descriptor_limit()
}

/// Gives a new file the lowest free descriptor.
pub fn install(caller: &Caller<'_>, file: Arc<File>, on_exec: OnExec) -> Result<u32, Errno> {
    caller.thread.files().insert(file, on_exec, descriptor_limit(caller))
}

/// `close(fd)`.
pub fn close(caller: &mut Caller<'_>, fd: u32) -> Result<(), Failure> {
    let (file, table) = caller.thread.with_files(|files| (files.remove(fd), Arc::as_ptr(files)));
    close_file(file?, table);
    Ok(())
}

/// What closing a descriptor does besides freeing it: the process's record locks on the file go.
#[inline]
fn close_file(file: Arc<File>, table: *const FdTable) {
    file.inode().locks.release_process(table);
    file.end_watch(table);
}

/// `close_range(first, last, flags)`.
pub fn close_range(caller: &mut Caller<'_>, first: u32, last: u32, flags: u32) -> Result<(), Failure> {
    at::only(flags, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)?;
    if first > last {
        return Err(Errno::EINVAL.into());
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        let copy = caller.thread.files().duplicate()?;
        caller.thread.set_files(Some(copy));
    }
    let files = caller.thread.files();
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        files.set_range_on_exec(first, last, OnExec::Close);
    } else {
        let table = Arc::as_ptr(&files);
        files.remove_range(first, last, |file| close_file(file, table));
    }
    Ok(())
}

/// `execve` keeps the descriptors that are not marked close-on-exec.
pub fn close_on_exec(files: &Arc<FdTable>) {
    let table = Arc::as_ptr(files);
    files.remove_close_on_exec(|file| close_file(file, table));
}
