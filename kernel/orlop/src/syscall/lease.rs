//! Leases: `F_SETLEASE` and `F_GETLEASE` of `fcntl`.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{F_RDLCK, F_UNLCK, F_WRLCK};
use subject::capability;
use vfs::File;
use vfs::attributes::FileKind;
use vfs::lock::LockKind;

use super::file_signal::own_if_nobody_does;
use super::{Caller, Failure};

/// `F_GETLEASE`.
pub(super) fn get(file: &File) -> u64 {
    let number = match file.inode().locks.lease(file) {
        Some(LockKind::Shared) => F_RDLCK,
        Some(LockKind::Exclusive) => F_WRLCK,
        None => F_UNLCK,
    };
    number as u64
}

/// `F_SETLEASE`: for a file's owner and who may take leases of all (EACCES). EINVAL for another kind, and for what is
/// no regular file.
pub(super) fn set(caller: &Caller<'_>, file: &Arc<File>, fd: i32, argument: u64) -> Result<u64, Failure> {
    let kind = match i16::try_from(argument) {
        Ok(F_RDLCK) => Some(LockKind::Shared),
        Ok(F_WRLCK) => Some(LockKind::Exclusive),
        Ok(F_UNLCK) => None,
        _ => return Err(Errno::EINVAL.into()),
    };
    let inode = file.inode();
    let may_lease = caller.thread.with_credentials(|own| {
        own.user.file_system == inode.attributes.owner() || own.has_capability(capability::LEASE)
    });
    if !may_lease {
        return Err(Errno::EACCES.into());
    }
    if inode.kind != FileKind::Regular {
        return Err(Errno::EINVAL.into());
    }
    match kind {
        Some(kind) => {
            let pid = caller.thread.process().pid();
            inode.locks.set_lease(file, kind, fd, pid)?;
            own_if_nobody_does(caller, file, None);
        }
        None => inode.locks.end_lease(file)?,
    }
    Ok(0)
}
