//! The state of one CPU that programs can use or notice, given a known value whatever firmware, loader or reset left
//! there.
//!
//! [`set`] is the only place that does so, for the boot CPU and for those that start later; docs/entry-aarch64.md lists
//! all of it. Not here: what `boot.S` must set before there is memory (SCTLR_EL1, TCR_EL1, MAIR_EL1, EL2's registers;
//! one path for all CPUs), the timer's (`timer::initialise_cpu`), and what changes with the task (`user_registers`).
use super::super::cpu::write_register;
use super::identity::{Identity, Register};
use core::arch::asm;

/// CPACR_EL1: FPEN = 3, FP and SIMD for programs; ZEN = SMEN = 0, SVE and SME for nobody; TTA = 0 (D17.2.28).
pub const COPROCESSORS: u64 = 3 << 20;
/// MDSCR_EL1: no debug exceptions, no single step; TDCC: programs do not reach the debug communications channel
/// (D17.3.20).
pub const DEBUG: u64 = 1 << 12;

/// Gives the executing CPU, whose identity that is, its state.
///
/// # Safety
/// Runs once on each CPU, interrupts masked, before it runs a program.
pub unsafe fn set(identity: &Identity) {
    let counters = identity.field(Register::Debug0, 8);
    let activity_monitors = identity.field(Register::Processor0, 44);
    // SAFETY: the caller's promise; the registers exist on every CPU, or a field of an identification register says
    // that they do; all take something away from programs or are theirs to read.
    unsafe {
        write_register!("mdscr_el1", DEBUG);
        write_register!("oslar_el1", 0);
        write_register!("osdlr_el1", 0);
        write_register!("cpacr_el1", COPROCESSORS);
        write_register!("contextidr_el1", 0);
        // Thread registers: programs may read both, and reset leaves anything there.
        write_register!("tpidr_el0", 0);
        write_register!("tpidrro_el0", 0);
        if counters != 0 && counters != 0xf {
            write_register!("pmuserenr_el0", 0);
        }
        if activity_monitors != 0 {
            // AMUSERENR_EL0.
            write_register!("s3_3_c13_c2_3", 0);
        }
        if authenticates_pointers(identity) {
            clear_keys();
        }
        asm!("isb", options(nostack, preserves_flags));
    }
}

/// FEAT_PAuth: any of APA, API, GPA, GPI of ID_AA64ISAR1_EL1, or APA3, GPA3 of ID_AA64ISAR2_EL1 (D17.2.64, D17.2.65).
fn authenticates_pointers(identity: &Identity) -> bool {
    const FIRST: u64 = 0xff00_0ff0;
    const SECOND: u64 = 0xff00;
    identity.get(Register::Instructions1) & FIRST != 0 || identity.get(Register::Instructions2) & SECOND != 0
}

/// SCTLR_EL1 turns the other instructions off, but nothing turns PACGA off: what it computes shows the key.
///
/// # Safety
/// The CPU has FEAT_PAuth.
unsafe fn clear_keys() {
    // SAFETY: the caller's promise; the kernel is compiled without pointer authentication.
    unsafe {
        // APIAKey, APIBKey, APDAKey, APDBKey, APGAKey, each Lo and Hi.
        write_register!("s3_0_c2_c1_0", 0);
        write_register!("s3_0_c2_c1_1", 0);
        write_register!("s3_0_c2_c1_2", 0);
        write_register!("s3_0_c2_c1_3", 0);
        write_register!("s3_0_c2_c2_0", 0);
        write_register!("s3_0_c2_c2_1", 0);
        write_register!("s3_0_c2_c2_2", 0);
        write_register!("s3_0_c2_c2_3", 0);
        write_register!("s3_0_c2_c3_0", 0);
        write_register!("s3_0_c2_c3_1", 0);
    }
}
