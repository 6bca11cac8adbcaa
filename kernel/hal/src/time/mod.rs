//! The clocks that the machine's counter drives, this CPU's deadline timer and the wall clock at boot.
//!
//! Two clocks run over one counter: the raw one at the counter's own frequency, as far as it is known, and the steered
//! one, which whoever knows the time better makes a little faster or slower. The kernel lives by the steered one
//! ([`now_ns`]). Both change under one lock, which is taken by nobody who only reads.
mod counter_clock;

use crate::arch::Arch;
use crate::contract::Platform as _;
use crate::sync::IrqLock;
use core::sync::atomic::{AtomicU64, Ordering};
use counter_clock::CounterClock;
pub use libkernel::clock::Line;
use libkernel::clock::SECOND_NS;
use libkernel::clock::line::{scale, steer as steered};

static STEERED: CounterClock = CounterClock::new(Line::of_frequency(SECOND_NS));
static RAW: CounterClock = CounterClock::new(Line::of_frequency(SECOND_NS));
/// The counter's value at the zero of both.
static ORIGIN: AtomicU64 = AtomicU64::new(0);
/// Counts in a nanosecond of the steered clock, with 32 fraction bits.
static COUNTS_PER_NANOSECOND: AtomicU64 = AtomicU64::new(1 << 32);
/// By how many nanoseconds, with 32 fraction bits, a second of the steered clock is longer than one of the raw clock.
/// The lock keeps those apart who change the clocks; an interrupt handler that met a half-changed clock would wait for
/// ever.
static RATE: IrqLock<i64> = IrqLock::new(0);

/// The counter now, from the clocks' zero on.
fn count() -> u64 {
    since_origin(Arch::counter())
}

#[inline(always)]
fn since_origin(counter: u64) -> u64 {
    counter.wrapping_sub(ORIGIN.load(Ordering::Relaxed))
}

/// Nanoseconds since boot; never goes back.
#[inline]
pub fn now_ns() -> u64 {
    STEERED.read(|| since_origin(Arch::own_counter()), count)
}

/// As [`now_ns`], no earlier than what was read from memory before.
pub(crate) fn now_ns_in_order() -> u64 {
    STEERED.read(|| since_origin(Arch::own_counter_in_order()), || since_origin(Arch::counter_in_order()))
}

/// Nanoseconds since boot by the counter alone, whoever steers the clock.
pub fn raw_ns() -> u64 {
    RAW.read(|| since_origin(Arch::own_counter()), count)
}

/// What the clocks compute with, for programs that read the counter themselves.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// The counter's value at time zero.
    pub origin: u64,
    /// What [`now_ns`] shows.
    pub steered: Line,
    /// What [`raw_ns`] shows.
    pub raw: Line,
}

/// The clocks as they run now. Whoever changes them meanwhile says so himself to those who use this.
pub fn parameters() -> Parameters {
    let _still = RATE.lock();
    Parameters { origin: ORIGIN.load(Ordering::Relaxed), steered: STEERED.line(), raw: RAW.line() }
}

/// Starts the clocks at zero, which was when the counter showed `origin`, for a counter of so many counts a second.
/// Boot, before anybody else asks for the time.
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine counts nanoseconds"))]
pub(crate) fn start(origin: u64, hertz: u64) {
    ORIGIN.store(origin, Ordering::Relaxed);
    let rate = RATE.lock();
    RAW.change(|_| Line::of_frequency(hertz));
    STEERED.change(|_| Line::of_frequency(hertz));
    follow(*rate);
}

/// The counter counts so many times a second: from now on the clocks go by that.
#[allow(dead_code, reason = "for machines where the frequency must be measured")]
pub(crate) fn set_frequency(hertz: u64) {
    let rate = RATE.lock();
    RAW.turn(count, Line::of_frequency(hertz).factor);
    follow(*rate);
}

/// Lets the clocks go on over another counter, of so many counts a second, which `switch` makes the architecture read.
#[allow(dead_code, reason = "for machines with several counters")]
pub(crate) fn change_counter(hertz: u64, switch: impl FnOnce()) {
    let rate = RATE.lock();
    let (steered_begun, raw_begun) = (STEERED.begin(), RAW.begin());
    let before = count();
    let (steered_ns, raw_ns) = (STEERED.line().at(before), RAW.line().at(before));
    switch();
    let is_own = Arch::counter_is_own();
    STEERED.set_own(&steered_begun, is_own);
    RAW.set_own(&raw_begun, is_own);
    // A second of room: who has read the new counter a little before this must not get a value below zero.
    ORIGIN.store(Arch::counter().wrapping_sub(hertz), Ordering::Relaxed);
    let factor = Line::of_frequency(hertz).factor;
    let at = |ns: u64, factor| Line { factor, offset_ns: ns.wrapping_sub(scale(hertz, factor)) };
    RAW.end(raw_begun, at(raw_ns, factor));
    STEERED.end(steered_begun, at(steered_ns, steered(factor, *rate)));
    COUNTS_PER_NANOSECOND.store(STEERED.line().counts_per_nanosecond(), Ordering::Relaxed);
}

/// The names of the counters that the clocks could run by, the best first, each with whether they do.
pub fn for_each_counter(visit: &mut dyn FnMut(&'static str, bool)) {
    Arch::for_each_counter(visit);
}

/// Lets the clocks run by the counter called so; by the best if there is none of that name.
pub fn choose_counter(name: &[u8]) {
    Arch::choose_counter(name);
}

/// Lets the clocks run by another counter, as the one that they run by was found to be none; false if there is no
/// other.
pub fn leave_counter() -> bool {
    Arch::leave_counter()
}

/// Whether the counter is the CPU's own, which programs can read too.
pub fn counter_is_own() -> bool {
    Arch::counter_is_own()
}

/// Whether a hypervisor stopped the whole machine since the executing CPU asked last. Interrupts off.
#[inline]
pub fn take_pause() -> bool {
    Arch::take_pause()
}

/// The time of day that a hypervisor tells, in nanoseconds since 1970, where one does. To ask leaves the virtual
/// machine.
pub fn host_clock_ns() -> Option<u64> {
    Arch::host_clock_ns()
}

/// Makes the steered clock's seconds longer by `rate` nanoseconds, with 32 fraction bits, than the raw clock's.
/// Deadlines that are armed stay armed for the counter's value that they had: arm them anew.
pub fn steer(rate: i64) {
    let mut current = RATE.lock();
    *current = rate;
    follow(rate);
}

/// Lets the steered clock go by the raw one. The lock of [`RATE`] is held.
fn follow(rate: i64) {
    STEERED.turn(count, steered(RAW.line().factor, rate));
    COUNTS_PER_NANOSECOND.store(STEERED.line().counts_per_nanosecond(), Ordering::Relaxed);
}

/// Counts of the counter in a span of the steered clock.
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine counts nanoseconds"))]
pub(crate) fn counts(ns: u64) -> u64 {
    scale(ns, COUNTS_PER_NANOSECOND.load(Ordering::Relaxed))
}

/// The counter's frequency in hertz, as far as it is known.
pub fn frequency() -> u64 {
    let factor = RAW.line().factor.max(1);
    let hertz = (u128::from(SECOND_NS) << 32) / u128::from(factor);
    u64::try_from(hertz).unwrap_or(u64::MAX)
}

/// What came of measuring the counter once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refinement {
    /// The frequency is told by the machine, or nothing else in it could measure better.
    Needless,
    /// The clocks go by the result.
    Done,
    /// Something came between, a pause of the machine perhaps: the measure began anew.
    BegunAnew,
}

/// Measures the counter's frequency once more, over the time since its first measure, and lets the clocks go on at that
/// rate.
pub fn refine_frequency() -> Refinement {
    Arch::refine_frequency()
}

/// Arms this CPU's one-shot timer for an absolute time of [`now_ns`], or stops it. A deadline that has
/// passed fires at once.
pub fn set_deadline(deadline_ns: Option<u64>) {
    Arch::set_deadline(deadline_ns);
}

/// Nanoseconds since 1970 when `now_ns` was zero; zero if the machine has no clock.
pub fn wall_clock_at_boot_ns() -> u64 {
    Arch::wall_clock_at_boot_ns()
}
