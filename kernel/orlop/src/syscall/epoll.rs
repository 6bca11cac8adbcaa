//! `epoll_create`, `epoll_ctl`, `epoll_wait` and their variants.

use abi::Errno;
use abi::fs::O_RDWR;
use abi::poll::{EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EpollEvent};
use libkernel::addr::UserAddr;

use super::at::{content_file, only};
use super::poll::deadline_argument;
use super::{Caller, Failure, mask, open};
use crate::fs::anonymous;
use crate::fs::epoll::Epoll;
use crate::fs::fd_table::OnExec;
use crate::fs::file::SpecialKind;
use crate::sched::wait::Deadline;
use crate::user::{UserPtr, UserSlice};

/// `epoll_create(size)`: the size means nothing but must be positive.
pub fn epoll_create(caller: &mut Caller<'_>, size: i32) -> Result<u32, Failure> {
    if size <= 0 { Err(Errno::EINVAL.into()) } else { epoll_create1(caller, 0) }
}

/// `epoll_create1(flags)`.
pub fn epoll_create1(caller: &mut Caller<'_>, flags: u32) -> Result<u32, Failure> {
    only(flags, EPOLL_CLOEXEC)?;
    let credentials = caller.thread.credentials();
    let file = anonymous::open(Epoll::new(), "anon_inode:[eventpoll]", O_RDWR, &credentials);
    Ok(open::install(caller, file, OnExec::from_open_flags(flags))?)
}

/// `epoll_ctl(epfd, operation, fd, event)`. EPERM for files that are always ready, such as regular ones.
pub fn epoll_ctl(
    caller: &mut Caller<'_>,
    instance: i32,
    operation: u32,
    fd: i32,
    event: UserAddr,
) -> Result<(), Failure> {
    let event =
        if operation == EPOLL_CTL_DEL { EpollEvent::new(0, 0) } else { UserPtr::new(event).read()? };
    let instance = content_file(caller, instance)?;
    let file = content_file(caller, fd)?;
    if file.special().is_none() {
        return Err(Errno::EPERM.into());
    }
    let SpecialKind::Epoll(epoll) = instance.special_kind() else { return Err(Errno::EINVAL.into()) };
    let number = fd.cast_unsigned();
    match operation {
        EPOLL_CTL_ADD => epoll.add(number, &file, event)?,
        EPOLL_CTL_MOD => epoll.modify(number, &file, event)?,
        EPOLL_CTL_DEL => epoll.remove(number, &file)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

/// `epoll_wait(epfd, events, limit, timeout_ms)`.
pub fn epoll_wait(
    caller: &mut Caller<'_>,
    instance: i32,
    events: UserAddr,
    limit: i32,
    timeout_ms: i32,
) -> Result<usize, Failure> {
    wait(caller, instance, events, limit, milliseconds(timeout_ms))
}

/// `epoll_pwait(epfd, events, limit, timeout_ms, mask, mask_size)`.
pub fn epoll_pwait(
    caller: &mut Caller<'_>,
    instance: i32,
    events: UserAddr,
    limit: i32,
    timeout_ms: i32,
    mask: UserAddr,
) -> Result<usize, Failure> {
    let size = usize::try_from(caller.argument(5)).map_err(|_| Errno::EINVAL)?;
    mask::set_temporarily(caller, mask, size)?;
    wait(caller, instance, events, limit, milliseconds(timeout_ms))
}

/// `epoll_pwait2(epfd, events, limit, timeout, mask, mask_size)`.
pub fn epoll_pwait2(
    caller: &mut Caller<'_>,
    instance: i32,
    events: UserAddr,
    limit: i32,
    timeout: UserAddr,
    mask: UserAddr,
) -> Result<usize, Failure> {
    let deadline = deadline_argument(timeout)?;
    let size = usize::try_from(caller.argument(5)).map_err(|_| Errno::EINVAL)?;
    mask::set_temporarily(caller, mask, size)?;
    wait(caller, instance, events, limit, deadline)
}

/// A negative timeout waits for ever.
fn milliseconds(timeout_ms: i32) -> Deadline {
    const NS_PER_MS: u64 = 1_000_000;
    u64::try_from(timeout_ms).map_or(Deadline::NEVER, |timeout| Deadline::after(timeout * NS_PER_MS))
}

fn wait(
    caller: &Caller<'_>,
    instance: i32,
    events: UserAddr,
    limit: i32,
    deadline: Deadline,
) -> Result<usize, Failure> {
    /// More events than one call is ever asked for in earnest.
    const MOST: usize = 4096;
    let limit = usize::try_from(limit).ok().filter(|&limit| limit > 0).ok_or(Errno::EINVAL)?;
    let instance = content_file(caller, instance)?;
    let SpecialKind::Epoll(epoll) = instance.special_kind() else { return Err(Errno::EINVAL.into()) };
    let ready = epoll.wait(limit.min(MOST), deadline)?;
    UserSlice::new(events, ready.len()).write(&ready)?;
    Ok(ready.len())
}
