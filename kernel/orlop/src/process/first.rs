//! Processes that no other process makes: the first, and the kernel's helpers.

use alloc::sync::Arc;

use abi::Errno;
use hal::sync::Once;
use memory::AddressSpace;
use subject::charges::{Payer, TaskCharge};
use subject::{Credentials, Limits, Pid, PidNamespace};
use vfs::context::OwnContext;
use vfs::{FdTable, FsContext};

use super::group::Group;
use super::kept::Kept;
use super::process::ProcessParts;
use super::session::Session;
use super::thread::TIMER_SLACK_NS;
use super::{IoContext, NAME_SIZE, Process, Thread, ThreadParts, table};
use crate::namespaces::Namespaces;
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
    /// The initial namespaces.
    pub namespaces: Arc<Namespaces>,
}

/// Makes process 1 with its one thread, still without a task. It is protected from signals that it does not handle.
pub fn first(parts: FirstProcess) -> Result<Arc<Thread>, Errno> {
    let pid = table::lock().allocate(&parts.namespaces.processes_of_children)?;
    assert_eq!(pid, Pid::INIT, "the first process is made once");
    let FirstProcess { memory, files, fs, credentials, namespaces } = parts;
    let _ = OF_NOBODY.set(OfNobody::new(namespaces));
    let limits = Limits::initial();
    let thread = parentless(pid, Parentless { memory, files, fs, credentials, limits, name: b"init" })?;
    thread.process().signals.shared.lock().protected = true;
    table::lock().insert_process(&thread);
    Ok(thread)
}

/// What a process starts with that no other process makes.
pub(super) struct Parentless {
    pub(super) memory: Arc<AddressSpace>,
    pub(super) files: Arc<FdTable>,
    pub(super) fs: Arc<FsContext>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) limits: Limits,
    pub(super) name: &'static [u8],
}

/// What processes have together that no process made.
struct OfNobody {
    /// Group and session 0.
    group: Arc<Group>,
    session: Arc<Session>,
    /// The initial ones, whatever process 1 is in by now.
    namespaces: Arc<Namespaces>,
}

impl OfNobody {
    fn new(namespaces: Arc<Namespaces>) -> OfNobody {
        OfNobody { group: Group::new(Pid::NOBODY), session: Session::new(Pid::NOBODY), namespaces }
    }
}

static OF_NOBODY: Once<OfNobody> = Once::new();

fn of_nobody() -> &'static OfNobody {
    OF_NOBODY.get().expect("there since the first process was made, before any program ran")
}

/// The namespace of processes that no process made, and of kernel tasks.
pub(super) fn first_pid_namespace() -> &'static Arc<PidNamespace> {
    &of_nobody().namespaces.processes_of_children
}

/// Makes a process without a parent, with its one thread, still without a task and not in the table.
pub(super) fn parentless(pid: Pid, parts: Parentless) -> Result<Arc<Thread>, Errno> {
    let OfNobody { group, session, namespaces } = of_nobody();
    let process = Process::new(ProcessParts {
        pid,
        pid_namespace: namespaces.processes_of_children.clone(),
        group: group.clone(),
        session: session.clone(),
        memory: parts.memory.clone(),
        signals: ProcessSignals::new(Actions::new()),
        limits: parts.limits,
        personality: 0,
        kept: Kept::initial(),
    });
    let mut name = [0; NAME_SIZE];
    name[..parts.name.len()].copy_from_slice(parts.name);
    let thread = Thread::new(ThreadParts {
        id: pid,
        process: process.clone(),
        files: parts.files,
        fs: OwnContext::new(parts.fs),
        memory: parts.memory,
        credentials: parts.credentials,
        namespaces: namespaces.clone(),
        name,
        signal_mask: SignalSet::EMPTY,
        signal_stack: NO_STACK,
        no_new_privileges: false,
        timer_slack_ns: TIMER_SLACK_NS,
        speculation: Default::default(),
        io_context: IoContext::new(),
        charge: TaskCharge::take(Payer::EVERYBODY)?,
    });
    process.add_thread(thread.clone())?;
    Ok(thread)
}
