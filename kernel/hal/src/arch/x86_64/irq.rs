//! What each interrupt vector means.
use super::platform::{apic, hypervisor, ioapic, shootdown};
use super::trap::{VECTOR_FLUSH, VECTOR_RESCHEDULE, VECTOR_SPURIOUS, VECTOR_TIMER};
use super::{console, timer};
use crate::IrqLine;
use crate::random;
use crate::sync::preempt;
use crate::upcalls::upcalls;
use libkernel::arch::x86_64::fault::vector;

/// Handles one interrupt, masked. Acknowledged first: it can only come again once interrupts are on.
pub fn handle(number: u8) {
    if number == VECTOR_SPURIOUS {
        return;
    }
    // What other CPUs ask for comes when programs make them ask.
    if number != VECTOR_FLUSH && number != VECTOR_RESCHEDULE {
        random::note_interrupt();
    }
    preempt::enter_interrupt();
    if !hypervisor::knows_end_of_interrupt() {
        apic::end_of_interrupt();
    }
    match number {
        VECTOR_TIMER => timer::expired(),
        VECTOR_FLUSH => shootdown::answer(),
        VECTOR_RESCHEDULE => upcalls().reschedule(),
        // Or a stray one, which stands behind all lines.
        _ => line(u32::from(number - vector::FIRST_FREE)),
    }
    preempt::leave_interrupt();
}

fn line(line: u32) {
    if line == console::LINE {
        console::receive(|received| upcalls().console_input(received));
    } else if line < ioapic::LINES {
        upcalls().interrupt(IrqLine(line));
    }
}
