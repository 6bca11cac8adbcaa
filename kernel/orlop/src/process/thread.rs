//! Threads: what a program calls a thread, and one task runs.

mod holdings;
mod scheduling;

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use abi::Errno;
use abi::signal::StackT;
use hal::sync::{IrqLock, Once, SpinLock};
use hal::task::{self, Task, TaskRef};
use libkernel::addr::UserAddr;
use memory::{AddressSpace, Bounds, OwnReference};
use sched::{self, settings};
use subject::charges::TaskCharge;
use subject::{Credentials, Limits, Pid, PidNamespace, Resource, UserId, UserNamespace};
use vfs::FdTable;
use vfs::context::OwnContext;

use super::usage::Account;
use super::{IoContext, Process, find_thread, speculation};
use crate::futex::ContendedLocks;
use crate::namespaces::Namespaces;
use crate::signal::{Signal, SignalSet, ThreadSignals};
use crate::syscall::Resume;
use crate::time::CpuAlarms;

/// Longest name of a thread, with the final NUL (Linux: `TASK_COMM_LEN`).
pub const NAME_SIZE: usize = 16;

/// One thread of a process.
pub struct Thread {
    id: AtomicU32,
    /// Its number among all threads ever made; set when it enters the process table.
    serial: AtomicU64,
    /// Whether it has lost its number and ends: its children are the eldest thread's from then on. Set under the
    /// table's lock, under which `wait` looks at children.
    pub(super) has_left: AtomicBool,
    process: Arc<Process>,
    this: Weak<Thread>,
    task: Once<Weak<Task>>,
    /// Where it is among the threads of its process; changed under their lock.
    pub(super) place: AtomicUsize,
    /// How it is scheduled and where it may run: what its task has, or had. Whoever changes the one changes the other.
    parameters: AtomicU32,
    /// Held by who changes these and the task's; before its run queue.
    changes_scheduling: SpinLock<()>,
    affinity: AtomicU64,
    /// The signal that its process gets when the thread that made it ends; 0 for none.
    parent_death_signal: AtomicU32,
    /// Changed by the thread itself alone; `None` once it has ended.
    files: SpinLock<Option<Arc<FdTable>>>,
    /// As `files`.
    fs: SpinLock<Option<OwnContext>>,
    /// As `files`.
    memory: SpinLock<Option<Arc<OwnReference>>>,
    /// Where `memory` lies; zero for none. Changed by the thread itself, with it.
    memory_id: AtomicUsize,
    credentials: SpinLock<Arc<Credentials>>,
    namespaces: Arc<Namespaces>,
    /// The watchdog reads it in an interrupt.
    name: IrqLock<[u8; NAME_SIZE]>,
    /// Where to write zero and wake a futex at the end of the thread; 0 for nowhere.
    pub(super) clear_child_id: AtomicU64,
    /// Head of the list of robust futexes that the thread holds.
    pub(crate) robust_list: AtomicU64,
    /// Locks that others wait for.
    pub(crate) held: ContendedLocks,
    /// Pending signals, mask and alternate stack.
    pub(crate) signals: ThreadSignals,
    /// How `restart_syscall` goes on.
    pub(crate) resume: SpinLock<Option<Box<Resume>>>,
    pub(super) account: Account,
    /// Alarms on its processor time.
    pub(crate) cpu_alarms: CpuAlarms,
    no_new_privileges: AtomicBool,
    /// By how many nanoseconds its sleeps may be longer than asked for, and what that was when it began.
    timer_slack_ns: AtomicU64,
    /// What it gives up of speculation.
    pub speculation: speculation::Wishes,
    first_timer_slack_ns: u64,
    /// That somebody pays for it.
    _charge: TaskCharge,
    /// What it asks of input and output.
    pub io_context: IoContext,
    /// Whether the thread has left its loop.
    is_ending: AtomicBool,
    /// Whether the thread counts for its user (`users`).
    is_counted: AtomicBool,
    /// Whether it was one more than its user may have, when it became that user's.
    is_one_too_many: AtomicBool,
}

static ANY_DEATH_SIGNAL: AtomicBool = AtomicBool::new(false);

/// What a new thread starts with.
pub struct ThreadParts {
    /// Its number.
    pub id: Pid,
    /// Its process.
    pub process: Arc<Process>,
    /// Its descriptors.
    pub files: Arc<FdTable>,
    /// Its root, working directory and umask.
    pub fs: OwnContext,
    /// Its memory.
    pub memory: Arc<AddressSpace>,
    /// Its identity.
    pub credentials: Arc<Credentials>,
    /// The namespaces that it is in.
    pub namespaces: Arc<Namespaces>,
    /// Its name.
    pub name: [u8; NAME_SIZE],
    /// Its signal mask.
    pub signal_mask: SignalSet,
    /// Its alternate stack.
    pub signal_stack: StackT,
    /// Whether `execve` grants nothing (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: bool,
    /// By how many nanoseconds its sleeps may be longer than asked for.
    pub timer_slack_ns: u64,
    /// What it gives up of speculation.
    pub speculation: speculation::Wishes,
    /// Its priority of input and output.
    pub io_context: IoContext,
    /// That somebody pays for it.
    pub charge: TaskCharge,
}

/// The timer slack of the first process (Linux: 50 µs).
pub const TIMER_SLACK_NS: u64 = 50_000;

/// A thread's name without its padding, unprintable bytes escaped.
pub struct ShownName([u8; NAME_SIZE]);

impl fmt::Display for ShownName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default().escape_ascii().fmt(formatter)
    }
}

impl Bounds for Thread {
    fn limits(&self) -> &Limits {
        self.process().limits()
    }

    fn is_capable(&self, capability: u32) -> bool {
        self.with_credentials(|credentials| credentials.has_capability(capability))
    }
}

impl Thread {
    /// `RLIMIT_NOFILE` of its process.
    pub fn descriptor_limit(&self) -> u64 {
        self.process.limits().soft(Resource::OpenFiles)
    }

    /// What bounds the memory of this thread's process.
    pub fn bounds(&self) -> &dyn Bounds {
        self
    }

    /// A thread without a task yet.
    pub fn new(parts: ThreadParts) -> Arc<Thread> {
        parts.credentials.charged.join();
        Arc::new_cyclic(|this| Thread {
            id: AtomicU32::new(parts.id.kernel_number()),
            serial: AtomicU64::new(0),
            has_left: AtomicBool::new(false),
            process: parts.process,
            this: this.clone(),
            task: Once::new(),
            place: AtomicUsize::new(0),
            parameters: AtomicU32::new(0),
            changes_scheduling: SpinLock::new(()),
            affinity: AtomicU64::new(0),
            parent_death_signal: AtomicU32::new(0),
            files: SpinLock::new(Some(parts.files)),
            fs: SpinLock::new(Some(parts.fs)),
            memory_id: AtomicUsize::new(Arc::as_ptr(&parts.memory).addr()),
            memory: SpinLock::new(Some(OwnReference::new(parts.memory))),
            credentials: SpinLock::new(parts.credentials),
            namespaces: parts.namespaces,
            name: IrqLock::new(parts.name),
            clear_child_id: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            held: ContendedLocks::new(),
            signals: ThreadSignals::new(parts.signal_mask, parts.signal_stack),
            resume: SpinLock::new(None),
            account: Account::new(),
            cpu_alarms: CpuAlarms::new(),
            no_new_privileges: AtomicBool::new(parts.no_new_privileges),
            timer_slack_ns: AtomicU64::new(parts.timer_slack_ns),
            speculation: parts.speculation,
            first_timer_slack_ns: parts.timer_slack_ns,
            io_context: parts.io_context,
            _charge: parts.charge,
            is_ending: AtomicBool::new(false),
            is_counted: AtomicBool::new(true),
            is_one_too_many: AtomicBool::new(false),
        })
    }

    /// What the kernel knows it by.
    pub fn id(&self) -> Pid {
        Pid::of_kernel_number(self.id.load(Ordering::Relaxed))
    }

    /// The last thread of a process takes the leader's number at `execve`.
    pub(super) fn set_id(&self, id: Pid) {
        self.id.store(id.kernel_number(), Ordering::Relaxed);
    }

    /// Its number among all threads ever made, which is never used again.
    pub fn serial(&self) -> u64 {
        self.serial.load(Ordering::Relaxed)
    }

    /// Sets that number, before anybody can find the thread.
    pub(super) fn set_serial(&self, serial: u64) {
        self.serial.store(serial, Ordering::Relaxed);
    }

    /// The process it belongs to.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The namespace of processes that it is in, for good.
    #[inline]
    pub fn pid_namespace(&self) -> &PidNamespace {
        self.process.pid_namespace()
    }

    /// The number that this thread sees of a thread, process, group or session.
    #[inline]
    pub fn shown(&self, pid: Pid) -> i32 {
        self.process.shown(pid)
    }

    /// The thread that this one means by a number: a living one, or the leader of a process that has not been waited
    /// for.
    pub fn named(&self, number: i32) -> Option<Arc<Thread>> {
        self.pid_namespace().find(number).and_then(find_thread)
    }

    /// A counted reference to the thread.
    pub fn to_ref(&self) -> Option<Arc<Thread>> {
        self.this.upgrade()
    }

    /// The task that runs it, while it lives.
    pub fn task(&self) -> Option<TaskRef> {
        self.task.get().and_then(Weak::upgrade)
    }

    /// Binds the thread to its task, once.
    pub(crate) fn set_task(&self, task: &TaskRef) {
        self.parameters.store(task.sched.parameters.load(Ordering::Relaxed), Ordering::Relaxed);
        self.affinity.store(settings::affinity(task), Ordering::Relaxed);
        let bound = self.task.set(Arc::downgrade(task));
        assert!(bound.is_ok(), "a thread has one task");
    }

    /// Sets work bits and ends a wait that they concern.
    pub fn set_work(&self, bits: u32) {
        if self.task.get().is_some_and(|own| task::set_work_if_current(own, bits)) {
            return;
        }
        if let Some(task) = self.task() {
            task.set_work(bits);
            sched::wake(&task);
        }
    }

    /// On whose behalf the thread acts.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    /// Looks at the credentials without counting a reference. `look` must not sleep.
    #[inline]
    pub fn with_credentials<R>(&self, look: impl FnOnce(&Arc<Credentials>) -> R) -> R {
        look(&self.credentials.lock())
    }

    /// The namespaces that it is in, but those of processes and of users.
    #[inline]
    pub fn namespaces(&self) -> &Arc<Namespaces> {
        &self.namespaces
    }

    /// The namespace of users that it is in.
    pub fn user_namespace(&self) -> Arc<UserNamespace> {
        self.with_credentials(|own| own.user_namespace.clone())
    }

    /// The number that this thread sees of a user.
    pub fn shown_user(&self, user: UserId) -> u32 {
        self.with_credentials(|own| user.number_in(&own.user_namespace))
    }

    /// Makes the thread act as somebody else.
    pub fn set_credentials(&self, credentials: Arc<Credentials>) {
        let new = credentials.charged.clone();
        // First, so that nobody who sees the new credentials is let into the memory by what the old ones allowed.
        if self.with_credentials(|old| old.is_exceeded_by(&credentials)) {
            self.process.set_dumpable(super::dumpable_with_privileges());
            self.set_parent_death_signal(None);
        }
        let old = core::mem::replace(&mut *self.credentials.lock(), credentials);
        if !Arc::ptr_eq(&old.charged, &new) {
            let is_one_too_many = new.has_too_many_threads(self.process.limits());
            self.is_one_too_many.store(is_one_too_many, Ordering::Relaxed);
            new.join();
            old.charged.leave();
        }
    }

    /// EAGAIN if the thread's user may not have another thread.
    pub(super) fn check_another(&self) -> Result<(), Errno> {
        self.with_credentials(|credentials| credentials.check_another_thread(self.process.limits()))?;
        self.is_one_too_many.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// EAGAIN if the thread has become one more of its user than `RLIMIT_NPROC` allows, and still is: it may not
    /// execute a program. Few programs look whether `setuid` succeeds, so this is where they hear of it (Linux:
    /// `PF_NPROC_EXCEEDED`).
    pub fn check_execution(&self) -> Result<(), Errno> {
        if !self.is_one_too_many.load(Ordering::Relaxed) {
            return Ok(());
        }
        let user = self.with_credentials(|credentials| credentials.charged.clone());
        if user.has_too_many_threads(self.process.limits()) {
            return Err(Errno::EAGAIN);
        }
        self.is_one_too_many.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The thread is gone, or never ran: neither it nor the signals that it has not taken count for its user any
    /// longer, whoever still looks at it; nor those of a process that somebody has waited for.
    #[inline]
    pub(super) fn stop_counting(&self) {
        // Most threads that are dropped have said so before.
        if self.is_counted.load(Ordering::Relaxed) && self.is_counted.swap(false, Ordering::Relaxed) {
            self.count_no_longer();
        }
    }

    fn count_no_longer(&self) {
        self.with_credentials(|credentials| credentials.charged.leave());
        self.signals.pending.lock().close();
        if self.process.is_reaped() {
            self.process.signals.shared.lock().pending.close();
        }
    }

    /// The name, padded with NULs.
    pub fn name(&self) -> [u8; NAME_SIZE] {
        *self.name.lock()
    }

    /// The name for people to read.
    pub fn shown_name(&self) -> ShownName {
        ShownName(self.name())
    }

    /// Names the thread; longer names are cut.
    pub fn set_name(&self, name: &[u8]) {
        let mut padded = [0; NAME_SIZE];
        let length = name.len().min(NAME_SIZE - 1);
        padded[..length].copy_from_slice(&name[..length]);
        *self.name.lock() = padded;
    }

    /// Where to write zero and wake a futex when the thread ends (`set_tid_address`).
    pub fn set_clear_child_id(&self, address: UserAddr) {
        self.clear_child_id.store(address.as_u64(), Ordering::Relaxed);
    }

    /// What [`Thread::set_clear_child_id`] set; 0 for nothing.
    pub fn clear_child_id(&self) -> UserAddr {
        UserAddr::new(self.clear_child_id.load(Ordering::Relaxed))
    }

    /// Whether `execve` grants nothing to this thread.
    pub fn no_new_privileges(&self) -> bool {
        self.no_new_privileges.load(Ordering::Relaxed)
    }

    /// From now on `execve` grants nothing; there is no way back.
    pub fn renounce_privileges(&self) {
        self.no_new_privileges.store(true, Ordering::Relaxed);
    }

    /// By how many nanoseconds its sleeps may be longer than asked for. All are exact here (docs/adr/0006).
    pub fn timer_slack_ns(&self) -> u64 {
        self.timer_slack_ns.load(Ordering::Relaxed)
    }

    /// Sets that; zero is what it was when the thread began.
    pub fn set_timer_slack_ns(&self, slack_ns: u64) {
        let slack_ns = if slack_ns == 0 { self.first_timer_slack_ns } else { slack_ns };
        self.timer_slack_ns.store(slack_ns, Ordering::Relaxed);
    }

    /// Whether the thread has left its loop, and does what is left to do at its end.
    pub fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// The running thread has left its loop. Said with its process's shared signals locked: whoever dumps that waits
    /// for it, or not.
    pub(crate) fn begin_to_end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// The signal that the process gets when the thread that made it ends.
    pub fn parent_death_signal(&self) -> Option<Signal> {
        Signal::new(self.parent_death_signal.load(Ordering::Relaxed))
    }

    /// Sets that signal, or none.
    pub fn set_parent_death_signal(&self, signal: Option<Signal>) {
        if signal.is_some() {
            ANY_DEATH_SIGNAL.store(true, Ordering::Relaxed);
        }
        self.parent_death_signal.store(signal.map_or(0, Signal::number), Ordering::Relaxed);
    }

    /// Whether any thread has ever wanted a signal at the end of its parent.
    pub(super) fn any_death_signal() -> bool {
        ANY_DEATH_SIGNAL.load(Ordering::Relaxed)
    }
}

impl Drop for Thread {
    /// The last reference may go in an interrupt handler, with a task that was to be woken: a thread that has run takes
    /// no lock here, as it has stopped counting.
    fn drop(&mut self) {
        self.stop_counting();
    }
}
