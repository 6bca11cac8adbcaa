//! Record locks: the `F_SETLK` and `F_OFD_SETLK` families of `fcntl`.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{
    F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_RDLCK, F_SETLKW, F_UNLCK, F_WRLCK, Flock, SEEK_CUR, SEEK_END,
    SEEK_SET,
};
use libkernel::addr::UserAddr;
use memory::user::UserPtr;
use outcome::OrErrno;
use vfs::File;
use vfs::lock::{Blocking, Holder, LockKind, RecordLock};

use super::{Caller, Failure};
use crate::process::Thread;

/// `F_GETLK`, `F_OFD_GETLK`: describes the lock that stands in the way, or says `F_UNLCK`.
pub fn find(caller: &Caller<'_>, file: &File, command: u32, address: UserAddr) -> Result<u64, Failure> {
    let claim = UserPtr::<Flock>::new(address);
    let request = claim.read()?;
    let holder = holder(caller, file, command, &request)?;
    let kind = kind(request.l_type)?.ok_or(Errno::EINVAL)?;
    let (start, last) = range(file, &request)?;
    let wanted = RecordLock { start, last, kind, holder };
    let answer = match file.inode().locks.find_conflict(&wanted) {
        None => Flock { l_type: F_UNLCK, ..request },
        Some(lock) => describe(&lock, caller.thread),
    };
    claim.write(&answer)?;
    Ok(0)
}

fn describe(lock: &RecordLock, reader: &Thread) -> Flock {
    let to_end = lock.last == i64::MAX as u64;
    Flock {
        l_type: if lock.kind == LockKind::Shared { F_RDLCK } else { F_WRLCK },
        l_whence: SEEK_SET as i16,
        l_start: lock.start.cast_signed(),
        l_len: if to_end { 0 } else { (lock.last - lock.start + 1).cast_signed() },
        // An open file's lock belongs to no process.
        l_pid: lock.holder.process.map_or(-1, |pid| reader.shown(pid)),
        ..Flock::default()
    }
}

/// `F_SETLK`, `F_SETLKW` and their `F_OFD` forms. EBADF for a kind of lock that the file is not open for.
pub fn set(caller: &Caller<'_>, file: &File, command: u32, address: UserAddr) -> Result<u64, Failure> {
    let request = UserPtr::<Flock>::new(address).read()?;
    let holder = holder(caller, file, command, &request)?;
    let (start, last) = range(file, &request)?;
    let locks = &file.inode().locks;
    let Some(kind) = kind(request.l_type)? else {
        locks.unlock_record(RecordLock { start, last, kind: LockKind::Shared, holder })?;
        return Ok(0);
    };
    let permitted = match kind {
        LockKind::Shared => file.is_readable(),
        LockKind::Exclusive => file.is_writable(),
    };
    if !permitted {
        return Err(Errno::EBADF.into());
    }
    let waits = matches!(command, F_SETLKW | F_OFD_SETLKW);
    let blocking = if waits { Blocking::Wait } else { Blocking::Fail };
    locks.lock_record(file.inode(), RecordLock { start, last, kind, holder }, blocking)?;
    Ok(0)
}

fn holder(caller: &Caller<'_>, file: &File, command: u32, request: &Flock) -> Result<Holder, Errno> {
    match command {
        F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW if request.l_pid != 0 => Err(Errno::EINVAL),
        F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => Ok(Holder::open_file(file)),
        _ => {
            let pid = caller.thread.process().pid();
            Ok(caller.thread.with_files(|files| Holder::process(Arc::as_ptr(files), pid, file)))
        }
    }
}

/// `None` is to unlock.
fn kind(number: i16) -> Result<Option<LockKind>, Errno> {
    match number {
        F_RDLCK => Ok(Some(LockKind::Shared)),
        F_WRLCK => Ok(Some(LockKind::Exclusive)),
        F_UNLCK => Ok(None),
        _ => Err(Errno::EINVAL),
    }
}

/// The first and the last byte of a request: fcntl(2). A length of zero reaches to the end, a negative one lies before
/// the start.
fn range(file: &File, request: &Flock) -> Result<(u64, u64), Errno> {
    let base = match u32::try_from(request.l_whence) {
        Ok(SEEK_SET) => 0,
        Ok(SEEK_CUR) => i64::try_from(*file.position().take().or_errno()?).map_err(|_| Errno::EOVERFLOW)?,
        Ok(SEEK_END) => i64::try_from(file.inode().size()).map_err(|_| Errno::EOVERFLOW)?,
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(request.l_start).ok_or(Errno::EOVERFLOW)?;
    let (start, last) = match request.l_len {
        0 => (start, i64::MAX),
        length if length > 0 => (start, start.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?),
        length => (start.checked_add(length).ok_or(Errno::EINVAL)?, start - 1),
    };
    match (u64::try_from(start), u64::try_from(last)) {
        (Ok(start), Ok(last)) => Ok((start, last)),
        _ => Err(Errno::EINVAL),
    }
}
