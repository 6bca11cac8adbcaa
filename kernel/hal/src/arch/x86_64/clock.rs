//! The clocks' counter: the time-stamp counter where it can be relied on, else KVM's clock, the HPET or ACPI's timer.
//!
//! The time-stamp counter comes first if it is constant, or a hypervisor makes it that says nothing better. KVM's clock
//! comes before the two timers, of which each read leaves the CPU. `clocksource=` and `tsc=` choose as on Linux, and so
//! does root later.
use super::platform::measure::{self, Rates};
use super::platform::reference::Source;
use super::platform::{apic, cpuid, kvm, msr, rtc};
use crate::boot;
use crate::sync::Once;
use crate::time::{self, Refinement};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use libkernel::arch::x86_64::tsc::{self, Frequency};
use libkernel::clock::{SECOND_NS, extended};
use libkernel::command_line::CommandLine;

/// Of a machine that has no other clock, and whose CPU does not say: cycles count as nanoseconds.
const FALLBACK_HERTZ: u64 = SECOND_NS;
/// Timer ticks for each cycle where nothing could be measured, with 32 fraction bits: the divided clock of a virtual
/// machine.
const FALLBACK_TICKS: u64 = (1 << 32) / 16;

/// What the time-stamp counter and the APIC's timer count a second.
static TSC_HERTZ: AtomicU64 = AtomicU64::new(FALLBACK_HERTZ);
static TIMER_HERTZ: AtomicU64 = AtomicU64::new(SECOND_NS / apic::TIMER_DIVISOR);
/// Ticks of the APIC's timer for each count, with 32 fraction bits.
static TICKS_PER_COUNT: AtomicU64 = AtomicU64::new(FALLBACK_TICKS);
/// Cycles of the time-stamp counter for each count, with 32 fraction bits; zero where that is not good enough to be
/// waited by.
static CYCLES_PER_COUNT: AtomicU64 = AtomicU64::new(ONE);
const ONE: u64 = 1 << 32;
static WALL_CLOCK_AT_BOOT_NS: AtomicU64 = AtomicU64::new(0);

/// The [`Counter`] in use.
static IN_USE: AtomicU8 = AtomicU8::new(Counter::Tsc as u8);
/// Whether the time-stamp counter comes first, last, or not at all: it is constant; nobody says so; or it was found to
/// be none.
static TSC_TRUST: AtomicU8 = AtomicU8::new(TRUSTED);
const TRUSTED: u8 = 0;
const DOUBTFUL: u8 = 1;
const UNUSABLE: u8 = 2;

/// The counters. None of them goes back; all CPUs see the same, or the time-stamp counter is not good.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Counter {
    Tsc,
    Kvm,
    Hpet,
    AcpiPm,
}

impl Counter {
    /// All, the best first.
    fn all() -> [Self; 4] {
        if TSC_TRUST.load(Ordering::Relaxed) == TRUSTED {
            [Self::Tsc, Self::Kvm, Self::Hpet, Self::AcpiPm]
        } else {
            [Self::Kvm, Self::Hpet, Self::AcpiPm, Self::Tsc]
        }
    }

    fn in_use() -> Self {
        let number = IN_USE.load(Ordering::Relaxed);
        Self::all().into_iter().find(|counter| *counter as u8 == number).unwrap_or(Self::Tsc)
    }

    /// Linux's name of it.
    const fn name(self) -> &'static str {
        match self {
            Self::Tsc => "tsc",
            Self::Kvm => "kvm-clock",
            Self::Hpet => "hpet",
            Self::AcpiPm => "acpi_pm",
        }
    }

    /// The timer that it is, if it is one and the machine has it.
    fn source(self) -> Option<Source> {
        static FOUND: [Once<Option<Source>>; 2] = [const { Once::new() }; 2];
        match self {
            Self::Tsc | Self::Kvm => None,
            Self::Hpet => *FOUND[0].get_or_init(Source::event_timer),
            Self::AcpiPm => *FOUND[1].get_or_init(Source::acpi_timer),
        }
    }

    /// Counts a second; `None` where it is not there, or no good.
    fn hertz(self) -> Option<u64> {
        match self {
            Self::Tsc if TSC_TRUST.load(Ordering::Relaxed) == UNUSABLE => None,
            Self::Tsc => Some(TSC_HERTZ.load(Ordering::Relaxed)),
            Self::Kvm => kvm::has_clock().then_some(SECOND_NS),
            Self::Hpet | Self::AcpiPm => Some(self.source()?.reference().hertz),
        }
    }

    fn read(self) -> u64 {
        /// What the two timers showed last, without end.
        static SHOWN: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
        let Some(source) = self.source() else {
            return if self == Self::Kvm { kvm::now_ns() } else { cycles() };
        };
        let shown = &SHOWN[usize::from(self == Self::AcpiPm)];
        loop {
            // First what was shown, then the timer: so that is the later of the two.
            let before = shown.load(Ordering::Acquire);
            let now = extended(before, source.read(), source.reference().bits);
            if shown.compare_exchange(before, now, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return now;
            }
        }
    }
}

/// The time-stamp counter.
#[inline(always)]
pub fn cycles() -> u64 {
    // SAFETY: the instruction exists on every x86_64 CPU.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter in use.
pub fn counter() -> u64 {
    Counter::in_use().read()
}

/// As [`counter`], with what was read before in place (SDM volume 2, RDTSC).
pub fn counter_in_order() -> u64 {
    wait_for_reads();
    counter()
}

/// As [`cycles`], in the same order.
pub fn cycles_in_order() -> u64 {
    wait_for_reads();
    cycles()
}

fn wait_for_reads() {
    // SAFETY: only waits for what comes before.
    unsafe { asm!("lfence", options(nostack, preserves_flags)) };
}

/// How often the counter must be read not to lose a round, in nanoseconds: what it takes for a quarter of one. `None`:
/// it has no end.
pub fn longest_rest_ns() -> Option<u64> {
    if IN_USE.load(Ordering::Relaxed) <= Counter::Kvm as u8 {
        return None;
    }
    let reference = Counter::in_use().source()?.reference();
    Some((u128::from(SECOND_NS) << (reference.bits - 2)) as u64 / reference.hertz)
}

/// Whether another CPU's time-stamp counter is to be set wrong before it is looked at (`provoke=tsc`, for tests).
static PROVOKED: AtomicBool = AtomicBool::new(false);

/// On a CPU that starts: does what [`PROVOKED`] asks for.
pub fn provoke() {
    const AHEAD: u64 = 10_000_000_000;
    if PROVOKED.load(Ordering::Relaxed) {
        // SAFETY: every CPU with the counter has the register; a kernel that finds the counter wrong does without it.
        unsafe { msr::write(msr::TIME_STAMP_COUNTER, cycles() + AHEAD) };
    }
}

/// Starts the clock, which was zero when the time-stamp counter was `boot_cycles`, and reads the wall clock. Boot,
/// interrupts off.
pub fn initialise(boot_cycles: u64, words: CommandLine<'_>) {
    let rates = rates();
    TSC_HERTZ.store(rates.hertz, Ordering::Relaxed);
    let timer_hertz = libkernel::clock::line::scale(rates.hertz, rates.ticks);
    TIMER_HERTZ.store(timer_hertz, Ordering::Relaxed);
    TICKS_PER_COUNT.store(rates.ticks, Ordering::Relaxed);
    time::start(boot_cycles, rates.hertz);
    apic::unmask_timer();
    PROVOKED.store(words.option("provoke") == Some(b"tsc"), Ordering::Relaxed);
    let said = words.option("tsc");
    let is_constant =
        tsc::is_invariant(cpuid::read) || !tsc::is_guest(cpuid::read) && tsc::is_constant(cpuid::read);
    let is_only_one = tsc::is_guest(cpuid::read) && !kvm::has_clock();
    let trust = match said {
        Some(b"unstable") => UNUSABLE,
        Some(b"reliable") => TRUSTED,
        _ if is_constant || is_only_one => TRUSTED,
        _ => DOUBTFUL,
    };
    TSC_TRUST.store(trust, Ordering::Relaxed);
    choose(words.option("clocksource").unwrap_or_default());
    let real_time_ns = || rtc::seconds_since_1970().map(|seconds| seconds * SECOND_NS);
    match kvm::wall_clock_ns().or_else(real_time_ns) {
        Some(ns) => WALL_CLOCK_AT_BOOT_NS.store(ns.saturating_sub(time::now_ns()), Ordering::Relaxed),
        None => boot::lacks("a real-time clock: the time of day begins in 1970"),
    }
}

/// How fast the time-stamp counter and the timer run, as somebody knows it or it can be measured.
fn rates() -> Rates {
    let told = match kvm::tsc_hertz() {
        Some(hertz) => Frequency::Exact(hertz),
        None => tsc::frequency(cpuid::read),
    };
    let ticks_of =
        |timer_hertz: u64, hertz: u64| ((u128::from(timer_hertz) << 32) / u128::from(hertz)) as u64;
    if let (Frequency::Exact(hertz), Some(timer_hertz)) = (told, kvm::timer_hertz()) {
        return Rates { hertz, ticks: ticks_of(timer_hertz / apic::TIMER_DIVISOR, hertz) };
    }
    let measured = measure::first(tsc::is_guest(cpuid::read));
    let hertz = match (told, measured) {
        (Frequency::Exact(hertz), _) | (_, Some(Rates { hertz, .. })) | (Frequency::About(hertz), None) => {
            hertz
        }
        (Frequency::Unknown, None) => FALLBACK_HERTZ,
    };
    if matches!(told, Frequency::Exact(_)) {
        measure::end();
    }
    Rates { hertz, ticks: measured.map_or(FALLBACK_TICKS, |rates| rates.ticks) }
}

/// Measures the frequency over the time since the first measure.
pub fn refine() -> Refinement {
    let (refinement, found) = measure::again(TSC_HERTZ.load(Ordering::Relaxed));
    if let Some(hertz) = found {
        TSC_HERTZ.store(hertz, Ordering::Relaxed);
        if Counter::in_use() == Counter::Tsc {
            time::set_frequency(hertz);
        }
    }
    refinement
}

/// Lets the clocks run by the counter called so, or by the best one.
pub fn choose(name: &[u8]) {
    let there = |counter: &Counter| counter.hertz().is_some();
    let wanted =
        Counter::all().into_iter().find(|counter| counter.name().as_bytes() == name && there(counter));
    // Without any the time-stamp counter has to do.
    let counter = wanted.or_else(|| Counter::all().into_iter().find(there)).unwrap_or(Counter::Tsc);
    if counter == Counter::in_use() {
        return;
    }
    let hertz = counter.hertz().unwrap_or(TSC_HERTZ.load(Ordering::Relaxed));
    let per_count = |other_hertz: u64| ((u128::from(other_hertz) << 32) / u128::from(hertz)) as u64;
    let cycles = match counter {
        Counter::Tsc => ONE,
        // It is made of the time-stamp counter, whose frequency the hypervisor tells.
        Counter::Kvm => per_count(TSC_HERTZ.load(Ordering::Relaxed)),
        Counter::Hpet | Counter::AcpiPm => 0,
    };
    time::change_counter(hertz, || {
        TICKS_PER_COUNT.store(per_count(TIMER_HERTZ.load(Ordering::Relaxed)), Ordering::Relaxed);
        CYCLES_PER_COUNT.store(cycles, Ordering::Relaxed);
        IN_USE.store(counter as u8, Ordering::Relaxed);
    });
}

/// The CPUs' time-stamp counters differ. If they are in use, [`leave`] does the rest.
pub fn distrust_cycles() {
    if Counter::in_use() != Counter::Tsc {
        TSC_TRUST.store(UNUSABLE, Ordering::Relaxed);
    }
}

/// The time-stamp counter is no good, if that is in use. True if there is another counter, which is in use now.
pub fn leave() -> bool {
    if Counter::in_use() != Counter::Tsc {
        return false;
    }
    TSC_TRUST.store(UNUSABLE, Ordering::Relaxed);
    choose(b"");
    Counter::in_use() != Counter::Tsc
}

/// Calls `visit` with the name of each counter, the best first, and whether it is in use.
pub fn for_each(visit: &mut dyn FnMut(&'static str, bool)) {
    let in_use = Counter::in_use();
    let there = |counter: &Counter| *counter == in_use || counter.hertz().is_some();
    Counter::all().into_iter().filter(there).for_each(|counter| visit(counter.name(), counter == in_use));
}

/// Whether the counter in use is the CPU's own.
pub fn is_own() -> bool {
    Counter::in_use() == Counter::Tsc
}

/// Ticks of the APIC's timer in so many counts.
pub fn timer_ticks(counts: u64) -> u64 {
    libkernel::clock::line::scale(counts, TICKS_PER_COUNT.load(Ordering::Relaxed))
}

/// Cycles of the time-stamp counter in so many counts; `None` where they are no good for waiting.
pub fn cycles_in(counts: u64) -> Option<u64> {
    let factor = CYCLES_PER_COUNT.load(Ordering::Relaxed);
    (factor != 0).then(|| libkernel::clock::line::scale(counts, factor))
}

/// The wall clock when `time::now_ns` was zero.
pub fn wall_clock_at_boot_ns() -> u64 {
    WALL_CLOCK_AT_BOOT_NS.load(Ordering::Relaxed)
}
