//! Wait queues: how a thread sleeps until something becomes true, and how it is told.
//!
//! A [`WaitQueue`] belongs to the thing that is waited for. Who makes a condition true changes the state first and wakes the queue
//! afterwards; who waits is entered into the queue before it looks at the state. So no wake-up is lost, and the condition is
//! evaluated by the waiting thread alone, awake, with no lock held: it may take sleeping locks itself.
//!
//! A wake-up takes the entry out of the queue. A waiter that finds its entry gone just before it would sleep looks again instead; one
//! that gives up, or needs to sleep no more, passes the wake-up on. A spurious wake-up costs a second look. Entries are ordered by
//! ticket, so that removal is a binary search; and as wake-ups take the oldest first, one number tells every waiter whether its
//! entry is gone.
//!
//! Besides threads, an [`Observer`] can stand in the queue: it is called at every wake-up until its [`Subscription`] is dropped.
//! `poll` is built on this.
//!
//! Lock order: any lock of the caller → a queue's entries → run queue. Observers are called under the entries' lock.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use hal::frame::OutOfMemory;
use hal::sync::IrqLock;
use hal::task::{self, TaskRef};

pub use super::deadline::Deadline;
use super::timer::Timeout;
use crate::process::work;

/// What a file is ready for; the bits of `poll(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollEvents(pub u32);

impl PollEvents {
    /// There is something to read.
    pub const IN: PollEvents = PollEvents(0x001);
    /// There is urgent data to read.
    pub const PRIORITY: PollEvents = PollEvents(0x002);
    /// Writing will not block.
    pub const OUT: PollEvents = PollEvents(0x004);
    /// An error is to be reported.
    pub const ERROR: PollEvents = PollEvents(0x008);
    /// The other side is gone.
    pub const HANG_UP: PollEvents = PollEvents(0x010);
    /// The other side will write no more.
    pub const READ_HANG_UP: PollEvents = PollEvents(0x2000);
    /// Nothing.
    pub const NONE: PollEvents = PollEvents(0);
    /// Anything may have changed.
    pub const ALL: PollEvents = PollEvents(u32::MAX);

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: PollEvents) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    #[must_use]
    pub const fn union(self, other: PollEvents) -> PollEvents {
        PollEvents(self.0 | other.0)
    }

    /// The bits in common.
    #[must_use]
    pub const fn intersection(self, other: PollEvents) -> PollEvents {
        PollEvents(self.0 & other.0)
    }
}

/// Someone who wants to hear of every wake-up without sleeping in the queue.
pub trait Observer: Send + Sync {
    /// Something happened. Called under the queue's lock, perhaps in an interrupt: may wake threads, must not wait.
    fn notify(&self, events: PollEvents);
}

/// A signal came before what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// A signal is pending.
    Interrupted,
    /// The deadline has passed.
    TimedOut,
}

/// What may end a wait early: the work bits of the thread that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Any signal that would be delivered.
    Interruptible,
    /// Only death.
    Killable,
    /// Nothing. For waits that are short by construction.
    Uninterruptible,
}

impl Patience {
    /// Whether something has come that ends such a wait of this task.
    pub fn is_exhausted(self, task: &task::Task) -> bool {
        let bits = match self {
            Patience::Interruptible => work::SIGNAL | work::KILL,
            Patience::Killable => work::KILL,
            Patience::Uninterruptible => return false,
        };
        task.work.load(Ordering::Relaxed) & bits != 0
    }
}

/// Entries in the order of their tickets.
type List<T> = VecDeque<(u64, T)>;

struct Entries {
    last_ticket: u64,
    threads: List<TaskRef>,
    observers: List<Arc<dyn Observer>>,
}

/// Threads and observers that wait for the same thing.
pub struct WaitQueue {
    /// The number of entries, so that a wake-up of nobody costs one load.
    waiting: AtomicUsize,
    /// Threads with tickets below this are no longer in the queue.
    oldest: AtomicU64,
    entries: IrqLock<Entries>,
}

impl WaitQueue {
    /// A queue with nobody in it.
    pub const fn new() -> WaitQueue {
        WaitQueue {
            waiting: AtomicUsize::new(0),
            oldest: AtomicU64::new(0),
            entries: IrqLock::new(Entries {
                last_ticket: 0,
                threads: VecDeque::new(),
                observers: VecDeque::new(),
            }),
        }
    }

    /// Whether anybody waits. Call after the state has changed; the fence pairs with the one in `enter`.
    #[inline]
    pub fn has_waiters(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_anybody_in()
    }

    /// As [`WaitQueue::has_waiters`], after the caller's own fence.
    #[inline]
    pub fn is_anybody_in(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Wakes the thread that has waited longest, and tells all observers.
    #[inline]
    pub fn wake_one(&self) {
        if self.has_waiters() {
            self.wake_entries(1, PollEvents::ALL);
        }
    }

    /// Wakes every thread and tells all observers that anything may have changed.
    #[inline]
    pub fn wake_all(&self) {
        self.notify(PollEvents::ALL);
    }

    /// Wakes every thread and tells all observers what has changed.
    #[inline]
    pub fn notify(&self, events: PollEvents) {
        if self.has_waiters() {
            self.wake_entries(usize::MAX, events);
        }
    }

    fn wake_entries(&self, threads: usize, events: PollEvents) {
        let mut entries = self.entries.lock();
        for (_, observer) in &entries.observers {
            observer.notify(events);
        }
        for _ in 0..threads {
            let Some((_, task)) = entries.threads.pop_front() else { break };
            // Before the wake-up, whose fence pairs with that of `prepare_to_block`.
            self.publish(&entries);
            super::wake(&task);
        }
    }

    /// Lets those without the lock see what changed.
    #[inline]
    fn publish(&self, entries: &Entries) {
        self.waiting.store(entries.len(), Ordering::Relaxed);
        let oldest = entries.threads.front().map_or(entries.last_ticket + 1, |(ticket, _)| *ticket);
        self.oldest.store(oldest, Ordering::Relaxed);
    }

    /// Sleeps until `condition` gives a value; a signal or the deadline ends the wait early.
    #[inline]
    pub fn wait_until<T>(
        &self,
        deadline: Deadline,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        match condition() {
            Some(value) => Ok(value),
            None => self.sleep_until(Patience::Interruptible, deadline, condition),
        }
    }

    /// Sleeps until `condition` gives a value; only the death of the thread ends the wait early.
    pub fn wait_until_killed<T>(&self, mut condition: impl FnMut() -> Option<T>) -> Result<T, Interrupted> {
        match condition() {
            Some(value) => Ok(value),
            None => self.sleep_until(Patience::Killable, Deadline::NEVER, condition).map_err(|_| Interrupted),
        }
    }

    /// Sleeps until `condition` gives a value, whatever happens.
    pub fn wait_uninterruptibly<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            if let Ok(value) = self.sleep_until(Patience::Uninterruptible, Deadline::NEVER, &mut condition) {
                return value;
            }
        }
    }

    fn sleep_until<T>(
        &self,
        patience: Patience,
        deadline: Deadline,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        hal::sync::assert_may_block();
        let task = task::current();
        let mut timeout = None;
        loop {
            let place = self.enter();
            if let Some(value) = condition() {
                self.leave_unwoken(place);
                return Ok(value);
            }
            if patience.is_exhausted(&task) {
                self.leave_unwoken(place);
                return Err(WaitError::Interrupted);
            }
            if deadline.has_passed() {
                self.leave_unwoken(place);
                return Err(WaitError::TimedOut);
            }
            timeout.get_or_insert_with(|| Timeout::start(deadline));
            super::block_unless(|| {
                !self.is_waiting(place) || patience.is_exhausted(&task) || deadline.has_passed()
            });
            self.leave(place);
            if let Some(value) = condition() {
                return Ok(value);
            }
        }
    }

    /// Puts the thread into the queue. Without memory for the entry there is no place, and the thread polls.
    fn enter(&self) -> Option<u64> {
        let mut entries = self.entries.lock();
        let ticket = entries.next_ticket();
        let place = push(&mut entries.threads, ticket, task::current().to_ref());
        self.waiting.store(entries.len(), Ordering::Relaxed);
        drop(entries);
        fence(Ordering::SeqCst);
        place
    }

    /// Whether no wake-up has taken the entry out.
    #[inline]
    fn is_waiting(&self, place: Option<u64>) -> bool {
        place.is_some_and(|ticket| ticket >= self.oldest.load(Ordering::Relaxed))
    }

    #[inline]
    fn leave(&self, place: Option<u64>) {
        if let Some(ticket) = place.filter(|_| self.is_waiting(place)) {
            self.take_out(ticket);
        }
    }

    /// Leaves without having slept. A wake-up that has come meanwhile was meant for somebody who goes on because of it: it is
    /// passed on.
    fn leave_unwoken(&self, place: Option<u64>) {
        if place.is_some_and(|ticket| !self.take_out(ticket)) {
            self.wake_one();
        }
    }

    /// Takes an entry out, if no wake-up has; whether it was there.
    fn take_out(&self, ticket: u64) -> bool {
        let mut entries = self.entries.lock();
        let removed = remove(&mut entries.threads, ticket);
        self.publish(&entries);
        drop(entries);
        removed.is_some()
    }

    fn enter_observer(&self, observer: Arc<dyn Observer>) -> Option<u64> {
        let mut entries = self.entries.lock();
        let ticket = entries.next_ticket();
        let place = push(&mut entries.observers, ticket, observer);
        self.waiting.store(entries.len(), Ordering::Relaxed);
        drop(entries);
        fence(Ordering::SeqCst);
        place
    }

    fn leave_observer(&self, ticket: u64) {
        let mut entries = self.entries.lock();
        let removed = remove(&mut entries.observers, ticket);
        self.waiting.store(entries.len(), Ordering::Relaxed);
        drop(entries);
        drop(removed);
    }
}

impl Default for WaitQueue {
    fn default() -> WaitQueue {
        WaitQueue::new()
    }
}

impl Entries {
    fn len(&self) -> usize {
        self.threads.len() + self.observers.len()
    }

    fn next_ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }
}

fn push<T>(list: &mut List<T>, ticket: u64, value: T) -> Option<u64> {
    list.try_reserve(1).ok()?;
    list.push_back((ticket, value));
    Some(ticket)
}

fn remove<T>(list: &mut List<T>, ticket: u64) -> Option<(u64, T)> {
    let index = list.binary_search_by_key(&ticket, |entry| entry.0).ok()?;
    list.remove(index)
}

/// A thing that has a wait queue inside and can be observed through a counted reference.
pub trait Observable: Send + Sync {
    /// The queue.
    fn wait_queue(&self) -> &WaitQueue;
}

impl Observable for WaitQueue {
    fn wait_queue(&self) -> &WaitQueue {
        self
    }
}

/// The standing of an [`Observer`] in a queue; dropped, it leaves the queue.
pub struct Subscription {
    queue: Arc<dyn Observable>,
    ticket: u64,
}

impl Subscription {
    /// Enters the observer; from now on it hears of every wake-up. Look at the state after this.
    pub fn new(queue: Arc<dyn Observable>, observer: Arc<dyn Observer>) -> Result<Subscription, OutOfMemory> {
        let ticket = queue.wait_queue().enter_observer(observer).ok_or(OutOfMemory)?;
        Ok(Subscription { queue, ticket })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.wait_queue().leave_observer(self.ticket);
    }
}
