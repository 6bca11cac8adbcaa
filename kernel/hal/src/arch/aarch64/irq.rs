//! Interrupts, from the controller to who wants them.
use super::Arch;
use super::platform::gic;
use super::{console, timer};
use crate::IrqLine;
use crate::contract::Cpu;
use crate::sync::preempt::INTERRUPT_UNIT;
use crate::upcalls::upcalls;

/// First shared interrupt at the controller; below are those of one CPU (GICv3, IHI 0069, 2.2.1).
const FIRST_SHARED: u32 = 32;

/// Handles what the CPU was interrupted for. Interrupts are masked and stay so.
pub(super) fn handle() {
    Arch::preempt_add(INTERRUPT_UNIT);
    if let Some(interrupt) = gic::acknowledge() {
        dispatch(interrupt.number());
        interrupt.end();
    }
    Arch::preempt_sub(INTERRUPT_UNIT);
}

fn dispatch(interrupt: u32) {
    if timer::handle_interrupt(interrupt) {
        return;
    }
    match console::port() {
        Some(port) if port.interrupt == interrupt => port.handle_interrupt(),
        _ if interrupt >= FIRST_SHARED => upcalls().interrupt(IrqLine(interrupt - FIRST_SHARED)),
        _ if interrupt == gic::RESCHEDULE.raw_value() => upcalls().reschedule(),
        _ => {}
    }
}

/// Lets a shared interrupt reach this CPU.
pub(super) fn enable(line: IrqLine) {
    gic::enable(line.0.saturating_add(FIRST_SHARED));
}

/// Stops a shared interrupt.
pub(super) fn disable(line: IrqLine) {
    gic::disable(line.0.saturating_add(FIRST_SHARED));
}
