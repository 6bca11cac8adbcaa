//! The first process, which no other process makes.

use alloc::sync::Arc;

use abi::Errno;

use super::group::Group;
use super::kept::Kept;
use super::process::ProcessParts;
use super::session::Session;
use super::thread::TIMER_SLACK_NS;
use super::{Credentials, Limits, NAME_SIZE, Pid, Process, Thread, ThreadParts, table};
use crate::fs::{FdTable, FsContext};
use crate::memory::AddressSpace;
use crate::signal::action::Actions;
use crate::signal::{NO_STACK, ProcessSignals, SignalSet};

/// What the first process starts with.
pub struct FirstProcess {
    /// Its memory, empty.
    pub memory: Arc<AddressSpace>,
    /// Its descriptors.
    pub files: Arc<FdTable>,
    /// Its root and working directory.
    pub fs: Arc<FsContext>,
    /// Its identity.
    pub credentials: Arc<Credentials>,
}

/// Makes process 1 with its one thread, still without a task. It is protected from signals that it does not handle.
pub fn first(parts: FirstProcess) -> Result<Arc<Thread>, Errno> {
    let pid = table::lock().allocate()?;
    assert_eq!(pid, Pid::INIT, "the first process is made once");
    let signals = ProcessSignals::new(Actions::new());
    signals.shared.lock().protected = true;
    let nobody = Pid::new(0);
    let process = Process::new(ProcessParts {
        pid,
        group: Group::new(nobody),
        session: Session::new(nobody),
        memory: parts.memory.clone(),
        signals,
        limits: Limits::initial(),
        personality: 0,
        kept: Kept::initial(),
    });
    let mut name = [0; NAME_SIZE];
    name[..4].copy_from_slice(b"init");
    let thread = Thread::new(ThreadParts {
        id: pid,
        process: process.clone(),
        files: parts.files,
        fs: parts.fs,
        memory: parts.memory,
        credentials: parts.credentials,
        name,
        signal_mask: SignalSet::EMPTY,
        signal_stack: NO_STACK,
        no_new_privileges: false,
        timer_slack_ns: TIMER_SLACK_NS,
    });
    process.add_thread(thread.clone())?;
    let mut table = table::lock();
    table.insert_process(&thread);
    Ok(thread)
}
