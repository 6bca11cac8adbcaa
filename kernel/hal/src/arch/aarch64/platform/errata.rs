//! What is done about faults of the machine's cores (`libkernel`'s table): settled once, before the text is patched.
//!
//! It is done on all CPUs alike, for whatever one of them needs: the boot CPU by its registers, the others by their
//! names in the device tree. One that needs more all the same when it starts is left out (`smp`).
use super::super::cpu::{read_register, write_register};
use super::identity::{Identity, Register, cache_type};
use super::machine::Machine;
use core::arch::asm;
use core::sync::atomic::{AtomicU16, Ordering};
use libkernel::arch::aarch64::errata::{Answer, Answers};

static ANSWERS: AtomicU16 = AtomicU16::new(0);

/// Settles it. On the boot CPU.
pub fn settle(machine: &Machine) {
    let own = Answers::of(read_register!("midr_el1"), cache_type());
    let all = machine.cpus.iter().fold(own, |all, cpu| all.with(cpu.answers));
    ANSWERS.store(all.bits(), Ordering::Relaxed);
}

/// What is done.
pub fn answers() -> Answers {
    Answers::from_bits(ANSWERS.load(Ordering::Relaxed))
}

/// Whether this is done.
#[inline]
pub fn is_done(answer: Answer) -> bool {
    answers().contain(answer)
}

/// Whether the executing CPU, whose identity that is, has what it needs.
pub fn are_answered(identity: &Identity) -> bool {
    answers().cover(Answers::of(read_register!("midr_el1"), identity.get(Register::CacheType)))
}

/// What each CPU has to do for itself, before it runs a program.
pub fn prepare_cpu() {
    /// SCTLR_EL1.UCT: programs read CTR_EL0 (D17.2.118). Else it traps, and `identification` answers.
    const USER_CACHE_TYPE: u64 = 1 << 15;
    if is_done(Answer::HidesCoherence) {
        let control = read_register!("sctlr_el1");
        // SAFETY: takes something away from programs.
        unsafe {
            write_register!("sctlr_el1", control & !USER_CACHE_TYPE);
            asm!("isb", options(nostack, preserves_flags));
        }
    }
}
