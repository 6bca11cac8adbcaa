//! Faults of Arm's cores that touch what this kernel does, by MIDR_EL1, and what it does about each.
//!
//! Source: Linux, Documentation/arm64/silicon-errata.rst and `arch/arm64/kernel/cpu_errata.c` for the revisions; Arm's
//! Software Developer Errata Notices of the cores name the same. Not listed, as nothing here meets them: those of
//! AArch32 (845719, 1418040, 1742098), of hypervisors and of address translation by instruction (834220, 1165522,
//! 1319367, 1530923, 2077057), of the self-hosted trace and statistics units and of activity monitors (2457168), of
//! hardware's own access and dirty flags (1024718, 2051678), of loads with acquire from devices (832075), and of SVE,
//! MTE and pointer authentication. Other makers' cores are not looked at.

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
    /// The counter is read twice, for programs too.
    ReadsCounterTwice,
    /// Programs are told to look after instruction caches.
    HidesCoherence,
    /// Programs are not told of BF16.
    HidesHalfPrecisionProducts,
    /// Programs are not told that they may write PSTATE.SSBS.
    HidesBypassControl,
    /// Pages that are not to be executed any more are hidden and forgotten first.
    HidesPagesFirst,
    /// A translation that nobody has is forgotten before each return to a program.
    ForgetsBeforeReturn,
    /// Nothing has to be: the kernel does not do what the fault needs.
    NotMet(&'static str),
    /// Nothing: what may come of it.
    Nothing(&'static str),
}

impl core::fmt::Display for Answer {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Answer::RepeatsFlushes => "translations are forgotten twice",
            Answer::CleansAndInvalidates => "caches are cleaned and invalidated",
            Answer::ByTheLinker => "the kernel was linked for it",
            Answer::ReadsCounterTwice => "the counter is read twice",
            Answer::HidesCoherence => "programs look after instruction caches",
            Answer::HidesHalfPrecisionProducts => "programs do not see BF16",
            Answer::HidesBypassControl => "programs do not see SSBS",
            Answer::HidesPagesFirst => "pages are hidden before they lose execution",
            Answer::ForgetsBeforeReturn => "a translation is forgotten at each return",
            Answer::NotMet(why) => return write!(formatter, "not met: {why}"),
            Answer::Nothing(what) => return write!(formatter, "not worked around: {what}"),
        })
    }
}

impl Answer {
    /// Its place in [`Answers`]; none where the kernel as it runs is the same.
    const fn bit(self) -> u16 {
        match self {
            Answer::RepeatsFlushes => 1 << 0,
            Answer::CleansAndInvalidates => 1 << 1,
            Answer::ReadsCounterTwice => 1 << 2,
            Answer::HidesCoherence => 1 << 3,
            Answer::HidesHalfPrecisionProducts => 1 << 4,
            Answer::HidesBypassControl => 1 << 5,
            Answer::HidesPagesFirst => 1 << 6,
            Answer::ForgetsBeforeReturn => 1 << 7,
            Answer::ByTheLinker | Answer::NotMet(_) | Answer::Nothing(_) => 0,
        }
    }
}

/// What is done for one core or for several.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Answers(u16);

impl Answers {
    /// What a core with this MIDR_EL1 and CTR_EL0 needs.
    pub fn of(identity: u64, caches: u64) -> Self {
        Self(of(identity, caches).fold(0, |bits, erratum| bits | erratum.answer.bit()))
    }

    /// What a core of this name in a device tree may need, whatever its revision and its caches are (`compatible`,
    /// arm/cpus.yaml).
    pub fn of_name(name: &[u8]) -> Self {
        let named = NAMES.iter().filter(|(known, _)| known.as_bytes() == name);
        let parts = named.map(|(_, part)| part);
        let of_part = |part: &u64| {
            let has = |erratum: &&Erratum| erratum.cores.iter().any(|(core, ..)| core == part);
            ERRATA.iter().filter(has).fold(0, |bits, erratum| bits | erratum.answer.bit())
        };
        Self(parts.fold(0, |bits, part| bits | of_part(part)))
    }

    /// Whether it is done.
    pub const fn contain(self, answer: Answer) -> bool {
        self.0 & answer.bit() != 0
    }

    /// What one of both needs.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a core that needs `other` has what it needs.
    pub const fn cover(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// As a number, which [`Self::from_bits`] takes.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// What [`Self::bits`] gave.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

const ARM: u64 = 0x41;
const ALL: (u64, u64) = (0x00, 0xff);

const CORTEX_A53: u64 = 0xd03;
const CORTEX_A55: u64 = 0xd05;
const CORTEX_A73: u64 = 0xd09;
const CORTEX_A76: u64 = 0xd0b;
const NEOVERSE_N1: u64 = 0xd0c;
const CORTEX_A77: u64 = 0xd0d;
const CORTEX_A510: u64 = 0xd46;
const CORTEX_A715: u64 = 0xd4d;
const CORTEX_A520: u64 = 0xd80;

/// Device trees' names of the cores that need something before it is known whether they start.
const NAMES: [(&str, u64); 7] = [
    ("arm,cortex-a53", CORTEX_A53),
    ("arm,cortex-a55", CORTEX_A55),
    ("arm,cortex-a73", CORTEX_A73),
    ("arm,cortex-a76", CORTEX_A76),
    ("arm,cortex-a510", CORTEX_A510),
    ("arm,cortex-a520", CORTEX_A520),
    ("arm,cortex-a715", CORTEX_A715),
];

const fn whole(core: u64) -> (u64, u64, u64) {
    (core, ALL.0, ALL.1)
}

/// All of them.
pub const ERRATA: [Erratum; 14] = [
    Erratum { number: 826_319, cores: &[(CORTEX_A53, 0x00, 0x02)], answer: Answer::CleansAndInvalidates },
    Erratum {
        number: 835_769,
        cores: &[(CORTEX_A53, 0x00, 0x04)],
        answer: Answer::Nothing("a product of 64 bits that is added may be wrong behind a load or store"),
    },
    Erratum { number: 843_419, cores: &[(CORTEX_A53, 0x00, 0x04)], answer: Answer::ByTheLinker },
    Erratum { number: 858_921, cores: &[whole(CORTEX_A73)], answer: Answer::ReadsCounterTwice },
    Erratum { number: 1_286_807, cores: &[(CORTEX_A76, 0x00, 0x30)], answer: Answer::RepeatsFlushes },
    Erratum { number: 2_441_007, cores: &[whole(CORTEX_A55)], answer: Answer::RepeatsFlushes },
    Erratum { number: 2_441_009, cores: &[(CORTEX_A510, 0x00, 0x11)], answer: Answer::RepeatsFlushes },
    Erratum {
        number: 1_463_225,
        cores: &[(CORTEX_A76, 0x00, 0x31)],
        answer: Answer::NotMet("nothing is executed step by step"),
    },
    Erratum { number: 1_542_419, cores: &[whole(NEOVERSE_N1)], answer: Answer::HidesCoherence },
    Erratum {
        number: 1_508_412,
        cores: &[(CORTEX_A77, 0x00, 0x10)],
        answer: Answer::NotMet("PAR_EL1 is not read, the rest is firmware's"),
    },
    Erratum { number: 2_645_198, cores: &[whole(CORTEX_A715)], answer: Answer::HidesPagesFirst },
    Erratum {
        number: 2_658_417,
        cores: &[(CORTEX_A510, 0x00, 0x11)],
        answer: Answer::HidesHalfPrecisionProducts,
    },
    Erratum {
        number: 2_966_298,
        cores: &[(CORTEX_A520, 0x00, 0x01), whole(CORTEX_A510)],
        answer: Answer::ForgetsBeforeReturn,
    },
    // Cortex-A76 to A725, X1 to X925, Neoverse N1 to V3.
    Erratum {
        number: 3_194_386,
        cores: &[
            whole(CORTEX_A76),
            whole(NEOVERSE_N1),
            whole(CORTEX_A77),
            whole(0xd0e),
            whole(0xd40),
            whole(0xd41),
            whole(0xd42),
            whole(0xd44),
            whole(0xd47),
            whole(0xd48),
            whole(0xd49),
            whole(0xd4b),
            whole(0xd4c),
            whole(CORTEX_A715),
            whole(0xd4e),
            whole(0xd4f),
            whole(0xd81),
            whole(0xd82),
            whole(0xd84),
            whole(0xd85),
            whole(0xd87),
            whole(0xd89),
            whole(0xd8e),
        ],
        answer: Answer::HidesBypassControl,
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
        assert_eq!(numbers(core(CORTEX_A53, 0, 2)), [826_319, 835_769, 843_419]);
        assert_eq!(numbers(core(CORTEX_A53, 0, 3)), [835_769, 843_419]);
        assert_eq!(numbers(core(CORTEX_A53, 0, 5)), []);
        assert_eq!(numbers(core(CORTEX_A73, 1, 0)), [858_921]);
        assert_eq!(numbers(core(CORTEX_A76, 3, 0)), [1_286_807, 1_463_225, 3_194_386]);
        assert_eq!(numbers(core(CORTEX_A76, 3, 1)), [1_463_225, 3_194_386]);
        assert_eq!(numbers(core(CORTEX_A76, 4, 0)), [3_194_386]);
        assert_eq!(numbers(core(NEOVERSE_N1, 3, 1)), [1_542_419, 3_194_386]);
        assert_eq!(of(core(NEOVERSE_N1, 3, 1), 0).count(), 1);
        assert_eq!(numbers(core(CORTEX_A77, 1, 0)), [1_508_412, 3_194_386]);
        assert_eq!(numbers(core(CORTEX_A55, 2, 0)), [2_441_007]);
        assert_eq!(numbers(core(CORTEX_A510, 1, 1)), [2_441_009, 2_658_417, 2_966_298]);
        assert_eq!(numbers(core(CORTEX_A510, 1, 2)), [2_966_298]);
        assert_eq!(numbers(core(CORTEX_A520, 0, 1)), [2_966_298]);
        assert_eq!(numbers(core(CORTEX_A520, 0, 2)), []);
        assert_eq!(numbers(core(CORTEX_A715, 1, 0)), [2_645_198, 3_194_386]);
    }

    #[test]
    fn other_makers_have_other_faults() {
        // The same part number, and QEMU's own core.
        assert_eq!(numbers(core(CORTEX_A53, 0, 2) & 0x00ff_ffff | 0x51 << 24), []);
        assert_eq!(numbers(0x000f_0510), []);
    }

    #[test]
    fn what_is_needed_follows() {
        let needs = |identity, answer| Answers::of(identity, 0).contain(answer);
        assert!(needs(core(CORTEX_A76, 1, 0), Answer::RepeatsFlushes));
        assert!(!needs(core(CORTEX_A76, 4, 0), Answer::RepeatsFlushes));
        assert!(needs(core(CORTEX_A53, 0, 0), Answer::CleansAndInvalidates));
        assert!(!needs(core(CORTEX_A53, 0, 0), Answer::ByTheLinker));
    }

    /// A kernel that starts on a small core has to be ready for the large ones beside it.
    #[test]
    fn a_name_covers_every_revision_of_its_core() {
        let named = Answers::of_name(b"arm,cortex-a53").with(Answers::of_name(b"arm,cortex-a73"));
        for identity in [core(CORTEX_A53, 0, 0), core(CORTEX_A53, 0, 4), core(CORTEX_A73, 0, 2)] {
            assert!(named.cover(Answers::of(identity, DIC)));
        }
        assert!(!named.cover(Answers::of(core(CORTEX_A55, 1, 0), DIC)));
        assert_eq!(Answers::of_name(b"arm,cortex-a57"), Answers::default());
        for (name, part) in NAMES {
            assert!(Answers::of_name(name.as_bytes()).cover(Answers::of(core(part, 0, 0), 0)), "{name}");
        }
        assert_eq!(Answers::from_bits(named.bits()), named);
    }

    /// Each workaround has a bit of its own.
    #[test]
    fn answers_are_told_apart() {
        let bits: Vec<_> =
            ERRATA.iter().map(|erratum| erratum.answer.bit()).filter(|bit| *bit != 0).collect();
        for erratum in &ERRATA {
            let same = bits.iter().filter(|bit| **bit == erratum.answer.bit()).count();
            let alike = ERRATA.iter().filter(|other| other.answer == erratum.answer).count();
            assert!(erratum.answer.bit() == 0 || same == alike);
        }
    }
}
