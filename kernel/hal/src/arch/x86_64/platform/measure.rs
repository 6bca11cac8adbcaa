//! The frequency of the time-stamp counter and of the APIC's timer, measured against another clock of the machine.
//!
//! A first measure is short, so that nobody waits for it. The next take place while the machine works ([`again`]), from
//! the same beginning: the longer their span, the better they are.
use super::apic;
use super::reference::Source;
use crate::arch::x86_64::clock::cycles;
use crate::sync::SpinLock;
use crate::time::Refinement;
use libkernel::clock::frequency::Sample;

/// How long the first measure takes; twice, and good to about one part in two hundred.
const FIRST_NS: u64 = 200_000;
/// How long it takes where no other follows, since the clock that is measured by has something else to do: one tick of
/// the APIC's timer, 16 ns where that counts nanoseconds, is then eight parts in a million.
const ONLY_NS: u64 = 2_000_000;
/// Reads of the other clock in a measure at most; each takes about a microsecond on a PC, longer in a virtual machine.
const POLLS_MAX: u32 = 100_000;
const SAMPLE_TRIES: u32 = 4;
const MEASURES_MAX: u32 = 20;
/// What the second measure begins with; `None` when there is nothing to refine.
static BEGINNING: SpinLock<Option<Beginning>> = SpinLock::new(None);

/// Another clock, and what it showed at first.
#[derive(Clone, Copy)]
struct Beginning {
    source: Source,
    sample: Sample,
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
pub struct Rates {
    /// Cycles a second.
    pub hertz: u64,
    /// Ticks of the timer for a cycle, with 32 fraction bits.
    pub ticks: u64,
}

impl Rates {
    /// True if both differ by less than one part in 64: no host stopped the machine for long in between.
    fn agree(self, other: Self) -> bool {
        let close = |one: u64, other: u64| one.abs_diff(other) < one / 64;
        close(self.hertz, other.hertz) && close(self.ticks, other.ticks)
    }
}

/// Measures both clocks until two measures in a row agree. `None` on a machine without another clock. The timer's
/// interrupt is masked.
pub fn first(is_guest: bool) -> Option<Rates> {
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
    *BEGINNING.lock() = source.goes_on().then_some(Beginning { source, sample: beginning });
    Some(last)
}

/// `None` if a counter stands still.
fn measure_once(source: Source) -> Option<Rates> {
    let reference = source.reference();
    let enough = reference.counts(if source.goes_on() { FIRST_NS } else { ONLY_NS });
    let first = Moment::take(source);
    (0..POLLS_MAX).find(|_| reference.span(first.sample.reference, source.read()) >= enough)?;
    let last = Moment::take(source);
    let hertz = reference.first_frequency(first.sample, last.sample)?;
    let timer_ticks = u64::from(first.timer_left.wrapping_sub(last.timer_left));
    let ticks = (timer_ticks << 32).checked_div(last.sample.count.wrapping_sub(first.sample.count))?;
    (ticks > 0).then_some(Rates { hertz, ticks })
}

/// Measures over the time since the first measure, for a counter of about so many hertz. The frequency, where something
/// came of it.
pub fn again(about_hertz: u64) -> (Refinement, Option<u64>) {
    let mut slot = BEGINNING.lock();
    let Some(beginning) = &mut *slot else { return (Refinement::Needless, None) };
    let sample = Moment::take(beginning.source).sample;
    let found = beginning.source.reference().frequency(beginning.sample, sample, about_hertz);
    if found.is_none() {
        beginning.sample = sample;
        return (Refinement::BegunAnew, None);
    }
    (Refinement::Done, found)
}

/// Lets there be no more measures: the frequency is known.
pub fn end() {
    *BEGINNING.lock() = None;
}
