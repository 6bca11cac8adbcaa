//! `pipe` and `pipe2`.

use abi::Errno;
use abi::fs::{O_CLOEXEC, O_DIRECT, O_NONBLOCK, O_NOTIFICATION_PIPE};
use filesystems::pipe::open_pair;
use libkernel::addr::UserAddr;
use memory::user::UserPtr;
use vfs::fd_table::OnExec;

use super::open::descriptor_limit;
use super::{Caller, Failure};

/// `pipe(descriptors)`.
pub fn pipe(caller: &mut Caller<'_>, descriptors: UserAddr) -> Result<(), Failure> {
    pipe2(caller, descriptors, 0)
}

/// `pipe2(descriptors, flags)`: the reading end, then the writing end. With `O_DIRECT` each write makes packets.
pub fn pipe2(caller: &mut Caller<'_>, descriptors: UserAddr, flags: u32) -> Result<(), Failure> {
    if flags & !(O_CLOEXEC | O_DIRECT | O_NONBLOCK | O_NOTIFICATION_PIPE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & O_NOTIFICATION_PIPE != 0 {
        // What Linux says where watch queues are not built in.
        return Err(Errno::ENOPKG.into());
    }
    let files = caller.thread.files();
    let limit = descriptor_limit(caller);
    let (read_slot, write_slot) = (files.reserve(0, limit)?, files.reserve(0, limit)?);
    let numbers = [read_slot.number(), write_slot.number()];
    let (reader, writer) = open_pair(&caller.thread.credentials(), flags & (O_DIRECT | O_NONBLOCK))?;
    UserPtr::new(descriptors).write(&numbers)?;
    let on_exec = OnExec::from_open_flags(flags);
    read_slot.install(reader, on_exec);
    write_slot.install(writer, on_exec);
    Ok(())
}
