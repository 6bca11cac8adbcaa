//! Starting the other CPUs, one after the other.
//!
//! The boot CPU makes what a CPU needs before it runs ([`Start`]), asks the architecture to start it, and waits. The CPU answers
//! before it touches anything that is shared; one that comes when nobody waits any more sleeps for ever. Indices are
//! given in the order of the answers, so they have no gaps.
use crate::arch::Arch;
use crate::contract::{Cpu as _, Platform as _, Smp};
use crate::cpu::{self, MAX_CPUS};
use crate::frame::OutOfMemory;
use crate::task::{self, KernelStack};
use crate::upcalls::upcalls;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, Ordering};

/// How long a CPU may take to answer. A virtual CPU's host may have other things to do.
const PATIENCE_NS: u64 = 1_000_000_000;

const STARTING: u32 = 0;
const ANSWERED: u32 = 1;
const ABANDONED: u32 = 2;
const ONLINE: u32 = 3;

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
            _stack: stack,
        }))
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Waits for the answer, then for the CPU to be ready; false if there is no answer.
    fn wait(&self) -> bool {
        let deadline = Arch::now_ns() + PATIENCE_NS;
        loop {
            match self.state.load(Ordering::Acquire) {
                ONLINE => return true,
                STARTING if Arch::now_ns() >= deadline && self.change(STARTING, ABANDONED) => return false,
                _ => Arch::relax(),
            }
        }
    }
}

/// Starts CPUs until `limit` run, the boot CPU included. `silent` is told what the firmware calls a CPU that does not answer, or for
/// which there was no memory; it is left out. Called once, by the boot task, interrupts on.
pub fn start_other_cpus(limit: usize, silent: &mut dyn FnMut(u64)) {
    let limit = limit.min(MAX_CPUS);
    if limit < 2 {
        return;
    }
    Arch::for_each_other_cpu(&mut |identity| {
        let cpu = cpu::count();
        if cpu < limit && !start(cpu, identity) {
            silent(identity);
        }
        cpu::count() < limit
    });
}

fn start(cpu: usize, identity: u64) -> bool {
    let Ok(start) = Start::new(cpu, identity) else { return false };
    // For ever: it is the CPU's own, and one that answers too late still reads it.
    let start = Box::leak(start);
    Arch::start_cpu(start) && start.wait()
}

/// The CPU's own first steps: on its idle task's stack, interrupts masked, its per-CPU data in place.
#[allow(dead_code, reason = "the host machine has one CPU")]
pub(crate) fn run(start: &'static Start) -> ! {
    if !start.change(STARTING, ANSWERED) {
        Arch::halt();
    }
    task::init_boot_task();
    Arch::initialise_cpu();
    cpu::add_online();
    start.state.store(ONLINE, Ordering::Release);
    Arch::interrupts_enable();
    upcalls().start_cpu()
}
