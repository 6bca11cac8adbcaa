//! Timeouts of waiting tasks, the end of slices, samples and the watchdog's ticks: what this CPU's one-shot timer is
//! armed for.

use core::sync::atomic::{AtomicBool, Ordering};

use hal::cpu::MAX_CPUS;
use hal::sync::{IrqLock, Once, PerCpu};
use hal::task::{self, TaskRef};
use libkernel::sched::SLICE_NS;
use libkernel::timeouts::{Base, Key, Node, Timeouts};

use super::deadline::{Deadline, wall_offset_ns};
use super::work;
use super::{QUEUES, placement, watchdog};

/// Who keeps the clocks right, above the scheduler. Called in interrupt context.
pub trait ClockKeeper: Sync {
    /// The executing CPU was told that the machine had been stopped.
    fn was_paused(&self);
    /// A CPU works: now and then its clocks may be compared with others.
    fn look(&self, now_ns: u64);
}

static KEEPER: Once<&'static dyn ClockKeeper> = Once::new();

/// Names who keeps the clocks right. Once, at boot.
pub fn keep_clocks(keeper: &'static dyn ClockKeeper) {
    let _ = KEEPER.set(keeper);
}

/// Who keeps the clocks right, if anybody does yet.
pub(super) fn keeper() -> Option<&'static dyn ClockKeeper> {
    KEEPER.get().copied()
}

static CLOCKS: PerCpu<Clock> = PerCpu::new([const { Clock::new() }; MAX_CPUS]);

/// Time between two samples of what a busy CPU does: the tick of Debian's Linux (`CONFIG_HZ=250`).
const SAMPLE_NS: u64 = 4_000_000;

/// How many sleepers one interrupt wakes. If more are due the next one comes at once; others have their turn in
/// between.
const BATCH: usize = 64;

/// What one CPU's timer is wanted for.
struct Clock {
    /// Whether `Wanted::tick` is set, to look at without the lock.
    ticking: AtomicBool,
    /// Whether `Wanted::watch` is set, to look at without the lock.
    watching: AtomicBool,
    /// Whether `Wanted::sample` is set, to look at without the lock.
    sampling: AtomicBool,
    /// Whether the wall clock was set since the timer was armed.
    is_stale: AtomicBool,
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
            is_stale: AtomicBool::new(false),
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
    /// Takes the first timeout that is due. The task has its node back before it can learn of that.
    fn take_expired(&self, now: u64) -> Option<TaskRef> {
        let mut wanted = self.wanted.lock();
        let (node, task) = wanted.timeouts.pop_expired(now, wall_offset_ns())?;
        drop(task.sched.timeout.put(node));
        Some(task)
    }
}

impl Wanted {
    /// Arms the hardware for whatever comes first, if that changed.
    fn arm(&mut self) {
        let timeout = self.timeouts.next_deadline(wall_offset_ns());
        let first = [timeout, self.tick, self.watch, self.sample].into_iter().flatten().min();
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
    if hal::time::take_pause() {
        watchdog::forget();
        if let Some(keeper) = keeper() {
            keeper.was_paused();
        }
    }
    CLOCKS.with(|clock| {
        // The lock is not held while tasks wake: that may start a slice.
        for _ in 0..BATCH {
            let Some(task) = clock.take_expired(now) else { break };
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
    task::add_own_work(work::SAMPLE);
    Some(now + SAMPLE_NS)
}

/// The wall clock was set, or the clocks run at another rate: lets every CPU arm its timer anew.
pub fn clocks_changed() {
    for cpu in 0..hal::cpu::count() {
        if let Some(clock) = CLOCKS.of(cpu) {
            clock.is_stale.store(true, Ordering::SeqCst);
            hal::cpu::send_reschedule(cpu);
        }
    }
    look_again();
}

/// Arms this CPU's timer anew if the clocks changed. What is due by now fires at once.
pub fn look_again() {
    CLOCKS.with(|clock| {
        // The exchange shows what was stored before the mark was set.
        if clock.is_stale.load(Ordering::Relaxed) && clock.is_stale.swap(false, Ordering::SeqCst) {
            let mut wanted = clock.wanted.lock();
            // What is armed is a value of the counter, which may stand for another time now.
            wanted.armed = None;
            wanted.arm();
        }
    });
}

/// A task's standing wish to be woken at a time; dropped, the wish is gone. A task has one at a time.
pub struct Timeout {
    entry: Option<(usize, Key)>,
}

impl Timeout {
    /// Wakes the running task at the deadline. Spurious wake-ups after the drop are possible and harmless.
    #[inline]
    pub fn start(deadline: Deadline) -> Timeout {
        match deadline.point() {
            Some((base, ns)) => enter(base, ns),
            None => Timeout { entry: None },
        }
    }
}

fn enter(base: Base, deadline_ns: u64) -> Timeout {
    let task = task::current_ref();
    // It is there, as this is the only one.
    let node = task.sched.timeout.take().unwrap_or_else(Node::new);
    CLOCKS.with(|clock| {
        let mut wanted = clock.wanted.lock();
        let key = wanted.timeouts.insert(node, base, deadline_ns, task);
        wanted.arm();
        Timeout { entry: Some((hal::cpu::id(), key)) }
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
    if let Some((node, task)) = removed {
        drop(task.sched.timeout.put(node));
    }
}

/// Forgets what the CPU's timer was set to: a test's CPU is a new machine.
#[cfg(target_os = "linux")]
pub(super) fn forget() {
    CLOCKS.with(|clock| {
        clock.ticking.store(false, Ordering::Relaxed);
        clock.watching.store(false, Ordering::Relaxed);
        clock.sampling.store(false, Ordering::Relaxed);
        let mut wanted = clock.wanted.lock();
        (wanted.tick, wanted.watch, wanted.sample, wanted.armed) = (None, None, None, None);
    });
}
