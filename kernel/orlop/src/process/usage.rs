//! What a process and its waited-for children have used: processor time, and what else is counted.

use core::sync::atomic::Ordering;

use super::{Process, Thread};
use crate::sched;

/// Resources used, in numbers that add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Processor time in nanoseconds.
    pub runtime_ns: u64,
    /// Page faults that were served.
    pub faults: u64,
    /// Switches to another task because it slept.
    pub sleeps: u64,
    /// Switches to another task although it did not.
    pub preemptions: u64,
}

/// What ended threads and children leave behind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Of threads that have ended.
    pub(super) ended_threads: Times,
    /// Of children that were waited for, with theirs.
    pub(super) children: Times,
}

impl Times {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: Times) -> Times {
        Times {
            runtime_ns: self.runtime_ns.saturating_add(other.runtime_ns),
            faults: self.faults.saturating_add(other.faults),
            sleeps: self.sleeps.saturating_add(other.sleeps),
            preemptions: self.preemptions.saturating_add(other.preemptions),
        }
    }
}

impl Thread {
    /// What the thread has used.
    pub fn times(&self) -> Times {
        if let Some(times) = self.left.get() {
            return *times;
        }
        let faults = self.faults.load(Ordering::Relaxed);
        let Some(task) = self.task() else {
            // It never ran, or has just ended.
            return self.left.get().copied().unwrap_or_default();
        };
        Times {
            runtime_ns: sched::runtime_ns(&task),
            faults,
            sleeps: task.sched.sleeps.load(Ordering::Relaxed),
            preemptions: task.sched.preemptions.load(Ordering::Relaxed),
        }
    }

    /// The running thread has ended: from here on it has used what it has used. To be asked once.
    pub(super) fn settle(&self) -> Times {
        let times = self.times();
        let settled = self.left.set(times);
        assert!(settled.is_ok(), "a thread ends once");
        times
    }
}

impl Process {
    /// What all threads have used, living and ended.
    pub fn times(&self) -> Times {
        let usage = self.usage.lock();
        let mut sum = usage.ended_threads;
        self.each_thread(|thread| sum = sum.plus(thread.times()));
        sum
    }

    /// What waited-for children have used.
    pub fn children_times(&self) -> Times {
        self.usage.lock().children
    }
}
