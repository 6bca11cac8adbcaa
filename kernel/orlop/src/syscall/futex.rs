//! `futex` and robust lists.

use alloc::boxed::Box;

use abi::Errno;
use abi::futex::{
    FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_CMD_MASK, FUTEX_CMP_REQUEUE, FUTEX_CMP_REQUEUE_PI,
    FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI,
    FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_WAKE_OP,
    RobustListHead,
};
use abi::time::Timespec;
use core::sync::atomic::Ordering;
use libkernel::addr::UserAddr;
use memory::user::UserPtr;
use sched::wait::{Deadline, WaitError};

use super::{Caller, Failure, Restart, Resume};
use crate::futex::lock::{self, Patience};
use crate::futex::operation::{self, Counts};
use crate::futex::transfer::{self, Moved};
use crate::futex::{self as core_futex, Left, Sharing, Word};
use crate::process::{Inspection, Thread};
use crate::time::{Clock, from_timespec};

/// Gives a lock up. Whose it is comes before whether a lock can lie there.
fn unlock(thread: &Thread, word: Result<Word, Errno>, address: UserAddr) -> Result<usize, Failure> {
    match word {
        Ok(word) => Ok(lock::unlock(thread, word).map(|()| 0)?),
        Err(errno) => Err(lock::owned_elsewhere(thread, address)?.unwrap_or(errno).into()),
    }
}

/// `futex`.
pub fn futex(
    caller: &mut Caller<'_>,
    address: UserAddr,
    operation: u32,
    value: u32,
    timeout_or_count: u64,
    second: UserAddr,
    third_value: u32,
) -> Result<usize, Failure> {
    let command = operation & FUTEX_CMD_MASK;
    // In Linux's order: the timeout, what makes no sense together, then the addresses.
    let deadline = deadline(operation, UserAddr::new(timeout_or_count))?;
    if operation & FUTEX_CLOCK_REALTIME != 0
        && !matches!(command, FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI2)
    {
        return Err(Failure::Errno(Errno::ENOSYS));
    }
    let sharing = if operation & FUTEX_PRIVATE_FLAG != 0 { Sharing::Private } else { Sharing::Shared };
    let word = || Word::new(address, sharing);
    let second = || Word::new(second, sharing);
    let thread = caller.thread;
    let counts = || -> Result<Counts, Errno> {
        Ok(Counts { first: count(value)?, second: count_of(timeout_or_count)? })
    };
    match command {
        FUTEX_WAIT => wait(caller, word()?, value, FUTEX_BITSET_MATCH_ANY, deadline).map(|()| 0),
        FUTEX_WAIT_BITSET => wait(caller, word()?, value, third_value, deadline).map(|()| 0),
        FUTEX_WAKE => Ok(core_futex::wake(thread, word()?, at_least_one(value), FUTEX_BITSET_MATCH_ANY)?),
        FUTEX_WAKE_BITSET if third_value == 0 => Err(Failure::Errno(Errno::EINVAL)),
        FUTEX_WAKE_BITSET => Ok(core_futex::wake(thread, word()?, at_least_one(value), third_value)?),
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let expected = (command == FUTEX_CMP_REQUEUE).then_some(third_value);
            let counts = counts()?;
            Ok(operation::requeue(thread, word()?, second()?, counts, expected)?)
        }
        FUTEX_WAKE_OP => {
            let counts = Counts { first: at_least_one(value), second: at_least_one_of(timeout_or_count) };
            Ok(operation::wake_op(thread, word()?, second()?, counts, third_value)?)
        }
        FUTEX_LOCK_PI | FUTEX_LOCK_PI2 => {
            locked(lock::lock(thread, word()?, deadline.unwrap_or(Deadline::NEVER), Patience::Waits)?)
        }
        FUTEX_TRYLOCK_PI => locked(lock::lock(thread, word()?, Deadline::NEVER, Patience::Tries)?),
        FUTEX_UNLOCK_PI => unlock(thread, word(), address),
        FUTEX_WAIT_REQUEUE_PI => {
            let deadline = deadline.unwrap_or(Deadline::NEVER);
            wait_to_be_moved(thread, word()?, value, second()?, deadline)
        }
        FUTEX_CMP_REQUEUE_PI => {
            let Counts { first, second: more } = counts()?;
            if first != 1 {
                return Err(Failure::Errno(Errno::EINVAL));
            }
            Ok(transfer::requeue(thread, word()?, second()?, more, third_value)?)
        }
        _ => Err(Failure::Errno(Errno::ENOSYS)),
    }
}

fn wait_to_be_moved(
    thread: &Thread,
    word: Word,
    expected: u32,
    target: Word,
    deadline: Deadline,
) -> Result<usize, Failure> {
    match transfer::wait(thread, word, expected, target, deadline)? {
        Moved::Failed(WaitError::Interrupted, Left::Lock) => Err(Failure::Errno(Errno::EAGAIN)),
        Moved::Failed(error, _) => locked(Err(error)),
        Moved::Locked => Ok(0),
    }
}

/// The result of waiting for a lock, which goes on after any signal.
fn locked(result: Result<(), WaitError>) -> Result<usize, Failure> {
    match result {
        Ok(()) => Ok(0),
        Err(WaitError::TimedOut) => Err(Failure::Errno(Errno::ETIMEDOUT)),
        Err(WaitError::Interrupted) => Err(Failure::Restart(Restart::Always)),
    }
}

/// A count of waiters: EINVAL if negative.
fn count(value: u32) -> Result<usize, Errno> {
    usize::try_from(value.cast_signed()).map_err(|_| Errno::EINVAL)
}

/// As [`count`], from the low half of a register.
fn count_of(register: u64) -> Result<usize, Errno> {
    count(u32::try_from(register & u64::from(u32::MAX)).map_err(|_| Errno::EINVAL)?)
}

/// Linux wakes one waiter before it looks at the count.
fn at_least_one(value: u32) -> usize {
    count(value).unwrap_or(1).max(1)
}

fn at_least_one_of(register: u64) -> usize {
    count_of(register).unwrap_or(1).max(1)
}

/// The end of a wait, of an operation that waits: relative for `FUTEX_WAIT`, else absolute; on the wall clock for
/// `FUTEX_LOCK_PI` and where a flag says so.
#[inline]
fn deadline(operation: u32, timeout: UserAddr) -> Result<Option<Deadline>, Errno> {
    let waits = matches!(
        operation & FUTEX_CMD_MASK,
        FUTEX_WAIT | FUTEX_WAIT_BITSET | FUTEX_LOCK_PI | FUTEX_LOCK_PI2 | FUTEX_WAIT_REQUEUE_PI
    );
    if !waits || timeout.is_null() {
        return Ok(None);
    }
    read_deadline(operation, timeout).map(Some)
}

fn read_deadline(operation: u32, timeout: UserAddr) -> Result<Deadline, Errno> {
    let ns = from_timespec(&UserPtr::<Timespec>::new(timeout).read()?)?;
    let absolute = operation & FUTEX_CMD_MASK != FUTEX_WAIT;
    let on_wall = operation & FUTEX_CLOCK_REALTIME != 0 || operation & FUTEX_CMD_MASK == FUTEX_LOCK_PI;
    let clock = if on_wall { Clock::Wall } else { Clock::Monotonic };
    clock.deadline(ns, absolute)
}

/// Waits; an interrupted wait with an end is continued by `restart_syscall`.
pub(super) fn wait(
    caller: &mut Caller<'_>,
    word: Word,
    expected: u32,
    bits: u32,
    deadline: Option<Deadline>,
) -> Result<(), Failure> {
    if bits == 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    match core_futex::wait(caller.thread, word, expected, bits, deadline.unwrap_or(Deadline::NEVER))? {
        Ok(()) => Ok(()),
        Err(WaitError::TimedOut) => Err(Failure::Errno(Errno::ETIMEDOUT)),
        Err(WaitError::Interrupted) => match deadline {
            None => Err(Failure::Restart(Restart::IfAllowed)),
            Some(deadline) => {
                *caller.thread.resume.lock() =
                    Some(Box::new(Resume::Futex { word, expected, bits, deadline }));
                Err(Failure::Restart(Restart::Resume))
            }
        },
    }
}

/// `set_robust_list`: the head of the list of locks to release when the thread dies.
pub fn set_robust_list(caller: &mut Caller<'_>, head: UserAddr, size: usize) -> Result<(), Failure> {
    if size != size_of::<RobustListHead>() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    caller.thread.robust_list.store(head.as_u64(), Ordering::Relaxed);
    Ok(())
}

/// `get_robust_list`: of this thread (0) or of another one that the caller may observe.
pub fn get_robust_list(
    caller: &mut Caller<'_>,
    pid: i32,
    head: UserPtr<u64>,
    size: UserPtr<u64>,
) -> Result<(), Failure> {
    let thread = match pid {
        0 => caller.thread.clone(),
        pid => caller.thread.named(pid).ok_or(Errno::ESRCH)?,
    };
    let inspection = Inspection::begin_as_real(thread.process()).ok_or(Errno::EPERM)?;
    let list = thread.robust_list.load(Ordering::Relaxed);
    drop(inspection);
    size.write(&(size_of::<RobustListHead>() as u64))?;
    head.write(&list)?;
    Ok(())
}
