//! Starting the other CPUs, one after the other.
//!
//! The boot CPU makes what a CPU needs before it runs ([`Start`]), asks the architecture to start it, and waits. The
//! CPU answers before it touches anything that is shared; one that comes when nobody waits any more sleeps for ever.
//! Then the two compare their clocks: time must not run backwards for a program that moves, so where they differ all
//! CPUs go by another counter, and a CPU sleeps for ever too if there is none. Indices are given in the order of the
//! answers, so they have no gaps.
mod clocks;

use crate::arch::Arch;
use crate::contract::{Cpu as _, Paging as _, Platform as _, Smp};
use crate::cpu::{self, MAX_CPUS};
use crate::frame::OutOfMemory;
use crate::sync::spin_until;
use crate::task::{self, KernelStack};
use crate::upcalls::upcalls;
use alloc::boxed::Box;
use clocks::{Clocks, LOOKS, Side};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How long a CPU may take to answer. A virtual CPU's host may have other things to do.
const PATIENCE_NS: u64 = 10_000_000_000;

/// What a start has come to. The boot CPU waits in these states, and the CPU that starts ends them.
const STARTING: u32 = 0;
const ANSWERED: u32 = 1;
/// The CPU waits for the boot CPU's verdict.
const COMPARED: u32 = 2;
const ACCEPTED: u32 = 3;
const ONLINE: u32 = 4;
/// The ends of CPUs that do not run.
const ABANDONED: u32 = 5;
const REFUSED: u32 = 6;

/// Why a CPU does not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeftOut {
    /// There was no memory for it, or the firmware does not start it.
    NotStarted,
    /// It does not answer.
    Silent,
    /// Its clock is behind that of the boot CPU, or ahead of it.
    ClockDiffers,
}

/// What one CPU finds when it starts.
#[repr(C)]
pub struct Start {
    /// End of its idle task's stack.
    pub stack_top: *mut u8,
    /// Its index.
    pub cpu: usize,
    /// What the firmware calls it.
    pub identity: u64,
    /// What the architecture made for it.
    pub data: <Arch as Smp>::CpuData,
    state: AtomicU32,
    clocks: Clocks,
    /// The CPUs' own counters, which the clocks may come to run by.
    counters: Clocks,
    _stack: KernelStack,
}

// SAFETY: the stack is used by the started CPU alone; the rest is constant or atomic.
unsafe impl Sync for Start {}

impl Start {
    fn new(cpu: usize, identity: u64) -> Result<Box<Self>, OutOfMemory> {
        let stack = KernelStack::allocate()?;
        Ok(Box::new(Self {
            stack_top: stack.top(),
            cpu,
            identity,
            data: Arch::prepare_cpu(cpu)?,
            state: AtomicU32::new(STARTING),
            clocks: Clocks::new(),
            counters: Clocks::new(),
            _stack: stack,
        }))
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Waits for the answer, judges the clock, and waits for the CPU to be ready.
    fn wait(&self, patience_ns: u64) -> Result<(), LeftOut> {
        let deadline = crate::time::now_ns() + patience_ns;
        loop {
            let state = self.state.load(Ordering::Acquire);
            self.look(Side::Boot);
            if state == COMPARED && !self.counters.agree() {
                Arch::distrust_own_counter();
            }
            match state {
                STARTING if crate::time::now_ns() >= deadline && self.change(STARTING, ABANDONED) => {
                    return Err(LeftOut::Silent);
                }
                COMPARED if !self.clocks.agree() && !crate::time::leave_counter() => {
                    self.state.store(REFUSED, Ordering::Release);
                    return Err(LeftOut::ClockDiffers);
                }
                COMPARED => {
                    self.state.store(ACCEPTED, Ordering::Release);
                }
                ONLINE => return Ok(()),
                _ => Arch::relax(),
            }
        }
    }

    fn look(&self, side: Side) {
        self.clocks.look(side, crate::time::now_ns_in_order);
        self.counters.look(side, Arch::own_counter_in_order);
    }

    /// The CPU's answer; false: it is to sleep for ever.
    #[inline(never)]
    fn answer(&self) -> bool {
        if !self.change(STARTING, ANSWERED) {
            return false;
        }
        (0..LOOKS).for_each(|_| self.look(Side::Other));
        self.state.store(COMPARED, Ordering::Release);
        spin_until(&self.state, |state| state != COMPARED);
        self.state.load(Ordering::Acquire) == ACCEPTED
    }
}

/// Starts CPUs until `limit` run, the boot CPU included. `left_out` is told what the firmware calls a CPU that does not
/// run, and why. By the boot task, interrupts on. Panics the second time: a CPU that runs is not to be started once
/// more.
pub fn start_other_cpus(limit: usize, left_out: &mut dyn FnMut(u64, LeftOut)) {
    static CALLED: AtomicBool = AtomicBool::new(false);
    assert!(!CALLED.swap(true, Ordering::Relaxed), "the other CPUs were started before");
    let limit = limit.min(MAX_CPUS);
    if limit < 2 {
        return;
    }
    Arch::for_each_other_cpu(&mut |identity| {
        let cpu = cpu::count();
        if cpu < limit
            && let Err(reason) = start(cpu, identity)
        {
            left_out(identity, reason);
        }
        cpu::count() < limit
    });
}

fn start(cpu: usize, identity: u64) -> Result<(), LeftOut> {
    let start = Start::new(cpu, identity).map_err(|_| LeftOut::NotStarted)?;
    // For ever: it is the CPU's own, and one that answers too late still reads it.
    let start = Box::leak(start);
    if !Arch::start_cpu(start) {
        return Err(LeftOut::NotStarted);
    }
    start.wait(PATIENCE_NS)
}

/// The CPU's own first steps: on its idle task's stack, interrupts masked, its per-CPU data in place.
#[allow(dead_code, reason = "the host machine has one CPU")]
pub(crate) fn run(start: &'static Start) -> ! {
    if !start.answer() {
        Arch::halt();
    }
    task::init_boot_task();
    Arch::initialise_cpu();
    cpu::add_online();
    // Nobody has told it to forget before.
    Arch::flush_kernel_here();
    start.state.store(ONLINE, Ordering::Release);
    Arch::interrupts_enable();
    upcalls().start_cpu()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn start() -> Box<Start> {
        Start::new(1, 7).unwrap()
    }

    #[test]
    fn a_cpu_that_answers_too_late_hears_so() {
        let start = start();
        assert_eq!(start.wait(0), Err(LeftOut::Silent));
        assert!(!start.answer());
    }

    #[test]
    fn either_both_go_on_or_none_does() {
        for round in 0..200 {
            let start = start();
            let (answered, waited) = thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let goes_on = start.answer();
                    if goes_on {
                        start.state.store(ONLINE, Ordering::Release);
                    }
                    goes_on
                });
                // From a CPU that nobody waits for to one that has all the time.
                let waited = start.wait(round % 20 * 10_000);
                (other.join().unwrap(), waited)
            });
            assert_eq!(waited, if answered { Ok(()) } else { Err(LeftOut::Silent) });
        }
    }
}
