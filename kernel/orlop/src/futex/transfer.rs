//! Moving waiters from a word to a lock: `FUTEX_WAIT_REQUEUE_PI` and `FUTEX_CMP_REQUEUE_PI`.
//!
//! A waiter is moved in one step, or given the lock at once: it wakes up with the lock, or not at all.

use alloc::sync::Arc;

use abi::Errno;
use abi::futex::{FUTEX_BITSET_MATCH_ANY, FUTEX_OWNER_DIED, FUTEX_WAITERS};
use sched::wait::{Deadline, WaitError};

use super::bucket::{self, PIECE, Pair};
use super::inheritance::{Left, pass_on};
use super::key::Key;
use super::lock::{Claim, ENDING_NS, exchange, settle};
use super::queue::Waiter;
use super::{Attempt, Word, retry_with_page, sleep};
use crate::process::Thread;

/// What a wait for being moved to a lock came to.
pub enum Moved {
    /// The thread has the lock.
    Locked,
    /// It was not moved, or had no lock when its time was over.
    Failed(WaitError, Left),
}

/// Sleeps while `word` holds `expected` until [`requeue`] moves the thread to the lock `target`, and until it has that.
pub fn wait(
    thread: &Thread,
    word: Word,
    expected: u32,
    target: Word,
    deadline: Deadline,
) -> Result<Moved, Errno> {
    let (key, target_key) = (word.key(thread)?, target.key(thread)?);
    if key == target_key {
        return Err(Errno::EINVAL);
    }
    retry_with_page(|| {
        let mut bucket = bucket::lock(key.bucket());
        word.expect(expected)?;
        bucket.wait_to_be_moved(key, Waiter::current(FUTEX_BITSET_MATCH_ANY, Some(target_key)));
        Ok(())
    })?;
    match sleep(deadline) {
        Ok(()) => settle(thread, (target, target_key)).map(|()| Moved::Locked),
        Err((error, left)) => Ok(Moved::Failed(error, left)),
    }
}

/// Moves one waiter of `word`, and up to `more` others, to the lock `target`, if `word` holds `expected`. A free lock
/// goes to the first of them at once. How many there were. EINVAL if one of them does not wait for being moved there.
/// Unlike Linux it does not look whether one of them would wait for itself; such a wait ends by a signal or its
/// timeout.
pub fn requeue(
    thread: &Thread,
    word: Word,
    target: Word,
    more: usize,
    expected: u32,
) -> Result<usize, Errno> {
    let (key, target_key) = (word.key(thread)?, target.key(thread)?);
    if key == target_key {
        return Err(Errno::EINVAL);
    }
    let limit = more.saturating_add(1);
    let mut moved = 0;
    loop {
        // In pieces: the buckets are let go of in between.
        let piece = (limit - moved).min(PIECE);
        let moving = retry_with_page(|| {
            let mut buckets = Pair::lock(key, target_key);
            if moved == 0 {
                word.expect(expected)?;
            }
            move_all(&mut buckets, key, (target, target_key), piece)
        })?;
        match moving {
            Moving::Done(count, owner) => {
                if let Some(owner) = owner {
                    // Nobody is there to be told of a circle.
                    let _ = pass_on(owner, None);
                }
                moved += count;
                if count < piece || moved == limit {
                    return Ok(moved);
                }
            }
            Moving::OwnerEnds => {
                if sched::sleep(Deadline::after(ENDING_NS)) == WaitError::Interrupted {
                    return Err(Errno::EAGAIN);
                }
            }
        }
    }
}

/// What became of an attempt to move waiters.
enum Moving {
    /// So many were moved; the lock has this owner.
    Done(usize, Option<Arc<Thread>>),
    /// The lock's owner is about to end.
    OwnerEnds,
}

fn move_all(buckets: &mut Pair, key: Key, target: (Word, Key), limit: usize) -> Result<Moving, Attempt> {
    let source = buckets.of(key);
    let Some(first) = source.inheriting.first_candidate(key) else {
        return if source.has_plain(key) { refuse(Errno::EINVAL) } else { Ok(Moving::Done(0, None)) };
    };
    if source.has_plain(key) || first.target != Some(target.1) {
        return refuse(Errno::EINVAL);
    }
    let claim = Claim::read(target.0)?;
    if claim.named() == first.number {
        return refuse(Errno::EDEADLK);
    }
    let mut moved = 0;
    let owner = match buckets.of(target.1).inheriting.find(target.1) {
        Some(lock) if claim.agrees(lock) => lock.owner.clone(),
        Some(_) => return refuse(Errno::EINVAL),
        None if claim.named() == 0 => {
            let waiters = if limit > 1 { FUTEX_WAITERS } else { 0 };
            let taken = claim.value & FUTEX_OWNER_DIED | waiters | first.number;
            let owner = first.thread.ok_or(Attempt::Failed(Errno::ESRCH))?;
            exchange(target.0, claim.value, taken)?;
            moved = 1;
            if let Some(waiter) = buckets.of(key).inheriting.take_candidate(key, first.order) {
                waiter.wake_up();
            }
            owner
        }
        None => claim.owner().ok_or(Attempt::Failed(Errno::ESRCH))?,
    };
    if moved == 0 {
        exchange(target.0, claim.value, claim.value | FUTEX_WAITERS)?;
    }
    match move_to_owned(buckets, key, (target.1, &owner), limit - moved) {
        Ok(more) => Ok(Moving::Done(moved + more, Some(owner))),
        Err(Errno::EAGAIN) => Ok(Moving::OwnerEnds),
        Err(errno) => refuse(errno),
    }
}

/// Moves up to `limit` waiters of `key` to a lock that has an owner; how many there were. EAGAIN, and none is moved, if
/// the owner is about to end. As on Linux, other errors do not say that none was moved.
fn move_to_owned(
    buckets: &mut Pair,
    key: Key,
    (target, owner): (Key, &Arc<Thread>),
    limit: usize,
) -> Result<usize, Errno> {
    for moved in 0..limit {
        let source = &mut buckets.of(key).inheriting;
        let Some(next) = source.first_candidate(key) else { return Ok(moved) };
        if next.target != Some(target) {
            return Err(Errno::EINVAL);
        }
        let Some(waiter) = source.take_candidate(key, next.order) else { return Ok(moved) };
        if let Err((waiter, errno)) = buckets.of(target).wait_for_lock(target, owner, waiter) {
            buckets.of(key).put_back(key, next.order, waiter);
            return Err(errno);
        }
    }
    Ok(limit)
}

fn refuse<T>(errno: Errno) -> Result<T, Attempt> {
    Err(Attempt::Failed(errno))
}
