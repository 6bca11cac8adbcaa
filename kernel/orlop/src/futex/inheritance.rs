//! Locks whose owner runs with the priority of whoever waits for it.
//!
//! A lock is known here only while somebody waits: the word in user memory names the owner, and a set [`FUTEX_WAITERS`]
//! sends the owner here to give the lock up. Then it goes to the waiter with the highest priority at once, so nobody
//! can come in between.
//!
//! Each lock tells its owner the highest priority that waits for it ([`ContendedLocks`]), and the owner is boosted to
//! the highest of all. If it waits for a lock itself, that lock's owner is told in turn ([`pass_on`]), one lock of a
//! bucket at a time: each step computes afresh what it tells, so steps of several changes may mix.
//!
//! Lock order: bucket → [`ContendedLocks`] → run queue; bucket → process table.
//!
//! [`FUTEX_WAITERS`]: abi::futex::FUTEX_WAITERS

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use abi::Errno;
use hal::sync::{SpinGuard, SpinLock};
use hal::task::Task;
use outcome::OrErrno;
use sched::settings;

use super::bucket::{self, Bucket};
use super::key::Key;
use super::lock::number;
use super::queue::{self, Order, Queue, Waiter};
use crate::process::Thread;

/// A chain of locks and owners that is longer counts as a circle (Linux: `max_lock_depth`).
const LONGEST_CHAIN: usize = 1024;

/// A lock that somebody waits for.
pub(super) struct Lock {
    pub(super) owner: Arc<Thread>,
    /// The one before has died: the owner has yet to write itself into the word.
    pub(super) is_inherited: bool,
}

/// Locks of a bucket, who waits for them, and who waits to be moved to one (`FUTEX_WAIT_REQUEUE_PI`).
pub(super) struct Inheriting {
    locks: BTreeMap<Key, Lock>,
    /// By the priority that each has, by a boost or its own; [`Bucket::reorder`] is told when that changes.
    waiting: Queue,
    candidates: Queue,
}

/// Who is the first of those who wait.
pub(super) struct First {
    pub(super) order: Order,
    pub(super) thread: Option<Arc<Thread>>,
    /// The number of the thread.
    pub(super) number: u32,
    /// The lock to be moved to.
    pub(super) target: Option<Key>,
}

/// The locks that a thread holds while others wait, each with the highest priority that waits for it.
pub struct ContendedLocks {
    inner: SpinLock<Contended>,
    /// How often the thread has begun to wait for a lock itself.
    waits: AtomicU64,
}

struct Contended {
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

/// The thread that a task runs, while it waits here.
fn thread_of(task: &Task) -> Option<Arc<Thread>> {
    task.owner::<Thread>().and_then(Thread::to_ref)
}

fn first_of(queue: &Queue, key: Key) -> Option<First> {
    let (order, waiting) = queue.first(key, Order::FIRST)?;
    let thread = thread_of(&waiting.task);
    let number = thread.as_ref().map_or(0, |thread| number(thread));
    Some(First { order, thread, number, target: waiting.target.map(Key::from_parts) })
}

impl Inheriting {
    pub(super) const fn new() -> Inheriting {
        Inheriting { locks: BTreeMap::new(), waiting: Queue::new(), candidates: Queue::new() }
    }

    /// Whether somebody waits at `key` whom no plain wake concerns.
    #[inline(always)]
    pub(super) fn concerns(&self, key: Key) -> bool {
        (!self.locks.is_empty() || !self.candidates.is_empty()) && self.finds(key)
    }

    #[cold]
    fn finds(&self, key: Key) -> bool {
        self.locks.contains_key(&key) || self.first_candidate(key).is_some()
    }

    pub(super) fn find(&mut self, key: Key) -> Option<&mut Lock> {
        self.locks.get_mut(&key)
    }

    /// Who is to have a lock next.
    pub(super) fn next_owner(&self, key: Key) -> Option<First> {
        first_of(&self.waiting, key)
    }

    /// Who is to be moved from `key` first.
    pub(super) fn first_candidate(&self, key: Key) -> Option<First> {
        first_of(&self.candidates, key)
    }

    /// Takes one out who waits to be moved.
    pub(super) fn take_candidate(&mut self, key: Key, order: Order) -> Option<Waiter> {
        self.candidates.take(key, order)
    }

    /// Tells the owner of a lock what waits for it; a lock for which nobody waits is forgotten.
    fn tell_owner(&mut self, key: Key) {
        let level = self.waiting.first(key, Order::FIRST).map(|(order, _)| order.priority());
        let Some(lock) = self.locks.get(&key) else { return };
        if level.is_none() && !lock.is_inherited {
            if let Some(lock) = self.locks.remove(&key) {
                lock.owner.held.remove(key, &lock.owner);
            }
        } else {
            lock.owner.held.set(key, level.unwrap_or(0), &lock.owner);
        }
    }

    /// The word names the owner now.
    pub(super) fn settle(&mut self, key: Key) {
        if let Some(lock) = self.find(key) {
            lock.is_inherited = false;
        }
        self.tell_owner(key);
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
        // So that giving it the lock cannot fail.
        let prepared = match waiter.task().and_then(|task| task.owner::<Thread>()) {
            Some(thread) => thread.held.prepare_to_wait(),
            None => Err(Errno::ESRCH),
        };
        if let Err(errno) = prepared {
            return Err((waiter, errno));
        }
        if self.inheriting.find(key).is_none() {
            if let Err(errno) = owner.held.add(key) {
                return Err((waiter, errno));
            }
            self.inheriting.locks.insert(key, Lock { owner: owner.clone(), is_inherited: false });
        }
        let order = self.next_order(waiter.task().map_or(0, |task| settings::effective_priority(task)));
        self.inheriting.waiting.enter(self.index, key, order, waiter);
        self.inheriting.tell_owner(key);
        Ok(())
    }

    /// Makes `waiter` wait at `key` to be moved to the lock that it names.
    pub(super) fn wait_to_be_moved(&mut self, key: Key, waiter: Waiter) {
        let order = self.next_order(waiter.task().map_or(0, |task| queue::own_priority(task)));
        self.put_back(key, order, waiter);
    }

    /// As [`Bucket::wait_to_be_moved`], for one who has just been taken out.
    pub(super) fn put_back(&mut self, key: Key, order: Order, waiter: Waiter) {
        self.inheriting.candidates.enter(self.index, key, order, waiter);
    }

    /// The priority of a task that waits here may have changed. The lock that it waits for, if any.
    fn reorder(&mut self, task: &Task) -> Option<Key> {
        let (key, order) = queue::place(task);
        if !self.inheriting.waiting.holds(key, order) {
            return None;
        }
        let priority = settings::effective_priority(task);
        if order.priority() != priority
            && let Some(waiter) = self.inheriting.waiting.take(key, order)
        {
            let order = Order::new(priority, order.ticket());
            self.inheriting.waiting.enter(self.index, key, order, waiter);
        }
        Some(key)
    }

    /// Gives a lock to one who waits for it; `is_inherited` if that has to write it into the word by itself.
    pub(super) fn hand_over(&mut self, key: Key, order: Order, is_inherited: bool) {
        let Some(next) = self.inheriting.waiting.take(key, order) else { return };
        let Some(thread) = next.task().and_then(|task| thread_of(task)) else { return next.wake_up() };
        let Some(lock) = self.inheriting.find(key) else { return next.wake_up() };
        let former = core::mem::replace(&mut lock.owner, thread.clone());
        lock.is_inherited = is_inherited;
        thread.held.give(key);
        self.inheriting.tell_owner(key);
        next.wake_up();
        // Last: without the boost it may have to make way.
        former.held.remove(key, &former);
    }
}

impl ContendedLocks {
    /// Nothing.
    pub const fn new() -> ContendedLocks {
        let inner = SpinLock::new(Contended { locks: Vec::new(), is_closed: false });
        ContendedLocks { inner, waits: AtomicU64::new(0) }
    }

    /// Makes room for one lock more, and counts a wait for it.
    fn prepare_to_wait(&self) -> Result<(), Errno> {
        self.inner.lock().locks.try_reserve(1).or_errno()?;
        self.waits.fetch_add(1, Relaxed);
        Ok(())
    }

    /// The thread holds one lock more, that somebody is about to wait for; a place stays for one that it is given.
    fn add(&self, key: Key) -> Result<(), Errno> {
        let mut held = self.inner.lock();
        if held.is_closed {
            return Err(Errno::EAGAIN);
        }
        held.locks.try_reserve(2).or_errno()?;
        held.locks.push((key, 0));
        Ok(())
    }

    /// The thread, which waited for a lock, has it.
    fn give(&self, key: Key) {
        self.inner.lock().locks.push((key, 0));
    }

    /// Notes the highest priority that waits for a lock, and boosts the thread, which is `owner`, to the highest of
    /// all.
    fn set(&self, key: Key, level: u8, owner: &Thread) {
        let mut held = self.inner.lock();
        if let Some(entry) = held.locks.iter_mut().find(|(held, _)| *held == key) {
            entry.1 = level;
        }
        held.boost(owner);
    }

    fn remove(&self, key: Key, owner: &Thread) {
        let mut held = self.inner.lock();
        held.locks.retain(|(held, _)| *held != key);
        held.boost(owner);
    }
}

impl Contended {
    fn boost(&self, owner: &Thread) {
        if let Some(task) = owner.task() {
            settings::boost(&task, self.locks.iter().map(|&(_, level)| level).max().unwrap_or(0));
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
        if !bucket.inheriting.find(key).is_some_and(|lock| ptr::eq(&raw const *lock.owner, thread)) {
            continue;
        }
        match bucket.inheriting.next_owner(key) {
            Some(next) => bucket.hand_over(key, next.order, true),
            None => bucket.inheriting.settle(key),
        }
    }
}

/// Takes a thread out of its bucket that no longer wants to wait, and says where it stood.
#[cold]
pub(super) fn withdraw(mut bucket: SpinGuard<'_, Bucket>, key: Key, order: Order) -> Option<Left> {
    if let Some(waiter) = bucket.inheriting.candidates.take(key, order) {
        drop(bucket);
        drop(waiter.stand_down());
        return Some(Left::Word);
    }
    let waiter = bucket.inheriting.waiting.take(key, order)?;
    let owner = bucket.inheriting.find(key).map(|lock| lock.owner.clone());
    bucket.inheriting.tell_owner(key);
    drop(bucket);
    drop(waiter.stand_down());
    if let Some(owner) = owner {
        // A circle has been told to who closed it.
        let _ = pass_on(owner, None);
    }
    Some(Left::Lock)
}

/// The priority of who waits for `owner`'s lock has changed: tells those for whom `owner` waits, and so on. If the
/// chain comes to `seeker`, that may wait for itself: see [`is_circle`].
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
/// A chain is followed one lock at a time, and may have changed behind. But if it leads here twice, by the same
/// threads, and each of them is in the same wait both times, then all of them waited at once in between: none has given
/// anything up.
pub(super) fn is_circle(thread: &Thread) -> bool {
    loop {
        match (trace(thread), trace(thread)) {
            (None, _) | (_, None) => return false,
            (first, second) if first == second => return true,
            _ => {}
        }
    }
}

/// Follows the chain from a thread until it comes back: what stands for the threads on it and their waits. `None` if it
/// ends. A chain that is too long counts as if it came back.
fn trace(thread: &Thread) -> Option<u64> {
    let mut place = None::<Arc<Thread>>;
    let mut trace = 0u64;
    for _ in 0..LONGEST_CHAIN {
        let at = place.as_deref().unwrap_or(thread);
        let waits = at.held.waits.load(Relaxed);
        let next = tell_owner_of(at)?;
        // Multiplication by an odd number loses nothing.
        for part in [ptr::from_ref(at).addr() as u64, waits] {
            trace = trace.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part;
        }
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
    let key = bucket.reorder(&task)?;
    let owner = bucket.inheriting.find(key)?.owner.clone();
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
