//! Files without a place in the tree: `eventfd`, `memfd_create`.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{O_NONBLOCK, O_RDWR};
use abi::memory::{MFD_ALLOW_SEALING, MFD_CLOEXEC};
use abi::poll::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE};
use filesystems::eventfd::{EventFile, Taking};
use filesystems::tmpfs;
use libkernel::addr::UserAddr;
use memory::Object;
use memory::user::string::read_string;
use vfs::anonymous;
use vfs::fd_table::OnExec;

use super::at::only;
use super::{Caller, Failure, open};

/// `eventfd(count)`.
pub fn eventfd(caller: &mut Caller<'_>, count: u32) -> Result<u32, Failure> {
    eventfd2(caller, count, 0)
}

/// `eventfd2(count, flags)`.
pub fn eventfd2(caller: &mut Caller<'_>, count: u32, flags: u32) -> Result<u32, Failure> {
    only(flags, EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK)?;
    let taking = if flags & EFD_SEMAPHORE != 0 { Taking::One } else { Taking::All };
    let event = EventFile::new(u64::from(count), taking);
    let status = O_RDWR | flags & O_NONBLOCK;
    let file = anonymous::open(event, "anon_inode:[eventfd]", status, &caller.thread.credentials())?;
    Ok(open::install(caller, file, OnExec::from_open_flags(flags))?)
}

/// `memfd_create(name, flags)`: a file in memory. There are no huge pages: EINVAL.
pub fn memfd_create(caller: &mut Caller<'_>, name: UserAddr, flags: u32) -> Result<u32, Failure> {
    /// `NAME_MAX` less the prefix that the name gets, with its NUL.
    const MOST: usize = 250;
    only(flags, MFD_CLOEXEC | MFD_ALLOW_SEALING)?;
    let name = read_string(name, MOST)?.ok_or(Errno::EINVAL)?;
    let label = [b"memfd:", name.as_slice()].concat();
    let object = Object::new(0);
    if flags & MFD_ALLOW_SEALING != 0 {
        object.allow_sealing();
    }
    let file = tmpfs::open_memory(object, Arc::from(label), &caller.thread.credentials())?;
    let on_exec = if flags & MFD_CLOEXEC != 0 { OnExec::Close } else { OnExec::Keep };
    Ok(open::install(caller, file, on_exec)?)
}
