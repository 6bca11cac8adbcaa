//! Programs that the kernel starts: Linux's usermode helpers (`kernel/umh.c`).
//!
//! A helper runs as root with all capabilities, with the first process's root and working directory, with initial
//! limits, and in no group or session that a process made. It has no parent and leaves no zombie. Its descriptors are
//! what it is given.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::process::WaitStatus;
use hal::sync::SpinLock;
use hal::task::{Runnable, Task, UserState};
use hal::user::{UserContext, UserRegs};
use memory::AddressSpace;
use outcome::{Failure, OrErrno};
use sched::wait::WaitQueue;
use subject::{Credentials, Limit, Limits, MayRaise, Pid, Resource};
use vfs::fd_table::OnExec;
use vfs::{FdTable, File, FsContext};

use super::first::{Parentless, first_pid_namespace, parentless};
use super::{Thread, find_process, run, settings, table};
use crate::exec;
use crate::signal::send;

/// A program to be started.
pub struct Helper {
    /// Its path and its arguments; the first is both.
    pub arguments: Vec<Vec<u8>>,
    /// What it reads as descriptor 0.
    pub input: Arc<File>,
    /// Both limits on its own core dump, in bytes.
    pub core_limit: u64,
}

/// Whether the program could be executed, once that is known.
struct Outcome {
    result: SpinLock<Option<Result<(), Errno>>>,
    known: WaitQueue,
}

/// Starts a helper and waits until its program runs. The error of an `execve` that failed; EINTR if the running thread
/// is to end itself, and then the helper goes on.
pub fn start(helper: Helper) -> Result<(), Errno> {
    let outcome = Arc::new(Outcome { result: SpinLock::new(None), known: WaitQueue::new() });
    sched::start(make(helper, outcome.clone())?);
    let known = || *outcome.result.lock();
    outcome.known.wait_until_killed(known).map_err(|_| Errno::EINTR)?
}

/// The root and working directory of the first process, with the umask that the kernel starts with.
fn context() -> Result<Arc<FsContext>, Errno> {
    let init = find_process(Pid::INIT).and_then(|init| init.leader()).and_then(|leader| leader.try_fs());
    let init = init.ok_or(Errno::ENOENT)?;
    let context = FsContext::at(init.root());
    context.set_working_directory(init.working_directory());
    Ok(context)
}

fn make(helper: Helper, outcome: Arc<Outcome>) -> Result<Runnable, Errno> {
    settings::check_threads()?;
    let Helper { arguments, input, core_limit } = helper;
    let memory = AddressSpace::new()?;
    let page_table = memory.page_table().clone();
    let files = FdTable::empty();
    files.insert(input, OnExec::Keep, 1)?;
    let limits = Limits::initial();
    limits.set(Resource::Core, Limit { soft: core_limit, hard: core_limit }, MayRaise::Yes)?;
    let fs = context()?;
    let credentials = Arc::new(Credentials::root());
    let user = UserState::new().or_errno()?;
    let pid = table::lock().allocate(first_pid_namespace())?;
    let parts = Parentless { memory, files, fs, credentials, limits, name: b"kworker" };
    let runnable = parentless(pid, parts).and_then(|thread| {
        let own = thread.clone();
        let entry = Box::new(move || {
            let context = load(&own, arguments, outcome);
            run(own, context);
        });
        let runnable = Task::new_user(entry, user, page_table, Some(thread.clone())).or_errno()?;
        thread.set_task(runnable.task());
        table::lock_between_walks().insert_process(&thread);
        Ok(runnable)
    });
    if runnable.is_err() {
        table::lock().release(pid);
    }
    runnable
}

/// Loads the program, or ends the process.
fn load(thread: &Arc<Thread>, arguments: Vec<Vec<u8>>, outcome: Arc<Outcome>) -> UserContext {
    let mut context = UserContext::new(UserRegs::new(0, 0));
    let strings: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    let path = strings.first().copied().unwrap_or_default();
    let result =
        exec::load_first(thread, &mut context, path, &strings, &[]).map_err(|failure| match failure {
            Failure::Errno(errno) => errno,
            Failure::Restart(_) => Errno::EINTR,
        });
    if result.is_err() {
        send::end_process(thread.process(), WaitStatus::exited(0));
    }
    *outcome.result.lock() = Some(result);
    outcome.known.wake_all();
    context
}
