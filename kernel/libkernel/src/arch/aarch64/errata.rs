//! Faults of Arm's cores that touch what this kernel does, by MIDR_EL1, and what it does about each.
//!
//! Source: Linux, Documentation/arm64/silicon-errata.rst and `arch/arm64/kernel/cpu_errata.c` of 6.1 for the revisions; Arm's Software
//! Developer Errata Notices of the cores name the same. Not listed, as nothing here meets them: those of AArch32 (845719, 1418040, 1742098),
//! of hypervisors (834220, 1319367, 2077057), of the self-hosted trace and statistics units, of hardware's own access and dirty flags
//! (1024718), of loads with acquire from devices (832075), and of SVE, MTE and pointer authentication.

/// A fault and the cores that have it.
#[derive(Debug)]
pub struct Erratum {
    /// Arm's number.
    pub number: u32,
    /// Part numbers, each with its first and last affected revision as variant and revision: `0x30` is r3p0.
    cores: &'static [(u64, u64, u64)],
    /// What is done.
    pub answer: Answer,
}

/// What the kernel does about a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Each broadcast invalidation of translations is done twice.
    RepeatsFlushes,
    /// Caches are cleaned and invalidated where cleaning would do.
    CleansAndInvalidates,
    /// The linker keeps the instructions apart.
    ByTheLinker,
    /// Nothing: what may come of it.
    Nothing(&'static str),
}

impl core::fmt::Display for Answer {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Answer::RepeatsFlushes => write!(formatter, "translations are forgotten twice"),
            Answer::CleansAndInvalidates => write!(formatter, "caches are cleaned and invalidated"),
            Answer::ByTheLinker => write!(formatter, "the kernel was linked for it"),
            Answer::Nothing(what) => write!(formatter, "not worked around: {what}"),
        }
    }
}

const ARM: u64 = 0x41;
const ALL: (u64, u64) = (0x00, 0xff);

const CORTEX_A53: u64 = 0xd03;
const CORTEX_A55: u64 = 0xd05;
const CORTEX_A73: u64 = 0xd09;
const CORTEX_A76: u64 = 0xd0b;
const NEOVERSE_N1: u64 = 0xd0c;
const CORTEX_A510: u64 = 0xd46;
const CORTEX_A77: u64 = 0xd0d;

/// All of them.
pub const ERRATA: [Erratum; 8] = [
    Erratum { number: 826_319, cores: &[(CORTEX_A53, 0x00, 0x02)], answer: Answer::CleansAndInvalidates },
    Erratum { number: 843_419, cores: &[(CORTEX_A53, 0x00, 0x04)], answer: Answer::ByTheLinker },
    Erratum {
        number: 858_921,
        cores: &[(CORTEX_A73, ALL.0, ALL.1)],
        answer: Answer::Nothing("the clock may be read wrong for a moment every few minutes"),
    },
    Erratum { number: 1_286_807, cores: &[(CORTEX_A76, 0x00, 0x30)], answer: Answer::RepeatsFlushes },
    Erratum { number: 2_441_007, cores: &[(CORTEX_A55, ALL.0, ALL.1)], answer: Answer::RepeatsFlushes },
    Erratum { number: 2_441_009, cores: &[(CORTEX_A510, 0x00, 0x11)], answer: Answer::RepeatsFlushes },
    Erratum {
        number: 1_542_419,
        cores: &[(NEOVERSE_N1, ALL.0, ALL.1)],
        answer: Answer::Nothing("a program that changes code while another CPU runs it may run the old code"),
    },
    Erratum {
        number: 1_508_412,
        cores: &[(CORTEX_A77, 0x00, 0x10)],
        answer: Answer::Nothing("reads of device and exclusive memory side by side may stop the CPU"),
    },
];

impl Erratum {
    /// Whether a core with this MIDR_EL1 and CTR_EL0 has it (DDI 0487, D17.2.100 and D17.2.34).
    fn is_of(&self, identity: u64, caches: u64) -> bool {
        /// It concerns programs that go by CTR_EL0.DIC.
        const BY_DIC: u32 = 1_542_419;
        let revision = identity >> 16 & 0xf0 | identity & 0xf;
        let part = identity >> 4 & 0xfff;
        identity >> 24 & 0xff == ARM
            && (self.number != BY_DIC || caches >> 29 & 1 != 0)
            && self
                .cores
                .iter()
                .any(|&(core, first, last)| core == part && (first..=last).contains(&revision))
    }
}

/// The faults of a core with this MIDR_EL1 and CTR_EL0.
pub fn of(identity: u64, caches: u64) -> impl Iterator<Item = &'static Erratum> {
    ERRATA.iter().filter(move |erratum| erratum.is_of(identity, caches))
}

/// Whether a core with this MIDR_EL1 and CTR_EL0 needs what `answer` stands for.
pub fn needs(identity: u64, caches: u64, answer: Answer) -> bool {
    of(identity, caches).any(|erratum| erratum.answer == answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// MIDR_EL1 of one of Arm's cores (architecture 0xf: by the identification registers).
    fn core(part: u64, variant: u64, revision: u64) -> u64 {
        ARM << 24 | variant << 20 | 0xf << 16 | part << 4 | revision
    }

    const DIC: u64 = 1 << 29;

    fn numbers(identity: u64) -> Vec<u32> {
        of(identity, DIC).map(|erratum| erratum.number).collect()
    }

    #[test]
    fn a_core_has_the_faults_of_its_revision() {
        assert_eq!(numbers(core(CORTEX_A53, 0, 2)), [826_319, 843_419]);
        assert_eq!(numbers(core(CORTEX_A53, 0, 3)), [843_419]);
        assert_eq!(numbers(core(CORTEX_A53, 0, 5)), []);
        assert_eq!(numbers(core(CORTEX_A76, 3, 0)), [1_286_807]);
        assert_eq!(numbers(core(CORTEX_A76, 3, 1)), []);
        assert_eq!(numbers(core(NEOVERSE_N1, 3, 1)), [1_542_419]);
        assert_eq!(of(core(NEOVERSE_N1, 3, 1), 0).count(), 0);
        assert_eq!(numbers(core(CORTEX_A55, 2, 0)), [2_441_007]);
        assert_eq!(numbers(core(CORTEX_A510, 1, 1)), [2_441_009]);
        assert_eq!(numbers(core(CORTEX_A510, 1, 2)), []);
    }

    #[test]
    fn other_makers_have_other_faults() {
        // The same part number, and QEMU's own core.
        assert_eq!(numbers(core(CORTEX_A53, 0, 2) & 0x00ff_ffff | 0x51 << 24), []);
        assert_eq!(numbers(0x000f_0510), []);
    }

    #[test]
    fn what_is_needed_follows() {
        assert!(needs(core(CORTEX_A76, 1, 0), 0, Answer::RepeatsFlushes));
        assert!(!needs(core(CORTEX_A76, 4, 0), 0, Answer::RepeatsFlushes));
        assert!(needs(core(CORTEX_A53, 0, 0), 0, Answer::CleansAndInvalidates));
    }
}
