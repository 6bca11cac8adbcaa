//! What the scheduler keeps in each task.
//!
//! A task's entity, which the policy in `libkernel::sched` orders, lies in the task's seat while it is blocked or new,
//! and in a CPU's queue else. Parameters and affinity are words that anybody may change; who queues the task reads
//! them.
use super::{Runnable, Task, TaskRef};
use crate::list::Link;
use crate::sync::Seat;
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use libkernel::sched::{Member, Parameters, QueuePosition};
use libkernel::{ordered, timeouts};

/// A task in the eyes of the policy.
pub type Entity = libkernel::sched::Entity<Runnable>;

/// How a task stands among those that sleep until a time.
pub type TimeoutNode = timeouts::Node<TaskRef>;

/// Where a task waits for a word of memory. Places are in the order of their words, then as `order` says.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct WaitPlace {
    /// What the word lies in.
    pub container: usize,
    /// Where in that.
    pub offset: u64,
    /// The order among those who wait for the word.
    pub order: u64,
}

impl WaitPlace {
    /// Whether it is at the same word: nearly always, where two are compared.
    #[inline]
    fn is_beside(&self, other: &WaitPlace) -> bool {
        self.container == other.container && self.offset == other.offset
    }
}

impl Ord for WaitPlace {
    #[inline]
    fn cmp(&self, other: &WaitPlace) -> core::cmp::Ordering {
        if self.is_beside(other) {
            self.order.cmp(&other.order)
        } else {
            (self.container, self.offset).cmp(&(other.container, other.offset))
        }
    }
}

impl PartialOrd for WaitPlace {
    #[inline]
    fn partial_cmp(&self, other: &WaitPlace) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }

    /// In as few steps as a tree of waiters should take for each of its levels.
    #[inline]
    fn lt(&self, other: &WaitPlace) -> bool {
        if self.is_beside(other) { self.order < other.order } else { self.cmp(other).is_lt() }
    }
}

/// A task that waits for a word of memory.
pub struct Waiting {
    /// The task.
    pub task: TaskRef,
    /// Which wake-ups concern it.
    pub bits: u32,
    /// The lock that it waits to be moved to: what it lies in, and where.
    pub target: Option<(usize, u64)>,
}

/// How a task stands among those that wait for words.
pub type WaitNode = ordered::Node<WaitPlace, Waiting>;

/// The scheduler's own part of a task.
pub struct SchedData {
    /// `libkernel::sched::Parameters`, packed.
    pub parameters: AtomicU32,
    /// The CPUs that it may run on, a bit for each.
    pub allowed: AtomicU64,
    /// The CPU whose queue it was put into last. Changed under the lock of that queue.
    pub queue: AtomicU32,
    /// Processor time used, in nanoseconds, to when it was last charged. Changed under the lock of the queue.
    pub runtime_ns: AtomicU64,
    /// How often it has gone to sleep. Counted by the task itself.
    pub sleeps: AtomicU64,
    /// How often another task ran although it did not sleep. Counted by the task itself.
    pub preemptions: AtomicU64,
    /// When it was last moved to another CPU to even out loads.
    pub moved_ns: AtomicU64,
    /// Where those who may wake it find it, in their own terms.
    pub station: AtomicUsize,
    /// Where it stands at its station: a [`WaitPlace`]. Changed by whoever puts it there.
    pub wait_place: (AtomicUsize, AtomicU64, AtomicU64),
    /// What it stands among those with that wait for words, while it does not: so that it can always be put there.
    pub waiter: Seat<WaitNode>,
    /// Its place in line for a sleeping lock. It waits for one at a time.
    pub line: Link<Task>,
    /// Whether it would share that lock. Changed by the task itself, not in line.
    pub shares: AtomicBool,
    /// What it stands among sleepers with, while it does not: so that it can always sleep.
    pub timeout: Seat<TimeoutNode>,
    /// The number of its entity.
    pub number: u32,
    order: AtomicU64,
    arrival: AtomicU64,
    pub(super) seat: UnsafeCell<Option<Box<Entity>>>,
}

/// The number of the next entity.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

impl SchedData {
    #[inline(always)]
    pub(super) fn new() -> Self {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self {
            parameters: AtomicU32::new(Parameters::default().pack()),
            allowed: AtomicU64::new(u64::MAX),
            queue: AtomicU32::new(0),
            runtime_ns: AtomicU64::new(0),
            sleeps: AtomicU64::new(0),
            preemptions: AtomicU64::new(0),
            moved_ns: AtomicU64::new(0),
            station: AtomicUsize::new(usize::MAX),
            wait_place: (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0)),
            waiter: Seat::new(ordered::Node::new()),
            line: Link::new(),
            shares: AtomicBool::new(false),
            timeout: Seat::new(timeouts::Node::new()),
            number,
            order: AtomicU64::new(0),
            arrival: AtomicU64::new(0),
            seat: UnsafeCell::new(Some(Entity::new(Parameters::default(), number))),
        }
    }

    /// Where it stands in its queue, or stood last. Stable under the queue's lock.
    pub fn place(&self) -> QueuePosition {
        QueuePosition {
            order: self.order.load(Ordering::Relaxed),
            number: self.arrival.load(Ordering::Relaxed),
        }
    }
}

impl Member for Runnable {
    #[inline]
    fn note_place(&self, place: QueuePosition) {
        let data = &self.task().sched;
        data.order.store(place.order, Ordering::Relaxed);
        data.arrival.store(place.number, Ordering::Relaxed);
    }
}
