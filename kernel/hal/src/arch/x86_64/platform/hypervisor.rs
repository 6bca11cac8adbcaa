//! What KVM does for a guest that asks, each offered by CPUID: ends of interrupts, interrupts to many CPUs, flushes and
//! turns of CPUs that do not run, and no polling of its own.
//!
//! `nopv` leaves all of it alone. Asynchronous page faults stay off, and so do kicks: a spin lock does not know who
//! waits for it, and KVM makes CPUs that spin give way by itself. Sources: Linux,
//! Documentation/virt/kvm/x86/{msr,cpuid,hypercalls}.rst.
use super::super::patches::patched;
use super::{apic, kvm as clock, msr};
use crate::arch::Arch;
use crate::contract::Cpu as _;
use crate::cpu::MAX_CPUS;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use libkernel::arch::x86_64::kvm::{self, Kvm};
use libkernel::command_line::CommandLine;

/// What this file has asked for, in CPUID's bits. Settled before the other CPUs start.
static USED: AtomicU32 = AtomicU32::new(0);
/// Whether an idle CPU polls before it sleeps.
static POLLS: AtomicBool = AtomicBool::new(false);

/// What KVM writes for one CPU: bit 0 says that the end of the interrupt in service need not be told.
#[repr(align(64))]
struct End(AtomicU32);

static ENDS: [End; MAX_CPUS] = [const { End(AtomicU32::new(0)) }; MAX_CPUS];

/// Chooses of what `kvm` offers. On the boot CPU.
pub fn initialise(kvm: &Kvm, words: CommandLine<'_>) {
    let has = |feature: u32| kvm.features & feature == feature;
    let mut used = kvm.features & (kvm::END_OF_INTERRUPT | kvm::SEND_INTERRUPT);
    // A CPU of its own is never kept from running.
    if has(kvm::STEAL_TIME) && !kvm.is_dedicated {
        used |= kvm.features & (kvm::FLUSH | kvm::YIELD);
    }
    let is_forced =
        words.option("cpuidle_haltpoll.force").is_some_and(|value| [&b"1"[..], b"Y", b"y"].contains(&value));
    if kvm.is_dedicated || is_forced {
        POLLS.store(true, Ordering::Relaxed);
        used |= kvm.features & kvm::POLL_CONTROL;
        crate::boot::uses("idle CPUs that poll before they sleep");
    }
    USED.store(used, Ordering::Relaxed);
    for (feature, what) in [
        (kvm::END_OF_INTERRUPT, "KVM's ends of interrupts"),
        (kvm::SEND_INTERRUPT, "KVM's interrupts to many CPUs"),
        (kvm::FLUSH, "KVM's flushes of CPUs that do not run"),
    ] {
        if used & feature != 0 {
            crate::boot::uses(what);
        }
    }
}

#[inline(always)]
fn uses(feature: u32) -> bool {
    USED.load(Ordering::Relaxed) & feature != 0
}

/// Asks for it on the executing CPU, whose number is `cpu`.
pub fn enable(cpu: usize) {
    const ON: u64 = 1;
    const NO_HOST_POLLING: u64 = 0;
    // SAFETY: CPUID announces each register; the hypervisor writes to a word that is atomic and nothing else, for ever.
    unsafe {
        if uses(kvm::END_OF_INTERRUPT) {
            msr::write(msr::KVM_END_OF_INTERRUPT, clock::physical(&ENDS[cpu].0) | ON);
        }
        if uses(kvm::POLL_CONTROL) {
            msr::write(msr::KVM_POLL_CONTROL, NO_HOST_POLLING);
        }
    }
}

/// Whether the end of the interrupt in service is known to KVM already. Interrupts masked.
#[inline]
pub fn knows_end_of_interrupt() -> bool {
    if !uses(kvm::END_OF_INTERRUPT) {
        return false;
    }
    let word = ENDS[Arch::id()].0.as_ptr();
    let known: u8;
    // SAFETY: the word is this CPU's; KVM writes to it only while it does not run the CPU, so one instruction is
    // enough, without a lock.
    unsafe { asm!("btr dword ptr [{}], 0", "setc {}", in(reg) word, out(reg_byte) known, options(nostack)) };
    known != 0
}

/// Whether idle CPUs poll before they sleep.
#[inline]
pub fn polls() -> bool {
    POLLS.load(Ordering::Relaxed)
}

/// True if `cpu` does not run, and will forget all translations before it does.
#[inline]
pub fn forgets_by_itself(cpu: usize) -> bool {
    uses(kvm::FLUSH) && clock::flushes_later(cpu)
}

/// Interrupts the CPUs of a mask by one exit. False if that must be done otherwise.
pub fn send(cpus: u64, vector: u8) -> bool {
    const MANY: u32 = 2;
    if !uses(kvm::SEND_INTERRUPT) || cpus.count_ones() < MANY {
        return false;
    }
    let identities = || (0..MAX_CPUS).filter(|cpu| cpus & 1 << cpu != 0).map(apic::identity_of);
    let Some(call) = kvm::send_call(identities(), vector) else { return false };
    hypercall(call) >= 0
}

/// Lets one of a mask's CPUs that could run, and do not, have this CPU's turn: who waits for them all waits for it.
pub fn give_turn(cpus: u64) {
    const YIELD: u64 = 11;
    if !uses(kvm::YIELD) {
        return;
    }
    let kept = (0..MAX_CPUS).find(|&cpu| cpus & 1 << cpu != 0 && clock::is_preempted(cpu));
    if let Some(cpu) = kept {
        hypercall([YIELD, apic::identity_of(cpu).into(), 0, 0, 0]);
    }
}

/// Calls the hypervisor: number and arguments; what it returns, negative for an error. AMD's CPUs have an instruction
/// of their own.
fn hypercall([number, first, second, third, fourth]: [u64; 5]) -> i64 {
    let result;
    // SAFETY: CPUID announced the call, and its caller knows it; it changes no memory and no other register. RBX, which
    // is not for operands, has the first argument meanwhile.
    unsafe {
        asm!("xchg rbx, {first}", patched!(AMD, "vmcall" => "vmmcall"), "xchg rbx, {first}",
            first = inout(reg) first => _, inlateout("rax") number.cast_signed() => result,
            in("rcx") second, in("rdx") third, in("rsi") fourth, options(nostack));
    }
    result
}
