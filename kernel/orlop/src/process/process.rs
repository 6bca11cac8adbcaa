//! Processes: what threads share.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use hal::sync::SpinLock;

use super::{Limits, Pid, Thread};
use crate::sched::wait::WaitQueue;

/// A process: threads, limits, relatives.
pub struct Process {
    pid: Pid,
    /// Number of the parent; changed under the lock of the process table.
    pub(super) parent: AtomicU32,
    /// Number of the process group; as `parent`.
    pub(super) group: AtomicU32,
    /// Number of the session; as `parent`.
    pub(super) session: AtomicU32,
    /// The living threads, the leader first while it lives.
    pub(super) threads: SpinLock<Vec<Arc<Thread>>>,
    /// Where the process waits for its children.
    pub(super) child_changed: WaitQueue,
    limits: Limits,
    personality: AtomicU32,
}

impl Process {
    /// The process's number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The parent's number; 0 for init.
    pub fn parent(&self) -> Pid {
        Pid::new(self.parent.load(Ordering::Relaxed))
    }

    /// The process group's number.
    pub fn group(&self) -> Pid {
        Pid::new(self.group.load(Ordering::Relaxed))
    }

    /// The session's number.
    pub fn session(&self) -> Pid {
        Pid::new(self.session.load(Ordering::Relaxed))
    }

    /// The resource limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The flags of `personality(2)`.
    pub fn personality(&self) -> u32 {
        self.personality.load(Ordering::Relaxed)
    }

    /// Sets the flags of `personality(2)`.
    pub fn set_personality(&self, flags: u32) {
        self.personality.store(flags, Ordering::Relaxed);
    }
}
