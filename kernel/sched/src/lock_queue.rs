//! Who waits for a sleeping lock: tasks in line, and how the lock comes to the first of them.
//!
//! Nobody leaves the line without the lock, but to die. Only the first in line tries for it, under the line's lock, and
//! where it fails the [`Gate`] is kept: whoever comes by waits in line, and who leaves the lock looks here. The first
//! time that one calls the first and opens the lock for whoever is quicker, so that a busy lock does not stand idle
//! until a task is awake. If the first wakes up and somebody was quicker, the lock stays kept when that one leaves. So
//! nobody passes the first in line once it has been awake, and each task in line comes after those before it.
//!
//! Readers that stand one behind the other enter together: each calls the next.
//!
//! Invariant: if somebody is in line, the first is awake and about to look, or the gate is kept and somebody inside
//! will leave.
//!
//! A task's place is in the task itself, so waiting needs no memory. Lock order: any spin lock → a line → run queue.

use core::mem;
use core::sync::atomic::Ordering;

use hal::list::List;
use hal::sync::{Gate, HandOn, SpinLock};
use hal::task::{self, Task};

use super::wait::{Interrupted, Patience};

/// How a task wants a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Alone.
    Exclusive,
    /// Together with others who want it so.
    Shared,
}

/// Who waits for a lock.
pub struct LockQueue(SpinLock<Sleepers>);

struct Sleepers {
    tasks: List<Task>,
    /// Whether the first has been called, and the lock was open for others besides.
    is_called: bool,
}

impl LockQueue {
    /// Nobody.
    pub(super) const fn new() -> LockQueue {
        LockQueue(SpinLock::new(Sleepers { tasks: List::new(), is_called: false }))
    }

    /// Sleeps in line until `enter`, tried for the first, gives the lock.
    pub(super) fn wait<G>(
        &self,
        gate: &Gate,
        access: Access,
        patience: Patience,
        enter: impl Fn() -> Option<G>,
    ) -> Result<G, Interrupted> {
        hal::sync::assert_may_block();
        let own = task::current_ref();
        own.sched.shares.store(access == Access::Shared, Ordering::Relaxed);
        self.0.lock().tasks.push_back(own.clone(), |task| &task.sched.line);
        loop {
            let mut entered = None;
            super::block_unless(|| {
                entered = self.0.lock().enter_if_first(&own, gate, &enter);
                entered.is_some() || patience.is_exhausted()
            });
            if let Some(guard) = entered {
                return Ok(guard);
            }
            if patience.is_exhausted() {
                self.0.lock().give_up(&own, gate);
                return Err(Interrupted);
            }
        }
    }

    /// As [`LockQueue::wait`], whatever happens.
    pub(super) fn wait_uninterruptibly<G>(
        &self,
        gate: &Gate,
        access: Access,
        enter: impl Fn() -> Option<G>,
    ) -> G {
        loop {
            if let Ok(guard) = self.wait(gate, access, Patience::Uninterruptible, &enter) {
                return guard;
            }
        }
    }
}

impl HandOn for LockQueue {
    #[cold]
    #[inline(never)]
    fn hand_on(&self, gate: &Gate) {
        let mut line = self.0.lock();
        // Else somebody has entered who will come here.
        if gate.is_kept() {
            line.call_first(gate);
        }
    }
}

impl Sleepers {
    fn is_first(&self, task: &Task) -> bool {
        self.tasks.first().is_some_and(|first| core::ptr::eq(&raw const *first, task))
    }

    /// Wakes the first. The lock is open meanwhile, unless that has been tried.
    fn call_first(&mut self, gate: &Gate) {
        match self.tasks.first() {
            Some(first) => {
                if !mem::replace(&mut self.is_called, true) {
                    gate.open();
                }
                super::wake(&first.to_arc());
            }
            None => gate.open(),
        }
    }

    fn enter_if_first<G>(&mut self, own: &Task, gate: &Gate, enter: impl Fn() -> Option<G>) -> Option<G> {
        let guard = if self.is_first(own) { enter() } else { None }?;
        self.tasks.remove(&own.sched.line);
        let shares = |task: &Task| task.sched.shares.load(Ordering::Relaxed);
        let next = self.tasks.first().filter(|next| shares(own) && shares(next));
        self.is_called = next.is_some();
        if let Some(next) = next {
            super::wake(&next.to_arc());
        } else if self.tasks.is_empty() {
            gate.open();
        }
        Some(guard)
    }

    /// What was left to the task is left to the next one.
    fn give_up(&mut self, own: &Task, gate: &Gate) {
        let was_first = self.is_first(own);
        self.tasks.remove(&own.sched.line);
        if !was_first {
            return;
        }
        self.is_called = false;
        if self.tasks.is_empty() {
            gate.open();
        } else if gate.keep() {
            self.call_first(gate);
        }
    }
}
