//! Locks whose owner runs with the priority of whoever waits for it.
//!
//! A lock is known here only while somebody waits: the word in user memory names the owner, and a set [`FUTEX_WAITERS`] sends the
//! owner here to give the lock up. Then it goes to the waiter with the highest priority at once, so nobody can come in between.
//!
//! Each lock tells its owner the highest priority that waits for it ([`Held`]), and the owner is lent the highest of all. If it
//! waits for a lock itself, that lock's owner is told in turn ([`pass_on`]), one lock of a bucket at a time: each step
//! computes afresh what it tells, so steps of several changes may mix.
//!
//! Lock order: bucket → [`Held`] → run queue; bucket → process table.
//!
//! [`FUTEX_WAITERS`]: abi::futex::FUTEX_WAITERS

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use abi::Errno;
use hal::sync::{SpinGuard, SpinLock};
use hal::task::{Task, TaskRef};

use super::bucket::{self, Bucket};
use super::key::Key;
use crate::process::Thread;
use crate::sched::{self, settings};

/// A chain of locks and owners that is longer counts as a circle (Linux: `max_lock_depth`).
const LONGEST_CHAIN: usize = 1024;

/// A lock that somebody waits for.
pub(super) struct Lock {
    pub(super) key: Key,
    pub(super) owner: Arc<Thread>,
    /// The one before has died: the owner has yet to write itself into the word.
    pub(super) is_inherited: bool,
    waiting: Vec<Waiter>,
}

/// A thread that waits for a lock, or for being moved to one.
pub(super) struct Waiter {
    pub(super) thread: Arc<Thread>,
    pub(super) task: TaskRef,
}

/// Who waits at `key` to be moved to the lock `target` (`FUTEX_WAIT_REQUEUE_PI`).
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) target: Key,
    pub(super) waiter: Waiter,
}

/// Locks of a bucket, and who waits to be moved to one.
pub(super) struct Inheriting {
    pub(super) locks: Vec<Lock>,
    pub(super) candidates: Vec<Candidate>,
}

/// The locks that a thread holds while others wait, each with the highest priority that waits for it.
pub struct Held {
    inner: SpinLock<HeldLocks>,
    /// How often the thread has begun to wait for a lock itself.
    waits: AtomicU32,
}

struct HeldLocks {
    locks: Vec<(Key, u8)>,
    /// The thread has given all up and takes no more.
    is_closed: bool,
}

/// Waiting might last for ever: the owner may wait for the waiter.
#[derive(Debug)]
pub(super) struct Circle;

/// Where a thread has stopped to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// At a word, or before it was moved to a lock.
    Word,
    /// At a lock.
    Lock,
}

impl Waiter {
    fn priority(&self) -> u8 {
        settings::effective_priority(&self.task)
    }

    fn is(&self, task: &Task) -> bool {
        ptr::eq(&raw const *self.task, task)
    }

    /// Lets it go on.
    pub(super) fn wake_up(&self) {
        bucket::leave(&self.task);
        sched::wake(&self.task);
    }
}

/// The first of those with the highest priority.
fn highest(priorities: impl Iterator<Item = u8>) -> Option<(usize, u8)> {
    // Of equals, the last of the reversed order.
    priorities.enumerate().max_by_key(|&(index, priority)| (priority, core::cmp::Reverse(index)))
}

impl Lock {
    fn level(&self) -> Option<u8> {
        highest(self.waiting.iter().map(Waiter::priority)).map(|(_, priority)| priority)
    }

    /// Who is to have the lock next, for [`Bucket::hand_over`]. Asked once: priorities change at any time.
    pub(super) fn next(&self) -> Option<usize> {
        highest(self.waiting.iter().map(Waiter::priority)).map(|(index, _)| index)
    }

    /// The number of a thread that waits.
    pub(super) fn number_of(&self, index: usize) -> u32 {
        self.waiting[index].thread.id().number()
    }
}

impl Inheriting {
    pub(super) const fn new() -> Inheriting {
        Inheriting { locks: Vec::new(), candidates: Vec::new() }
    }

    /// Whether somebody waits at `key` whom no plain wake concerns.
    #[inline(always)]
    pub(super) fn concerns(&self, key: Key) -> bool {
        (!self.locks.is_empty() || !self.candidates.is_empty()) && self.finds(key)
    }

    #[cold]
    fn finds(&self, key: Key) -> bool {
        self.locks.iter().any(|lock| lock.key == key)
            || self.candidates.iter().any(|waiter| waiter.key == key)
    }

    pub(super) fn find(&mut self, key: Key) -> Option<&mut Lock> {
        self.locks.iter_mut().find(|lock| lock.key == key)
    }

    /// The candidate at `key` to be moved first.
    pub(super) fn first_candidate(&self, key: Key) -> Option<usize> {
        let of_key =
            |candidate: &Candidate| if candidate.key == key { 1 + candidate.waiter.priority() } else { 0 };
        highest(self.candidates.iter().map(of_key)).filter(|&(_, order)| order != 0).map(|(index, _)| index)
    }

    /// Tells the owner of a lock what waits for it; a lock for which nobody waits is forgotten.
    fn tell_owner(&mut self, key: Key) {
        let Some(index) = self.locks.iter().position(|lock| lock.key == key) else { return };
        let lock = &self.locks[index];
        match lock.level() {
            None if !lock.is_inherited => {
                let lock = self.locks.swap_remove(index);
                lock.owner.held.remove(key, &lock.owner);
            }
            level => lock.owner.held.set(key, level.unwrap_or(0), &lock.owner),
        }
    }

    /// The word names the owner now.
    pub(super) fn settle(&mut self, key: Key) {
        if let Some(lock) = self.find(key) {
            lock.is_inherited = false;
        }
        self.tell_owner(key);
    }

    /// Takes a thread out.
    fn withdraw(&mut self, task: &Task) -> Option<(Left, Option<Arc<Thread>>)> {
        if let Some(index) = self.candidates.iter().position(|candidate| candidate.waiter.is(task)) {
            self.candidates.remove(index);
            return Some((Left::Word, None));
        }
        let lock = self.locks.iter_mut().find(|lock| lock.waiting.iter().any(|waiter| waiter.is(task)))?;
        lock.waiting.retain(|waiter| !waiter.is(task));
        let (key, owner) = (lock.key, lock.owner.clone());
        self.tell_owner(key);
        Some((Left::Lock, Some(owner)))
    }
}

impl Bucket {
    /// Makes `waiter` wait for the lock `key`, which belongs to `owner`. EAGAIN if that is about to end.
    pub(super) fn wait_for_lock(
        &mut self,
        key: Key,
        owner: &Arc<Thread>,
        waiter: Waiter,
    ) -> Result<(), (Waiter, Errno)> {
        let inheriting = &mut self.inheriting;
        // Also for the one that it is to be given: that must not fail.
        if inheriting.locks.try_reserve(1).is_err() || waiter.thread.held.reserve().is_err() {
            return Err((waiter, Errno::ENOMEM));
        }
        if inheriting.find(key).is_none() {
            match owner.held.add(key) {
                Ok(()) => {}
                Err(errno) => return Err((waiter, errno)),
            }
            let (owner, waiting) = (owner.clone(), Vec::new());
            inheriting.locks.push(Lock { key, owner, is_inherited: false, waiting });
        }
        let Some(lock) = inheriting.find(key) else { return Err((waiter, Errno::EAGAIN)) };
        if lock.waiting.try_reserve(1).is_err() {
            inheriting.tell_owner(key);
            return Err((waiter, Errno::ENOMEM));
        }
        bucket::enter(&waiter.task, self.index);
        waiter.thread.held.waits.fetch_add(1, Relaxed);
        lock.waiting.push(waiter);
        inheriting.tell_owner(key);
        Ok(())
    }

    /// Makes `waiter` wait at `key` to be moved to the lock `target`.
    pub(super) fn wait_to_be_moved(&mut self, key: Key, target: Key, waiter: Waiter) -> Result<(), Errno> {
        self.inheriting.candidates.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.put_back(key, target, waiter);
        Ok(())
    }

    /// As [`Bucket::wait_to_be_moved`], for one who has just been taken out.
    pub(super) fn put_back(&mut self, key: Key, target: Key, waiter: Waiter) {
        bucket::enter(&waiter.task, self.index);
        self.inheriting.candidates.push(Candidate { key, target, waiter });
    }

    /// Gives a lock to one who waits for it; `is_inherited` if that has to write it into the word by itself.
    pub(super) fn hand_over(&mut self, key: Key, index: usize, is_inherited: bool) {
        let Some(lock) = self.inheriting.find(key) else { return };
        let next = lock.waiting.remove(index);
        let former = core::mem::replace(&mut lock.owner, next.thread.clone());
        lock.is_inherited = is_inherited;
        next.thread.held.give(key);
        self.inheriting.tell_owner(key);
        next.wake_up();
        // Last: without what it was lent, it may have to make way.
        former.held.remove(key, &former);
    }
}

impl Held {
    /// Nothing.
    pub const fn new() -> Held {
        let inner = SpinLock::new(HeldLocks { locks: Vec::new(), is_closed: false });
        Held { inner, waits: AtomicU32::new(0) }
    }

    /// Makes room for one lock more.
    fn reserve(&self) -> Result<(), Errno> {
        self.inner.lock().locks.try_reserve(1).map_err(|_| Errno::ENOMEM)
    }

    /// The thread holds one lock more, that somebody is about to wait for; a place stays for one that it is given.
    fn add(&self, key: Key) -> Result<(), Errno> {
        let mut held = self.inner.lock();
        if held.is_closed {
            return Err(Errno::EAGAIN);
        }
        held.locks.try_reserve(2).map_err(|_| Errno::ENOMEM)?;
        held.locks.push((key, 0));
        Ok(())
    }

    /// The thread, which waited for a lock, has it.
    fn give(&self, key: Key) {
        self.inner.lock().locks.push((key, 0));
    }

    /// Notes the highest priority that waits for a lock, and lends the thread, which is `owner`, the highest of all.
    fn set(&self, key: Key, level: u8, owner: &Thread) {
        let mut held = self.inner.lock();
        if let Some(entry) = held.locks.iter_mut().find(|(held, _)| *held == key) {
            entry.1 = level;
        }
        held.lend(owner);
    }

    fn remove(&self, key: Key, owner: &Thread) {
        let mut held = self.inner.lock();
        held.locks.retain(|(held, _)| *held != key);
        held.lend(owner);
    }
}

impl HeldLocks {
    fn lend(&self, owner: &Thread) {
        if let Some(task) = owner.task() {
            settings::lend(&task, self.locks.iter().map(|&(_, level)| level).max().unwrap_or(0));
        }
    }
}

/// Whether a thread takes more locks later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Future {
    /// It goes on, in other memory.
    GoesOn,
    /// It ends.
    Ends,
}

/// Gives away all locks that others wait for, of a thread that leaves its memory. They write themselves into the words.
#[inline]
pub(super) fn give_all_away(thread: &Thread, future: Future) {
    let mut held = thread.held.inner.lock();
    held.is_closed = future == Future::Ends;
    let holds = !held.locks.is_empty();
    drop(held);
    if holds {
        give_away_held(thread);
    }
}

#[cold]
fn give_away_held(thread: &Thread) {
    loop {
        let last = thread.held.inner.lock().locks.last().copied();
        let Some((key, _)) = last else { return };
        let mut bucket = bucket::lock(key.bucket());
        let found = bucket.inheriting.find(key).filter(|lock| ptr::eq(&raw const *lock.owner, thread));
        let Some(lock) = found else { continue };
        match lock.next() {
            Some(next) => bucket.hand_over(key, next, true),
            None => bucket.inheriting.settle(key),
        }
    }
}

/// Takes a thread out of its bucket that no longer wants to wait, and says where it stood.
#[cold]
pub(super) fn withdraw(mut bucket: SpinGuard<'_, Bucket>, task: &Task) -> Option<Left> {
    let (left, owner) = bucket.inheriting.withdraw(task)?;
    drop(bucket);
    if let Some(owner) = owner {
        // A circle has been told to who closed it.
        let _ = pass_on(owner, None);
    }
    Some(left)
}

/// The priority of who waits for `owner`'s lock has changed: tells those for whom `owner` waits, and so on. If the chain comes to
/// `seeker`, that may wait for itself: see [`is_circle`].
pub(super) fn pass_on(mut owner: Arc<Thread>, seeker: Option<&Thread>) -> Result<(), Circle> {
    for _ in 0..LONGEST_CHAIN {
        if seeker.is_some_and(|seeker| ptr::eq(seeker, &raw const *owner)) {
            return Err(Circle);
        }
        match tell_owner_of(&owner) {
            Some(next) => owner = next,
            None => return Ok(()),
        }
    }
    Err(Circle)
}

/// Whether the running thread, which waits for a lock, waits for itself.
///
/// A chain is followed one lock at a time, and may have changed behind. But if it leads here twice, by the same threads, and each
/// of them is in the same wait both times, then all of them waited at once in between: none has given anything up.
pub(super) fn is_circle(thread: &Thread) -> bool {
    loop {
        match (trace(thread), trace(thread)) {
            (None, _) | (_, None) => return false,
            (first, second) if first == second => return true,
            _ => {}
        }
    }
}

/// Follows the chain from a thread until it comes back: what stands for the threads on it and their waits. `None` if it ends. A
/// chain that is too long counts as if it came back.
fn trace(thread: &Thread) -> Option<u64> {
    let mut place = None::<Arc<Thread>>;
    let mut trace = 0u64;
    for _ in 0..LONGEST_CHAIN {
        let at = place.as_deref().unwrap_or(thread);
        let waits = at.held.waits.load(Relaxed);
        let next = tell_owner_of(at)?;
        // Multiplication by an odd number loses nothing.
        trace = trace.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ ptr::from_ref(at).addr() as u64
            ^ u64::from(waits) << 48;
        if ptr::eq(&raw const *next, thread) {
            return Some(trace);
        }
        place = Some(next);
    }
    Some(0)
}

/// Tells the owner of the lock that a thread waits for, if it waits for one; returns it.
fn tell_owner_of(thread: &Thread) -> Option<Arc<Thread>> {
    let task = thread.task()?;
    let mut bucket = bucket::lock_place_of(&task)?;
    let waits = |lock: &&Lock| lock.waiting.iter().any(|waiter| waiter.is(&task));
    let (key, owner) =
        bucket.inheriting.locks.iter().find(waits).map(|lock| (lock.key, lock.owner.clone()))?;
    bucket.inheriting.tell_owner(key);
    Some(owner)
}

/// The thread's own priority has changed.
pub fn priority_changed(thread: &Thread) {
    if let Some(owner) = tell_owner_of(thread) {
        // A circle has been told to who closed it.
        let _ = pass_on(owner, None);
    }
}
