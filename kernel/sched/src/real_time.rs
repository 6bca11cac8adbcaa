//! Real-time tasks on many CPUs: pushed to where less important ones run, pulled by CPUs that come to run less.
//!
//! The policy is `libkernel::sched::balance`'s. A queue publishes its levels under its lock whenever a real-time task
//! is or was in it, then fences ([`note`]). Afterwards whoever changed it looks at the others: a task that came and has
//! to wait is pushed by who brought it ([`settle`]); a CPU that let one wait, or whose level fell, asks the task that
//! it runs next to give way, and looks itself on the way there ([`balance`]). Of two CPUs that change at once, one sees
//! the other.
//!
//! A task that its CPU is still leaving stays (see `run_queue`): its CPU is asked to look again, and has left it by
//! then. Where no real-time task waits that could run elsewhere, all of this is the look at one word, [`WAITING`].

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::fence;

use hal::sync::preempt;
use hal::task::Task;
use libkernel::sched::{Arrival, balance as policy};

use super::arrival::Comer;
use super::placement::{self, online};
use super::run_queue::{QUEUES, RunQueue};

/// The CPUs that have a real-time task, running or waiting.
static BUSY: AtomicU64 = AtomicU64::new(0);
/// The CPUs for which a real-time task waits that could run elsewhere.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// The CPUs that have a real-time task.
#[inline]
pub(super) fn busy() -> u64 {
    BUSY.load(Relaxed)
}

/// Whether a real-time task waits that could run elsewhere.
#[inline]
pub(super) fn any_waits() -> bool {
    WAITING.load(Relaxed) != 0
}

#[inline]
fn waits_for(cpu: usize) -> bool {
    WAITING.load(Relaxed) & 1 << cpu != 0
}

/// Takes over what a queue has published, whose lock is held.
pub(super) fn note(cpu: usize, level: u8, waiting_level: u8) {
    for (mask, value) in [(&BUSY, level), (&WAITING, waiting_level)] {
        let is_in = mask.load(Relaxed) & 1 << cpu != 0;
        match value {
            0 if is_in => mask.fetch_and(!(1 << cpu), Relaxed),
            1.. if !is_in => mask.fetch_or(1 << cpu, Relaxed),
            _ => continue,
        };
    }
    // Before the look at other CPUs, which fence in the same way.
    fence(SeqCst);
}

/// The CPU for a real-time task of a priority: an idle one, else one of the lowest level below it; `last` and `here`
/// come first among equals.
pub(super) fn choose(task: &Task, priority: u8, last: usize, here: usize) -> Option<usize> {
    let allowed = task.sched.allowed.load(Relaxed) & online();
    let level = |cpu| QUEUES.of(cpu).map_or(u8::MAX, RunQueue::level);
    let among = |cpus| policy::target(priority, cpus, [last, here], level);
    among(allowed & placement::idle()).or_else(|| among(allowed))
}

/// Queues a task on a CPU, and hands on who waits there although it could run elsewhere.
#[inline(always)]
pub(super) fn settle(cpu: usize, comer: Comer, arrival: Arrival) {
    if let Some(queue) = QUEUES.of(cpu)
        && queue.arrive(cpu, comer, arrival)
        && waits_for(cpu)
    {
        push(cpu);
    }
}

/// Sees to it that the executing CPU runs and holds back the right ones.
#[inline]
pub(super) fn balance() {
    if any_waits() {
        let _guard = preempt::disable();
        let cpu = hal::cpu::id();
        pull(cpu);
        push(cpu);
    }
}

/// What `cpu` has to run has changed by somebody's hand: it looks anew if real-time tasks are concerned.
pub(super) fn changed(cpu: usize, queue: &RunQueue) {
    if any_waits() || queue.level() != 0 {
        let _guard = preempt::disable();
        queue.ask(cpu);
    }
}

/// Fetches waiting tasks above the level of `cpu`, which executes this. Each one raises the level.
#[cold]
fn pull(cpu: usize) {
    let Some(own) = QUEUES.of(cpu) else { return };
    let mut sources = WAITING.load(Relaxed) & online() & !(1 << cpu);
    let waiting_level = |cpu| QUEUES.of(cpu).map_or(0, RunQueue::waiting_level);
    while let Some(source) = policy::source(own.level(), sources, waiting_level) {
        sources &= !(1 << source);
        let level = own.level();
        let fits = |task: &Task, priority| priority > level && super::arrival::may_move(task, cpu);
        if let Some(comer) = QUEUES.of(source).and_then(|queue| queue.give_real_time(source, fits)) {
            own.arrive(cpu, comer, Arrival::Placed);
        }
    }
}

/// Hands on the tasks that wait for a CPU while others run less, and those that wait where these come to.
#[cold]
fn push(cpu: usize) {
    let mut cpus: u64 = 1 << cpu;
    // Each push raises the level of a CPU. The bound is for levels that others change meanwhile: then the CPU looks for
    // itself.
    for round in 0.. {
        let from = cpus.trailing_zeros() as usize;
        let Some(queue) = QUEUES.of(from) else { return };
        if round == 4 * hal::cpu::count() {
            return queue.ask(from);
        }
        match find_and_take(from, queue) {
            Found::Task(comer, to) => {
                if let Some(queue) = QUEUES.of(to) {
                    queue.arrive(to, comer, Arrival::Placed);
                }
                if waits_for(to) {
                    cpus |= 1 << to;
                }
                continue;
            }
            Found::Leaving => queue.ask(from),
            Found::None => {}
        }
        cpus &= !(1 << from);
    }
}

enum Found {
    /// A task, and where it goes.
    Task(Comer, usize),
    /// One that its CPU has not left yet.
    Leaving,
    None,
}

/// Takes a task out of the queue of `from` that could run elsewhere.
fn find_and_take(from: usize, queue: &RunQueue) -> Found {
    let mut target = None;
    let mut is_leaving = false;
    let taken = queue.give_real_time(from, |task, priority| {
        target = choose(task, priority, from, from);
        is_leaving |= target.is_some() && task.is_on_cpu();
        target.is_some() && !task.is_on_cpu()
    });
    match (taken, target) {
        (Some(comer), Some(target)) => Found::Task(comer, target),
        _ if is_leaving => Found::Leaving,
        _ => Found::None,
    }
}
