//! The clock's discipline: `adjtimex`, the seconds in which it acts, and the second measure of the machine's counter.
//!
//! The rules are `libkernel::clock::ntp`'s. Here they meet the clocks: a rate becomes the steered clock's, a leap
//! second a step of the wall clock, and what has to happen later an alarm. Order of locks: the discipline, then the
//! alarms or the vDSO's data.

use alloc::boxed::Box;

use abi::Errno;
use abi::time::{ADJ_NANO, ADJ_SETOFFSET, STA_NANO, Timespec, Timeval, Timex};
use hal::sync::SpinLock;
use hal::time::Refinement;
use klog::Level;
use libkernel::clock::ntp::Discipline;
use libkernel::timeouts::{Base, Key};
use sched::timer::clocks_changed;

use super::SECOND_NS;
use super::alarm::{self, AlarmNode, Listener};
use super::clock::{self, wall_clock_ns};
use crate::vdso;

/// When the machine's counter is measured again, after the first measure: each time the result is as much better as the
/// span is longer.
const REFINE_AFTER_NS: [u64; 4] = [10_000_000, 50_000_000, 250_000_000, SECOND_NS];

struct Disciplined {
    rules: Discipline,
    /// Until when time has passed for the rules, on the raw clock.
    seen_ns: u64,
    /// The rate of the steered clock.
    rate: i64,
    /// What wakes us, and its node while nothing is to come.
    alarm: Option<Key>,
    node: Option<Box<AlarmNode>>,
}

static DISCIPLINE: SpinLock<Disciplined> =
    SpinLock::new(Disciplined { rules: Discipline::new(), seen_ns: 0, rate: 0, alarm: None, node: None });

/// Lets the counter be measured again when it has run for a while. Once, at boot, with the alarms' task started.
pub(super) fn start() {
    plan_refinement(AlarmNode::new(), 0, 0);
}

/// Lets the counter be measured for the time with this number, if there is one, after a measure that began at
/// `since_ns`.
fn plan_refinement(node: Box<AlarmNode>, number: usize, since_ns: u64) {
    let Some(after_ns) = REFINE_AFTER_NS.get(number) else { return };
    alarm::insert(node, Base::Monotonic, since_ns + after_ns, Listener::Refinement { number, since_ns });
}

/// Measures the counter again, and goes by the result. If something came between, the measure begins anew.
pub(super) fn refine(node: Box<AlarmNode>, number: usize, since_ns: u64) {
    let discipline = DISCIPLINE.lock();
    let refinement = vdso::while_clocks_change(hal::time::refine_frequency);
    drop(discipline);
    match refinement {
        Refinement::Needless => return tell_frequency(),
        Refinement::Done => plan_refinement(node, number + 1, since_ns),
        Refinement::BegunAnew => return plan_refinement(node, 0, hal::time::now_ns()),
    }
    clocks_changed();
    if number + 1 == REFINE_AFTER_NS.len() {
        tell_frequency();
    }
}

/// Lets the clocks run by the counter called so, or by the best.
pub fn choose_counter(name: &[u8]) {
    // What the machine has is looked for before a lock is held.
    hal::time::for_each_counter(&mut |_, _| ());
    let discipline = DISCIPLINE.lock();
    vdso::while_clocks_change(|| hal::time::choose_counter(name));
    drop(discipline);
    clocks_changed();
}

fn tell_frequency() {
    let hertz = hal::time::frequency();
    let (whole, parts) = (hertz / 1_000_000, hertz % 1_000_000);
    klog::line(Level::Debug, format_args!("clock: the counter runs at {whole}.{parts:06} MHz"));
    hal::time::for_each_counter(&mut |name, is_current| {
        if is_current {
            klog::line(Level::Debug, format_args!("clock: the counter is {name}"));
        }
    });
}

/// International atomic time less UTC, in nanoseconds.
pub fn tai_offset_ns() -> i64 {
    i64::from(DISCIPLINE.lock().rules.tai_s()) * SECOND_NS.cast_signed()
}

/// What the wall clock shows when atomic time is `tai_ns`.
pub fn wall_ns_of_tai(tai_ns: u64) -> u64 {
    tai_ns.saturating_add_signed(tai_offset_ns().saturating_neg())
}

/// `adjtimex`: takes a wish, tells the state in its place, and returns `TIME_*`. EINVAL, EPERM.
pub fn adjust(wish: &mut Timex, is_privileged: bool) -> Result<i32, Errno> {
    Discipline::check(wish, is_privileged)?;
    if wish.modes & abi::time::ADJ_ADJTIME == 0 && wish.modes & ADJ_SETOFFSET != 0 {
        clock::step(step_ns(wish)?)?;
    }
    let mut discipline = DISCIPLINE.lock();
    discipline.pass();
    let state = discipline.rules.adjust(wish, wall_seconds());
    discipline.follow();
    drop(discipline);
    let now = Timespec::of_ns(wall_clock_ns());
    let second_part = if wish.status & STA_NANO != 0 { now.tv_nsec } else { now.tv_nsec / 1000 };
    wish.time = Timeval { tv_sec: now.tv_sec, tv_usec: second_part };
    Ok(state)
}

/// By how much a wish moves the wall clock at once. EINVAL beyond 292 years.
fn step_ns(wish: &Timex) -> Result<i64, Errno> {
    let unit_ns = if wish.modes & ADJ_NANO != 0 { 1 } else { 1000 };
    let seconds_ns = wish.time.tv_sec.checked_mul(SECOND_NS.cast_signed()).ok_or(Errno::EINVAL)?;
    seconds_ns.checked_add(wish.time.tv_usec * unit_ns).ok_or(Errno::EINVAL)
}

/// Somebody set the wall clock.
pub(super) fn wall_clock_was_set() {
    let mut discipline = DISCIPLINE.lock();
    discipline.pass();
    discipline.rules.clock_was_set();
    discipline.follow();
}

/// The alarm's time has come.
pub(super) fn second(node: Box<AlarmNode>) {
    let mut discipline = DISCIPLINE.lock();
    (discipline.alarm, discipline.node) = (None, Some(node));
    discipline.pass();
    let leap_s = discipline.rules.leap(wall_seconds());
    discipline.follow();
    drop(discipline);
    if leap_s != 0 {
        klog::notice!("Clock: {} leap second", if leap_s < 0 { "inserting" } else { "deleting" });
        // The alarm cannot come again meanwhile: only this task serves it.
        let _ = clock::move_wall_clock(leap_s * SECOND_NS.cast_signed());
        DISCIPLINE.lock().plan();
    }
}

fn wall_seconds() -> i64 {
    (wall_clock_ns() / SECOND_NS).cast_signed()
}

impl Disciplined {
    /// Lets the time that passed since the last look pass for the rules.
    fn pass(&mut self) {
        let now_ns = hal::time::raw_ns();
        self.rules.pass(now_ns.saturating_sub(self.seen_ns));
        self.seen_ns = now_ns;
    }

    /// Brings the clock's rate and the alarm where the rules want them.
    fn follow(&mut self) {
        let rate = self.rules.rate();
        if rate != self.rate {
            self.rate = rate;
            vdso::while_clocks_change(|| hal::time::steer(rate));
            clocks_changed();
        }
        self.plan();
    }

    /// Sets the alarm for what comes first: the next second that the rules count, or a leap second.
    fn plan(&mut self) {
        if let Some(key) = self.alarm.take()
            && let Some((node, _)) = alarm::remove(key)
        {
            self.node = Some(node);
        }
        let second_ns = self.rules.is_moving().then(|| self.rules.left_ns());
        let leap_ns = self.rules.next_leap().map(|second| second.cast_unsigned().saturating_mul(SECOND_NS));
        let left_ns = leap_ns.map(|ns| ns.saturating_sub(wall_clock_ns()));
        let (base, due_ns) = match (second_ns, leap_ns) {
            (Some(second_ns), _) if left_ns.is_none_or(|left_ns| second_ns <= left_ns) => {
                (Base::Monotonic, hal::time::now_ns().saturating_add(second_ns))
            }
            (_, Some(leap_ns)) => (Base::Wall, leap_ns),
            _ => return,
        };
        // One that is being served comes back too late for this, and finds another in its place.
        let node = self.node.take().unwrap_or_else(AlarmNode::new);
        self.alarm = Some(alarm::insert(node, base, due_ns, Listener::Discipline));
    }
}
