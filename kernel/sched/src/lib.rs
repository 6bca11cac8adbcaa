//! The scheduler: which task each CPU runs next.
//!
//! Every CPU has a queue of [`Runnable`] tokens (`run_queue`), ordered by the policy in `libkernel::sched`; which CPU a
//! task goes to is decided in `placement`. A token is the permission to run a task once; hal hands it out when a task
//! is made or woken, so a task is in at most one queue, and no scheduler can run it twice. There is no global lock, and
//! nobody holds the locks of two queues.
//!
//! The timer is one-shot. A slice ends only where somebody else is waiting: the first token that is queued behind a
//! running task arms the [`timer`]. Besides, a CPU that has work samples what it does ([`accounts`]); one that sleeps
//! has no tick.
//!
//! The kernel is preemptible wherever no spin lock is held. For a real-time task the running one gives way there at
//! once, when the last guard is dropped (`hal::sync::preempt`). For a fair one the request stays in the running task's
//! work word until an interrupt finds the kernel preemptible (while somebody waits, there is a tick), the task blocks,
//! or goes back to user mode.
//!
//! Lock order: wait queue → run queue → timers. All are taken with interrupts masked, as interrupts wake tasks.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(target_os = "linux")]
extern crate std;

pub mod mutex;
pub mod rwlock;
pub mod timer;
pub mod turns;
pub mod wait;
pub mod watchdog;

pub mod accounts;
mod arrival;
pub mod barrier;
pub mod deadline;
#[cfg(target_os = "linux")]
pub mod hosted;
mod idle;
pub mod load;
mod lock_queue;
#[cfg(test)]
mod lock_tests;
mod placement;
pub mod provoke;
mod readiness;
mod real_time;
mod run_queue;
pub mod settings;
#[cfg(test)]
mod tests;
mod waiters;
pub mod work;

pub use mutex::Mutex;
pub use rwlock::RwLock;

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use abi::Errno;
use hal::frame::OutOfMemory;
use hal::sync::preempt;
use hal::task::{self, Runnable, TaskRef};
use libkernel::sched::Arrival;
use outcome::{Failure, Restart, ToErrno};

use run_queue::{QUEUES, RunQueue};

impl ToErrno for wait::Killed {
    fn to_errno(self) -> Errno {
        Errno::EINTR
    }
}

impl From<wait::Killed> for Failure {
    fn from(killed: wait::Killed) -> Failure {
        Failure::Errno(killed.to_errno())
    }
}

impl From<wait::Interrupted> for Failure {
    fn from(_: wait::Interrupted) -> Failure {
        Failure::Restart(Restart::IfAllowed)
    }
}

impl From<wait::WaitError> for Failure {
    fn from(error: wait::WaitError) -> Failure {
        match error {
            wait::WaitError::Interrupted => Failure::Restart(Restart::IfAllowed),
            wait::WaitError::TimedOut => Failure::Errno(abi::Errno::ETIMEDOUT),
        }
    }
}

/// Lets a new task run.
pub fn start(runnable: Runnable) {
    TASKS.fetch_add(1, Relaxed);
    placement::place(runnable, Arrival::Placed);
}

/// Makes a blocked task run again; nothing happens to one that is not blocked.
#[inline]
pub fn wake(task: &TaskRef) {
    if let Some(runnable) = task.wake() {
        placement::place(runnable, Arrival::Woken);
    }
}

/// Sleeps until the task is woken, unless `ready` says that there is nothing to wait for. `ready` is asked when a wake
/// can no longer be lost; it may take spin locks and must not sleep.
#[inline(always)]
pub fn block_unless(ready: impl FnOnce() -> bool) {
    hal::sync::assert_may_block();
    task::prepare_to_block();
    if ready() {
        task::cancel_block();
        return;
    }
    #[cfg(target_os = "linux")]
    if QUEUES.with(RunQueue::runs_idle_task) {
        // A test without tasks of its own runs as its CPU's idle task, which has nobody to go on in its place: it
        // polls.
        task::cancel_block();
        std::thread::yield_now();
        return;
    }
    suspend();
}

/// Runs another task until the running one, which has prepared for it, is woken.
fn suspend() {
    let guard = preempt::disable();
    match QUEUES.get(&guard).block(&guard) {
        Some(next) => task::switch_to(next, guard),
        None => drop(guard),
    }
}

/// Lets another task of this CPU run first, if one waits.
#[inline]
pub fn yield_now() {
    let guard = preempt::disable();
    let queue = QUEUES.get(&guard);
    match if queue.waiting() == 0 { None } else { queue.give_way() } {
        Some(next) => task::switch_to(next, guard),
        None => drop(guard),
    }
}

/// Gives way if the slice is over or somebody else comes first: at the way out to user mode, and where an interrupt
/// found the kernel preemptible.
pub fn reschedule() {
    real_time::balance();
    task::take_own_work(work::RESCHEDULE);
    let guard = preempt::disable();
    match QUEUES.get(&guard).reconsider(hal::cpu::id()) {
        Some(next) => task::switch_to(next, guard),
        None => drop(guard),
    }
}

/// Ends the running task, whose entry has returned.
pub fn exit() -> ! {
    TASKS.fetch_sub(1, Relaxed);
    let guard = preempt::disable();
    let next = QUEUES.get(&guard).end();
    task::exit_to(next, guard)
}

/// How many tasks exist, the boot task included.
static TASKS: AtomicUsize = AtomicUsize::new(1);

/// How many tasks exist, those of the kernel included.
pub fn task_count() -> usize {
    TASKS.load(Relaxed)
}

/// How many tasks run or would run if there were a CPU for each.
pub fn runnable_count() -> usize {
    (0..hal::cpu::count()).filter_map(|cpu| QUEUES.of(cpu)).map(RunQueue::runnable).sum()
}

/// How long a CPU has had nothing to do, in nanoseconds.
pub fn idle_ns(cpu: usize) -> u64 {
    QUEUES.of(cpu).map_or(0, RunQueue::idle_ns)
}

/// Another CPU has queued a task here, or wants the running one to look at its work. Interrupt context.
pub fn reschedule_interrupt() {
    QUEUES.with(RunQueue::interrupted);
}

/// What a CPU does when it has nothing to do. Its first task ends here.
pub fn idle() -> ! {
    loop {
        idle_once();
    }
}

/// Runs tasks until none is left, then sleeps until an interrupt.
fn idle_once() {
    let guard = preempt::disable();
    let cpu = hal::cpu::id();
    if let Some(leaving) = QUEUES.get(&guard).take_leaving() {
        placement::place(leaving, Arrival::Placed);
    }
    if let Some(next) = QUEUES.get(&guard).leave_idle() {
        placement::leave_idle(cpu);
        return task::switch_to(next, guard);
    }
    drop(guard);
    if task::give_back_surplus() {
        // Somebody may have come meanwhile.
        return;
    }
    placement::enter_idle(cpu);
    if !placement::steal(cpu) {
        idle::wait(cpu);
    }
}

/// Processor time of a task in nanoseconds, to this moment: it never runs backwards, whoever looks.
pub fn runtime_ns(task: &task::Task) -> u64 {
    loop {
        let cpu = task.sched.queue.load(Relaxed) as usize;
        let Some(queue) = QUEUES.of(cpu) else { return 0 };
        if let Some(runtime_ns) = queue.runtime_ns(cpu, task) {
            return runtime_ns;
        }
    }
}

/// Starts a task that lives in the kernel alone.
pub fn spawn(entry: task::Entry) -> Result<(), OutOfMemory> {
    let runnable = task::Task::new_kernel(entry)?;
    settings::inherit(runnable.task());
    start(runnable);
    Ok(())
}

/// Sleeps until a signal comes or time is up; which of the two it was.
pub fn sleep(deadline: wait::Deadline) -> wait::WaitError {
    let timeout = timer::Timeout::start(deadline);
    let over = || wait::Patience::Interruptible.is_exhausted().then_some(wait::WaitError::Interrupted);
    let error = loop {
        if let Some(error) = over().or_else(|| deadline.has_passed().then_some(wait::WaitError::TimedOut)) {
            break error;
        }
        block_unless(|| over().is_some() || deadline.has_passed());
    };
    drop(timeout);
    error
}
