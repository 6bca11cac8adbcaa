//! Sessions: process groups that share a controlling terminal.

use alloc::sync::Arc;
use core::sync::atomic::AtomicUsize;

use hal::sync::SpinLock;
use subject::Pid;

use crate::tty::Terminal;

/// A session, known by the process that made it, its leader.
pub struct Session {
    id: Pid,
    /// How many processes are in it; changed under the lock of the process table.
    pub(super) members: AtomicUsize,
    terminal: SpinLock<Option<Arc<Terminal>>>,
}

impl Session {
    /// A session without a terminal.
    pub(super) fn new(id: Pid) -> Arc<Session> {
        Arc::new(Session { id, members: AtomicUsize::new(0), terminal: SpinLock::new(None) })
    }

    /// What the kernel knows it by.
    pub fn id(&self) -> Pid {
        self.id
    }

    /// The controlling terminal.
    pub fn terminal(&self) -> Option<Arc<Terminal>> {
        self.terminal.lock().clone()
    }

    /// Gives the session a terminal or takes it away. Under the lock of the terminal's job, which changes with it.
    pub fn set_terminal(&self, terminal: Option<Arc<Terminal>>) {
        let old = core::mem::replace(&mut *self.terminal.lock(), terminal);
        drop(old);
    }
}
