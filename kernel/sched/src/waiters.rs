//! Who stands in a wait queue: threads in their order, and observers.
//!
//! Plain data; the queue's lock is around it (`wait`).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::ops::Bound::{Excluded, Included};

use arrayvec::ArrayVec;
use hal::task::TaskRef;

use super::wait::PollEvents;

/// Someone who wants to hear of every wake-up without sleeping in the queue.
pub trait Observer: Send + Sync {
    /// Something happened. Called under the queue's lock, perhaps in an interrupt: may wake threads, must not wait.
    /// Says whether it has woken one, and so no other exclusive observer need be called.
    fn notify(&self, events: PollEvents) -> bool;
}

/// Of how many wake-ups an [`Observer`] hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Of all.
    All,
    /// Of those for which no exclusive observer before it has woken somebody: `EPOLLEXCLUSIVE`.
    Exclusive,
}

/// How many entries a wake-up serves before it lets interrupts and others in.
pub(super) const BATCH: usize = 32;

/// Threads in the order of their tickets; `None` for those that have left from the middle. The first and the last are
/// there.
#[derive(Default)]
pub(super) struct Threads {
    list: VecDeque<(u64, Option<TaskRef>)>,
    present: usize,
}

impl Threads {
    pub(super) const fn new() -> Threads {
        Threads { list: VecDeque::new(), present: 0 }
    }

    /// Adds a thread behind all others, if there is memory for it.
    pub(super) fn push(&mut self, ticket: u64, task: TaskRef) -> Option<u64> {
        if self.list.len() == self.list.capacity() && self.present <= self.list.len() / 2 {
            self.list.retain(|(_, task)| task.is_some());
        }
        self.list.try_reserve(1).ok()?;
        self.list.push_back((ticket, Some(task)));
        self.present += 1;
        Some(ticket)
    }

    /// Takes the first thread, if its ticket is not above `last`.
    #[inline]
    pub(super) fn pop_until(&mut self, last: u64) -> Option<TaskRef> {
        if self.oldest()? <= last { self.pop() } else { None }
    }

    /// Takes the first thread.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<TaskRef> {
        let (_, task) = self.list.pop_front()?;
        self.present -= 1;
        self.trim();
        task
    }

    pub(super) fn remove(&mut self, ticket: u64) -> Option<TaskRef> {
        let index = self.list.binary_search_by_key(&ticket, |entry| entry.0).ok()?;
        let task = self.list.get_mut(index)?.1.take()?;
        self.present -= 1;
        self.trim();
        Some(task)
    }

    /// The ticket of the first thread.
    #[inline]
    pub(super) fn oldest(&self) -> Option<u64> {
        self.list.front().map(|(ticket, _)| *ticket)
    }

    /// Each entry is popped once, so this is constant in the long run.
    #[inline]
    fn trim(&mut self) {
        while self.list.front().is_some_and(|(_, task)| task.is_none()) {
            self.list.pop_front();
        }
        while self.list.back().is_some_and(|(_, task)| task.is_none()) {
            self.list.pop_back();
        }
    }
}

/// Observers by their tickets: those who come first in place, as most queues never have more.
#[derive(Default)]
pub(super) struct Line {
    /// All of these have come before any of the others.
    few: ArrayVec<(u64, Arc<dyn Observer>), FEW>,
    many: BTreeMap<u64, Arc<dyn Observer>>,
}

const FEW: usize = 2;

impl Line {
    /// The ticket is above all others.
    pub(super) fn push(&mut self, ticket: u64, observer: Arc<dyn Observer>) {
        if self.many.is_empty() && !self.few.is_full() {
            self.few.push((ticket, observer));
        } else {
            self.many.insert(ticket, observer);
        }
    }

    pub(super) fn remove(&mut self, ticket: u64) -> Option<Arc<dyn Observer>> {
        match self.few.iter().position(|entry| entry.0 == ticket) {
            Some(index) => Some(self.few.remove(index).1),
            None => self.many.remove(&ticket),
        }
    }

    fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    /// Those with tickets above `told` and up to `last`, in order.
    fn between(&self, told: u64, last: u64) -> impl Iterator<Item = (u64, &Arc<dyn Observer>)> {
        let few = self.few.iter().map(|(ticket, observer)| (*ticket, observer));
        let few = few.filter(move |(ticket, _)| *ticket > told && *ticket <= last);
        let many = self.many.range((Excluded(told), Included(last)));
        few.chain(many.map(|(ticket, observer)| (*ticket, observer)))
    }
}

/// Those who hear of all wake-ups, and the exclusive ones.
#[derive(Default)]
pub(super) struct Observers {
    all: Line,
    exclusive: Line,
}

pub(super) struct Entries {
    pub(super) last_ticket: u64,
    pub(super) threads: Threads,
    /// Made when the first one comes; most queues never see any.
    pub(super) observers: Option<Box<Observers>>,
}

/// A wake-up under way: whom it is for, and how far it has come.
pub(super) struct Round {
    /// Threads that are still to be woken.
    pub(super) threads: usize,
    /// Exclusive observers that are still to be found somebody for.
    pub(super) exclusive: usize,
    pub(super) events: PollEvents,
    /// Who has come later is not meant.
    pub(super) last: u64,
    pub(super) told: u64,
    pub(super) told_exclusive: u64,
    pub(super) woken: usize,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        let observers = self.observers.as_ref();
        self.threads.present + observers.map_or(0, |them| them.all.len() + them.exclusive.len())
    }

    pub(super) fn next_ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }
}

impl Observers {
    pub(super) fn of(&mut self, share: Share) -> &mut Line {
        match share {
            Share::All => &mut self.all,
            Share::Exclusive => &mut self.exclusive,
        }
    }

    /// Tells a batch; whether there may be more to be told.
    pub(super) fn tell_some(&self, round: &mut Round) -> bool {
        let mut left = BATCH;
        self.all.between(round.told, round.last).take(BATCH).for_each(|(ticket, observer)| {
            observer.notify(round.events);
            round.told = ticket;
            left -= 1;
        });
        for (ticket, observer) in self.exclusive.between(round.told_exclusive, round.last).take(left) {
            if round.exclusive == 0 {
                break;
            }
            round.exclusive -= usize::from(observer.notify(round.events));
            round.told_exclusive = ticket;
            left -= 1;
        }
        left == 0
    }
}
