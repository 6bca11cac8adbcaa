//! Timeouts of waiting tasks and the end of slices: what this CPU's one-shot timer is armed for.

use core::sync::atomic::{AtomicBool, Ordering};

use hal::cpu::MAX_CPUS;
use hal::sync::{IrqLock, PerCpu};
use hal::task::TaskRef;
use libkernel::sched::SLICE_NS;

use super::timeouts::{Key, Timeouts};
use super::wait::Deadline;
use super::{QUEUES, placement};

static CLOCKS: PerCpu<Clock> = PerCpu::new([const { Clock::new() }; MAX_CPUS]);

/// What one CPU's timer is wanted for.
struct Clock {
    /// Whether `Wanted::tick` is set, to look at without the lock.
    ticking: AtomicBool,
    wanted: IrqLock<Wanted>,
}

struct Wanted {
    timeouts: Timeouts<TaskRef>,
    /// The end of the slice, while a task waits for the CPU.
    tick: Option<u64>,
    /// What the hardware is set to.
    armed: Option<u64>,
}

impl Clock {
    const fn new() -> Clock {
        Clock {
            ticking: AtomicBool::new(false),
            wanted: IrqLock::new(Wanted { timeouts: Timeouts::new(), tick: None, armed: None }),
        }
    }
}

impl Clock {
    /// Takes the first timeout that is due.
    fn take_expired(&self, now: u64) -> Option<TaskRef> {
        self.wanted.lock().timeouts.pop_expired(now)
    }
}

impl Wanted {
    /// Arms the hardware for whatever comes first, if that changed.
    fn arm(&mut self) {
        let first = match (self.timeouts.next_deadline(), self.tick) {
            (Some(timeout), Some(tick)) => Some(timeout.min(tick)),
            (timeout, tick) => timeout.or(tick),
        };
        if first != self.armed {
            self.armed = first;
            hal::time::set_deadline(first);
        }
    }
}

/// Starts a slice on this CPU unless one is running.
#[inline]
pub(super) fn want_tick() {
    CLOCKS.with(|clock| {
        if !clock.ticking.load(Ordering::Relaxed) {
            start_tick(clock);
        }
    });
}

/// Whether a CPU will tick of itself.
pub(super) fn is_ticking(cpu: usize) -> bool {
    CLOCKS.of(cpu).is_some_and(|clock| clock.ticking.load(Ordering::Relaxed))
}

#[cold]
fn start_tick(clock: &Clock) {
    let mut wanted = clock.wanted.lock();
    clock.ticking.store(true, Ordering::Relaxed);
    wanted.tick = Some(hal::time::now_ns() + SLICE_NS);
    wanted.arm();
}

/// The hardware timer has fired: wakes whose time has come, ends the slice if it is over. Interrupt context.
pub fn interrupt() {
    let now = hal::time::now_ns();
    CLOCKS.with(|clock| {
        // The lock is not held while tasks wake: that may start a slice.
        while let Some(task) = clock.take_expired(now) {
            super::wake(&task);
        }
        let is_tick = clock.wanted.lock().tick.is_some_and(|tick| tick <= now);
        let next = if is_tick { tick(now) } else { None };
        let mut wanted = clock.wanted.lock();
        if is_tick {
            wanted.tick = next;
            clock.ticking.store(next.is_some(), Ordering::Relaxed);
        }
        wanted.armed = None;
        wanted.arm();
    });
}

/// Looks whether the running task's time is up, and whether somebody who waits would be better off elsewhere.
fn tick(now: u64) -> Option<u64> {
    let next = QUEUES.with(super::RunQueue::tick);
    if next.is_some() {
        placement::even_out(now);
    }
    next
}

/// A task's standing wish to be woken at a time; dropped, the wish is gone.
pub struct Timeout {
    entry: Option<(usize, Key)>,
}

impl Timeout {
    /// Wakes `task` at the deadline. Spurious wake-ups after the drop are possible and harmless.
    pub fn start(deadline: Deadline, task: &TaskRef) -> Timeout {
        let Some(ns) = deadline.ns() else { return Timeout { entry: None } };
        let task = task.clone();
        let entry = CLOCKS.with(|clock| {
            let mut wanted = clock.wanted.lock();
            let key = wanted.timeouts.insert(ns, task).ok()?;
            wanted.arm();
            Some((hal::cpu::id(), key))
        });
        Timeout { entry }
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        let Some((cpu, key)) = self.entry else { return };
        let removed = CLOCKS.of(cpu).and_then(|clock| clock.wanted.lock().timeouts.remove(key));
        drop(removed);
    }
}

/// Forgets what the CPU's timer was set to: a test's CPU is a new machine.
#[cfg(test)]
pub(super) fn forget() {
    CLOCKS.with(|clock| {
        clock.ticking.store(false, Ordering::Relaxed);
        let mut wanted = clock.wanted.lock();
        (wanted.tick, wanted.armed) = (None, None);
    });
}
