//! Descriptors: `dup`, `fcntl`, `ioctl`, `flock`.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::{
    DN_MULTISHOT, F_ADD_SEALS, F_DUPFD, F_DUPFD_CLOEXEC, F_GET_RW_HINT, F_GET_SEALS, F_GETFD, F_GETFL,
    F_GETLEASE, F_GETLK, F_GETPIPE_SZ, F_NOTIFY, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, F_SET_RW_HINT, F_SETFD, F_SETFL, F_SETLEASE,
    F_SETLK, F_SETLKW, F_SETPIPE_SZ, FD_CLOEXEC, LOCK_EX, LOCK_MAND, LOCK_NB, LOCK_SH, LOCK_UN, O_ASYNC,
    O_CLOEXEC, O_DIRECT, O_NOATIME, O_NONBLOCK, RWH_WRITE_LIFE_EXTREME,
};
use abi::ioctl::{FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX};
use filesystems::pipe::Pipe;
use libkernel::addr::UserAddr;
use memory::user::UserPtr;
use vfs::File;
use vfs::fd_table::OnExec;
use vfs::lock::{Blocking, LockKind};
use vfs::{notify, permission};

use super::at::{content_file, file, only};
use super::open::descriptor_limit;
use super::{Caller, Failure, file_request, file_signal, lease, record_lock};

/// `dup(fd)`.
pub fn dup(caller: &mut Caller<'_>, fd: i32) -> Result<u32, Failure> {
    duplicate(caller, fd, 0, OnExec::Keep)
}

/// `dup2(old, new)`.
pub fn dup2(caller: &mut Caller<'_>, old: i32, new: u32) -> Result<u32, Failure> {
    if old.cast_unsigned() == new {
        file(caller, old)?;
        return Ok(new);
    }
    dup_onto(caller, old, new, OnExec::Keep)
}

/// `dup3(old, new, flags)`.
pub fn dup3(caller: &mut Caller<'_>, old: i32, new: u32, flags: u32) -> Result<u32, Failure> {
    if flags & !O_CLOEXEC != 0 || old.cast_unsigned() == new {
        return Err(Errno::EINVAL.into());
    }
    dup_onto(caller, old, new, OnExec::from_open_flags(flags))
}

fn dup_onto(caller: &Caller<'_>, old: i32, new: u32, on_exec: OnExec) -> Result<u32, Failure> {
    let limit = descriptor_limit(caller);
    if u64::from(new) >= limit {
        return Err(Errno::EBADF.into());
    }
    let source = file(caller, old)?;
    let files = caller.thread.files();
    if let Some(replaced) = files.replace(new, source, on_exec, limit)? {
        replaced.inode().locks.release_process(Arc::as_ptr(&files));
        replaced.end_watch(Arc::as_ptr(&files));
    }
    Ok(new)
}

fn duplicate(caller: &Caller<'_>, fd: i32, lowest: u32, on_exec: OnExec) -> Result<u32, Failure> {
    let source = file(caller, fd)?;
    let limit = descriptor_limit(caller);
    if u64::from(lowest) >= limit {
        return Err(Errno::EINVAL.into());
    }
    let files = caller.thread.files();
    Ok(files.reserve(lowest, limit)?.install(source, on_exec))
}

/// `fcntl(fd, command, argument)`.
pub fn fcntl(caller: &mut Caller<'_>, fd: i32, command: u32, argument: u64) -> Result<u64, Failure> {
    let number = argument as u32;
    match command {
        F_DUPFD => return duplicate(caller, fd, number, OnExec::Keep).map(u64::from),
        F_DUPFD_CLOEXEC => return duplicate(caller, fd, number, OnExec::Close).map(u64::from),
        F_GETFD => {
            let on_exec = caller.thread.with_files(|files| files.on_exec(fd.cast_unsigned()))?;
            return Ok(if on_exec == OnExec::Close { u64::from(FD_CLOEXEC) } else { 0 });
        }
        F_SETFD => {
            let on_exec = if number & FD_CLOEXEC != 0 { OnExec::Close } else { OnExec::Keep };
            caller.thread.with_files(|files| files.set_on_exec(fd.cast_unsigned(), on_exec))?;
            return Ok(0);
        }
        F_GETFL => return Ok(u64::from(file(caller, fd)?.flags())),
        _ => {}
    }
    let file = content_file(caller, fd)?;
    match command {
        F_SETFL => set_flags(caller, &file, fd, number),
        F_GETLK | F_OFD_GETLK => record_lock::find(caller, &file, command, UserAddr::new(argument)),
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => {
            record_lock::set(caller, &file, command, UserAddr::new(argument))
        }
        F_GETPIPE_SZ | F_SETPIPE_SZ => pipe_size(caller, &file, command, argument),
        F_GETLEASE => Ok(lease::get(&file)),
        F_SETLEASE => lease::set(caller, &file, fd, argument),
        F_NOTIFY => watch(caller, &file, fd, number),
        F_GET_SEALS => Ok(file.object().ok_or(Errno::EINVAL)?.seals().into()),
        F_ADD_SEALS => add_seals(&file, argument),
        F_GET_RW_HINT | F_SET_RW_HINT => lifetime_hint(&file, command, UserPtr::new(UserAddr::new(argument))),
        _ => file_signal::fcntl(caller, &file, command, argument),
    }
}

/// `F_ADD_SEALS`: EPERM unless the file is open for writing, EINVAL for seals that nobody knows and files that have
/// none.
fn add_seals(file: &File, seals: u64) -> Result<u64, Failure> {
    const KNOWN: u32 = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    let seals = u32::try_from(seals).map_err(|_| Errno::EINVAL)?;
    if !file.is_writable() {
        return Err(Errno::EPERM.into());
    }
    only(seals, KNOWN)?;
    file.object().ok_or(Errno::EINVAL)?.add_seals(seals)?;
    Ok(0)
}

/// `F_GET_RW_HINT`, `F_SET_RW_HINT`: how long what is written to a file will live. It is kept, and means nothing to
/// memory.
fn lifetime_hint(file: &File, command: u32, hint: UserPtr<u64>) -> Result<u64, Failure> {
    let kept = &file.inode().lifetime_hint;
    if command == F_GET_RW_HINT {
        hint.write(&kept.load(Ordering::Relaxed).into())?;
        return Ok(0);
    }
    let known = u8::try_from(hint.read()?).ok().filter(|&hint| hint <= RWH_WRITE_LIFE_EXTREME);
    kept.store(known.ok_or(Errno::EINVAL)?, Ordering::Relaxed);
    Ok(0)
}

/// `F_SETFL`. EINVAL for `O_DIRECT`, which no file here can do; EPERM for `O_NOATIME` on somebody else's file.
fn set_flags(caller: &Caller<'_>, file: &Arc<File>, fd: i32, flags: u32) -> Result<u64, Failure> {
    if flags & O_NOATIME != 0 && file.flags() & O_NOATIME == 0 {
        permission::require_owner(file.inode(), &caller.thread.credentials())?;
    }
    if flags & O_DIRECT != 0 && file.object().is_some() {
        return Err(Errno::EINVAL.into());
    }
    // A file that sends no signals leaves this flag alone and says nothing, as on Linux.
    file_signal::set_asynchronous(caller, file, fd, flags & O_ASYNC != 0);
    file.set_flags(flags);
    Ok(0)
}

/// `F_NOTIFY`: watches a directory for changes, or without any watches it no more. EINVAL where `dir-notify-enable`
/// says no.
fn watch(caller: &Caller<'_>, file: &Arc<File>, fd: i32, mask: u32) -> Result<u64, Failure> {
    if notify::ENABLED.load(Ordering::Relaxed) == 0 {
        return Err(Errno::EINVAL.into());
    }
    let table = caller.thread.with_files(Arc::as_ptr);
    if mask & !DN_MULTISHOT == 0 {
        file.end_watch(table);
        return Ok(0);
    }
    if !file.inode().is_directory() {
        return Err(Errno::ENOTDIR.into());
    }
    file_signal::own_if_nobody_does(caller, file, None);
    file.watch(table, fd, mask)?;
    // Another thread may have closed the descriptor before there was a watch to end.
    if !caller
        .thread
        .with_files(|files| files.get(fd.cast_unsigned()).is_ok_and(|now| Arc::ptr_eq(&now, file)))
    {
        file.end_watch(table);
    }
    Ok(0)
}

fn pipe_size(caller: &Caller<'_>, file: &File, command: u32, wanted: u64) -> Result<u64, Failure> {
    let pipe = file.operations::<Pipe>().ok_or(Errno::EBADF)?;
    if command == F_GETPIPE_SZ {
        return Ok(pipe.capacity());
    }
    Ok(pipe.set_capacity(wanted, &caller.thread.credentials())?)
}

/// `flock(fd, operation)`. A mandatory lock never worked on Linux either: since 5.18 it is passed over before anything
/// is looked at.
pub fn flock(caller: &mut Caller<'_>, fd: i32, operation: u32) -> Result<(), Failure> {
    if operation & LOCK_MAND != 0 {
        return Ok(());
    }
    let wanted = match operation & !LOCK_NB {
        LOCK_UN => None,
        LOCK_SH => Some(LockKind::Shared),
        LOCK_EX => Some(LockKind::Exclusive),
        _ => return Err(Errno::EINVAL.into()),
    };
    let file = content_file(caller, fd)?;
    let locks = &file.inode().locks;
    let pid = caller.thread.process().pid();
    let blocking = if operation & LOCK_NB != 0 { Blocking::Fail } else { Blocking::Wait };
    match wanted {
        Some(kind) => locks.lock_whole(&file, kind, blocking, pid),
        None => {
            locks.unlock_whole(&file);
            Ok(())
        }
    }
}

/// `ioctl(fd, request, argument)`.
pub fn ioctl(caller: &mut Caller<'_>, fd: i32, request: u32, argument: u64) -> Result<u64, Failure> {
    let file = content_file(caller, fd)?;
    match request {
        FIOCLEX | FIONCLEX => {
            let on_exec = if request == FIOCLEX { OnExec::Close } else { OnExec::Keep };
            caller.thread.with_files(|files| files.set_on_exec(fd.cast_unsigned(), on_exec))?;
            Ok(0)
        }
        FIONBIO | FIOASYNC => {
            let value: u32 = UserPtr::new(UserAddr::new(argument)).read()?;
            if request == FIONBIO {
                file.set_flag(O_NONBLOCK, value != 0);
            } else if !file_signal::set_asynchronous(caller, &file, fd, value != 0) {
                return Err(Errno::ENOTTY.into());
            }
            Ok(0)
        }
        _ => match file_request::serve(caller, &file, request, UserAddr::new(argument))? {
            Some(()) => Ok(0),
            None => match file.special().cloned() {
                Some(operations) => operations.ioctl(&file, request, argument),
                None => Err(Errno::ENOTTY.into()),
            },
        },
    }
}
