//! `epoll_create`, `epoll_ctl`, `epoll_wait` and their variants.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::O_RDWR;
use abi::poll::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLEXCLUSIVE, EPOLLWAKEUP, EpollEvent,
};
use libkernel::addr::UserAddr;
use libkernel::fault::Access;
use memory::user::UserPtr;
use outcome::OrErrno;
use sched::wait::Deadline;
use vfs::anonymous;
use vfs::epoll::{AbsentPages, EXCLUSIVE_BITS, Epoll, Give};
use vfs::fd_table::OnExec;
use zerocopy::IntoBytes;

use super::at::{content_file, content_files, only};
use super::poll::deadline_argument;
use super::{Caller, Failure, mask, open};

/// `epoll_create(size)`: the size means nothing but must be positive.
pub fn epoll_create(caller: &mut Caller<'_>, size: i32) -> Result<u32, Failure> {
    if size <= 0 { Err(Errno::EINVAL.into()) } else { epoll_create1(caller, 0) }
}

/// `epoll_create1(flags)`.
pub fn epoll_create1(caller: &mut Caller<'_>, flags: u32) -> Result<u32, Failure> {
    only(flags, EPOLL_CLOEXEC)?;
    let credentials = caller.thread.credentials();
    let file = anonymous::open(Epoll::new(), "anon_inode:[eventpoll]", O_RDWR, &credentials)?;
    Ok(open::install(caller, file, OnExec::from_open_flags(flags))?)
}

/// `epoll_ctl(epfd, operation, fd, event)`. EPERM for files that are always ready, such as regular ones; the errors
/// come in Linux's order.
pub fn epoll_ctl(
    caller: &mut Caller<'_>,
    instance: i32,
    operation: u32,
    fd: i32,
    event: UserAddr,
) -> Result<(), Failure> {
    let mut event =
        if operation == EPOLL_CTL_DEL { EpollEvent::new(0, 0) } else { UserPtr::new(event).read()? };
    // Nothing suspends the machine, so there is nothing to keep awake; Linux drops the flag where it is not allowed,
    // too.
    event.events &= !EPOLLWAKEUP;
    let [instance, file] = content_files(caller, instance, fd)?;
    if !file.special().is_some_and(|operations| operations.is_pollable()) {
        return Err(Errno::EPERM.into());
    }
    let epoll = instance.operations::<Epoll>().ok_or(Errno::EINVAL)?;
    if Arc::ptr_eq(&instance, &file) {
        return Err(Errno::EINVAL.into());
    }
    check_exclusive(operation, event.events, file.operations::<Epoll>().is_some())?;
    let number = fd.cast_unsigned();
    match operation {
        EPOLL_CTL_ADD => epoll.add(number, &file, event)?,
        EPOLL_CTL_MOD => epoll.modify(number, &file, event)?,
        EPOLL_CTL_DEL => epoll.remove(number, &file)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

/// EINVAL for what `EPOLLEXCLUSIVE` does not go with: other flags, an instance as the file, a later change.
fn check_exclusive(operation: u32, events: u32, is_instance: bool) -> Result<(), Errno> {
    if events & EPOLLEXCLUSIVE == 0 {
        return Ok(());
    }
    match operation {
        EPOLL_CTL_ADD if !is_instance && events & !EXCLUSIVE_BITS == 0 => Ok(()),
        EPOLL_CTL_ADD | EPOLL_CTL_MOD => Err(Errno::EINVAL),
        _ => Ok(()),
    }
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
    mask::with_temporary(caller, mask, size, |caller| {
        wait(caller, instance, events, limit, milliseconds(timeout_ms))
    })
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
    mask::with_temporary(caller, mask, size, |caller| wait(caller, instance, events, limit, deadline))
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
    /// Linux's `EP_MAX_EVENTS`.
    const MOST: usize = i32::MAX as usize / size_of::<EpollEvent>();
    let limit =
        usize::try_from(limit).ok().filter(|limit| (1..=MOST).contains(limit)).ok_or(Errno::EINVAL)?;
    let size = size_of::<EpollEvent>() as u64;
    hal::user_copy::checked(events, limit as u64 * size).ok_or(Errno::EFAULT)?;
    let instance = content_file(caller, instance)?;
    let epoll = instance.operations::<Epoll>().ok_or(Errno::EINVAL)?;
    epoll.wait(limit, deadline, &mut UserEvents(events))
}

/// The caller's array of events.
struct UserEvents(UserAddr);

impl UserEvents {
    fn place(&self, first: usize) -> UserAddr {
        UserAddr::new(self.0.as_u64().wrapping_add((first * size_of::<EpollEvent>()) as u64))
    }
}

impl Give for UserEvents {
    #[inline]
    fn give(&mut self, first: usize, events: &[EpollEvent]) -> Result<(), AbsentPages> {
        let bytes = events.as_bytes();
        let done = hal::user_copy::copy_to_user_nofault(self.place(first), bytes);
        if done == bytes.len() { Ok(()) } else { Err(AbsentPages) }
    }

    fn bring_in(&mut self, first: usize, count: usize, most: usize) -> Result<(), Errno> {
        /// Events that are brought room for at once.
        const AHEAD: usize = 4096;
        let room = |first, count| {
            hal::user_copy::page_in(self.place(first), count * size_of::<EpollEvent>(), Access::Write)
        };
        room(first, count).or_errno()?;
        // What cannot be had of this may not be needed.
        let _ = room(first, most.min(AHEAD));
        Ok(())
    }
}
