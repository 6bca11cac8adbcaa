//! The clock (TSC) and the deadline timer (local APIC), both measured against the 8254 at boot.
use super::platform::{apic, pit, rtc};
use crate::arch::Arch;
use crate::contract::Platform as _;
use crate::cpu::MAX_CPUS;
use crate::sync::PerCpu;
use crate::time::ClockParameters;
use crate::upcalls::upcalls;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

/// How long the clocks are measured: 0.3 ms, good to about one part in three hundred.
const MEASURED_PIT_TICKS: u64 = 358;
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
    measure();
    apic::unmask_timer();
    if let Some(seconds) = rtc::seconds_since_1970() {
        let now = Arch::now_ns();
        WALL_CLOCK_AT_BOOT_NS.store((seconds * NANOSECONDS).saturating_sub(now), Ordering::Relaxed);
    }
}

/// The 8254's count at its next change, with the TSC then. `None` if it does not change.
fn next_pit_tick() -> Option<(u16, u64)> {
    let first = pit::count();
    (0..10_000).find_map(|_| {
        let count = pit::count();
        (count != first).then(|| (count, cycles()))
    })
}

fn measure() -> Option<()> {
    pit::start();
    apic::start_timer(u32::MAX);
    let (first_count, first_cycles) = next_pit_tick()?;
    let first_left = apic::timer_left();
    loop {
        let (count, now) = next_pit_tick()?;
        let ticks = u64::from(first_count.wrapping_sub(count));
        if ticks >= MEASURED_PIT_TICKS {
            let timer_ticks = u64::from(first_left.wrapping_sub(apic::timer_left()));
            apic::start_timer(0);
            let elapsed_ns = ticks * NANOSECONDS / pit::FREQUENCY;
            set_factors(elapsed_ns, now.wrapping_sub(first_cycles), timer_ticks);
            return Some(());
        }
    }
}

fn set_factors(elapsed_ns: u64, cycles: u64, timer_ticks: u64) {
    if cycles > 0 && timer_ticks > 0 {
        CLOCK_FACTOR.store((elapsed_ns << 32) / cycles, Ordering::Relaxed);
        TIMER_FACTOR.store((timer_ticks << 32) / elapsed_ns, Ordering::Relaxed);
    }
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
