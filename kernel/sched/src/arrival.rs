//! What comes to a queue: a task with its entity, where it may go, and what its new CPU is told.

use alloc::boxed::Box;
use core::sync::atomic::Ordering::Relaxed;

use super::work;
use hal::sync::preempt;
use hal::task::{self, Entity, Runnable};

/// What a CPU is told of an arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Notice {
    /// The running task may go on.
    None,
    /// It gives way at the way out to user mode, or when it is interrupted: between fair tasks, so that one that has
    /// woken another comes to the end of what it does, and to no lock that it would leave taken.
    Lazy,
    /// It gives way as soon as it may be preempted.
    Urgent,
}

impl Notice {
    /// Tells the executing CPU. Preemption is off.
    #[inline]
    pub(super) fn give(self) {
        if self != Notice::None {
            task::add_own_work(work::RESCHEDULE);
        }
        if self == Notice::Urgent {
            preempt::request();
        }
    }
}

/// A task that comes to a queue.
pub(super) struct Comer {
    pub(super) entity: Box<Entity>,
    pub(super) runnable: Runnable,
}

impl Comer {
    /// A task that was asleep, or is new.
    #[inline]
    pub(super) fn new(mut runnable: Runnable) -> Comer {
        let entity = runnable.take_entity().expect("a sleeping task has its entity");
        Comer { entity, runnable }
    }

    /// A task from another queue.
    pub(super) fn moved(mut entity: Box<Entity>) -> Option<Comer> {
        let runnable = entity.value.take()?;
        Some(Comer { entity, runnable })
    }

    #[inline]
    pub(super) fn task(&self) -> &task::Task {
        self.runnable.task()
    }
}

/// Whether a task may run on a CPU.
#[inline]
pub(super) fn is_allowed(task: &task::Task, cpu: usize) -> bool {
    task.sched.allowed.load(Relaxed) & 1 << cpu != 0
}

/// Whether a waiting task may be taken to another CPU.
pub(super) fn may_move(task: &task::Task, to: usize) -> bool {
    is_allowed(task, to) && !task.is_on_cpu()
}
