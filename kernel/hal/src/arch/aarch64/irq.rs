//! Interrupts, from the controller to who wants them.
use super::Arch;
use super::platform::gic::{self, Exception, FIRST_PRIVATE, FIRST_SHARED, Request};
use super::{console, timer};
use crate::IrqLine;
use crate::backtrace::{self, Interrupts};
use crate::contract::{Cpu, Smp as _};
use crate::random;
use crate::sync::preempt;
use crate::upcalls::upcalls;

/// Handles what the CPU was interrupted for. Interrupts are masked and stay so, but for urgent ones.
pub(super) fn handle() {
    super::cpu::admit_urgent();
    preempt::enter_interrupt();
    if let Some(interrupt) = gic::acknowledge(Exception::Irq) {
        // What other CPUs ask for comes when programs make them ask.
        if interrupt.number() >= FIRST_PRIVATE {
            random::note_interrupt();
        }
        dispatch(interrupt.number());
        interrupt.end();
    }
    preempt::leave_interrupt();
}

/// Handles an urgent request, which has found the CPU at `pc`, anywhere in the kernel; zeros if that was in a program.
/// All interrupts are masked and stay so.
pub(super) fn handle_urgent(pc: u64, frame_pointer: u64, interrupts: Interrupts) {
    let Some(interrupt) = gic::acknowledge(Exception::Fiq) else { return };
    let number = interrupt.number();
    interrupt.end();
    if is_inquiry(number) {
        backtrace::answer(pc, frame_pointer, interrupts);
    } else if is_stop(number) && crate::panic::is_ending() {
        Arch::halt();
    } else if number == Request::Reschedule as u32 {
        // The urgent one was taken as an ordinary interrupt just before this came, and a GICv2 gives whatever is first.
        // Those that are levels come again by themselves.
        gic::send(Request::Reschedule, Arch::id());
    }
}

fn is_inquiry(interrupt: u32) -> bool {
    interrupt == Request::Inquire as u32 || interrupt == Request::InquireSoon as u32
}

fn is_stop(interrupt: u32) -> bool {
    interrupt == Request::Stop as u32 || interrupt == Request::StopSoon as u32
}

fn dispatch(interrupt: u32) {
    if timer::handle_interrupt(interrupt) {
        return;
    }
    match console::port() {
        Some(port) if port.interrupt == interrupt => port.handle_interrupt(),
        _ if interrupt >= FIRST_SHARED => upcalls().interrupt(IrqLine(interrupt - FIRST_SHARED)),
        _ if interrupt == Request::Reschedule as u32 => upcalls().reschedule(),
        _ if is_inquiry(interrupt) => {
            let [pc, frame_pointer] = backtrace::interrupted();
            backtrace::answer(pc, frame_pointer, Interrupts::Enabled);
        }
        _ if is_stop(interrupt) && crate::panic::is_ending() => Arch::halt(),
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
