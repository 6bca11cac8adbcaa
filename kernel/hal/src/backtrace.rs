//! Where CPUs are: chains of calls, of this CPU and of others, which are asked by an interrupt.
//!
//! The question is an interrupt that a CPU with interrupts off takes, too, and it says so: non-maskable on x86_64, FIQ
//! on AArch64, where the machine has it. An answer is written down by the CPU that gives it and read by the one that
//! asked.
use crate::arch::Arch;
use crate::contract::{Cpu as _, Smp as _};
use crate::cpu::MAX_CPUS;
use crate::sync::{Awaited as _, PerCpu};
use crate::task::{Task, stack_word};
use core::fmt;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

/// The longest chain that is kept.
const FRAMES: usize = 24;

/// What one CPU has to say.
struct Station {
    /// Somebody has asked and was not answered yet.
    is_asked: AtomicBool,
    /// Answers that were given with interrupts off.
    masked_answers: AtomicU32,
    /// Where the last interrupt found the CPU: instruction and frame pointer; zeros if that was in a program.
    interrupted: [AtomicU64; 2],
    frames: [AtomicU64; FRAMES],
    length: AtomicUsize,
}

static STATIONS: PerCpu<Station> = PerCpu::new(
    [const {
        Station {
            is_asked: AtomicBool::new(false),
            masked_answers: AtomicU32::new(0),
            interrupted: [const { AtomicU64::new(0) }; 2],
            frames: [const { AtomicU64::new(0) }; FRAMES],
            length: AtomicUsize::new(0),
        }
    }; MAX_CPUS],
);

/// Whether the CPU that answers takes interrupts.
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine has no interrupts"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interrupts {
    /// It does.
    Enabled,
    /// It does not.
    Masked,
}

/// Asks a CPU where it is.
pub fn ask(cpu: usize) {
    let Some(station) = STATIONS.of(cpu) else { return };
    station.is_asked.store(true, Release);
    Arch::send_inquiry(cpu);
}

/// How often a CPU has answered with interrupts off.
pub fn masked_answers(cpu: usize) -> u32 {
    STATIONS.of(cpu).map_or(0, |station| station.masked_answers.load(Relaxed))
}

/// Asks another CPU and waits for so many nanoseconds; then calls `show` for each of its functions, the innermost
/// first. False if it does not answer.
pub fn of_other(cpu: usize, patience_ns: u64, show: &mut dyn FnMut(CallSite)) -> bool {
    let Some(station) = STATIONS.of(cpu) else { return false };
    ask(cpu);
    let end = crate::time::now_ns().saturating_add(patience_ns);
    while station.is_asked.load(Acquire) {
        if crate::time::now_ns() > end {
            return false;
        }
        station.is_asked.pause_while(true);
    }
    station.show(show);
    true
}

/// The same for the kernel code of this CPU that an interrupt has found, from that interrupt's handler.
pub fn of_interrupted(show: &mut dyn FnMut(CallSite)) {
    of_chain(interrupted(), show);
}

/// The same for a task that no CPU runs. One that runs meanwhile leads to nonsense, and to nothing worse.
pub fn of_suspended(task: &Task, show: &mut dyn FnMut(CallSite)) {
    of_chain(task.place(), show);
}

/// The chain of calls of one task, the innermost first.
pub struct Calls {
    places: [CallSite; FRAMES],
    length: usize,
}

impl Calls {
    /// Of the running task, or of one that sleeps; `None` of any other, and of one that has not slept all the while.
    pub fn of(task: &Task) -> Option<Calls> {
        if crate::task::is_current(task) {
            let [caller, return_address] = record(Arch::frame_pointer())?;
            return Some(Calls::from(return_address, caller));
        }
        task.while_asleep(|| {
            let [pc, frame_pointer] = task.place();
            Calls::from(pc, frame_pointer)
        })
    }

    /// From a place behind a call.
    fn from(pc: u64, frame_pointer: u64) -> Calls {
        let mut calls = Calls { places: [CallSite { address: 0, is_return: true }; FRAMES], length: 0 };
        calls.length = follow(pc, frame_pointer, |index, address| calls.places[index].address = address);
        calls
    }

    /// The places.
    pub fn iter(&self) -> impl Iterator<Item = &CallSite> {
        self.places.iter().take(self.length)
    }
}

/// By way of this CPU's own station.
fn of_chain([pc, frame_pointer]: [u64; 2], show: &mut dyn FnMut(CallSite)) {
    STATIONS.with(|station| {
        station.note(pc, frame_pointer);
        station.show(show);
    });
}

#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine has no interrupts"))]
/// An interrupt has found this CPU there.
pub(crate) fn note_interrupted(pc: u64, frame_pointer: u64) {
    STATIONS.with(|station| {
        station.interrupted[0].store(pc, Relaxed);
        station.interrupted[1].store(frame_pointer, Relaxed);
    });
}

#[cfg_attr(target_os = "linux", allow(dead_code, reason = "the host machine has no interrupts"))]
/// This CPU has been asked, by an interrupt that found it there; zeros if that was in a program.
pub(crate) fn answer(pc: u64, frame_pointer: u64, interrupts: Interrupts) {
    STATIONS.with(|station| {
        if !station.is_asked.load(Acquire) {
            return;
        }
        station.note(pc, frame_pointer);
        if interrupts == Interrupts::Masked {
            station.masked_answers.fetch_add(1, Relaxed);
        }
        station.is_asked.store(false, Release);
    });
}

/// Where the last interrupt found this CPU: instruction and frame pointer; zeros if that was in a program.
pub(crate) fn interrupted() -> [u64; 2] {
    STATIONS.with(|station| station.interrupted.each_ref().map(|word| word.load(Relaxed)))
}

impl Station {
    fn note(&self, pc: u64, frame_pointer: u64) {
        let length = follow(pc, frame_pointer, |index, address| self.frames[index].store(address, Relaxed));
        self.length.store(length, Relaxed);
    }

    fn show(&self, show: &mut dyn FnMut(CallSite)) {
        for (index, frame) in self.frames.iter().take(self.length.load(Relaxed)).enumerate() {
            show(CallSite { address: frame.load(Relaxed), is_return: index != 0 });
        }
    }
}

/// Follows the frame records: the caller's record, then the return address, on both architectures. A program, or an
/// entry that has not got its own yet, may have left anything in the frame pointer: only mapped stacks are read. Calls
/// `note` for each of at most [`FRAMES`] addresses and returns their number.
fn follow(pc: u64, mut frame_pointer: u64, mut note: impl FnMut(usize, u64)) -> usize {
    let mut length = 0;
    let mut next = (pc != 0).then_some(pc);
    while let Some(address) = next
        && length < FRAMES
    {
        note(length, address);
        length += 1;
        next = record(frame_pointer).map(|[caller, return_address]| {
            frame_pointer = if caller > frame_pointer { caller } else { 0 };
            return_address
        });
    }
    length
}

/// The frame record at an address, if that lies on a stack and leads back into the kernel.
fn record(frame_pointer: u64) -> Option<[u64; 2]> {
    const KERNEL_HALF: u64 = 1 << 63;
    // Whoever uses the stack may change it meanwhile, and then the chain is nonsense, but what it leads to is checked
    // the same way.
    let record = [stack_word(frame_pointer)?, stack_word(frame_pointer.wrapping_add(8))?];
    (record[1] & KERNEL_HALF != 0).then_some(record)
}

/// A place in the kernel's code: shown as its address and the function that it belongs to.
#[derive(Clone, Copy)]
pub struct CallSite {
    pub(crate) address: u64,
    /// Behind a call, which may be the last instruction of its function: the byte before tells which.
    pub(crate) is_return: bool,
}

impl CallSite {
    /// The name of the function, how far inside the place is, and the function's size with what follows it to the next
    /// one.
    pub fn function(&self) -> Option<(impl fmt::Display, u64, u64)> {
        let back = u64::from(self.is_return);
        let address = self.address.wrapping_sub(back);
        let (name, offset) = crate::panic::symbol(address)?;
        Some((name, offset + back, crate::panic::symbol_size(address)?))
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let back = u64::from(self.is_return);
        match crate::panic::symbol(self.address.wrapping_sub(back)) {
            Some((name, offset)) => write!(formatter, "{:#018x} {name}+{:#x}", self.address, offset + back),
            None => write!(formatter, "{:#018x}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_pointers_that_lie_are_not_followed() {
        for frame_pointer in [0, 7, 8, u64::MAX - 7, 1 << 63, crate::task::stack_window()] {
            assert_eq!(record(frame_pointer), None);
        }
    }
}
