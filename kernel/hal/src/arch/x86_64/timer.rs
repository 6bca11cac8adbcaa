//! The clock (TSC) and the deadline timer (local APIC), both measured against the 8254 at boot.
use super::platform::{apic, pit, rtc};
use crate::arch::Arch;
use crate::boot;
use crate::contract::Platform as _;
use crate::cpu::MAX_CPUS;
use crate::sync::PerCpu;
use crate::time::ClockParameters;
use crate::upcalls::upcalls;
use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

/// How long the clocks are measured: 0.2 ms, twice; good to about one part in two hundred.
const MEASURED_PIT_TICKS: u16 = 239;
/// Reads of the 8254 in a measurement at most; each takes about a microsecond on a PC, longer in a virtual machine.
const POLLS_MAX: u32 = 100_000;
const SAMPLE_TRIES: u32 = 4;
const MEASUREMENTS_MAX: u32 = 20;
/// A machine without an 8254 is taken to count nanoseconds.
const FALLBACK_FACTOR: u64 = 1 << 32;
const NANOSECONDS: u64 = 1_000_000_000;

/// TSC at the kernel's first instruction: the origin of time.
static BOOT_CYCLES: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds for each TSC cycle, in 32.32 fixed point.
static CLOCK_FACTOR: AtomicU64 = AtomicU64::new(FALLBACK_FACTOR);
/// APIC timer ticks for each nanosecond, in 32.32 fixed point.
static TIMER_FACTOR: AtomicU64 = AtomicU64::new(FALLBACK_FACTOR / 16);
static WALL_CLOCK_AT_BOOT_NS: AtomicU64 = AtomicU64::new(0);

/// Each CPU's deadline; `u64::MAX` when there is none.
static DEADLINE: PerCpu<Cell<u64>> = PerCpu::new([const { Cell::new(u64::MAX) }; MAX_CPUS]);

/// The time-stamp counter.
#[inline(always)]
pub fn cycles() -> u64 {
    // SAFETY: the instruction exists on every x86_64 CPU.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Measures the clocks and reads the wall clock. Boot, interrupts off.
pub fn initialise(boot_cycles: u64) {
    BOOT_CYCLES.store(boot_cycles, Ordering::Relaxed);
    if measure().is_none() {
        boot::lacks("an 8254 timer: a cycle of the time-stamp counter is taken for a nanosecond");
    }
    apic::unmask_timer();
    match rtc::seconds_since_1970() {
        Some(seconds) => {
            let now = Arch::now_ns();
            WALL_CLOCK_AT_BOOT_NS.store((seconds * NANOSECONDS).saturating_sub(now), Ordering::Relaxed);
        }
        None => boot::lacks("a real-time clock: the time of day begins in 1970"),
    }
}

/// What the three counters said at about the same moment.
#[derive(Clone, Copy)]
struct Sample {
    /// Falls by one each tick of the 8254.
    pit: u16,
    cycles: u64,
    /// Falls by one each tick of the APIC's timer.
    timer_left: u32,
    /// TSC cycles that taking the sample took.
    width: u64,
}

impl Sample {
    fn once() -> Self {
        let before = cycles();
        let (pit, timer_left) = (pit::count(), apic::timer_left());
        let after = cycles();
        Self { pit, cycles: before, timer_left, width: after.wrapping_sub(before) }
    }

    /// The narrowest of a few: the host of a virtual machine may stop it between two reads.
    fn take() -> Self {
        (1..SAMPLE_TRIES).fold(Self::once(), |best, _| {
            let next = Self::once();
            if next.width < best.width { next } else { best }
        })
    }
}

/// The two factors of one measurement.
#[derive(Clone, Copy)]
struct Factors {
    clock: u64,
    timer: u64,
}

impl Factors {
    /// True if both differ by less than one part in 64: no host stopped the machine for long in between.
    fn agree(self, other: Self) -> bool {
        let close = |one: u64, other: u64| one.abs_diff(other) < one / 64;
        close(self.clock, other.clock) && close(self.timer, other.timer)
    }
}

/// Measures until two measurements in a row agree; a machine without an 8254 keeps the fallback.
fn measure() -> Option<()> {
    pit::start();
    if !pit::is_there() {
        return None;
    }
    apic::start_timer(u32::MAX);
    let mut last = measure_once()?;
    for _ in 0..MEASUREMENTS_MAX {
        let next = measure_once()?;
        let agree = last.agree(next);
        last = next;
        if agree {
            break;
        }
    }
    apic::start_timer(0);
    CLOCK_FACTOR.store(last.clock, Ordering::Relaxed);
    TIMER_FACTOR.store(last.timer, Ordering::Relaxed);
    Some(())
}

/// `None` if a counter stands still.
fn measure_once() -> Option<Factors> {
    let first = Sample::take();
    (0..POLLS_MAX).find(|_| first.pit.wrapping_sub(pit::count()) >= MEASURED_PIT_TICKS)?;
    let last = Sample::take();
    let elapsed_ns = u64::from(first.pit.wrapping_sub(last.pit)) * NANOSECONDS / pit::FREQUENCY;
    let elapsed_cycles = last.cycles.wrapping_sub(first.cycles);
    let timer_ticks = u64::from(first.timer_left.wrapping_sub(last.timer_left));
    let clock = (elapsed_ns << 32).checked_div(elapsed_cycles)?;
    let timer = (timer_ticks << 32).checked_div(elapsed_ns)?;
    (clock > 0 && timer > 0).then_some(Factors { clock, timer })
}

/// `value * factor` where `factor` has 32 fractional bits.
#[inline(always)]
fn scale(value: u64, factor: u64) -> u64 {
    ((u128::from(value) * u128::from(factor)) >> 32) as u64
}

/// Nanoseconds since the kernel's first instruction.
#[inline]
pub fn now_ns() -> u64 {
    let elapsed = cycles().wrapping_sub(BOOT_CYCLES.load(Ordering::Relaxed));
    scale(elapsed, CLOCK_FACTOR.load(Ordering::Relaxed))
}

/// As [`now_ns`], with what was read before in place (SDM volume 2, RDTSC).
pub fn now_ns_in_order() -> u64 {
    // SAFETY: only waits for what comes before.
    unsafe { asm!("lfence", options(nostack, preserves_flags)) };
    now_ns()
}

/// What `now_ns` computes with, for programs that compute it themselves.
pub fn clock_parameters() -> ClockParameters {
    ClockParameters {
        base_cycles: BOOT_CYCLES.load(Ordering::Relaxed),
        base_ns: 0,
        nanoseconds_per_cycle_32_32: CLOCK_FACTOR.load(Ordering::Relaxed),
    }
}

/// The wall clock when `now_ns` was zero.
pub fn wall_clock_at_boot_ns() -> u64 {
    WALL_CLOCK_AT_BOOT_NS.load(Ordering::Relaxed)
}

/// Arms or stops this CPU's timer.
pub fn set_deadline(deadline_ns: Option<u64>) {
    DEADLINE.with(|deadline| {
        deadline.set(deadline_ns.unwrap_or(u64::MAX));
        match deadline_ns {
            None => apic::start_timer(0),
            Some(at) => start_towards(at),
        }
    });
}

/// Starts the timer for as much of the way as its 32 bits reach. Zero would stop it, so at least one tick.
fn start_towards(deadline_ns: u64) {
    let distance = deadline_ns.saturating_sub(now_ns());
    let ticks = scale(distance, TIMER_FACTOR.load(Ordering::Relaxed)).saturating_add(1);
    apic::start_timer(u32::try_from(ticks).unwrap_or(u32::MAX));
}

/// The timer interrupt: the deadline, or one stage of a far one.
pub fn expired() {
    let due = DEADLINE.with(|deadline| {
        let at = deadline.get();
        if at == u64::MAX {
            return false;
        }
        if now_ns() < at {
            start_towards(at);
            return false;
        }
        deadline.set(u64::MAX);
        true
    });
    if due {
        upcalls().timer();
    }
}
