//! What the CPU can do that programs may use: AT_HWCAP and AT_HWCAP2.
//!
//! Each row is a field of an identification register (D17.2.53 and on), the least value that means the feature, and
//! Linux's bit for it (Documentation/arm64/elf_hwcaps.rst). Left out on purpose: SVE, SME, pointer authentication, BTI
//! and memory tagging need state that is not switched.
use super::errata;
use super::identity::{Identity, Register, known};
use crate::cpu::HardwareCapabilities;
use libkernel::arch::aarch64::errata::Answer;

/// FP, ASIMD and the timer's event stream, which every CPU here has, and CPUID: `identification.rs` answers reads of
/// the registers.
const ALWAYS: u64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 11;

use Register::{
    Instructions0, Instructions1, Instructions2, Memory0, Memory1, Memory2, Processor0, Processor1,
};

/// Where a feature's bit is.
#[derive(Clone, Copy)]
enum Bit {
    /// AT_HWCAP.
    First(u32),
    /// AT_HWCAP2.
    Second(u32),
}

use Bit::{First, Second};

/// A register, its field's lowest bit, the least value, Linux's bit.
const FEATURES: [(Register, u32, u64, Bit); 35] = [
    (Instructions0, 4, 1, First(3)),    // AES
    (Instructions0, 4, 2, First(4)),    // PMULL
    (Instructions0, 8, 1, First(5)),    // SHA1
    (Instructions0, 12, 1, First(6)),   // SHA2
    (Instructions0, 12, 2, First(21)),  // SHA512
    (Instructions0, 16, 1, First(7)),   // CRC32
    (Instructions0, 20, 2, First(8)),   // ATOMICS
    (Instructions0, 28, 1, First(12)),  // ASIMDRDM
    (Instructions0, 32, 1, First(17)),  // SHA3
    (Instructions0, 36, 1, First(18)),  // SM3
    (Instructions0, 40, 1, First(19)),  // SM4
    (Instructions0, 44, 1, First(20)),  // ASIMDDP
    (Instructions0, 48, 1, First(23)),  // ASIMDFHM
    (Instructions0, 52, 1, First(27)),  // FLAGM
    (Instructions0, 52, 2, Second(7)),  // FLAGM2
    (Instructions0, 60, 1, Second(16)), // RNG
    (Instructions1, 0, 1, First(16)),   // DCPOP
    (Instructions1, 0, 2, Second(0)),   // DCPODP
    (Instructions1, 12, 1, First(13)),  // JSCVT
    (Instructions1, 16, 1, First(14)),  // FCMA
    (Instructions1, 20, 1, First(15)),  // LRCPC
    (Instructions1, 20, 2, First(26)),  // ILRCPC
    (Instructions1, 32, 1, Second(8)),  // FRINT
    (Instructions1, 36, 1, First(29)),  // SB
    (Instructions1, 44, 1, Second(14)), // BF16
    (Instructions1, 44, 2, Second(32)), // EBF16
    (Instructions1, 48, 1, Second(15)), // DGH
    (Instructions1, 52, 1, Second(13)), // I8MM
    (Instructions2, 0, 2, Second(31)),  // WFXT
    (Instructions2, 4, 1, Second(21)),  // RPRES
    (Memory0, 60, 1, Second(19)),       // ECV
    (Memory1, 44, 1, Second(20)),       // AFP
    (Memory2, 32, 1, First(25)),        // USCAT
    (Processor0, 48, 1, First(24)),     // DIT
    (Processor1, 4, 2, First(28)),      // SSBS
];

/// Stack bytes of a signal frame with its FP/SIMD record (Linux's `minsigstksz` without SVE).
const MINIMUM_SIGNAL_STACK: u64 = 4720;

/// What a CPU with this identity can do.
pub fn of(identity: &Identity) -> HardwareCapabilities {
    let mut capabilities = HardwareCapabilities {
        hwcap: ALWAYS | half_precision(identity),
        hwcap2: 0,
        minimum_signal_stack: MINIMUM_SIGNAL_STACK,
    };
    for (register, shift, least, bit) in FEATURES {
        if shown(register, identity.get(register)) >> shift & 0xf >= least {
            match bit {
                First(bit) => capabilities.hwcap |= 1 << bit,
                Second(bit) => capabilities.hwcap2 |= 1 << bit,
            }
        }
    }
    capabilities
}

/// A register as programs see it.
pub fn visible(register: Register) -> u64 {
    shown(register, known(register))
}

/// The fields of a register that have a feature.
fn shown(register: Register, value: u64) -> u64 {
    let fields = FEATURES.iter().filter(|feature| feature.0 == register);
    let fields = fields.fold(0, |mask, feature| mask | 0xf << feature.1);
    // What Linux hides too: SSBS, which does not take effect at once (erratum 3194386), and BF16.
    let hidden = |answer, shift: u32| if errata::is_done(answer) { 0xf << shift } else { 0 };
    let hidden = match register {
        Processor1 => hidden(Answer::HidesBypassControl, 4),
        Instructions1 => hidden(Answer::HidesHalfPrecisionProducts, 44),
        _ => 0,
    };
    value & fields & !hidden
}

/// FPHP and ASIMDHP; the fields of ID_AA64PFR0_EL1 are signed, and 15 means that there is no FP at all.
fn half_precision(identity: &Identity) -> u64 {
    let field = |shift: u32| identity.field(Processor0, shift) == 1;
    u64::from(field(16)) << 9 | u64::from(field(20)) << 10
}
