//! Wait queues: how a thread sleeps until something becomes true, and how it is told.
//!
//! A [`WaitQueue`] belongs to the thing that is waited for. Who makes a condition true changes the state first and
//! wakes the queue afterwards; who waits is entered into the queue before it looks at the state. So no wake-up is lost,
//! and the condition is evaluated by the waiting thread alone, awake, with no lock held: it may take sleeping locks
//! itself.
//!
//! A wake-up takes the entry out of the queue. A waiter that finds its entry gone just before it would sleep looks
//! again instead; one that gives up, or needs to sleep no more, passes the wake-up on. A spurious wake-up costs a
//! second look. Entries are ordered by ticket, so that removal is a binary search; and as wake-ups take the oldest
//! first, one number tells every waiter whether its entry is gone.
//!
//! Besides threads, an [`Observer`] can stand in the queue: it is called at every wake-up until its [`Subscription`] is
//! dropped. `poll` is built on this. An exclusive observer is called only until one of them has woken somebody.
//!
//! A program chooses how many wait: the queue's lock masks interrupts, so it is held for at most `BATCH` of them at a
//! time.
//!
//! Lock order: any lock of the caller → a queue's entries → run queue. Observers are called under the entries' lock.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use hal::sync::{IrqGuard, IrqLock};
use hal::task;

pub use super::deadline::Deadline;
use super::timer::Timeout;
use super::waiters::{BATCH, Entries, Round, Threads};
pub use super::waiters::{Observer, Share};
use super::work;

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

/// A signal came before what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// The thread is to end before what was waited for. Whatever its call answers, nobody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed;

impl From<Interrupted> for Killed {
    fn from(_: Interrupted) -> Killed {
        Killed
    }
}

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
    /// Any signal that would be delivered, or that another thread has taken and stops the process by.
    Interruptible,
    /// Only death.
    Killable,
    /// Nothing. For waits that are short by construction.
    Uninterruptible,
}

impl Patience {
    /// Whether something has come that ends such a wait of the running task.
    pub fn is_exhausted(self) -> bool {
        let bits = match self {
            Patience::Interruptible => work::INTERRUPTING,
            Patience::Killable => work::KILL,
            Patience::Uninterruptible => return false,
        };
        task::own_work() & bits != 0
    }
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
            entries: IrqLock::new(Entries { last_ticket: 0, threads: Threads::new(), observers: None }),
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

    /// Wakes the thread that has waited longest, and tells all observers that anything may have changed.
    #[inline]
    pub fn wake_one(&self) {
        if self.has_waiters() {
            self.wake_first(usize::MAX, PollEvents::ALL);
        }
    }

    /// Wakes every thread and tells all observers that anything may have changed.
    #[inline]
    pub fn wake_all(&self) {
        if self.has_waiters() {
            self.wake_entries(self.entries.lock(), usize::MAX, usize::MAX, PollEvents::ALL);
        }
    }

    /// Wakes every thread, and tells all observers and one exclusive one what has changed.
    #[inline]
    pub fn notify(&self, events: PollEvents) {
        if self.has_waiters() {
            self.wake_entries(self.entries.lock(), usize::MAX, 1, events);
        }
    }

    /// Wakes the thread that has waited longest, and tells all observers and one exclusive one what has changed.
    /// Whether there was a thread.
    #[inline]
    pub fn notify_one(&self, events: PollEvents) -> bool {
        self.has_waiters() && self.wake_first(1, events) > 0
    }

    /// Wakes the thread that has waited longest because the one before it leaves something for it. Observers have heard
    /// of that.
    #[inline]
    pub fn pass_on(&self) {
        if self.has_waiters() {
            self.wake_first(0, PollEvents::NONE);
        }
    }

    /// [`WaitQueue::wake_entries`] with one thread at most: what most wake-ups are, of queues that nobody observes.
    fn wake_first(&self, exclusive: usize, events: PollEvents) -> usize {
        let mut entries = self.entries.lock();
        if entries.observers.is_some() {
            return self.wake_entries(entries, 1, exclusive, events);
        }
        let Some(task) = entries.threads.pop() else { return 0 };
        self.publish(&entries);
        super::wake(&task);
        1
    }

    /// Returns how many threads were woken. Without events no observer is told.
    #[inline(never)]
    fn wake_entries<'a>(
        &'a self,
        mut entries: IrqGuard<'a, Entries>,
        threads: usize,
        exclusive: usize,
        events: PollEvents,
    ) -> usize {
        let last = entries.last_ticket;
        let mut round = Round { threads, exclusive, events, last, told: 0, told_exclusive: 0, woken: 0 };
        while self.serve_some(&mut entries, &mut round) {
            drop(entries);
            // Interrupts come in here, and who wants to enter or leave.
            entries = self.entries.lock();
        }
        round.woken
    }

    /// Serves a batch; whether there are more to be served.
    #[inline]
    fn serve_some(&self, entries: &mut Entries, round: &mut Round) -> bool {
        if round.events != PollEvents::NONE
            && let Some(observers) = &entries.observers
            && observers.tell_some(round)
        {
            return true;
        }
        for _ in 0..BATCH.min(round.threads) {
            let Some(task) = entries.threads.pop_until(round.last) else { return false };
            round.threads -= 1;
            round.woken += 1;
            // Before the wake-up, whose fence pairs with that of `prepare_to_block`.
            self.publish(entries);
            super::wake(&task);
        }
        round.threads > 0
    }

    /// Lets those without the lock see what changed.
    #[inline]
    fn publish(&self, entries: &Entries) {
        self.waiting.store(entries.len(), Ordering::Relaxed);
        let oldest = entries.threads.oldest().unwrap_or(entries.last_ticket + 1);
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
        let mut timeout = None;
        loop {
            let place = self.enter();
            if let Some(value) = condition() {
                self.leave_unwoken(place);
                return Ok(value);
            }
            if patience.is_exhausted() {
                self.leave_unwoken(place);
                return Err(WaitError::Interrupted);
            }
            if deadline.has_passed() {
                self.leave_unwoken(place);
                return Err(WaitError::TimedOut);
            }
            timeout.get_or_insert_with(|| Timeout::start(deadline));
            super::block_unless(|| {
                !self.is_waiting(place) || patience.is_exhausted() || deadline.has_passed()
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
        let place = entries.threads.push(ticket, task::current_ref());
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

    /// Leaves without having slept. A wake-up that has come meanwhile was meant for somebody who goes on because of it:
    /// it is passed on.
    fn leave_unwoken(&self, place: Option<u64>) {
        if place.is_some_and(|ticket| !self.take_out(ticket)) {
            self.pass_on();
        }
    }

    /// Takes an entry out, if no wake-up has; whether it was there.
    fn take_out(&self, ticket: u64) -> bool {
        let mut entries = self.entries.lock();
        let removed = entries.threads.remove(ticket);
        self.publish(&entries);
        drop(entries);
        removed.is_some()
    }

    fn enter_observer(&self, observer: Arc<dyn Observer>, share: Share) -> u64 {
        let mut entries = self.entries.lock();
        let ticket = entries.next_ticket();
        let observers = entries.observers.get_or_insert_default();
        observers.of(share).push(ticket, observer);
        self.waiting.store(entries.len(), Ordering::Relaxed);
        drop(entries);
        fence(Ordering::SeqCst);
        ticket
    }

    fn leave_observer(&self, ticket: u64, share: Share) {
        let mut entries = self.entries.lock();
        let removed = entries.observers.as_mut().and_then(|observers| observers.of(share).remove(ticket));
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
    share: Share,
}

impl Subscription {
    /// Enters the observer. Look at the state after this.
    pub fn new(queue: Arc<dyn Observable>, observer: Arc<dyn Observer>, share: Share) -> Subscription {
        let ticket = queue.wait_queue().enter_observer(observer, share);
        Subscription { queue, ticket, share }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.wait_queue().leave_observer(self.ticket, self.share);
    }
}
