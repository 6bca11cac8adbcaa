//! The identification registers, read once on each CPU, when it starts: a hypervisor is entered for each read
//! (HCR_EL2.TID1, TID2, TID3; D17.2.48).
//!
//! Nothing else reads them, but for what boots before this file can run, and MIDR_EL1 and MPIDR_EL1, which are not
//! trapped: the build looks for it. CPUs that have less than the boot CPU are left out (`smp`), so its answers are what
//! all have.
use super::super::cpu::read_register;
use crate::sync::Once;
use core::sync::atomic::{AtomicU64, Ordering};

/// The registers that are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// ID_AA64ISAR0_EL1.
    Instructions0,
    /// ID_AA64ISAR1_EL1.
    Instructions1,
    /// ID_AA64ISAR2_EL1.
    Instructions2,
    /// ID_AA64MMFR0_EL1.
    Memory0,
    /// ID_AA64MMFR1_EL1.
    Memory1,
    /// ID_AA64MMFR2_EL1.
    Memory2,
    /// ID_AA64PFR0_EL1.
    Processor0,
    /// ID_AA64PFR1_EL1.
    Processor1,
    /// ID_AA64DFR0_EL1.
    Debug0,
    /// REVIDR_EL1.
    Revision,
    /// CTR_EL0.
    CacheType,
}

const COUNT: usize = Register::CacheType as usize + 1;

/// What one CPU says.
#[derive(Clone, Copy)]
pub struct Identity([u64; COUNT]);

static BOOT: Once<Identity> = Once::new();
/// CTR_EL0 as it holds for every CPU.
static CACHE_TYPE: AtomicU64 = AtomicU64::new(0);

impl Identity {
    /// Asks the executing CPU.
    #[inline(never)]
    pub fn read() -> Self {
        // In the order of `Register`. Two by number: the assembler does not know their names.
        Self([
            read_register!("id_aa64isar0_el1"),
            read_register!("id_aa64isar1_el1"),
            read_register!("s3_0_c0_c6_2"),
            read_register!("id_aa64mmfr0_el1"),
            read_register!("id_aa64mmfr1_el1"),
            read_register!("s3_0_c0_c7_2"),
            read_register!("id_aa64pfr0_el1"),
            read_register!("id_aa64pfr1_el1"),
            read_register!("id_aa64dfr0_el1"),
            read_register!("revidr_el1"),
            read_register!("ctr_el0"),
        ])
    }

    /// One of the registers.
    pub fn get(&self, register: Register) -> u64 {
        self.0[register as usize]
    }

    /// The field of four bits from bit `shift` on.
    pub fn field(&self, register: Register, shift: u32) -> u64 {
        self.get(register) >> shift & 0xf
    }
}

/// Keeps what the executing CPU says: the boot CPU's for all, and how all have to look after instructions that were
/// written.
pub fn remember(identity: &Identity) {
    let own = identity.get(Register::CacheType);
    match BOOT.set(*identity) {
        Ok(()) => CACHE_TYPE.store(own, Ordering::Relaxed),
        // CPUs start one after the other.
        Err(_) => CACHE_TYPE.store(common(CACHE_TYPE.load(Ordering::Relaxed), own), Ordering::Relaxed),
    }
}

/// What both can do of CTR_EL0: the shorter lines, and to leave maintenance out only where neither needs it (IDC, DIC;
/// D17.2.34).
fn common(one: u64, other: u64) -> u64 {
    const LINE: u64 = 0xf << 16;
    const NEEDLESS: u64 = 3 << 28;
    let rest = one & !(LINE | NEEDLESS);
    rest | (one & LINE).min(other & LINE) | one & other & NEEDLESS
}

/// A register of the boot CPU's; zero before it has been read.
pub fn known(register: Register) -> u64 {
    BOOT.get().map_or(0, |identity| identity.get(register))
}

/// CTR_EL0 as it holds for every CPU.
#[inline]
pub fn cache_type() -> u64 {
    CACHE_TYPE.load(Ordering::Relaxed)
}
