//! Sessions: process groups that share a controlling terminal.

use alloc::sync::Arc;
use core::any::Any;

use hal::sync::SpinLock;

use super::Pid;

/// What a session needs of its controlling terminal. The terminals themselves are `tty`'s.
pub trait ControllingTerminal: Any + Send + Sync {
    /// The session's leader has ended: the terminal is nobody's now, and its foreground group hears of it.
    fn leader_ended(&self, session: Pid);
    /// The terminal as what it is.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// A session. Its number is that of the process that made it, its leader.
pub struct Session {
    id: Pid,
    terminal: SpinLock<Option<Arc<dyn ControllingTerminal>>>,
}

impl Session {
    /// A session without a terminal.
    pub(super) fn new(id: Pid) -> Arc<Session> {
        Arc::new(Session { id, terminal: SpinLock::new(None) })
    }

    /// The session's number.
    pub fn id(&self) -> Pid {
        self.id
    }

    /// The controlling terminal.
    pub fn terminal(&self) -> Option<Arc<dyn ControllingTerminal>> {
        self.terminal.lock().clone()
    }

    /// Gives the session a terminal or takes it away; the one it had.
    pub fn set_terminal(
        &self,
        terminal: Option<Arc<dyn ControllingTerminal>>,
    ) -> Option<Arc<dyn ControllingTerminal>> {
        core::mem::replace(&mut *self.terminal.lock(), terminal)
    }
}
