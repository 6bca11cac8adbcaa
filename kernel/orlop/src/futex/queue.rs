//! Who waits for the words of a bucket: by word, then by priority, then in the order of their coming.
//!
//! A thread waits for one word at a time. The node that it waits with lies in its task while it does not, so that
//! waiting and being moved cannot fail; and the task says where it stands, so that it is found without a walk. All of
//! it changes under the lock of the bucket that the task's station names.

use alloc::boxed::Box;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use hal::task::{self, Task, TaskRef, WaitNode, WaitPlace, Waiting};
use libkernel::ordered::Tree;
use sched::{self, settings};

use super::key::Key;

/// The station of a thread that does not wait, or has been woken.
const NOWHERE: usize = usize::MAX;

/// The index of the bucket where a thread stands.
#[inline]
pub(super) fn station(task: &Task) -> Option<usize> {
    Some(task.sched.station.load(Acquire)).filter(|&index| index != NOWHERE)
}

/// Whether somebody has taken the thread out of its bucket.
#[inline]
pub(super) fn is_woken(task: &Task) -> bool {
    task.sched.station.load(Acquire) == NOWHERE
}

/// Notes that a thread waits no longer; its bucket is locked.
pub(super) fn leave(task: &Task) {
    task.sched.station.store(NOWHERE, Release);
}

/// Where a thread stands in its bucket, which is locked: the word, and the order there.
pub(super) fn place(task: &Task) -> (Key, Order) {
    let (container, offset, order) = &task.sched.wait_place;
    (Key::from_parts((container.load(Relaxed), offset.load(Relaxed))), Order(order.load(Relaxed)))
}

/// The order among those who wait for one word: the highest priority first, of equals who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order(u64);

impl Order {
    /// Before all others.
    pub(super) const FIRST: Order = Order(0);

    const TICKET_BITS: u32 = 56;

    /// The order of who has a real-time priority (0 for none) and this number of its coming.
    pub(super) const fn new(priority: u8, ticket: u64) -> Order {
        Order(((u8::MAX - priority) as u64) << Order::TICKET_BITS | ticket)
    }

    pub(super) const fn ticket(self) -> u64 {
        self.0 & ((1 << Order::TICKET_BITS) - 1)
    }

    pub(super) const fn priority(self) -> u8 {
        u8::MAX - (self.0 >> Order::TICKET_BITS) as u8
    }

    /// What comes right behind.
    pub(super) const fn next(self) -> Order {
        Order(self.0 + 1)
    }
}

/// The real-time priority that a thread has of its own, 0 for none: by this it waits for words.
pub(super) fn own_priority(task: &Task) -> u8 {
    settings::parameters(task).real_time_priority()
}

/// A thread that waits and stands nowhere at the moment: its node, filled.
pub(super) struct Waiter(Box<WaitNode>);

impl Waiter {
    /// The running thread.
    #[inline]
    pub(super) fn current(bits: u32, target: Option<Key>) -> Waiter {
        let task = task::current_ref();
        // It is there, as the thread waits for nothing else.
        let mut node = task.sched.waiter.take().unwrap_or_else(WaitNode::new);
        node.fill(Waiting { task, bits, target: target.map(Key::parts) });
        Waiter(node)
    }

    pub(super) fn task(&self) -> Option<&TaskRef> {
        self.0.value().map(|waiting| &waiting.task)
    }

    /// Says that the thread waits no longer, and wakes it. It has its node back before it can learn of that.
    #[inline]
    pub(super) fn wake_up(self) {
        if let Some(task) = self.stand_down() {
            leave(&task);
            sched::wake(&task);
        }
    }

    /// Gives the thread its node back.
    #[inline]
    pub(super) fn stand_down(self) -> Option<TaskRef> {
        let Waiter(mut node) = self;
        let Waiting { task, .. } = node.empty()?;
        let surplus = task.sched.waiter.put(node);
        debug_assert!(surplus.is_none(), "the thread waits twice");
        Some(task)
    }
}

/// Waiters in their order.
pub(super) struct Queue(Tree<WaitPlace, Waiting>);

fn wait_place(key: Key, order: Order) -> WaitPlace {
    let (container, offset) = key.parts();
    WaitPlace { container, offset, order: order.0 }
}

/// Whether a place is at this word.
#[inline]
fn is_at(place: &WaitPlace, key: Key) -> bool {
    (place.container, place.offset) == key.parts()
}

impl Queue {
    pub(super) const fn new() -> Queue {
        Queue(Tree::new())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a waiter, to the bucket with this index.
    #[inline]
    pub(super) fn enter(&mut self, index: usize, key: Key, order: Order, waiter: Waiter) {
        let place = wait_place(key, order);
        if let Some(task) = waiter.task() {
            task.sched.wait_place.0.store(place.container, Relaxed);
            task.sched.wait_place.1.store(place.offset, Relaxed);
            task.sched.wait_place.2.store(place.order, Relaxed);
            task.sched.station.store(index, Relaxed);
        }
        self.0.insert(waiter.0, place);
    }

    /// The first who waits for a word and is not before `from`.
    #[inline]
    pub(super) fn first(&self, key: Key, from: Order) -> Option<(Order, &Waiting)> {
        let (place, waiting) = self.0.first_from(wait_place(key, from))?;
        is_at(&place, key).then_some((Order(place.order), waiting))
    }

    /// Takes the first of the bucket out, if it waits for the word and is `wanted`: without a look at others.
    #[inline]
    pub(super) fn take_first_if(
        &mut self,
        key: Key,
        wanted: impl FnOnce(Order, &Waiting) -> bool,
    ) -> Option<(Order, Waiter)> {
        let node = self
            .0
            .take_first_if(|place, waiting| is_at(place, key) && wanted(Order(place.order), waiting))?;
        Some((Order(node.key().order), Waiter(node)))
    }

    /// Takes a waiter out.
    #[inline]
    pub(super) fn take(&mut self, key: Key, order: Order) -> Option<Waiter> {
        self.0.take(wait_place(key, order)).map(Waiter)
    }

    /// Takes the waiter out if it is the only one of the bucket, and waits for the word and for one of `bits`.
    #[inline]
    pub(super) fn take_only(&mut self, key: Key, bits: u32) -> Option<Waiter> {
        self.0.take_only_if(|place, waiting| is_at(place, key) && waiting.bits & bits != 0).map(Waiter)
    }

    /// Whether one waits there.
    pub(super) fn holds(&self, key: Key, order: Order) -> bool {
        self.0.get(wait_place(key, order)).is_some()
    }
}
