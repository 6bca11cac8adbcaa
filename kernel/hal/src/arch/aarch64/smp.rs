//! The other CPUs: started by PSCI, in `boot.S`, on the boot CPU's tables.
//!
//! A CPU that lacks a feature which the boot CPU has, and the kernel or programs rely on, stops before it answers, and
//! so is left out; so is one with a fault, or a way to guess, that nothing is done about, which another core of this
//! machine has to be known for. Spin tables and other ways than PSCI are not supported: such CPUs are reported as
//! silent.
use super::cpu::{self, Running, affinity};
use super::platform::gic::{self, Request};
use super::platform::identity::{Identity, Register};
use super::platform::{capabilities, errata, machine, psci, read_back};
use super::{Arch, paging, speculation, timer, user_copy};
use crate::boot::secondary::{self, Start};
use crate::contract::{Cpu as _, Smp};
use crate::cpu::MAX_CPUS;
use crate::frame::OutOfMemory;
use crate::sync::Once;
use crate::task::KernelStack;
use core::arch::asm;
use core::mem::{ManuallyDrop, offset_of, size_of};
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::device_tree::Cpu;
use libkernel::topology::CpuPosition;

/// Offset of the first stack's end in a [`Start`], for `boot.S`.
pub(super) const START_STACK_TOP: usize = offset_of!(Start, stack_top);

/// What a CPU must have.
static FEATURES: Once<Features> = Once::new();

/// The affinity of each CPU that was started.
static AFFINITIES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Keeps what is needed to start CPUs. On the boot CPU.
pub(super) fn remember() {
    AFFINITIES[0].store(affinity(), Ordering::Relaxed);
    let _ = FEATURES.set(Features::read());
}

/// The machine's CPUs.
fn cpus() -> &'static [Cpu] {
    machine::known().map_or(&[], |machine| &machine.cpus)
}

/// What has been found out on the boot CPU and is used on every one.
struct Features {
    programs: [u64; 2],
    random: bool,
    /// PSTATE.PAN.
    access_control: u64,
    asid_bits: u64,
    address_bits: u64,
}

impl Features {
    fn read() -> Self {
        let identity = Identity::read();
        let capabilities = capabilities::of(&identity);
        Self {
            programs: [capabilities.hwcap, capabilities.hwcap2],
            random: identity.field(Register::Instructions0, 60) != 0,
            access_control: identity.field(Register::Memory1, 20),
            asid_bits: identity.field(Register::Memory0, 4),
            address_bits: identity.field(Register::Memory0, 0),
        }
    }

    /// Whether a CPU with these can stand in for one with `wanted`.
    fn cover(&self, wanted: &Self) -> bool {
        let mut programs = self.programs.iter().zip(&wanted.programs);
        programs.all(|(has, wants)| has & wants == *wants)
            && self.random >= wanted.random
            && self.access_control >= wanted.access_control
            && self.asid_bits >= wanted.asid_bits
            && self.address_bits >= wanted.address_bits
    }
}

/// A CPU's interrupt stack, its own for ever.
pub struct CpuData {
    interrupt_stack: ManuallyDrop<KernelStack>,
}

unsafe extern "C" {
    /// boot.S.
    static secondary_entry: u8;
}

impl Smp for Arch {
    type CpuData = CpuData;

    fn prepare_cpu(_cpu: usize) -> Result<CpuData, OutOfMemory> {
        Ok(CpuData { interrupt_stack: ManuallyDrop::new(KernelStack::allocate()?) })
    }

    fn for_each_other_cpu(visit: &mut dyn FnMut(u64) -> bool) {
        let this = affinity();
        cpus().iter().filter(|cpu| cpu.affinity != this).all(|cpu| visit(cpu.affinity));
    }

    fn start_cpu(start: &'static Start) -> bool {
        if !cpus().iter().any(|cpu| cpu.affinity == start.identity && cpu.starts_by_psci) {
            return false;
        }
        AFFINITIES[start.cpu].store(start.identity, Ordering::Relaxed);
        // SAFETY: the stack is the CPU's and not in use; its end is aligned.
        unsafe { start.stack_top.wrapping_sub(size_of::<Running>()).cast::<Running>().write(Running::EMPTY) };
        // SAFETY: a barrier: what the CPU will read is in memory that it sees.
        unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
        let entry = paging::image_address(&raw const secondary_entry);
        // SAFETY: boot.S takes the address of a `Start` there.
        unsafe { psci::start_cpu(start.identity, entry, core::ptr::from_ref(start) as u64) }
    }

    fn place(cpu: usize) -> CpuPosition {
        let affinity = AFFINITIES.get(cpu).map_or(0, |affinity| affinity.load(Ordering::Relaxed));
        let known = cpus().iter().find(|cpu| cpu.affinity == affinity).and_then(|cpu| cpu.place);
        // Without a word of it, each CPU is a core of one package, as on Linux (`store_cpu_topology`).
        known.unwrap_or(CpuPosition { core: cpu as u32, ..CpuPosition::default() })
    }

    fn initialise_cpu() {
        gic::initialise_cpu(Arch::id());
        timer::initialise_cpu();
        read_back::check();
    }

    fn send_inquiry(cpu: usize) {
        // Some hypervisors do not deliver urgent ones: what a CPU gets twice it answers once.
        gic::send(Request::Inquire, cpu);
        gic::send(Request::InquireSoon, cpu);
    }

    fn stop_others() {
        gic::send_to_others(Request::Stop);
        gic::send_to_others(Request::StopSoon);
    }

    fn halt() -> ! {
        loop {
            // SAFETY: with interrupts masked nothing more happens here.
            unsafe { asm!("msr daifset, #3", "wfi", options(nomem, nostack)) };
        }
    }
}

/// First Rust code of another CPU: on its idle task's stack, at the linked address, interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn aarch64_start_cpu(start: &'static Start) -> ! {
    // SAFETY: boot.S pointed TPIDR_EL1 to the block of this stack; number and interrupt stack are this CPU's own.
    unsafe { cpu::initialise(start.cpu as u32, start.data.interrupt_stack.top() as u64) };
    paging::forget_boot_mappings();
    let has_features = FEATURES.get().is_some_and(|wanted| Features::read().cover(wanted));
    let identity = Identity::read();
    if !has_features || !errata::are_answered(&identity) || !speculation::is_covered(&identity) {
        Arch::halt();
    }
    errata::prepare_cpu();
    user_copy::forbid_user_access();
    secondary::run(start)
}
