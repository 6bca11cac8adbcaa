//! Processes: what threads share.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use abi::process::WaitStatus;
use arrayvec::ArrayVec;
use hal::list::Link;
use hal::sync::SpinLock;
use hal::task;
use memory::{AddressSpace, Dumpable, flags};
use sched::Mutex;
use sched::wait::WaitQueue;
use subject::{Credentials, INFINITY, Limits, Pid, PidNamespace, Resource};

use super::Thread;
use super::family::{BATCH, Family};
use super::group::Group;
use super::kept::Kept;
use super::session::Session;
use super::usage::Usage;
use crate::signal::{ProcessSignals, Signal};
use crate::time::CpuAlarms;
use crate::time::interval::IntervalTimers;

/// Some of the threads of a process.
pub type ThreadBatch = ArrayVec<Arc<Thread>, BATCH>;

/// A process: threads, an address space, relatives, and what became of it.
pub struct Process {
    pid: Pid,
    /// Where it has a number that its own threads see.
    pid_namespace: Arc<PidNamespace>,
    /// The parent; changed under the lock of the process table.
    pub(super) parent: AtomicU32,
    /// The process group; as `parent`.
    pub(super) group: SpinLock<Arc<Group>>,
    /// The session; as `parent`.
    pub(super) session: SpinLock<Arc<Session>>,
    /// The order of its coming among its parent's children; as `parent`.
    pub(super) birth: AtomicU64,
    /// The order of its coming among the members of its group; as `parent`.
    pub(super) joined: AtomicU64,
    /// Its places among the children of its parent and in its group; as `parent`.
    pub(super) sibling: Link<Process>,
    pub(super) member: Link<Process>,
    /// Its children; as `parent`.
    pub(super) family: SpinLock<Family>,
    /// Its leader, living or not, until somebody has waited for the process; as `parent`.
    pub(super) leader: SpinLock<Option<Arc<Thread>>>,
    /// Set when it begins to end: children are made for its adopter instead; as `parent`.
    pub(super) gives_children_away: AtomicBool,
    /// The thread of its parent that made it, by [`Thread::serial`].
    pub(super) maker: AtomicU64,
    /// How often it has executed a program, and how often its parent had when it became the parent.
    pub(super) executions: AtomicU64,
    pub(super) executions_of_parent: AtomicU64,
    /// How often it was sent a signal together with others.
    pub(crate) group_signals: AtomicU64,
    /// `None` once the process has ended.
    memory: SpinLock<Option<Arc<AddressSpace>>>,
    /// The living threads, each at its `Thread::place`.
    threads: SpinLock<Vec<Arc<Thread>>>,
    /// Where the process waits for its children.
    pub(super) child_changed: WaitQueue,
    /// What the parent has to learn; changed under the lock of the process table.
    pub(super) news: SpinLock<News>,
    /// Pending signals and actions.
    pub(crate) signals: ProcessSignals,
    /// The signal that tells the parent of the end; none if this is no signal's number. As `parent`.
    pub(super) exit_signal: AtomicU32,
    /// What ended threads and children have used. Locked before `threads`.
    pub(super) usage: SpinLock<Usage>,
    /// Interval timers.
    pub(crate) timers: IntervalTimers,
    /// Alarms on its processor time.
    pub(crate) cpu_alarms: CpuAlarms,
    /// Set while a `vfork` parent waits for this process to leave its memory.
    pub(super) borrows_memory: AtomicBool,
    /// Where that parent waits.
    pub(super) returned: WaitQueue,
    /// Where `execve` waits for the other threads to end.
    pub(super) thread_ended: WaitQueue,
    /// Whether `execve` has been done: the parent may no longer move it to another group.
    pub(super) has_executed: AtomicBool,
    /// Whether orphaned descendants come to this process.
    pub(super) adopts: AtomicBool,
    /// Held while `execve` exchanges memory and credentials, and by who looks into the process: `inspect`.
    pub(super) exchanging: Mutex<()>,
    limits: Limits,
    personality: AtomicU32,
    /// What it keeps for others.
    pub(crate) kept: Kept,
    /// When it was made, on the monotonic clock.
    pub(super) started_ns: u64,
}

/// What happened to a process that its parent has not been told yet.
#[derive(Default)]
pub(super) struct News {
    /// How it ended.
    pub(super) ended: Option<WaitStatus>,
    /// Which signal stopped it.
    pub(super) stopped: Option<Signal>,
    /// Whether it went on.
    pub(super) continued: bool,
    /// Whether somebody has waited for its end.
    pub(super) reaped: bool,
}

/// What a new process starts with. Its parent, group and exit signal are settled when it enters the table.
pub(super) struct ProcessParts {
    pub(super) pid: Pid,
    pub(super) pid_namespace: Arc<PidNamespace>,
    /// Until it enters the table.
    pub(super) group: Arc<Group>,
    /// As `group`.
    pub(super) session: Arc<Session>,
    pub(super) memory: Arc<AddressSpace>,
    pub(super) signals: ProcessSignals,
    pub(super) limits: Limits,
    pub(super) personality: u32,
    pub(super) kept: Kept,
}

/// Whether a process has ever asked to adopt.
static ANY_ADOPTS: AtomicBool = AtomicBool::new(false);

impl Process {
    /// A process without threads, not yet in the table.
    pub(super) fn new(parts: ProcessParts) -> Arc<Process> {
        let cpu_alarms = CpuAlarms::new();
        if parts.limits.soft(Resource::Cpu) != INFINITY {
            cpu_alarms.look_again();
        }
        Arc::new(Process {
            pid: parts.pid,
            pid_namespace: parts.pid_namespace,
            parent: AtomicU32::new(0),
            group: SpinLock::new(parts.group),
            session: SpinLock::new(parts.session),
            birth: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            sibling: Link::new(),
            member: Link::new(),
            family: SpinLock::new(Family::default()),
            leader: SpinLock::new(None),
            gives_children_away: AtomicBool::new(false),
            maker: AtomicU64::new(0),
            executions: AtomicU64::new(0),
            executions_of_parent: AtomicU64::new(0),
            group_signals: AtomicU64::new(0),
            memory: SpinLock::new(Some(parts.memory)),
            threads: SpinLock::new(Vec::new()),
            child_changed: WaitQueue::new(),
            news: SpinLock::new(News::default()),
            signals: parts.signals,
            exit_signal: AtomicU32::new(Signal::CHLD.number()),
            usage: SpinLock::new(Usage::default()),
            timers: IntervalTimers::new(),
            cpu_alarms,
            borrows_memory: AtomicBool::new(false),
            returned: WaitQueue::new(),
            thread_ended: WaitQueue::new(),
            has_executed: AtomicBool::new(false),
            adopts: AtomicBool::new(false),
            exchanging: Mutex::new(()),
            limits: parts.limits,
            personality: AtomicU32::new(parts.personality),
            kept: parts.kept,
            started_ns: hal::time::now_ns(),
        })
    }

    /// What the kernel knows it by.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The namespace of processes that it is in, for good.
    #[inline]
    pub fn pid_namespace(&self) -> &Arc<PidNamespace> {
        &self.pid_namespace
    }

    /// The number that this process sees of another.
    #[inline]
    pub fn shown(&self, pid: Pid) -> i32 {
        pid.signed_in(&self.pid_namespace)
    }

    /// The parent; nobody for init.
    pub fn parent(&self) -> Pid {
        Pid::of_kernel_number(self.parent.load(Ordering::Relaxed))
    }

    /// The order of its coming among the members of its group.
    pub(super) fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    /// The process group.
    pub fn group(&self) -> Pid {
        self.group.lock().id()
    }

    /// The session.
    pub fn session(&self) -> Arc<Session> {
        self.session.lock().clone()
    }

    /// The memory of the process; `None` once it has ended.
    #[inline]
    pub fn address_space(&self) -> Option<Arc<AddressSpace>> {
        self.memory.lock().clone()
    }

    /// Makes the process, whose only thread is running, another program: `execve`. Memory, which says by whom it may be
    /// seen, and credentials are exchanged in one step for who looks into it. A parent that waits in `vfork` goes on.
    pub fn exchange(&self, thread: &Thread, space: Arc<AddressSpace>, credentials: Arc<Credentials>) {
        let old = self.address_space();
        let kept = old.as_ref().map_or(0, |old| old.flags() & flags::NO_HUGE_PAGES);
        space.set_flags(kept, true);
        let exchanging = self.exchanging.lock();
        task::set_page_table(Some(space.page_table().clone()));
        thread.set_memory(Some(space.clone()));
        *self.memory.lock() = Some(space);
        thread.set_credentials(credentials);
        drop(exchanging);
        // Its end takes as long as it is large.
        old.inspect(|old| self.keep_peak(old));
        self.return_memory();
    }

    /// Whether others of its user may look into its memory.
    pub fn is_dumpable(&self) -> bool {
        self.address_space().is_some_and(|space| space.dumpable() == Dumpable::ByUser)
    }

    /// Says who may see the memory.
    pub fn set_dumpable(&self, dumpable: Dumpable) {
        if let Some(space) = self.address_space() {
            space.set_dumpable(dumpable);
        }
    }

    /// Whether its memory is being written to a core dump.
    pub fn is_being_dumped(&self) -> bool {
        self.signals.shared.lock().dump.is_some()
    }

    /// Gives the memory up at the end.
    pub(super) fn leave_memory(&self) {
        let old = self.memory.lock().take();
        old.inspect(|old| self.keep_peak(old));
        self.return_memory();
    }

    /// Lets a parent that waits in `vfork` go on.
    fn return_memory(&self) {
        if self.borrows_memory.swap(false, Ordering::AcqRel) {
            self.returned.wake_all();
        }
    }

    /// Those of the living threads that were made first after the one with this serial number, in their order: as many
    /// as there is room for.
    pub fn threads_after(&self, serial: u64) -> ThreadBatch {
        let mut batch = ThreadBatch::new();
        for thread in self.threads.lock().iter().filter(|thread| thread.serial() > serial) {
            let place = batch.partition_point(|before| before.serial() < thread.serial());
            if place == batch.capacity() {
                continue;
            }
            if batch.is_full() {
                batch.pop();
            }
            batch.insert(place, thread.clone());
        }
        batch
    }

    /// Calls `visit` for the living threads in the order in which they were made, with no lock held.
    pub fn visit_threads(&self, mut visit: impl FnMut(&Arc<Thread>)) {
        let mut serial = 0;
        loop {
            let threads = self.threads_after(serial);
            let Some(last) = threads.last() else { return };
            serial = last.serial();
            threads.iter().for_each(&mut visit);
        }
    }

    /// Whether a thread is one of the living ones.
    pub fn has_living(&self, thread: &Thread) -> bool {
        let threads = self.threads.lock();
        let place = thread.place.load(Ordering::Relaxed);
        threads.get(place).is_some_and(|other| core::ptr::eq(&raw const **other, thread))
    }

    /// Calls `visit` for every living thread. It may wake threads and must not sleep.
    pub fn each_thread(&self, mut visit: impl FnMut(&Arc<Thread>)) {
        self.threads.lock().iter().for_each(&mut visit);
    }

    /// The first living thread that `wanted` likes.
    pub fn find_thread(&self, wanted: impl Fn(&Thread) -> bool) -> Option<Arc<Thread>> {
        self.threads.lock().iter().find(|thread| wanted(thread)).cloned()
    }

    /// How many threads live.
    pub fn thread_count(&self) -> usize {
        self.threads.lock().len()
    }

    /// Adds a thread. EAGAIN when the process is ending: the new thread would not hear of it.
    pub(super) fn add_thread(&self, thread: Arc<Thread>) -> Result<(), Errno> {
        let shared = self.signals.shared.lock();
        if shared.ending.is_some() || shared.executing {
            return Err(Errno::EAGAIN);
        }
        let mut threads = self.threads.lock();
        threads.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
        thread.place.store(threads.len(), Ordering::Relaxed);
        threads.push(thread);
        drop(threads);
        drop(shared);
        // Time can be used faster from here on.
        self.cpu_alarms.look_again_if_set();
        Ok(())
    }

    /// Takes the running thread out, and keeps what it has used; how many are left.
    pub(super) fn remove_thread(&self, thread: &Thread) -> usize {
        // Whoever adds up what the threads have used finds this one there or here.
        let mut usage = self.usage.lock();
        usage.settle(thread);
        let mut threads = self.threads.lock();
        let place = thread.place.load(Ordering::Relaxed);
        let is_there = threads.get(place).is_some_and(|other| core::ptr::eq(&raw const **other, thread));
        let removed = is_there.then(|| threads.swap_remove(place));
        if let Some(moved) = threads.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        let left = threads.len();
        drop(threads);
        drop(usage);
        drop(removed);
        left
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

    /// The leader, living or not; `None` once somebody has waited for the end of the process.
    pub fn leader(&self) -> Option<Arc<Thread>> {
        self.leader.lock().clone()
    }

    /// Whether `thread` is the one that was made first of those that live, and the one with the serial number `maker`
    /// does not. One that ends is its children's parent until it has told them.
    pub(super) fn is_heir(&self, thread: &Thread, maker: u64) -> bool {
        let own = thread.serial();
        let threads = self.threads.lock();
        let mut living = threads.iter().filter(|other| !other.has_left.load(Ordering::Relaxed));
        living.all(|other| other.serial() >= own && other.serial() != maker)
    }

    /// Whether orphaned descendants come to this process.
    pub fn adopts(&self) -> bool {
        self.adopts.load(Ordering::Relaxed)
    }

    /// Whether orphans may have to go to anybody but init.
    pub(super) fn any_adopts() -> bool {
        ANY_ADOPTS.load(Ordering::Relaxed)
    }

    /// Makes orphaned descendants come to this process, or not.
    pub fn set_adopts(&self, adopts: bool) {
        ANY_ADOPTS.fetch_or(adopts, Ordering::Relaxed);
        self.adopts.store(adopts, Ordering::Relaxed);
    }

    /// Whether somebody has waited for its end.
    pub fn is_reaped(&self) -> bool {
        self.news.lock().reaped
    }

    /// How the process ended; `None` while it lives.
    pub fn ended(&self) -> Option<WaitStatus> {
        self.news.lock().ended
    }
}
