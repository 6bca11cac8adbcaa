//! Processor time: what a process and its waited-for children have used.

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
        }
    }
}

impl Thread {
    /// What the thread has used.
    pub fn times(&self) -> Times {
        let runtime_ns = self.task().map_or(0, |task| sched::runtime_ns(&task));
        Times { runtime_ns, faults: self.faults.load(Ordering::Relaxed) }
    }
}

impl Process {
    /// What all threads have used, living and ended.
    pub fn times(&self) -> Times {
        let ended = self.usage.lock().ended_threads;
        self.threads().iter().fold(ended, |sum, thread| sum.plus(thread.times()))
    }

    /// What waited-for children have used.
    pub fn children_times(&self) -> Times {
        self.usage.lock().children
    }
}
