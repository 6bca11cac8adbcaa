//! What programs may set: a task's parameters and the CPUs that it may run on.
//!
//! New settings are stored in the task first; then the queue where it is, if it is in one, takes them over under its
//! lock. A task that is asleep or between two queues reads them when it is queued. Of a task that changes queues
//! meanwhile either the new queue is seen here, or the new settings there: both sides store, fence, and load.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::fence;

use super::work;
use hal::task::{self, Task};
use libkernel::sched::{Arrival, Parameters};

use super::arrival::is_allowed;
use super::run_queue::{QUEUES, Resettled};
use super::{placement, real_time};

/// How a task is scheduled.
pub fn parameters(task: &Task) -> Parameters {
    Parameters::unpack(task.sched.parameters.load(Relaxed))
}

/// Changes how a task is scheduled, at once. A boost it keeps.
pub fn set_parameters(task: &Task, parameters: Parameters) {
    change(task, |old| Parameters { boost: old.boost, ..parameters });
}

/// Boosts a task to a real-time priority, or not (0), in place of its boost of before: priority inheritance.
pub fn boost(task: &Task, priority: u8) {
    if parameters(task).boost != priority {
        change(task, |old| Parameters { boost: priority, ..old });
    }
}

/// The real-time priority that a task runs with, its own or one that it is boosted to; 0 for none.
pub fn effective_priority(task: &Task) -> u8 {
    parameters(task).effective().real_time_priority()
}

fn change(task: &Task, new: impl Fn(Parameters) -> Parameters) {
    task.sched.parameters.update(Relaxed, Relaxed, |old| new(Parameters::unpack(old)).pack());
    resettle(task);
}

/// The CPUs that a task may run on, a bit for each, also such as do not exist.
pub fn affinity(task: &Task) -> u64 {
    task.sched.allowed.load(Relaxed)
}

/// The CPUs that run.
pub fn online() -> u64 {
    placement::online()
}

/// Confines a task to the CPUs of a mask, of which one must be running. On return it does not run on any other; so the
/// caller must hold no lock.
pub fn set_affinity(task: &Task, allowed: u64) {
    hal::sync::assert_may_block();
    task.sched.allowed.store(allowed, Relaxed);
    resettle(task);
    if task::is_current(task) {
        super::reschedule();
        return;
    }
    while task.is_on_cpu() && !is_allowed(task, task.cpu()) {
        task.set_work(work::RESCHEDULE);
        super::yield_now();
    }
}

/// A new task is scheduled as its maker.
pub fn inherit(child: &Task) {
    task::with_current(|parent| {
        child.sched.parameters.store(parameters(parent).of_child().pack(), Relaxed);
        child.sched.allowed.store(affinity(parent), Relaxed);
    });
}

/// Makes the queue where a task is take over what has been stored in it.
fn resettle(task: &Task) {
    loop {
        fence(SeqCst);
        let cpu = task.sched.queue.load(Relaxed) as usize;
        let Some(queue) = QUEUES.of(cpu) else { return };
        match queue.resettle(cpu, task) {
            Resettled::Elsewhere => {}
            // It looks whether it may stay, and whether others come first now.
            Resettled::Running => {
                task.set_work(work::RESCHEDULE);
                return real_time::changed(cpu, queue);
            }
            Resettled::Removed(comer) => {
                placement::settle(comer, Arrival::Placed);
                return real_time::changed(cpu, queue);
            }
            Resettled::Asleep => return,
        }
    }
}
