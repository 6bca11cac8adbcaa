//! Which CPU a task runs on.
//!
//! A woken task goes to the CPU it ran on last if that is idle, because its data may still be in the caches there; else
//! to the waker's CPU or any other that is idle; else it waits for its last one. A new task goes to an idle CPU, or the
//! one with the least load. A CPU with nothing to do takes a waiting task from the one with the most. Where a task
//! waits although no CPU is idle, ticks even the loads out: so N + 1 tasks that never sleep get equal shares of N CPUs
//! over time, because a CPU with one task more than another hands the surplus on, and the tasks that stayed longest go
//! first.
//!
//! Real-time tasks go where they displace the lowest priority, and are balanced by theirs ([`super::real_time`]). Fair
//! ones keep away from CPUs with real-time tasks while they may run on others.
//!
//! A CPU that has run out of work enters [`IDLE`], fences, and looks at the queues; who has queued a task behind
//! another fences, and looks at [`IDLE`] once more: a task does not wait while a CPU is idle on which it may run,
//! unless that one came while the task's last CPU was still leaving its stack. That a sleeping CPU is woken for its own
//! queue depends on that queue's lock alone.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU64, fence};

use hal::sync::preempt;
use hal::task::{Runnable, Task};
use libkernel::sched::Arrival;

use super::arrival::Comer;
use super::run_queue::{QUEUES, RunQueue};
use super::{real_time, settings};

/// The CPUs that look for work or sleep.
static IDLE: AtomicU64 = AtomicU64::new(0);

/// How long after it has given a task away a CPU gives no other, in nanoseconds.
const BALANCE_NS: u64 = 64_000_000;

/// The running CPUs, bit N for CPU N.
pub(super) fn online() -> u64 {
    u64::MAX >> (64 - hal::cpu::count().clamp(1, 64))
}

/// The running CPUs that do not sleep, as far as is known.
pub(super) fn busy() -> u64 {
    online() & !IDLE.load(Relaxed)
}

/// The CPUs that look for work or sleep.
pub(super) fn idle() -> u64 {
    IDLE.load(Relaxed)
}

/// Queues a task on the CPU that suits it.
#[inline]
pub(super) fn place(runnable: Runnable, arrival: Arrival) {
    settle(Comer::new(runnable), arrival);
}

pub(super) fn settle(comer: Comer, arrival: Arrival) {
    let _guard = preempt::disable();
    let cpu = choose(comer.task(), arrival);
    real_time::settle(cpu, comer, arrival);
}

#[inline]
fn choose(task: &Task, arrival: Arrival) -> usize {
    let last = task.cpu();
    if task.is_on_cpu() {
        // See `run_queue`: until it has been left, it is queued where it is.
        return last;
    }
    let allowed = task.sched.allowed.load(Relaxed);
    let idle = IDLE.load(Relaxed) & allowed;
    if idle == 0 && arrival == Arrival::Woken && allowed & !real_time::busy() & 1 << last != 0 {
        return last;
    }
    choose_widely(task, allowed, idle, arrival)
}

#[cold]
fn choose_widely(task: &Task, allowed: u64, idle: u64, arrival: Arrival) -> usize {
    let here = hal::cpu::id();
    if hal::cpu::count() == 1 {
        return here;
    }
    let last = if arrival == Arrival::Woken { task.cpu() } else { here };
    if let Some(cpu) = claim_idle(idle, last, here) {
        return cpu;
    }
    let priority = settings::effective_priority(task);
    if priority != 0
        && let Some(cpu) = real_time::choose(task, priority, last, here)
    {
        return cpu;
    }
    // Behind a real-time task it may wait for long.
    let free = allowed & !real_time::busy();
    if arrival == Arrival::Woken
        && (free & 1 << last != 0 || free & online() == 0 && allowed & 1 << last != 0)
    {
        return last;
    }
    let cpu = lightest(free & online(), here).or_else(|| lightest(allowed & online(), here));
    cpu.map_or(here, |(cpu, _)| cpu)
}

/// Takes one of the idle CPUs of a mask for a task, the first of `last` and `here` if it can be had.
fn claim_idle(mut idle: u64, last: usize, here: usize) -> Option<usize> {
    while idle != 0 {
        let cpu = [last, here].into_iter().find(|cpu| idle & 1 << cpu != 0);
        let cpu = cpu.unwrap_or_else(|| {
            // The next one after here, so that wakers on different CPUs do not all ask for the same.
            (idle.rotate_right(here as u32).trailing_zeros() as usize + here) % 64
        });
        if IDLE.fetch_and(!(1 << cpu), Relaxed) & 1 << cpu != 0 {
            return Some(cpu);
        }
        // Somebody else has just given it work.
        idle &= !(1 << cpu);
    }
    None
}

/// The CPU of a mask with the least load, the first after `start` among equals, and that load.
fn lightest(cpus: u64, start: usize) -> Option<(usize, u64)> {
    let count = hal::cpu::count();
    (0..count)
        .map(|offset| (start + offset) % count)
        .filter(|cpu| cpus & 1 << cpu != 0)
        .filter_map(|cpu| Some((cpu, QUEUES.of(cpu)?.load())))
        .min_by_key(|(_, load)| *load)
}

/// A task has come to a CPU that runs another: a CPU that has fallen idle since one was chosen fetches it, or another
/// one.
#[inline]
pub(super) fn offer(allowed: u64) {
    // Pairs with `enter_idle`.
    fence(SeqCst);
    let idle = IDLE.load(Relaxed) & allowed;
    if idle != 0 {
        ask_to_steal(idle);
    }
}

#[cold]
fn ask_to_steal(idle: u64) {
    let _guard = preempt::disable();
    let here = hal::cpu::id();
    if let Some(cpu) = claim_idle(idle & !(1 << here), here, here) {
        super::idle::rouse(cpu);
    }
}

/// The executing CPU is idle: others may give it work. It looks at their queues after this.
pub(super) fn enter_idle(cpu: usize) {
    IDLE.fetch_or(1 << cpu, Relaxed);
    // Pairs with `offer`: the task is seen in its queue, or this CPU by whoever queued it.
    fence(SeqCst);
}

/// Whether a CPU that has entered is still there: who takes it out has work for it, here or in another queue.
pub(super) fn is_idle(cpu: usize) -> bool {
    IDLE.load(Relaxed) & 1 << cpu != 0
}

/// The executing CPU has work.
pub(super) fn leave_idle(cpu: usize) {
    if is_idle(cpu) {
        IDLE.fetch_and(!(1 << cpu), Relaxed);
    }
}

/// Fetches a task that waits for another CPU to this one, which has none. Whether there was one.
pub(super) fn steal(cpu: usize) -> bool {
    let Some(own) = QUEUES.of(cpu) else { return false };
    real_time::balance();
    if own.waiting() != 0 {
        return true;
    }
    let mut tried = 1 << cpu;
    while let Some((victim, queue)) = busiest(online() & !tried) {
        if let Some(comer) = queue.give_to_idle(victim, cpu) {
            own.arrive(cpu, comer, Arrival::Placed);
            return true;
        }
        tried |= 1 << victim;
    }
    false
}

/// The CPU of a mask for which most tasks wait, if any do.
fn busiest(cpus: u64) -> Option<(usize, &'static RunQueue)> {
    (0..hal::cpu::count())
        .filter(|cpu| cpus & 1 << cpu != 0)
        .filter_map(|cpu| Some((cpu, QUEUES.of(cpu)?)))
        .filter(|(_, queue)| queue.waiting() != 0)
        .max_by_key(|(_, queue)| queue.waiting())
}

/// Hands one of this CPU's waiting tasks to the CPU with the least load on which it may run. Called at ticks while
/// somebody waits.
pub(super) fn even_out(now_ns: u64) {
    let count = hal::cpu::count();
    if count == 1 {
        return;
    }
    let here = hal::cpu::id();
    let Some(own) = QUEUES.of(here) else { return };
    // Another start each time: among equals, all have their turn.
    let start = usize::try_from(now_ns / BALANCE_NS).unwrap_or(0) % count;
    // Where a real-time task runs, the fair ones behind it have next to nothing, whatever the loads are.
    let real_time = real_time::busy();
    let is_behind = real_time & 1 << here != 0;
    let others = online() & !(1 << here) & if is_behind { !real_time } else { u64::MAX };
    let lightest = |cpus: u64| {
        let (cpu, load) = lightest(cpus & others, start)?;
        Some((cpu, if is_behind { 0 } else { load }))
    };
    let usual = lightest(u64::MAX);
    let target = |allowed: u64| match usual {
        Some((cpu, _)) if allowed & 1 << cpu == 0 => lightest(allowed),
        usual => usual,
    };
    if let Some((comer, cpu)) = own.give_to_even_out(target, BALANCE_NS)
        && let Some(queue) = QUEUES.of(cpu)
    {
        queue.arrive(cpu, comer, Arrival::Placed);
    }
}
