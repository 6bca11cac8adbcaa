//! Timeouts of waiting tasks, the end of slices, samples and the watchdog's ticks: what this CPU's one-shot timer is armed for.

use core::sync::atomic::{AtomicBool, Ordering};

use hal::cpu::MAX_CPUS;
use hal::sync::{IrqLock, PerCpu};
use hal::task::{self, TaskRef};
use libkernel::sched::SLICE_NS;

use super::timeouts::{Key, Timeouts};
use super::wait::Deadline;
use super::{QUEUES, placement, watchdog};
use crate::process::work;

static CLOCKS: PerCpu<Clock> = PerCpu::new([const { Clock::new() }; MAX_CPUS]);

/// Time between two samples of what a busy CPU does: the tick of Debian's Linux (`CONFIG_HZ=250`).
const SAMPLE_NS: u64 = 4_000_000;

/// What one CPU's timer is wanted for.
struct Clock {
    /// Whether `Wanted::tick` is set, to look at without the lock.
    ticking: AtomicBool,
    /// Whether `Wanted::watch` is set, to look at without the lock.
    watching: AtomicBool,
    /// Whether `Wanted::sample` is set, to look at without the lock.
    sampling: AtomicBool,
    wanted: IrqLock<Wanted>,
}

struct Wanted {
    timeouts: Timeouts<TaskRef>,
    /// The end of the slice, while a task waits for the CPU.
    tick: Option<u64>,
    /// The watchdog's next tick, while the CPU has work or stands guard.
    watch: Option<u64>,
    /// When to sample what the CPU does, while it has work.
    sample: Option<u64>,
    /// What the hardware is set to.
    armed: Option<u64>,
}

impl Clock {
    const fn new() -> Clock {
        Clock {
            ticking: AtomicBool::new(false),
            watching: AtomicBool::new(false),
            sampling: AtomicBool::new(false),
            wanted: IrqLock::new(Wanted {
                timeouts: Timeouts::new(),
                tick: None,
                watch: None,
                sample: None,
                armed: None,
            }),
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
        let first =
            [self.timeouts.next_deadline(), self.tick, self.watch, self.sample].into_iter().flatten().min();
        if first != self.armed {
            self.armed = first;
            hal::time::set_deadline(first);
        }
    }
}

/// Starts a slice on this CPU, which is `cpu`, unless one is running. Preemption is off.
#[inline]
pub(super) fn want_tick(cpu: usize) {
    if let Some(clock) = CLOCKS.of(cpu)
        && !clock.ticking.load(Ordering::Relaxed)
    {
        start_tick(clock);
    }
}

/// Lets the watchdog tick on this CPU, unless it does.
#[inline]
pub(super) fn want_watch() {
    CLOCKS.with(|clock| {
        if !clock.watching.load(Ordering::Relaxed) {
            start_watch(clock);
        }
    });
}

/// Lets this CPU, which has got work, sample what it does, unless it does.
#[inline]
pub(super) fn want_samples() {
    CLOCKS.with(|clock| {
        if !clock.sampling.load(Ordering::Relaxed) {
            start_samples(clock);
        }
    });
}

#[cold]
fn start_samples(clock: &Clock) {
    let mut wanted = clock.wanted.lock();
    clock.sampling.store(true, Ordering::Relaxed);
    wanted.sample = Some(hal::time::now_ns() + SAMPLE_NS);
    wanted.arm();
}

#[cold]
fn start_watch(clock: &Clock) {
    let mut wanted = clock.wanted.lock();
    wanted.watch = watchdog::first_tick(hal::time::now_ns());
    clock.watching.store(wanted.watch.is_some(), Ordering::Relaxed);
    wanted.arm();
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
        let wanted = clock.wanted.lock();
        let is_due = |time: Option<u64>| time.is_some_and(|time| time <= now);
        let (is_tick, is_watch, is_sample) =
            (is_due(wanted.tick), is_due(wanted.watch), is_due(wanted.sample));
        drop(wanted);
        let next = if is_tick { tick(now) } else { None };
        let next_watch = if is_watch { watchdog::tick(now) } else { None };
        let next_sample = if is_sample { sample(now) } else { None };
        let mut wanted = clock.wanted.lock();
        if is_sample {
            wanted.sample = next_sample;
            clock.sampling.store(next_sample.is_some(), Ordering::Relaxed);
        }
        if is_tick {
            wanted.tick = next;
            clock.ticking.store(next.is_some(), Ordering::Relaxed);
        }
        if is_watch {
            wanted.watch = next_watch;
            clock.watching.store(next_watch.is_some(), Ordering::Relaxed);
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

/// Lets the running task note where it was met. The next sample, unless the CPU has nothing to do.
fn sample(now: u64) -> Option<u64> {
    if !QUEUES.with(super::RunQueue::is_busy) {
        return None;
    }
    task::current().work.fetch_or(work::SAMPLE, Ordering::Relaxed);
    Some(now + SAMPLE_NS)
}

/// A task's standing wish to be woken at a time; dropped, the wish is gone.
pub struct Timeout {
    entry: Option<(usize, Key)>,
}

impl Timeout {
    /// Wakes the running task at the deadline. Spurious wake-ups after the drop are possible and harmless.
    #[inline]
    pub fn start(deadline: Deadline) -> Timeout {
        Timeout { entry: deadline.ns().and_then(enter) }
    }
}

fn enter(deadline_ns: u64) -> Option<(usize, Key)> {
    let task = task::current().to_ref();
    CLOCKS.with(|clock| {
        let mut wanted = clock.wanted.lock();
        let key = wanted.timeouts.insert(deadline_ns, task).ok()?;
        wanted.arm();
        Some((hal::cpu::id(), key))
    })
}

impl Drop for Timeout {
    #[inline]
    fn drop(&mut self) {
        if let Some((cpu, key)) = self.entry {
            leave(cpu, key);
        }
    }
}

fn leave(cpu: usize, key: Key) {
    let removed = CLOCKS.of(cpu).and_then(|clock| clock.wanted.lock().timeouts.remove(key));
    drop(removed);
}

/// Forgets what the CPU's timer was set to: a test's CPU is a new machine.
#[cfg(test)]
pub(super) fn forget() {
    CLOCKS.with(|clock| {
        clock.ticking.store(false, Ordering::Relaxed);
        clock.watching.store(false, Ordering::Relaxed);
        clock.sampling.store(false, Ordering::Relaxed);
        let mut wanted = clock.wanted.lock();
        (wanted.tick, wanted.watch, wanted.sample, wanted.armed) = (None, None, None, None);
    });
}
