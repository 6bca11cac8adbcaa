//! The interrupt controller, GICv2 or GICv3: which one, and what both do.
//!
//! Requests that cannot wait ([`Request::is_urgent`]) are in group 0, which comes as FIQ, where the controller has but
//! one security state; where it has two, group 0 is the firmware's, and they are as the others: in group 1, which comes
//! as IRQ. All others have the same priority and are sensitive to a level, unless [`set_edge`] says otherwise. Shared
//! ones (from 32 on) go to the boot CPU, whichever CPU enables them; private ones belong to the CPU that does. Lock
//! order: the lock of shared registers, in each version's file, is taken last, with interrupts masked; acknowledging,
//! ending and sending take none.
mod v2;
mod v3;

use super::super::paging::DeviceRegisters;
use super::machine::Interrupts;
use crate::cpu::MAX_CPUS;
use crate::sync::Once;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::addr::PhysRange;

/// Priority of every interrupt but urgent ones, above the mask.
const PRIORITY: u8 = 0x80;
/// Of urgent ones: they come while another is handled.
const URGENT_PRIORITY: u8 = 0x40;
/// First interrupt that software does not send.
pub const FIRST_PRIVATE: u32 = 16;
/// First interrupt that all CPUs share.
pub const FIRST_SHARED: u32 = 32;
/// First of the numbers that say that there is no interrupt.
const FIRST_SPECIAL: u32 = 1020;

/// What one CPU asks of another by an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// To look at its work.
    Reschedule = 0,
    /// To stop for ever: the kernel has failed.
    Stop = 1,
    /// To say where it is.
    Inquire = 2,
    /// As `Stop`, but never urgent.
    StopSoon = 3,
    /// As `Inquire`, but never urgent.
    InquireSoon = 4,
}

impl Request {
    /// All of them.
    const ALL: [Self; 5] = [Self::Reschedule, Self::Stop, Self::Inquire, Self::StopSoon, Self::InquireSoon];

    /// Whether also a CPU with interrupts off takes it, if the machine allows that.
    fn is_urgent(self) -> bool {
        URGENT >> self as u32 & 1 != 0
    }
}

/// Numbers of urgent [`Request`]s, a bit for each.
const URGENT: u32 = 1 << Request::Stop as u32 | 1 << Request::Inquire as u32;
/// Numbers of all of them.
const REQUESTS: u32 = (1 << Request::ALL.len()) - 1;

/// The controller. Set on the boot CPU, before interrupts are on.
#[expect(clippy::large_enum_variant, reason = "there is one for ever, in a static")]
enum Controller {
    V2(v2::Gic),
    V3(v3::Gic),
}

static CONTROLLER: Once<Controller> = Once::new();

/// For each CPU what its version of the controller finds it by: its bit among a GICv2's targets, or its affinity.
static PLACES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Brings up the machine's controller, with everything off.
///
/// # Safety
/// The registers are the machine's. Called once.
pub unsafe fn initialise(interrupts: &Interrupts, map: impl Fn(PhysRange) -> DeviceRegisters) {
    let controller = match interrupts {
        Interrupts::V3 { distributor, redistributors } => {
            let regions = redistributors.iter().map(|range| (map(*range), range.length())).collect();
            // SAFETY: the caller's promise.
            Controller::V3(unsafe { v3::Gic::new(map(*distributor), regions) })
        }
        Interrupts::V2 { distributor, interface } => {
            Controller::V2(v2::Gic::new(map(*distributor), map(*interface)))
        }
    };
    let _ = CONTROLLER.set(controller);
}

/// Opens the executing CPU's side of the controller, for requests of other CPUs; private interrupts are off. `cpu` is
/// its index.
pub fn initialise_cpu(cpu: usize) {
    let place = match CONTROLLER.get() {
        Some(Controller::V2(gic)) => gic.initialise_cpu(),
        Some(Controller::V3(gic)) => gic.initialise_cpu(cpu),
        None => return,
    };
    PLACES[cpu].store(place, Ordering::Release);
}

fn place(cpu: usize) -> u64 {
    PLACES.get(cpu).map_or(0, |place| place.load(Ordering::Acquire))
}

/// Lets `interrupt` through: a shared one to the boot CPU, a private one to the executing CPU. Preemption is off.
pub fn enable(interrupt: u32) {
    set_enabled(interrupt, true);
}

/// Stops `interrupt`, on the executing CPU if it is a private one. Preemption is off.
pub fn disable(interrupt: u32) {
    set_enabled(interrupt, false);
}

/// Says whether an edge or a level signals a shared `interrupt`, while it is off.
pub fn set_edge(interrupt: u32, is_edge: bool) {
    if !(FIRST_SHARED..FIRST_SPECIAL).contains(&interrupt) {
        return;
    }
    match CONTROLLER.get() {
        Some(Controller::V2(gic)) => gic.set_edge(interrupt, is_edge),
        Some(Controller::V3(gic)) => gic.set_edge(interrupt, is_edge),
        None => {}
    }
}

/// One that does not exist stays off.
fn set_enabled(interrupt: u32, on: bool) {
    if interrupt >= FIRST_SPECIAL {
        return;
    }
    match CONTROLLER.get() {
        Some(Controller::V2(gic)) => gic.set_enabled(interrupt, on),
        Some(Controller::V3(gic)) => gic.set_enabled(interrupt, on),
        None => {}
    }
}

/// By which exception an interrupt comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exception {
    /// That of all but urgent requests.
    Irq,
    /// That of urgent ones.
    Fiq,
}

/// Takes the interrupt that the CPU was interrupted for, if it is still there. [`end`](Acknowledged::end) must follow.
pub fn acknowledge(exception: Exception) -> Option<Acknowledged> {
    let value = match CONTROLLER.get()? {
        Controller::V2(gic) => gic.acknowledge(),
        Controller::V3(_) => v3::Gic::acknowledge(exception),
    };
    // What the sender of a request wrote before is read after, and nothing that is done for an interrupt begins before
    // (12.2.14 of IHI 0069; Linux does the same). SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
    let interrupt = Acknowledged { value, exception };
    (interrupt.number() < FIRST_SPECIAL).then_some(interrupt)
}

/// An interrupt between its acknowledgement and its end.
#[must_use]
pub struct Acknowledged {
    value: u32,
    exception: Exception,
}

impl Acknowledged {
    /// Its number. A GICv2 tells the sending CPU in higher bits (IHI 0048, 4.4.4).
    pub fn number(&self) -> u32 {
        match CONTROLLER.get() {
            Some(Controller::V2(_)) => self.value & 0x3ff,
            _ => self.value,
        }
    }

    /// Tells the controller that it has been handled.
    pub fn end(self) {
        match CONTROLLER.get() {
            Some(Controller::V2(gic)) => gic.end(self.value),
            Some(Controller::V3(_)) => v3::Gic::end(self.value, self.exception),
            None => {}
        }
    }
}

/// Interrupts `cpu`. What was written before is visible to it then.
pub fn send(request: Request, cpu: usize) {
    match CONTROLLER.get() {
        Some(Controller::V2(gic)) => gic.send(request, place(cpu)),
        Some(Controller::V3(gic)) => gic.send(request, place(cpu)),
        None => {}
    }
}

/// Interrupts all other CPUs.
pub fn send_to_others(request: Request) {
    match CONTROLLER.get() {
        Some(Controller::V2(gic)) => gic.send_to_others(request),
        Some(Controller::V3(gic)) => gic.send_to_others(request),
        None => {}
    }
}
