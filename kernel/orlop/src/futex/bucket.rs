//! Buckets of waiting threads.

use alloc::collections::VecDeque;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use abi::Errno;
use hal::sync::{SpinGuard, SpinLock};
use hal::task::{Task, TaskRef};

use super::inheritance::{self, Inheriting, Left};
use super::key::{BUCKETS, Key};
use crate::sched;

static TABLE: [SpinLock<Bucket>; BUCKETS] = [const { SpinLock::new(Bucket::new()) }; BUCKETS];

/// The place of a thread that does not wait, or has been woken.
const NOWHERE: usize = usize::MAX;

/// Where a thread stands: the index of its bucket, changed under that bucket's lock. It waits for one futex at a time.
fn place(task: &Task) -> &AtomicUsize {
    &task.sched.station
}

/// Whether somebody has taken the thread out of its bucket.
#[inline]
pub(super) fn is_woken(task: &Task) -> bool {
    place(task).load(Ordering::Acquire) == NOWHERE
}

/// A thread that waits.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) bits: u32,
    pub(super) task: TaskRef,
}

/// Notes that a thread waits in the bucket with this index, which is locked.
pub(super) fn enter(task: &Task, index: usize) {
    place(task).store(index, Ordering::Relaxed);
}

/// Notes that a thread waits no longer; its bucket is locked.
pub(super) fn leave(task: &Task) {
    place(task).store(NOWHERE, Ordering::Release);
}

impl Entry {
    /// Says that the thread waits no longer, and wakes it.
    #[inline]
    pub(super) fn wake_up(self) {
        leave(&self.task);
        sched::wake(&self.task);
    }
}

/// Waiters whose keys hash alike, in the order of their coming.
pub(super) struct Bucket {
    pub(super) index: usize,
    waiting: VecDeque<Entry>,
    pub(super) inheriting: Inheriting,
}

/// Locks a bucket.
#[inline(always)]
pub(super) fn lock(index: usize) -> SpinGuard<'static, Bucket> {
    let mut bucket = TABLE[index % BUCKETS].lock();
    bucket.index = index % BUCKETS;
    bucket
}

/// The buckets of two keys; one, if they share it.
pub(super) struct Pair {
    low: SpinGuard<'static, Bucket>,
    high: Option<SpinGuard<'static, Bucket>>,
}

impl Pair {
    /// Locks the buckets of both keys, the lower first.
    pub(super) fn lock(first: Key, second: Key) -> Pair {
        let (low, high) = (first.bucket().min(second.bucket()), first.bucket().max(second.bucket()));
        Pair { low: lock(low), high: (low != high).then(|| lock(high)) }
    }

    /// The bucket of one of the keys.
    pub(super) fn of(&mut self, key: Key) -> &mut Bucket {
        match &mut self.high {
            Some(high) if high.index == key.bucket() => high,
            _ => &mut self.low,
        }
    }
}

impl Bucket {
    const fn new() -> Bucket {
        Bucket { index: 0, waiting: VecDeque::new(), inheriting: Inheriting::new() }
    }

    /// Whether somebody waits plainly at the key.
    pub(super) fn has_plain(&self, key: Key) -> bool {
        self.waiting.iter().any(|entry| entry.key == key)
    }

    /// EINVAL if somebody waits at the key who wants more than to be woken.
    #[inline]
    pub(super) fn all_are_plain(&self, key: Key) -> Result<(), Errno> {
        if self.inheriting.concerns(key) { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Adds a waiter; without room it is given back.
    pub(super) fn push(&mut self, entry: Entry) -> Result<(), Entry> {
        if self.waiting.try_reserve(1).is_err() {
            return Err(entry);
        }
        enter(&entry.task, self.index);
        self.waiting.push_back(entry);
        Ok(())
    }

    /// Wakes up to `count` waiters for one of `bits` of the key; how many there were.
    pub(super) fn wake(&mut self, key: Key, count: usize, bits: u32) -> usize {
        let mut woken = 0;
        while woken < count {
            let Some(entry) = self.take(key, bits) else { break };
            entry.wake_up();
            woken += 1;
        }
        woken
    }

    /// Takes out the first waiter for one of `bits` of the key.
    #[inline]
    pub(super) fn take(&mut self, key: Key, bits: u32) -> Option<Entry> {
        let is_wanted = |entry: &Entry| entry.key == key && entry.bits & bits != 0;
        if self.waiting.front().is_some_and(is_wanted) {
            return self.waiting.pop_front();
        }
        let index = self.waiting.iter().position(is_wanted)?;
        self.waiting.remove(index)
    }
}

/// Locks the bucket where a thread waits; `None` if it waits nowhere.
pub(super) fn lock_place_of(task: &Task) -> Option<SpinGuard<'static, Bucket>> {
    loop {
        let index = place(task).load(Ordering::Acquire);
        if index == NOWHERE {
            return None;
        }
        let bucket = lock(index);
        if place(task).load(Ordering::Acquire) == index {
            return Some(bucket);
        }
    }
}

/// Takes a thread out that no longer wants to wait, and says where it stood; `None` if somebody has woken it meanwhile.
pub(super) fn withdraw(task: &Task) -> Option<Left> {
    let mut bucket = lock_place_of(task)?;
    leave(task);
    let index = bucket.waiting.iter().position(|entry| ptr::eq(&raw const *entry.task, task));
    if let Some(removed) = index.and_then(|index| bucket.waiting.remove(index)) {
        drop(bucket);
        drop(removed);
        return Some(Left::Word);
    }
    inheritance::withdraw(bucket, task)
}
