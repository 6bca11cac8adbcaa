//! Job control: which session a terminal belongs to, and which process group may use it.

use alloc::sync::Arc;

use abi::Errno;
use libkernel::signal_set::Signal;

use super::terminal::Terminal;
use crate::process::Pid;
use crate::syscall::{Caller, Failure};

/// A terminal's place in job control.
#[derive(Default)]
pub struct Job {
    /// The session it controls.
    pub session: Option<Pid>,
    /// The group in the foreground.
    pub foreground: Option<Pid>,
}

/// The terminal that controls the running process.
pub fn controlling_terminal() -> Option<Arc<Terminal>> {
    None
}

/// A session's leader has ended.
pub fn session_ended(_session: Pid) {}

/// The terminal is gone.
pub fn forget(_terminal: &Terminal) {}

impl Terminal {
    /// Sends a signal to the foreground group.
    pub(super) fn signal_foreground(&self, _signal: Signal) {}

    /// EIO or a stop for a background process that reads.
    pub(super) fn check_background_read(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// As for reading, for a background process that changes or, with `TOSTOP`, writes to the terminal.
    pub(super) fn check_background_change(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Becomes the controlling terminal of the running process if that leads a session without one.
    pub(super) fn adopt_leader(&self) {}

    /// The requests about sessions and groups.
    pub(super) fn job_request(
        &self,
        _caller: &Caller<'_>,
        _request: u32,
        _argument: u64,
    ) -> Result<u64, Failure> {
        Err(Errno::ENOTTY.into())
    }
}
