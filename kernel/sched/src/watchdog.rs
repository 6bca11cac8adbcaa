//! The watchdog: reports a CPU that takes no interrupts, and a task that does not leave the kernel.
//!
//! A CPU that runs tasks has a tick of its own every few seconds, besides what the [`timer`](super::timer) is wanted
//! for. It is the CPU's heartbeat. At each tick the CPU looks at its running task, and at the next other one that runs
//! tasks: the decisions are in `libkernel::watchdog`. A CPU that sleeps has no tick, but for one that stands guard
//! while another one is busy: a CPU whose tick finds itself the only busy one appoints a guard. So where all CPUs sleep
//! nothing ticks, and a CPU that gets stuck before its first tick after such a time is noticed when the next one wakes.
//!
//! What is reported, with the calls of all CPUs, in Linux's words where it has some:
//! - a CPU that has answered three urgent interrupts with interrupts off and had no heartbeat for `watchdog_thresh` (10
//!   s);
//! - a CPU that answers nothing, which may be the fault of the host and never ends the kernel;
//! - a task that has used twice that time without leaving the kernel or sleeping. Where no tick could have preempted it
//!   that is a bug; where they could, it may be a long system call, and is told in other words.
//!
//! Boot words as in Linux: `nowatchdog`, `nosoftlockup`, `nmi_watchdog=0|panic`, `softlockup_panic=1`,
//! `watchdog_thresh=`.

use core::fmt;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use hal::backtrace::{self, CallSite};
use hal::cpu::MAX_CPUS;
use hal::sync::{IrqLock, PerCpu, preempt};
use hal::task::{self, Task};
use klog::urgent;
use libkernel::clock::SECOND_NS;
use libkernel::command_line::CommandLine;
use libkernel::watchdog::{Found, Inside, Look, Silence, Stay, Thresholds};

use super::{QUEUES, load, placement, timer, work};

static BEATS: PerCpu<Beat> = PerCpu::new([const { Beat::new() }; MAX_CPUS]);

/// One CPU.
struct Beat {
    heartbeat_ns: AtomicU64,
    /// What others know of it.
    silence: IrqLock<Silence>,
    stay: IrqLock<Stay>,
}

impl Beat {
    const fn new() -> Beat {
        Beat {
            heartbeat_ns: AtomicU64::new(0),
            silence: IrqLock::new(Silence::new()),
            stay: IrqLock::new(Stay::new()),
        }
    }
}

/// `watchdog_thresh` in seconds; 0: nothing is watched.
pub static THRESHOLD_S: AtomicU64 = AtomicU64::new(10);
/// Whether stuck CPUs, and stuck tasks, are looked for.
pub static WATCHES_CPUS: AtomicBool = AtomicBool::new(true);
/// See [`WATCHES_CPUS`].
pub static WATCHES_TASKS: AtomicBool = AtomicBool::new(true);
/// Whether a stuck CPU, or a stuck task, ends the kernel.
pub static CPU_PANICS: AtomicBool = AtomicBool::new(false);
/// See [`CPU_PANICS`].
pub static TASK_PANICS: AtomicBool = AtomicBool::new(false);

/// The sleeping CPU that keeps its tick.
static GUARD: AtomicUsize = AtomicUsize::new(NOBODY);
const NOBODY: usize = usize::MAX;

/// Reads the boot words.
pub fn configure(command_line: CommandLine<'_>) {
    let number = |name| core::str::from_utf8(command_line.option(name)?).ok()?.parse::<u64>().ok();
    let has = |name: &[u8]| command_line.words().any(|word| word.is_named(name));
    if let Some(seconds) = number("watchdog_thresh").filter(|&seconds| seconds <= 60) {
        THRESHOLD_S.store(seconds, Relaxed);
    }
    if has(b"nowatchdog") {
        THRESHOLD_S.store(0, Relaxed);
    }
    WATCHES_TASKS.store(!has(b"nosoftlockup"), Relaxed);
    TASK_PANICS.store(number("softlockup_panic") == Some(1), Relaxed);
    for word in
        command_line.option("nmi_watchdog").into_iter().flat_map(|words| words.split(|&byte| byte == b','))
    {
        match word {
            b"0" => WATCHES_CPUS.store(false, Relaxed),
            b"panic" => CPU_PANICS.store(true, Relaxed),
            b"nopanic" => CPU_PANICS.store(false, Relaxed),
            _ => {}
        }
    }
}

fn thresholds() -> Option<Thresholds> {
    let seconds = THRESHOLD_S.load(Relaxed);
    (seconds != 0).then(|| Thresholds::new(seconds))
}

/// When the executing CPU, which had no tick, is to have its first one.
pub(super) fn first_tick(now_ns: u64) -> Option<u64> {
    let thresholds = thresholds()?;
    BEATS.with(|beat| beat.heartbeat_ns.store(now_ns, Relaxed));
    Some(now_ns + thresholds.period_ns)
}

/// Whether a CPU stands guard.
pub(super) fn is_guard(cpu: usize) -> bool {
    GUARD.load(Relaxed) == cpu
}

/// The executing CPU's tick; when the next one is to come. Interrupt context.
pub(super) fn tick(now_ns: u64) -> Option<u64> {
    let thresholds = thresholds()?;
    let cpu = hal::cpu::id();
    BEATS.with(|beat| beat.heartbeat_ns.store(now_ns, Relaxed));
    let is_busy = QUEUES.with(super::RunQueue::is_busy);
    if is_busy {
        load::sample(now_ns);
        if let Some(keeper) = timer::keeper() {
            keeper.look(now_ns);
        }
    }
    if is_busy && WATCHES_TASKS.load(Relaxed) {
        look_at_running(&thresholds);
    }
    let other = next_busy(cpu);
    if let Some(other) = other.filter(|_| WATCHES_CPUS.load(Relaxed)) {
        look_at(other, now_ns, &thresholds);
    }
    let goes_on = if is_busy { true } else { stands_guard(cpu, other) };
    if is_busy && other.is_none() {
        appoint_guard(cpu);
    }
    goes_on.then_some(now_ns + thresholds.period_ns)
}

/// The machine was stopped: what the executing CPU's task seems to have used of processor time since its last tick may
/// be that. Interrupt context.
pub(super) fn forget() {
    BEATS.with(|beat| *beat.stay.lock() = Stay::new());
}

/// The next CPU after `cpu` that runs tasks.
fn next_busy(cpu: usize) -> Option<usize> {
    let others = placement::busy() & !(1 << cpu);
    let next = others.rotate_right(cpu as u32).trailing_zeros() as usize;
    (others != 0).then_some((next + cpu) % 64)
}

/// Whether this CPU, which sleeps, is the one that keeps its tick; it is where another one is busy and nobody else
/// does.
fn stands_guard(cpu: usize, busy: Option<usize>) -> bool {
    if busy.is_none() {
        let _ = GUARD.compare_exchange(cpu, NOBODY, AcqRel, Relaxed);
        return false;
    }
    match GUARD.compare_exchange(NOBODY, cpu, AcqRel, Relaxed) {
        Ok(_) => true,
        Err(guard) => guard == cpu,
    }
}

/// Lets a sleeping CPU keep a tick, for this one, which alone is busy.
fn appoint_guard(cpu: usize) {
    let guard = GUARD.load(Relaxed);
    let idle = placement::online() & !(1 << cpu);
    if idle == 0 || guard != NOBODY && guard != cpu {
        return;
    }
    let next = (idle.rotate_right(cpu as u32).trailing_zeros() as usize + cpu) % 64;
    if GUARD.compare_exchange(guard, next, AcqRel, Relaxed).is_ok() {
        hal::cpu::send_reschedule(next);
    }
}

fn look_at(cpu: usize, now_ns: u64, thresholds: &Thresholds) {
    let Some(beat) = BEATS.of(cpu) else { return };
    let heartbeat_ns = beat.heartbeat_ns.load(Relaxed);
    let look = beat.silence.lock().look(now_ns, heartbeat_ns, backtrace::masked_answers(cpu), thresholds);
    match look {
        Look::Fine => {}
        Look::Ask => backtrace::ask(cpu),
        Look::Stuck(ns) => {
            report(format_args!("Watchdog detected hard LOCKUP on cpu {cpu}, for {} s", seconds(ns)));
            assert!(!CPU_PANICS.load(Relaxed), "Hard LOCKUP");
        }
        Look::Silent(ns) => report(format_args!(
            "CPU {cpu} takes no interrupts, for {} s: stuck, or not run by the host",
            seconds(ns)
        )),
    }
}

/// Looks how long the task that the tick has interrupted has been in the kernel.
fn look_at_running(thresholds: &Thresholds) {
    task::with_current(|task| look_at_task(task, thresholds));
}

fn look_at_task(task: &Task, thresholds: &Thresholds) {
    let runtime_ns = super::runtime_ns(task);
    // A thread clears the bit on its way to its program, and when it sleeps.
    let is_inside = task.work.fetch_or(work::WATCHED, Relaxed) & work::WATCHED != 0;
    let found = Found {
        task: task.sched.number,
        is_inside,
        sleeps: task.sched.sleeps.load(Relaxed),
        is_preemptible: preempt::was_preemptible(),
        runtime_ns,
    };
    if let Some(inside) = BEATS.with(|beat| beat.stay.lock().look(found, thresholds)) {
        report_task(task, inside);
    }
}

fn report_task(task: &Task, inside: Inside) {
    let (cpu, seconds) = (hal::cpu::id(), seconds(inside.ns));
    let name = task.name();
    if inside.is_preemptible {
        report(format_args!("CPU#{cpu}: {name} has not left the kernel for {seconds}s of processor time"));
        return;
    }
    report(format_args!("BUG: soft lockup - CPU#{cpu} stuck for {seconds}s! {name}"));
    assert!(!TASK_PANICS.load(Relaxed), "softlockup: hung tasks");
}

const fn seconds(ns: u64) -> u64 {
    ns / SECOND_NS
}

/// Says what is wrong and where all CPUs are. The CPU that reports may wait for nobody.
fn report(headline: fmt::Arguments<'_>) {
    urgent(format_args!("watchdog: {headline}"));
    show_all_calls(|| backtrace::of_interrupted(&mut show));
}

/// Shows the calls of all CPUs; `show_own` those of this one.
pub fn show_all_calls(show_own: impl Fn()) {
    for cpu in 0..hal::cpu::count() {
        urgent(format_args!("calls of CPU {cpu}:"));
        if cpu == hal::cpu::id() { show_own() } else { show_calls_of(cpu) }
    }
}

/// Shows the calls of another CPU, if it answers soon.
pub fn show_calls_of(cpu: usize) {
    const PATIENCE_NS: u64 = 100_000_000;
    if !backtrace::of_other(cpu, PATIENCE_NS, &mut show) {
        urgent(format_args!("  it does not answer"));
    }
}

/// Shows one function of a chain of calls.
pub fn show(place: CallSite) {
    urgent(format_args!("  {place}"));
}
