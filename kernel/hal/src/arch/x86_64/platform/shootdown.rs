//! Making other CPUs forget translations, by interrupt: see [`libkernel::arch::x86_64::shootdown`].
use super::{apic, hypervisor};
use crate::arch::Arch;
use crate::arch::x86_64::paging::{flush_all, flush_here};
use crate::arch::x86_64::trap::VECTOR_FLUSH;
use crate::contract::Cpu as _;
use libkernel::addr::UserAddr;
use libkernel::arch::x86_64::shootdown::{Machine, Shootdown};

static SHOOTDOWN: Shootdown = Shootdown::new();

/// The executing CPU.
struct This;

impl Machine for This {
    fn interrupt(&self, cpus: u64) {
        if !hypervisor::send(cpus, VECTOR_FLUSH) {
            (0..crate::cpu::count())
                .filter(|cpu| cpus & 1 << cpu != 0)
                .for_each(|cpu| apic::send(cpu, VECTOR_FLUSH));
        }
        hypervisor::give_turn(cpus);
    }

    fn forgets_by_itself(&self, cpu: usize) -> bool {
        hypervisor::forgets_by_itself(cpu)
    }

    fn forget(&self, first: UserAddr, last: UserAddr) {
        flush_here(first, last);
    }

    fn relax(&self) {
        Arch::relax();
    }
}

/// Makes `cpus`, all others than this one, forget the pages from `first` to `last` of what they run on. Preemption off.
pub fn request(cpus: u64, first: UserAddr, last: UserAddr) {
    assert!(Arch::interrupts_enabled(), "a flush with interrupts off can wait for ever");
    SHOOTDOWN.ask(Arch::id(), cpus, (first, last), &This);
}

/// Makes all other CPUs forget what they keep of all address spaces and of the kernel. Preemption off.
pub fn request_kernel() {
    assert!(Arch::interrupts_enabled(), "a flush with interrupts off can wait for ever");
    let cpus = u64::MAX >> (u64::BITS as usize - crate::cpu::count());
    SHOOTDOWN.ask_kernel(Arch::id(), cpus & !(1 << Arch::id()), &This);
}

/// This CPU's answer to the requests of others. Interrupt context.
pub fn answer() {
    SHOOTDOWN.answer(Arch::id(), &This);
}

/// This CPU runs a task without user memory. Interrupts masked.
#[inline]
pub fn rest() {
    SHOOTDOWN.rest(Arch::id());
}

/// This CPU, which is `cpu`, goes on with the address space that it had before [`rest`]. Interrupts masked.
#[inline]
pub fn wake(cpu: usize) {
    if SHOOTDOWN.wake(cpu) {
        flush_all();
    }
}
