//! The scheduler: which task each CPU runs next.
//!
//! Every CPU has a queue of [`Runnable`] tokens and serves it in turn. A token is the permission to run a task once; hal hands it
//! out when a task is made or woken, so a task is in at most one queue, and no scheduler can run it twice. Tokens move between
//! CPUs by being pushed to another CPU's queue; there is no global lock.
//!
//! The timer is one-shot. A slice ends only where somebody else is waiting: the first token that is queued behind a running task
//! arms the [`timer`] for the end of a slice, and nothing ticks while one task runs alone or the CPU sleeps.
//!
//! Lock order: wait queue → run queue → timers. All are taken with interrupts masked, as interrupts wake tasks.

pub mod mutex;
pub mod rwlock;
pub mod timer;
pub mod wait;

mod run_queue;
#[cfg(test)]
pub(crate) mod tests;
pub mod timeouts;

pub use mutex::Mutex;
pub use rwlock::RwLock;

use alloc::boxed::Box;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use hal::frame::OutOfMemory;
use hal::sync::preempt;
use hal::task::{self, Runnable, TaskRef};
use hal::user::work;

use run_queue::QUEUES;

/// How long a task runs while others wait, in nanoseconds.
pub const SLICE_NS: u64 = 4_000_000;

/// Queues a new or woken task on this CPU.
#[inline]
pub fn enqueue(runnable: Runnable) {
    QUEUES.with(|queue| queue.push(runnable));
}

/// Makes a blocked task run again; nothing happens to one that is not blocked.
#[inline]
pub fn wake(task: &TaskRef) {
    if let Some(runnable) = task.wake() {
        enqueue(runnable);
    }
}

/// Sleeps until the task is woken, unless `ready` says that there is nothing to wait for. `ready` is asked when a wake can no
/// longer be lost; it may take spin locks and must not sleep.
#[inline]
pub fn block_unless(ready: impl FnOnce() -> bool) {
    hal::sync::assert_may_block();
    task::prepare_to_block();
    if ready() && task::cancel_block() {
        return;
    }
    let guard = preempt::disable();
    let next = QUEUES.with(run_queue::RunQueue::next);
    switch(next, guard);
}

/// Lets every other task of this CPU run first.
#[inline]
pub fn yield_now() {
    let guard = preempt::disable();
    let next = QUEUES
        .with(|queue| if queue.is_empty() { None } else { Some(queue.exchange(task::yield_current())) });
    match next {
        Some(next) => switch(next, guard),
        None => drop(guard),
    }
}

/// Gives way if the slice is over: at the way out to user mode, and where an interrupt found the kernel preemptible.
#[inline]
pub fn reschedule() {
    task::current().work.fetch_and(!work::RESCHEDULE, Relaxed);
    yield_now();
}

/// Another CPU has queued a task here, or wants the running one to look at its work. Interrupt context.
pub fn reschedule_interrupt() {
    if waiting() > 0 {
        timer::want_tick();
    }
}

/// Ends the running task.
pub fn exit() -> ! {
    TASKS.fetch_sub(1, Relaxed);
    let guard = preempt::disable();
    let next = QUEUES.with(run_queue::RunQueue::next);
    account(&next);
    task::exit_to(next, guard)
}

/// How many tasks exist, the boot task included.
static TASKS: AtomicUsize = AtomicUsize::new(1);

/// Makes room in every queue for one more task, so that wake-ups never allocate. Call before a task is made.
pub fn reserve_for_new_task() -> Result<(), OutOfMemory> {
    let tasks = TASKS.fetch_add(1, Relaxed) + 1;
    let reserved =
        (0..hal::cpu::count()).filter_map(|cpu| QUEUES.of(cpu)).try_for_each(|queue| queue.reserve(tasks));
    if reserved.is_err() {
        TASKS.fetch_sub(1, Relaxed);
    }
    reserved
}

/// How many tasks exist, those of the kernel included.
pub fn task_count() -> usize {
    TASKS.load(Relaxed)
}

/// Number of tasks that wait for this CPU.
pub fn waiting() -> usize {
    QUEUES.with(run_queue::RunQueue::len)
}

/// What a CPU does when it has nothing to do. The boot task ends here.
pub fn idle() -> ! {
    loop {
        idle_once();
    }
}

/// Sleeps until an interrupt queues a task, and runs tasks until none is left.
fn idle_once() {
    hal::cpu::wait_for_interrupt(|| QUEUES.with(|queue| !queue.is_empty()));
    let guard = preempt::disable();
    match QUEUES.with(run_queue::RunQueue::leave_idle) {
        Some(next) => switch(next, guard),
        None => drop(guard),
    }
}

fn switch(next: Runnable, guard: preempt::PreemptGuard) {
    account(&next);
    task::switch_to(next, guard);
}

/// Charges the time since the last switch to the running task.
#[inline]
fn account(next: &Runnable) {
    let now = hal::time::now_ns();
    let running = &task::current().sched;
    let used = now.saturating_sub(running.started_ns.load(Relaxed));
    running.runtime_ns.store(running.runtime_ns.load(Relaxed).wrapping_add(used), Relaxed);
    next.task().sched.started_ns.store(now, Relaxed);
}

/// Processor time of a task in nanoseconds, with the part of the present slice if it is running here.
pub fn runtime_ns(task: &task::Task) -> u64 {
    let counted = task.sched.runtime_ns.load(Relaxed);
    if core::ptr::eq(&raw const *task::current(), task) {
        counted + hal::time::now_ns().saturating_sub(task.sched.started_ns.load(Relaxed))
    } else {
        counted
    }
}

/// Starts a task that lives in the kernel alone.
pub fn spawn(entry: task::Entry) -> Result<(), OutOfMemory> {
    reserve_for_new_task()?;
    let runnable = task::Task::new_kernel(Box::new(move || {
        entry();
        exit()
    }))?;
    enqueue(runnable);
    Ok(())
}

/// Sleeps until a signal comes or time is up; which of the two it was.
pub fn sleep(deadline: wait::Deadline) -> wait::WaitError {
    let task = task::current().to_ref();
    let timeout = timer::Timeout::start(deadline, &task);
    let over = || wait::Patience::Interruptible.is_exhausted(&task).then_some(wait::WaitError::Interrupted);
    let error = loop {
        if let Some(error) = over().or_else(|| deadline.has_passed().then_some(wait::WaitError::TimedOut)) {
            break error;
        }
        block_unless(|| over().is_some() || deadline.has_passed());
    };
    drop(timeout);
    error
}
