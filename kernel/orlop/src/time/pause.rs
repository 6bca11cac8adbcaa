//! Pauses of a virtual machine: the time of day goes on by what was missed, the monotonic clocks do not.
//!
//! A hypervisor that stopped the machine, or started it again from a stored state, tells every CPU so; the next timer
//! interrupt sees it. The alarms' task then asks for the hypervisor's time of day, and moves the wall clock by what
//! that has run ahead. So that drift is not taken for a pause, it asks once a minute too while CPUs work. Linux leaves
//! this to a program in the guest (QEMU's agent), which not every guest has; what it does for a suspended machine is
//! done here: the wall clock jumps, nobody's timeout does, and the clock counts as not synchronised.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use hal::sync::SpinLock;
use klog::Level;
use libkernel::clock::pause::Moment;
use sched::timer::{ClockKeeper, keep_clocks};

use super::{SECOND_NS, alarm, clock};

/// How often the clocks are compared while CPUs work.
const COMPARE_NS: u64 = 60 * SECOND_NS;

/// Whether the alarms' task is to compare, and whether there was a pause.
static IS_WANTED: AtomicBool = AtomicBool::new(false);
static WAS_PAUSED: AtomicBool = AtomicBool::new(false);
/// When it did last, on the kernel's clock; never where there is nothing to compare with.
static COMPARED_NS: AtomicU64 = AtomicU64::new(u64::MAX);
/// What it saw then.
static LAST: SpinLock<Option<Moment>> = SpinLock::new(None);

/// Looks at the clocks for the first time. Once, at boot.
pub(super) fn start() {
    compare();
    keep_clocks(&Keeper);
}

/// What the scheduler's timer tells of pauses.
struct Keeper;

impl ClockKeeper for Keeper {
    fn was_paused(&self) {
        WAS_PAUSED.store(true, Relaxed);
        want();
    }

    /// Lets the clocks be compared if that was long ago.
    fn look(&self, now_ns: u64) {
        if now_ns.saturating_sub(COMPARED_NS.load(Relaxed)) > COMPARE_NS {
            want();
        }
    }
}

fn want() {
    // The alarms' task looks at this after it has entered the queue in which it is woken.
    IS_WANTED.store(true, Relaxed);
    alarm::look_again();
}

/// Whether there is something to do for [`serve`].
pub(super) fn is_wanted() -> bool {
    IS_WANTED.load(Relaxed)
}

/// Does what was noted. By the alarms' task.
pub(super) fn serve() {
    if !IS_WANTED.swap(false, Relaxed) {
        return;
    }
    let was_paused = WAS_PAUSED.swap(false, Relaxed);
    let Some(lost_ns) = compare().filter(|_| was_paused) else { return };
    // A time that the clock cannot show is no time.
    if clock::step(lost_ns).is_ok() {
        let (seconds, thousandths) =
            (lost_ns / SECOND_NS.cast_signed(), lost_ns.unsigned_abs() / 1_000_000 % 1000);
        klog::line(
            Level::Information,
            format_args!(
                "clock: the machine was stopped; the time of day goes on {seconds}.{thousandths:03} s later"
            ),
        );
    }
}

/// Compares the clocks, and says what was lost since that was done last.
fn compare() -> Option<i64> {
    let now = Moment { host_ns: hal::time::host_clock_ns()?, own_ns: hal::time::raw_ns() };
    COMPARED_NS.store(hal::time::now_ns(), Relaxed);
    LAST.lock().replace(now)?.lost_ns(now)
}
