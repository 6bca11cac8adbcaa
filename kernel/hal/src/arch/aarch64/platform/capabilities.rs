//! What the CPU can do that programs may use: AT_HWCAP and AT_HWCAP2.
//!
//! Each row is a field of an identification register (D17.2.53 and on), the least value that means the feature, and Linux's
//! bit for it (Documentation/arm64/elf_hwcaps.rst). Left out on purpose: SVE, SME, pointer authentication and memory tagging
//! need state that is not switched.
use super::super::cpu::read_register;
use crate::cpu::HardwareCapabilities;

/// FP and ASIMD, which every CPU here has, and CPUID: `identification.rs` answers reads of the registers.
const ALWAYS: u64 = 1 << 0 | 1 << 1 | 1 << 11;

/// A field (its lowest bit), the least value, the bit of the word.
type Row = (u32, u64, u32);

/// ID_AA64ISAR0_EL1 → AT_HWCAP.
const INSTRUCTIONS_0: &[Row] = &[
    (4, 1, 3),   // AES
    (4, 2, 4),   // PMULL
    (8, 1, 5),   // SHA1
    (12, 1, 6),  // SHA2
    (12, 2, 21), // SHA512
    (16, 1, 7),  // CRC32
    (20, 2, 8),  // ATOMICS
    (28, 1, 12), // ASIMDRDM
    (32, 1, 17), // SHA3
    (36, 1, 18), // SM3
    (40, 1, 19), // SM4
    (44, 1, 20), // ASIMDDP
    (48, 1, 23), // ASIMDFHM
    (52, 1, 27), // FLAGM
];

/// ID_AA64ISAR1_EL1 → AT_HWCAP.
const INSTRUCTIONS_1: &[Row] = &[
    (0, 1, 16),  // DCPOP
    (12, 1, 13), // JSCVT
    (16, 1, 14), // FCMA
    (20, 1, 15), // LRCPC
    (20, 2, 26), // ILRCPC
    (36, 1, 29), // SB
];

/// ID_AA64ISAR0_EL1 → AT_HWCAP2.
const INSTRUCTIONS_0_SECOND: &[Row] = &[
    (52, 2, 7),  // FLAGM2
    (60, 1, 16), // RNG
];

/// ID_AA64ISAR1_EL1 → AT_HWCAP2.
const INSTRUCTIONS_1_SECOND: &[Row] = &[
    (0, 2, 0),   // DCPODP
    (32, 1, 8),  // FRINT
    (44, 1, 14), // BF16
    (48, 1, 15), // DGH
    (52, 1, 13), // I8MM
];

/// Stack bytes of a signal frame with its FP/SIMD record (Linux's `minsigstksz` without SVE).
const MINIMUM_SIGNAL_STACK: u64 = 4720;

fn gather(register: u64, rows: &[Row]) -> u64 {
    let has = |row: &&Row| register >> row.0 & 0xf >= row.1;
    rows.iter().filter(has).fold(0, |word, row| word | 1 << row.2)
}

/// Asks the executing CPU.
pub fn read() -> HardwareCapabilities {
    let first = read_register!("id_aa64isar0_el1");
    let second = read_register!("id_aa64isar1_el1");
    HardwareCapabilities {
        hwcap: ALWAYS | gather(first, INSTRUCTIONS_0) | gather(second, INSTRUCTIONS_1) | half_precision(),
        hwcap2: gather(first, INSTRUCTIONS_0_SECOND) | gather(second, INSTRUCTIONS_1_SECOND),
        minimum_signal_stack: MINIMUM_SIGNAL_STACK,
    }
}

/// ID_AA64ISAR0_EL1 as programs see it.
pub fn instructions_0() -> u64 {
    visible(read_register!("id_aa64isar0_el1"), [INSTRUCTIONS_0, INSTRUCTIONS_0_SECOND])
}

/// ID_AA64ISAR1_EL1 as programs see it.
pub fn instructions_1() -> u64 {
    visible(read_register!("id_aa64isar1_el1"), [INSTRUCTIONS_1, INSTRUCTIONS_1_SECOND])
}

/// The fields of `register` that have a row.
fn visible(register: u64, tables: [&[Row]; 2]) -> u64 {
    tables.into_iter().flatten().fold(0, |mask, row| mask | 0xf << row.0) & register
}

/// FPHP and ASIMDHP; the fields of ID_AA64PFR0_EL1 are signed, and 15 means that there is no FP at all.
fn half_precision() -> u64 {
    let features = read_register!("id_aa64pfr0_el1");
    let field = |shift: u32| features >> shift & 0xf == 1;
    u64::from(field(16)) << 9 | u64::from(field(20)) << 10
}
