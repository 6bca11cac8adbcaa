//! The clock: the time-stamp counter, whose frequency CPUID tells or another clock of the machine measures.
//!
//! A first measure is short, so that nobody waits for it. The next take place while the machine works ([`refine`]), from the same
//! beginning: the longer their span, the better they are.
use super::platform::reference::Source;
use super::platform::{apic, rtc};
use crate::boot;
use crate::sync::SpinLock;
use crate::time::{self, Refinement};
use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::arch::x86_64::tsc::{self, Frequency};
use libkernel::clock::frequency::Sample;

/// How long the first measure takes; twice, and good to about one part in two hundred.
const FIRST_NS: u64 = 200_000;
/// Reads of the other clock in a measure at most; each takes about a microsecond on a PC, longer in a virtual machine.
const POLLS_MAX: u32 = 100_000;
const SAMPLE_TRIES: u32 = 4;
const MEASURES_MAX: u32 = 20;
/// Of a machine that has no other clock, and whose CPU does not say: cycles count as nanoseconds.
const FALLBACK_HERTZ: u64 = NANOSECONDS;
const NANOSECONDS: u64 = 1_000_000_000;
/// Timer ticks for each cycle where nothing could be measured, with 32 fraction bits: the divided clock of a virtual machine.
const FALLBACK_TICKS: u64 = (1 << 32) / 16;

/// Ticks of the APIC's timer for each cycle, with 32 fraction bits.
static TICKS_PER_CYCLE: AtomicU64 = AtomicU64::new(FALLBACK_TICKS);
static WALL_CLOCK_AT_BOOT_NS: AtomicU64 = AtomicU64::new(0);
/// What the second measure begins with; `None` when there is nothing to refine.
static BEGINNING: SpinLock<Option<Beginning>> = SpinLock::new(None);

/// Another clock, and what it showed at first.
#[derive(Clone, Copy)]
struct Beginning {
    source: Source,
    sample: Sample,
}

/// The time-stamp counter.
#[inline(always)]
pub fn cycles() -> u64 {
    // SAFETY: the instruction exists on every x86_64 CPU.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// As [`cycles`], with what was read before in place (SDM volume 2, RDTSC).
pub fn cycles_in_order() -> u64 {
    // SAFETY: only waits for what comes before.
    unsafe { asm!("lfence", options(nostack, preserves_flags)) };
    cycles()
}

/// Starts the clock, which was zero when the counter was `boot_cycles`, and reads the wall clock. Boot, interrupts off.
pub fn initialise(boot_cycles: u64) {
    let cpuid = |leaf, subleaf| {
        let result = __cpuid_count(leaf, subleaf);
        [result.eax, result.ebx, result.ecx, result.edx]
    };
    let told = tsc::frequency(cpuid);
    let measured = measure(tsc::is_guest(cpuid));
    let hertz = match (told, measured) {
        (Frequency::Exact(hertz), _) | (_, Some(hertz)) | (Frequency::About(hertz), None) => hertz,
        (Frequency::Unknown, None) => FALLBACK_HERTZ,
    };
    if matches!(told, Frequency::Exact(_)) {
        *BEGINNING.lock() = None;
    }
    time::start(boot_cycles, hertz);
    apic::unmask_timer();
    match rtc::seconds_since_1970() {
        Some(seconds) => {
            let at_boot_ns = (seconds * NANOSECONDS).saturating_sub(time::now_ns());
            WALL_CLOCK_AT_BOOT_NS.store(at_boot_ns, Ordering::Relaxed);
        }
        None => boot::lacks("a real-time clock: the time of day begins in 1970"),
    }
}

/// What the counters showed at about the same moment.
#[derive(Clone, Copy)]
struct Moment {
    sample: Sample,
    /// Falls by one each tick of the APIC's timer.
    timer_left: u32,
    /// Cycles that it took to look.
    width: u64,
}

impl Moment {
    fn once(source: Source) -> Self {
        let before = cycles();
        let (reference, timer_left) = (source.read(), apic::timer_left());
        let after = cycles();
        Self { sample: Sample { count: before, reference }, timer_left, width: after.wrapping_sub(before) }
    }

    /// The narrowest of a few: the host of a virtual machine may stop it between two reads.
    fn take(source: Source) -> Self {
        (1..SAMPLE_TRIES).fold(Self::once(source), |best, _| {
            let next = Self::once(source);
            if next.width < best.width { next } else { best }
        })
    }
}

/// The frequency of the counter, and the timer's ticks for each of its cycles.
#[derive(Clone, Copy)]
struct Rates {
    hertz: u64,
    ticks: u64,
}

impl Rates {
    /// True if both differ by less than one part in 64: no host stopped the machine for long in between.
    fn agree(self, other: Self) -> bool {
        let close = |one: u64, other: u64| one.abs_diff(other) < one / 64;
        close(self.hertz, other.hertz) && close(self.ticks, other.ticks)
    }
}

/// Measures both clocks until two measures in a row agree. The frequency in hertz; `None` on a machine without another clock.
fn measure(is_guest: bool) -> Option<u64> {
    apic::start_timer(u32::MAX);
    let source = Source::find(is_guest)?;
    let beginning = Moment::take(source).sample;
    let mut last = measure_once(source)?;
    for _ in 0..MEASURES_MAX {
        let next = measure_once(source)?;
        let agree = last.agree(next);
        last = next;
        if agree {
            break;
        }
    }
    apic::start_timer(0);
    TICKS_PER_CYCLE.store(last.ticks, Ordering::Relaxed);
    *BEGINNING.lock() = source.goes_on().then_some(Beginning { source, sample: beginning });
    Some(last.hertz)
}

/// `None` if a counter stands still.
fn measure_once(source: Source) -> Option<Rates> {
    let reference = source.reference();
    let enough = reference.counts(FIRST_NS);
    let first = Moment::take(source);
    (0..POLLS_MAX).find(|_| reference.span(first.sample.reference, source.read()) >= enough)?;
    let last = Moment::take(source);
    let hertz = reference.first_frequency(first.sample, last.sample)?;
    let timer_ticks = u64::from(first.timer_left.wrapping_sub(last.timer_left));
    let ticks = (timer_ticks << 32).checked_div(last.sample.count.wrapping_sub(first.sample.count))?;
    (ticks > 0).then_some(Rates { hertz, ticks })
}

/// Measures the frequency over the time since the first measure.
pub fn refine() -> Refinement {
    let mut slot = BEGINNING.lock();
    let Some(beginning) = &mut *slot else { return Refinement::Needless };
    let sample = Moment::take(beginning.source).sample;
    let found = beginning.source.reference().frequency(beginning.sample, sample, time::frequency());
    let Some(hertz) = found else {
        beginning.sample = sample;
        return Refinement::BegunAnew;
    };
    time::set_frequency(hertz);
    Refinement::Done
}

/// Ticks of the APIC's timer in so many cycles.
pub fn timer_ticks(cycles: u64) -> u64 {
    libkernel::clock::line::scale(cycles, TICKS_PER_CYCLE.load(Ordering::Relaxed))
}

/// The wall clock when `time::now_ns` was zero.
pub fn wall_clock_at_boot_ns() -> u64 {
    WALL_CLOCK_AT_BOOT_NS.load(Ordering::Relaxed)
}
