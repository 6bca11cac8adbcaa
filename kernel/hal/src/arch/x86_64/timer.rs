//! The deadline timer, the local APIC's: armed by a value of the time-stamp counter where it can be and that counter is
//! good, else counting down 32 bits.
use super::clock;
use super::platform::apic;
use crate::cpu::MAX_CPUS;
use crate::sync::PerCpu;
use crate::time::{counts, now_ns};
use crate::upcalls::upcalls;
use core::cell::Cell;

/// A deadline that is further away is reached in two steps where the timer counts: how fast it runs is known to about
/// one part in two hundred, and a timer that is late by that much of a second would be noticed.
const NEAR_NS: u64 = 10_000_000;

/// As far as a deadline is handed to the counter: twelve days, so that no product overflows.
const FAR_NS: u64 = 1 << 50;

/// One CPU's timer.
struct Timer {
    /// `u64::MAX` when there is none.
    deadline_ns: Cell<u64>,
    /// Whether it is armed by the time-stamp counter.
    is_by_cycles: Cell<bool>,
}

static TIMER: PerCpu<Timer> = PerCpu::new(
    [const { Timer { deadline_ns: Cell::new(u64::MAX), is_by_cycles: Cell::new(false) } }; MAX_CPUS],
);

/// Arms or stops this CPU's timer.
pub fn set_deadline(deadline_ns: Option<u64>) {
    TIMER.with_own(|timer| {
        timer.deadline_ns.set(deadline_ns.unwrap_or(u64::MAX));
        match deadline_ns {
            None => timer.rest(),
            Some(at) => timer.start_towards(at),
        }
    });
}

impl Timer {
    /// Stops the timer, or lets it interrupt in time for the counter to be read.
    fn rest(&self) {
        match clock::longest_rest_ns() {
            None if self.is_by_cycles.get() => apic::arm(0),
            None => apic::start_timer(0),
            Some(_) => self.start_towards(u64::MAX),
        }
    }

    /// Starts the timer for the way to a deadline, or for a part of it. At least one cycle or tick: zero would stop it.
    fn start_towards(&self, deadline_ns: u64) {
        let distance_ns = deadline_ns.saturating_sub(now_ns());
        let cycles =
            if apic::has_deadlines() { clock::cycles_in(counts(distance_ns.min(FAR_NS))) } else { None };
        self.change(cycles.is_some());
        match cycles {
            // Of what was asked, the rest of a nanosecond is rounded down twice.
            Some(cycles) => apic::arm(clock::cycles().saturating_add(cycles).saturating_add(2)),
            None => count_down(distance_ns),
        }
    }

    /// The clocks may have come to run by another counter since the timer was started last.
    fn change(&self, is_by_cycles: bool) {
        if self.is_by_cycles.replace(is_by_cycles) == is_by_cycles {
            return;
        }
        if is_by_cycles {
            apic::unmask_timer_by_deadline();
        } else {
            apic::unmask_timer();
        }
    }
}

/// Starts the timer for as much of the way as its 32 bits reach, and for a little less than a long way.
fn count_down(distance_ns: u64) {
    let step_ns = if distance_ns > NEAR_NS { distance_ns - distance_ns / 64 } else { distance_ns };
    let step_ns = step_ns.min(clock::longest_rest_ns().unwrap_or(u64::MAX));
    let ticks = clock::timer_ticks(counts(step_ns)).saturating_add(1);
    apic::start_timer(u32::try_from(ticks).unwrap_or(u32::MAX));
}

/// The timer interrupt: the deadline, or one stage of a far one.
pub fn expired() {
    let due = TIMER.with_own(|timer| {
        let at = timer.deadline_ns.get();
        if at == u64::MAX {
            timer.rest();
            return false;
        }
        if now_ns() < at {
            timer.start_towards(at);
            return false;
        }
        timer.deadline_ns.set(u64::MAX);
        true
    });
    if due {
        upcalls().timer();
    }
}
