//! How threads and processes come: `clone` in all its forms.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::process::{
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_CLEAR_SIGHAND, CLONE_DETACHED, CLONE_FILES, CLONE_FS,
    CLONE_IO, CLONE_PARENT, CLONE_PARENT_SETTID, CLONE_PTRACE, CLONE_SETTLS, CLONE_SIGHAND, CLONE_SYSVSEM,
    CLONE_THREAD, CLONE_UNTRACED, CLONE_VFORK, CLONE_VM,
};
use hal::task::{self, Task, UserState};
use hal::user::{UserContext, UserRegs};
use libkernel::addr::UserAddr;
use memory::AddressSpace;
use memory::user::UserPtr;
use outcome::{Failure, OrErrno, Restart};
use sched::work;
use subject::charges::{Payer, TaskCharge};
use subject::{Pid, capability};
use vfs::FdTable;
use vfs::context::OwnContext;

use super::family::Siblings;
use super::process::ProcessParts;
use super::{Process, Thread, ThreadParts, main_loop, settings, table};
use crate::signal::{NO_STACK, ProcessSignals};
use crate::syscall::Caller;

/// Flags that are done, or that have no effect on Linux either where nothing traces and nothing is shared by them.
const KNOWN: u64 = CLONE_VM
    | CLONE_FS
    | CLONE_FILES
    | CLONE_SIGHAND
    | CLONE_PTRACE
    | CLONE_VFORK
    | CLONE_PARENT
    | CLONE_THREAD
    | CLONE_SYSVSEM
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID
    | CLONE_CHILD_SETTID
    | CLONE_DETACHED
    | CLONE_UNTRACED
    | CLONE_IO
    | CLONE_CLEAR_SIGHAND;

/// What a `clone` asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneRequest {
    /// `CLONE_*`, without the signal.
    pub flags: u64,
    /// The signal that tells the parent of the end; none if this is no signal's number.
    pub exit_signal: u32,
    /// The new stack pointer; `None` keeps the caller's.
    pub stack: Option<u64>,
    /// The new thread pointer, with `CLONE_SETTLS`.
    pub tls: u64,
    /// Where the parent finds the number, with `CLONE_PARENT_SETTID`.
    pub parent_tid: UserAddr,
    /// Where the child finds it or it is cleared, with `CLONE_CHILD_SETTID`, `CLONE_CHILD_CLEARTID`.
    pub child_tid: UserAddr,
    /// The number that the child shall have, as the program has given it.
    pub chosen_tid: Option<i32>,
}

impl CloneRequest {
    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    /// The combinations that `clone(2)` forbids.
    fn check(&self) -> Result<(), Errno> {
        let thread_without_handlers = self.has(CLONE_THREAD) && !self.has(CLONE_SIGHAND);
        let handlers_without_memory = self.has(CLONE_SIGHAND) && !self.has(CLONE_VM);
        let handlers_shared_and_cleared = self.has(CLONE_SIGHAND) && self.has(CLONE_CLEAR_SIGHAND);
        let unknown = self.flags & !KNOWN != 0;
        if thread_without_handlers || handlers_without_memory || handlers_shared_and_cleared || unknown {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

/// Makes a thread or a process; its number, as the caller sees it. The child starts where the caller is, with 0 as its
/// result.
pub fn clone(caller: &Caller<'_>, request: &CloneRequest) -> Result<i32, Failure> {
    request.check()?;
    if request.has(CLONE_PARENT) && caller.thread.process().pid() == caller.thread.pid_namespace().first() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let child = make(caller, request)?;
    let number = caller.thread.shown(child.thread.id());
    if request.has(CLONE_PARENT_SETTID) {
        // Before the child runs: it may look at the word, and end and be waited for by it, at once. As on Linux, a bad
        // address does not undo the child.
        let _ = UserPtr::new(request.parent_tid).write(&number);
    }
    start(child, request);
    Ok(number)
}

/// Lets the child run, and with `CLONE_VFORK` waits until it has left the memory. Killed, the parent ends in its loop.
fn start(child: Child, request: &CloneRequest) {
    let Child { thread, runnable } = child;
    let process = thread.process();
    let waits = request.has(CLONE_VFORK);
    if request.has(CLONE_THREAD) {
        sched::start(runnable);
        if waits {
            // A thread leaves the memory with its end: `execve` would end the caller.
            let lives = |other: &Thread| core::ptr::eq(other, &raw const *thread);
            let _ =
                process.thread_ended.wait_until_killed(|| process.find_thread(lives).is_none().then_some(()));
        }
        return;
    }
    // Before it runs: it takes the mark back when it leaves the memory, which may be at once.
    process.borrows_memory.store(waits, Ordering::Relaxed);
    sched::start(runnable);
    if waits {
        let _ = process
            .returned
            .wait_until_killed(|| (!process.borrows_memory.load(Ordering::Acquire)).then_some(()));
    }
}

/// A thread that has not run yet.
struct Child {
    thread: Arc<Thread>,
    runnable: task::Runnable,
}

fn make(caller: &Caller<'_>, request: &CloneRequest) -> Result<Child, Failure> {
    let parent = caller.thread;
    // Noted before anything is copied: what the parent is sent together with others from here on, the copy would miss.
    let beginning = Beginning::of(parent)?;
    // What is cheap to refuse comes before the copy of the memory, and a number is taken only when that is there:
    // whatever fails after it gives it back in one place.
    parent.check_another()?;
    settings::check_threads()?;
    leave_some_memory()?;
    let user = user_state(request)?;
    let memory = memory(parent, request)?;
    let pid = allocate(parent, request)?;
    let child = assemble(caller, request, pid, &memory, user)
        .map_err(Failure::from)
        .and_then(|child| enter(parent, request, child, &beginning));
    if child.is_err() {
        table::lock().release(pid);
    }
    child
}

/// A number for the child. To choose one is for who restores processes: EPERM.
fn allocate(parent: &Thread, request: &CloneRequest) -> Result<Pid, Errno> {
    let Some(chosen) = request.chosen_tid else {
        return table::lock().allocate(&parent.namespaces().processes_of_children);
    };
    let pid =
        parent.pid_namespace().find(chosen).filter(|pid| pid.kernel_number() < settings::number_limit());
    let pid = pid.ok_or(Errno::EINVAL)?;
    let may_choose = parent.with_credentials(|own| {
        own.has_capability(capability::CHECKPOINT_RESTORE) || own.has_capability(capability::SYS_ADMIN)
    });
    if may_choose { table::lock().allocate_chosen(pid) } else { Err(Errno::EPERM) }
}

/// What had happened to the caller when it began to make a child.
struct Beginning {
    group_signals: u64,
}

impl Beginning {
    /// The call runs again once the signals that wait are delivered: whoever sent them before counts on what their
    /// handlers do.
    fn of(parent: &Thread) -> Result<Beginning, Failure> {
        let beginning = Beginning { group_signals: parent.process().group_signals.load(Ordering::Acquire) };
        if has_signals(parent) {
            return Err(Failure::Restart(Restart::Always));
        }
        Ok(beginning)
    }

    /// Whether a child may enter the world. What the caller was sent since then together with others, or what ends it,
    /// would miss the child: the call runs again, if anybody is left to run it.
    fn still_holds(&self, parent: &Thread) -> Result<(), Failure> {
        let is_killed = task::own_work() & work::KILL != 0;
        if is_killed || parent.process().group_signals.load(Ordering::Acquire) != self.group_signals {
            return Err(Failure::Restart(Restart::Always));
        }
        Ok(())
    }
}

fn has_signals(thread: &Thread) -> bool {
    let bits = task::own_work();
    bits & (work::KILL | work::STOP) != 0 || bits & work::SIGNAL != 0 && !thread.deliverable().is_empty()
}

/// How much memory no new thread may eat into: an eighth, and at most so many frames. Children that have not run yet
/// will want more.
const KEPT_FRAMES: usize = 2048;

/// ENOMEM while so little memory is free that the threads which exist will need it: they would die of page faults, and
/// with them whoever could clean up.
fn leave_some_memory() -> Result<(), Errno> {
    let frames = hal::frame::statistics();
    if frames.free < KEPT_FRAMES.min(frames.total / 8) { Err(Errno::ENOMEM) } else { Ok(()) }
}

fn user_state(request: &CloneRequest) -> Result<UserState, Errno> {
    let mut user = task::duplicate_user_state().or_errno()?;
    if request.has(CLONE_SETTLS) && !user.set_tls(request.tls) {
        return Err(Errno::EPERM);
    }
    Ok(user)
}

fn memory(parent: &Thread, request: &CloneRequest) -> Result<Arc<AddressSpace>, Errno> {
    let memory = parent.process().address_space().ok_or(Errno::ESRCH)?;
    if !request.has(CLONE_VM) {
        return memory.fork();
    }
    if !request.has(CLONE_VFORK) {
        memory.share();
    }
    Ok(memory)
}

fn files(parent: &Thread, request: &CloneRequest) -> Result<Arc<FdTable>, Errno> {
    let files = parent.files();
    if !request.has(CLONE_FILES) {
        return files.duplicate();
    }
    files.share();
    Ok(files)
}

#[inline]
fn registers(caller: &Caller<'_>, request: &CloneRequest) -> UserRegs {
    let mut regs = caller.context.regs;
    regs.set_return_value(0);
    regs.finish_syscall();
    if let Some(stack) = request.stack {
        regs.set_stack_pointer(stack);
    }
    regs
}

fn assemble(
    caller: &Caller<'_>,
    request: &CloneRequest,
    pid: Pid,
    memory: &Arc<AddressSpace>,
    user: UserState,
) -> Result<Child, Errno> {
    let parent = caller.thread;
    let process = if request.has(CLONE_THREAD) {
        parent.process().clone()
    } else {
        new_process(parent, request, pid, memory)
    };
    let thread = new_thread(parent, request, pid, process.clone(), memory)?;
    let first_tid = request.has(CLONE_CHILD_SETTID).then_some(request.child_tid);
    let runnable = new_task(&thread, registers(caller, request), user, memory, first_tid)?;
    let tagged_addresses = task::with_current(|task| task.tagged_addresses.load(Ordering::Relaxed));
    runnable.task().tagged_addresses.store(tagged_addresses, Ordering::Relaxed);
    Ok(Child { thread, runnable })
}

/// Enters the child in the table. Parent, group and session are looked at in the same step, and no signal to a group is
/// on its way.
fn enter(
    parent: &Thread,
    request: &CloneRequest,
    child: Child,
    beginning: &Beginning,
) -> Result<Child, Failure> {
    // Under the table's lock, which finds the members of a group for whoever signals it: either that one has counted
    // already, or it will find the child.
    let mut table = table::lock_between_walks();
    beginning.still_holds(parent)?;
    // What can fail comes first. A child that is in the table can be seen, and could not be taken out as if it had
    // never been.
    child.thread.process().add_thread(child.thread.clone())?;
    if request.has(CLONE_THREAD) {
        table.insert_thread(&child.thread);
    } else {
        let siblings = if request.has(CLONE_PARENT) { Siblings::OfMaker } else { Siblings::Children };
        table.insert_child(&child.thread, parent, siblings, request.exit_signal);
    }
    drop(table);
    Ok(child)
}

fn new_process(
    parent: &Thread,
    request: &CloneRequest,
    pid: Pid,
    memory: &Arc<AddressSpace>,
) -> Arc<Process> {
    let process = parent.process();
    let actions = process.signals.actions.lock().clone();
    let actions = if request.has(CLONE_SIGHAND) { actions } else { actions.duplicate() };
    if request.has(CLONE_CLEAR_SIGHAND) {
        actions.reset_handlers();
    }
    let group = process.group.lock().clone();
    Process::new(ProcessParts {
        pid,
        pid_namespace: parent.namespaces().processes_of_children.clone(),
        group,
        session: process.session(),
        memory: memory.clone(),
        signals: ProcessSignals::new(actions),
        limits: process.limits().duplicate(),
        personality: process.personality(),
        kept: process.kept.duplicate(),
    })
}

fn new_thread(
    parent: &Thread,
    request: &CloneRequest,
    pid: Pid,
    process: Arc<Process>,
    memory: &Arc<AddressSpace>,
) -> Result<Arc<Thread>, Errno> {
    let files = files(parent, request)?;
    let fs = parent.fs();
    let fs = if request.has(CLONE_FS) { OwnContext::share(fs)? } else { OwnContext::new(fs.duplicate()) };
    // A child on the same memory starts without the alternate stack; after vfork it has the parent's for itself.
    let shares_stack = request.has(CLONE_VM) && !request.has(CLONE_VFORK);
    let stack = if shares_stack { NO_STACK } else { *parent.signals.stack.lock() };
    let thread = Thread::new(ThreadParts {
        id: pid,
        process,
        files,
        fs,
        memory: memory.clone(),
        credentials: parent.credentials(),
        namespaces: parent.namespaces().clone(),
        name: parent.name(),
        signal_mask: parent.signal_mask(),
        signal_stack: stack,
        no_new_privileges: parent.no_new_privileges(),
        timer_slack_ns: parent.timer_slack_ns(),
        speculation: parent.speculation.inherited(),
        io_context: parent.io_context.for_child(request.has(CLONE_IO)),
        charge: TaskCharge::take(Payer::EVERYBODY)?,
    });
    if request.has(CLONE_CHILD_CLEARTID) {
        thread.set_clear_child_id(request.child_tid);
    }
    Ok(thread)
}

/// Makes the task of a thread that starts in user mode with these registers; its first act is to store its number.
pub(super) fn new_task(
    thread: &Arc<Thread>,
    regs: UserRegs,
    user: UserState,
    memory: &AddressSpace,
    first_tid: Option<UserAddr>,
) -> Result<task::Runnable, Errno> {
    let own = thread.clone();
    let entry = Box::new(move || {
        if let Some(address) = first_tid {
            // As on Linux, a bad address is the program's own loss.
            let _ = UserPtr::new(address).write(&own.shown(own.id()));
        }
        main_loop::run(own, UserContext::new(regs));
    });
    let runnable =
        Task::new_user(entry, user, memory.page_table().clone(), Some(thread.clone())).or_errno()?;
    sched::settings::inherit(runnable.task());
    thread.set_task(runnable.task());
    Ok(runnable)
}
