//! The deadline timer: the local APIC's, which counts down 32 bits.
use super::clock;
use super::platform::apic;
use crate::cpu::MAX_CPUS;
use crate::sync::PerCpu;
use crate::time::{counts, now_ns};
use crate::upcalls::upcalls;
use core::cell::Cell;

/// A deadline that is further away is reached in two steps: how fast the timer runs is known to about one part in two hundred, and a
/// timer that is late by that much of a second would be noticed.
const NEAR_NS: u64 = 10_000_000;

/// Each CPU's deadline; `u64::MAX` when there is none.
static DEADLINE: PerCpu<Cell<u64>> = PerCpu::new([const { Cell::new(u64::MAX) }; MAX_CPUS]);

/// Arms or stops this CPU's timer.
pub fn set_deadline(deadline_ns: Option<u64>) {
    DEADLINE.with(|deadline| {
        deadline.set(deadline_ns.unwrap_or(u64::MAX));
        match deadline_ns {
            None => rest(),
            Some(at) => start_towards(at),
        }
    });
}

/// Stops the timer, or lets it interrupt in time for the counter to be read.
fn rest() {
    match clock::longest_rest_ns() {
        None => apic::start_timer(0),
        Some(_) => start_towards(u64::MAX),
    }
}

/// Starts the timer for as much of the way as its 32 bits reach, and for a little less than a long way. Zero would stop it, so at
/// least one tick.
fn start_towards(deadline_ns: u64) {
    let distance_ns = deadline_ns.saturating_sub(now_ns());
    let step_ns = if distance_ns > NEAR_NS { distance_ns - distance_ns / 64 } else { distance_ns };
    let step_ns = step_ns.min(clock::longest_rest_ns().unwrap_or(u64::MAX));
    let ticks = clock::timer_ticks(counts(step_ns)).saturating_add(1);
    apic::start_timer(u32::try_from(ticks).unwrap_or(u32::MAX));
}

/// The timer interrupt: the deadline, or one stage of a far one.
pub fn expired() {
    let due = DEADLINE.with(|deadline| {
        let at = deadline.get();
        if at == u64::MAX {
            rest();
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
