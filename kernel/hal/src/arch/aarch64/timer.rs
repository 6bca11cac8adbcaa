//! The deadline timer: the generic timer's virtual one, one-shot (D11.2).
//!
//! It is there, like the counter, whether the machine started us in EL1 or in EL2 (where `boot.S` made the offset
//! zero).
use super::clock::count;
use super::cpu::{read_register, write_register};
use super::platform::errata;
use crate::time;
use crate::upcalls::upcalls;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};
use libkernel::arch::aarch64::errata::Answer;

/// CNTV_CTL_EL0: the timer counts and interrupts.
const CONTROL_ENABLE: u64 = 1;
/// CNTKCTL_EL1.EL0VCTEN: programs may read the virtual counter, as on Linux, and nothing else of the timer.
const USER_READS_COUNTER: u64 = 1 << 1;
/// CNTKCTL_EL1.EVNTEN: a bit of the counter wakes who waits by WFE. Its number is EVNTI, from bit 4 on.
const EVENT_STREAM: u64 = 1 << 2;
const EVENT_BIT_SHIFT: u32 = 4;
/// Events a second, as near as a power of two of the counter comes: Linux's, for AT_HWCAP's EVTSTRM.
const EVENTS: u64 = 10_000;

/// The timer's number at the interrupt controller.
static INTERRUPT: AtomicU32 = AtomicU32::new(0);

/// Starts with `interrupt` as the virtual timer's.
pub(super) fn initialise(interrupt: u32) {
    INTERRUPT.store(interrupt, Ordering::Relaxed);
    initialise_cpu();
}

/// Makes the executing CPU's timer ready, and says what programs may use of it.
pub(super) fn initialise_cpu() {
    // SAFETY: the timer is off until a deadline is set; programs see the counter only.
    unsafe {
        write_register!("cntv_ctl_el0", 0);
        write_register!("cntkctl_el1", control());
        asm!("isb", options(nostack, preserves_flags));
    }
    assert!(comes_due(), "the virtual timer does not come due");
    super::platform::gic::enable(INTERRUPT.load(Ordering::Relaxed));
}

/// CNTKCTL_EL1 as it is to be.
pub(super) fn control() -> u64 {
    user_access() | EVENT_STREAM | event_bit() << EVENT_BIT_SHIFT
}

/// Whether the timer notices that its time has come, without an interrupt of it.
fn comes_due() -> bool {
    /// CNTV_CTL_EL0.IMASK and ISTATUS.
    const MASKED: u64 = 1 << 1;
    const DUE: u64 = 1 << 2;
    /// Takes seconds on any machine.
    const LOOKS: u32 = 100_000_000;
    let now = count();
    // SAFETY: as in `initialise_cpu`; it is off again in the end.
    unsafe {
        write_register!("cntv_cval_el0", now);
        write_register!("cntv_ctl_el0", CONTROL_ENABLE | MASKED);
    }
    let is_due = |_| {
        // SAFETY: a barrier.
        unsafe { asm!("isb", options(nostack, preserves_flags)) };
        read_register!("cntv_ctl_el0") & DUE != 0
    };
    let came = (0..LOOKS).any(is_due);
    // SAFETY: as above.
    unsafe { write_register!("cntv_ctl_el0", 0) };
    came
}

/// What programs may read: nothing where a read may be wrong; `identification` answers then.
fn user_access() -> u64 {
    if errata::is_done(Answer::ReadsCounterTwice) { 0 } else { USER_READS_COUNTER }
}

/// The counter's bit that changes from 0 to 1 nearest to [`EVENTS`] times a second.
fn event_bit() -> u64 {
    const LAST: u32 = 15;
    let half_period = (read_register!("cntfrq_el0") / EVENTS / 2).max(1);
    // Three quarters of the way to the next power of two count as that.
    let bit = (half_period * 3 / 2).ilog2();
    bit.min(LAST).into()
}

/// Arms the timer for a time of `time::now_ns`, or stops it.
pub(super) fn set_deadline(deadline_ns: Option<u64>) {
    let control = match deadline_ns {
        Some(deadline_ns) => {
            // From now on, not from boot: the ratio's rounding would add up over the machine's life. Rounded up, so
            // that the deadline has passed when the interrupt comes.
            let counts = time::counts(deadline_ns.saturating_sub(time::now_ns())).saturating_add(1);
            let compare = count().saturating_add(counts);
            // SAFETY: the interrupt is this file's own.
            unsafe { write_register!("cntv_cval_el0", compare) };
            CONTROL_ENABLE
        }
        None => 0,
    };
    // SAFETY: as above. The barrier takes the timer's line back before the controller hears of the interrupt's end.
    unsafe {
        write_register!("cntv_ctl_el0", control);
        asm!("isb", options(nostack, preserves_flags));
    }
}

/// True if `interrupt` is the timer's; then it has been handled.
pub(super) fn handle_interrupt(interrupt: u32) -> bool {
    let ours = interrupt == INTERRUPT.load(Ordering::Relaxed);
    if ours {
        // The timer's line is a level: it would interrupt again at once. The upcall sets the next deadline.
        set_deadline(None);
        upcalls().timer();
    }
    ours
}
