//! Waiting for several files at once: `poll`, `ppoll`, `select`, `pselect6`.
//!
//! All four are one loop. Its first round subscribes to every file that is not ready yet and looks at it; if none is
//! ready the thread sleeps until any subscription fires, and looks again. A call that finds something at once never
//! subscribes to what follows.

mod select;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use abi::poll::{POLLERR, POLLHUP, POLLNVAL, Pollfd};
use abi::time::{NANOSECONDS_PER_SECOND, Timespec};
use arrayvec::ArrayVec;
use libkernel::addr::UserAddr;
use memory::user::{UserPtr, UserSlice};
use sched::wait::{Deadline, Patience, WaitError, WaitQueue};
use subject::Resource;
use vfs::poll::{Observer, PollEvents, Share, Watcher};

use super::restart::Resume;
use super::{Caller, Failure, Restart};

pub use select::{pselect6, select};

/// Someone who sleeps until any of several files has news.
struct Sleeper {
    fired: AtomicBool,
    queue: WaitQueue,
}

impl Observer for Sleeper {
    fn notify(&self, _events: PollEvents) -> bool {
        self.fired.store(true, Ordering::Release);
        self.queue.wake_all();
        true
    }
}

/// Errors, hang-ups and what is no file are reported whether asked for or not.
const UNASKED: u16 = POLLERR | POLLHUP | POLLNVAL;

/// How many descriptors are looked up at once.
const BATCH: usize = 16;

/// Looks at every file, entering who waits until one is ready, and notes in `revents` what it is ready for; returns how
/// many are.
fn look(caller: &Caller<'_>, entries: &mut [Pollfd], mut watcher: Watcher<'_>) -> Result<usize, Errno> {
    let mut ready = 0;
    for some in entries.chunks_mut(BATCH) {
        let mut files = ArrayVec::<_, BATCH>::new();
        let numbers = some.iter().map(|entry| entry.fd.cast_unsigned());
        caller.thread.with_files(|table| table.get_each(numbers, |file| files.push(file)));
        for (entry, file) in some.iter_mut().zip(&files) {
            let state = match file {
                Some(file) => file.poll(&mut watcher)?,
                None if entry.fd < 0 => PollEvents::NONE,
                None => PollEvents::INVALID,
            };
            entry.revents = state.0 as u16 & (entry.events | UNASKED);
            if entry.revents != 0 {
                ready += 1;
                watcher.enter_no_more();
            }
        }
    }
    Ok(ready)
}

/// Waits until a file is ready, the deadline has passed (0), or a signal comes.
fn wait(caller: &Caller<'_>, entries: &mut [Pollfd], deadline: Deadline) -> Result<usize, Failure> {
    let ready = look(caller, entries, Watcher::looking())?;
    if ready > 0 {
        return Ok(ready);
    }
    // A signal is told even by a call that does not wait, as on Linux.
    if Patience::Interruptible.is_exhausted() {
        return Err(Failure::Restart(Restart::UnlessHandled));
    }
    if deadline.has_passed() {
        return Ok(0);
    }
    let sleeper = Arc::new(Sleeper { fired: AtomicBool::new(false), queue: WaitQueue::new() });
    let observer: Arc<dyn Observer> = sleeper.clone();
    let mut subscriptions = Vec::new();
    let mut ready = look(caller, entries, Watcher::entering(&observer, Share::All, &mut subscriptions))?;
    while ready == 0 {
        let fired = || sleeper.fired.swap(false, Ordering::AcqRel).then_some(());
        match sleeper.queue.wait_until(deadline, fired) {
            Ok(()) => ready = look(caller, entries, Watcher::looking())?,
            Err(WaitError::TimedOut) => return Ok(look(caller, entries, Watcher::looking())?),
            Err(WaitError::Interrupted) => return Err(Failure::Restart(Restart::UnlessHandled)),
        }
    }
    Ok(ready)
}

/// `poll(descriptors, count, timeout_ms)`: a negative timeout waits for ever.
pub fn poll(
    caller: &mut Caller<'_>,
    descriptors: UserAddr,
    count: u32,
    timeout_ms: i32,
) -> Result<usize, Failure> {
    const NS_PER_MS: u64 = 1_000_000;
    let deadline = match u64::try_from(timeout_ms) {
        Ok(timeout) => Deadline::after(timeout * NS_PER_MS),
        Err(_) => Deadline::NEVER,
    };
    resumable_poll(caller, descriptors, count, deadline)
}

/// `poll` until a point in time, however often it is interrupted.
pub(super) fn resumable_poll(
    caller: &Caller<'_>,
    descriptors: UserAddr,
    count: u32,
    deadline: Deadline,
) -> Result<usize, Failure> {
    let outcome = poll_until(caller, descriptors, count, deadline);
    match outcome {
        Err(Failure::Restart(_)) if deadline.left_ns().is_some() => {
            *caller.thread.resume.lock() = Some(Box::new(Resume::Poll { descriptors, count, deadline }));
            Err(Failure::Restart(Restart::Resume))
        }
        _ => outcome,
    }
}

/// `ppoll(descriptors, count, timeout, mask, mask_size)`: writes the time left back.
pub fn ppoll(
    caller: &mut Caller<'_>,
    descriptors: UserAddr,
    count: u32,
    timeout: UserAddr,
    mask: UserAddr,
    mask_size: usize,
) -> Result<usize, Failure> {
    let deadline = deadline_argument(timeout)?;
    let outcome = super::mask::with_temporary(caller, mask, mask_size, |caller| {
        poll_until(caller, descriptors, count, deadline)
    });
    write_time_left(timeout, deadline);
    outcome
}

fn poll_until(
    caller: &Caller<'_>,
    descriptors: UserAddr,
    count: u32,
    deadline: Deadline,
) -> Result<usize, Failure> {
    let limit = caller.thread.process().limits().soft(Resource::OpenFiles);
    if u64::from(count) > limit {
        return Err(Errno::EINVAL.into());
    }
    let claim = UserSlice::<Pollfd>::new(descriptors, count as usize);
    let mut entries = claim.read_to_vec()?;
    let ready = wait(caller, &mut entries, deadline)?;
    claim.write_revents(&entries)?;
    Ok(ready)
}

/// The deadline that an optional relative time asks for. EINVAL for one that is no time.
pub(super) fn deadline_argument(timeout: UserAddr) -> Result<Deadline, Errno> {
    if timeout.is_null() {
        return Ok(Deadline::NEVER);
    }
    let timeout: Timespec = UserPtr::new(timeout).read()?;
    let seconds = u64::try_from(timeout.tv_sec).map_err(|_| Errno::EINVAL)?;
    if !(0..NANOSECONDS_PER_SECOND).contains(&timeout.tv_nsec) {
        return Err(Errno::EINVAL);
    }
    let ns = seconds.saturating_mul(NANOSECONDS_PER_SECOND as u64).saturating_add(timeout.tv_nsec as u64);
    Ok(Deadline::after(ns))
}

/// Writes the time that is left, unless the deadline never comes.
fn write_time_left(timeout: UserAddr, deadline: Deadline) {
    let Some(left) = deadline.left_ns() else { return };
    let second = NANOSECONDS_PER_SECOND as u64;
    let left = Timespec { tv_sec: (left / second) as i64, tv_nsec: (left % second) as i64 };
    // A timeout in read-only memory is no error: Linux ignores it too.
    let _ = UserPtr::new(timeout).write(&left);
}
