//! What an AArch64 CPU needs against speculation: from MIDR, the identification registers and what firmware answers.
//!
//! Sources: Arm, "Cache Speculation Side-channels" and "Spectre-BHB" with the tables of affected cores; SMCCC (DEN 0028), 7; DDI 0487,
//! D17.2; as Linux 6.1 judges them.
use crate::speculation::{Level, Means, NOT_AFFECTED, Weakness, Wishes};
use core::fmt::{Result, Write};

/// What firmware says of a work-around (DEN 0028, 7.5.2): its answer to SMCCC_ARCH_FEATURES.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Firmware {
    /// It does not know it.
    Silent,
    /// It is to be called.
    Needed,
    /// This CPU does not need it.
    NotNeeded,
}

impl Firmware {
    /// From the number returned; SMCCC_ARCH_WORKAROUND_2 has -2 too: not required.
    pub const fn from_answer(answer: i32) -> Self {
        match answer {
            0 => Self::Needed,
            1 | -2 => Self::NotNeeded,
            _ => Self::Silent,
        }
    }
}

/// SMCCC_ARCH_WORKAROUND_1: forgets trained branches.
pub const WORKAROUND_1: u32 = 0x8000_8000;
/// SMCCC_ARCH_WORKAROUND_2: store bypass.
pub const WORKAROUND_2: u32 = 0x8000_7fff;
/// SMCCC_ARCH_WORKAROUND_3: as the first, and the history.
pub const WORKAROUND_3: u32 = 0x8000_3fff;

/// What the CPU and its firmware say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Processor {
    /// MIDR_EL1.
    pub identity: u64,
    /// ID_AA64PFR0_EL1.
    pub features: u64,
    /// ID_AA64PFR1_EL1.
    pub more_features: u64,
    /// ID_AA64MMFR1_EL1.
    pub memory: u64,
    /// ID_AA64ISAR2_EL1.
    pub instructions: u64,
    /// The answers for work-arounds 1, 2 and 3.
    pub firmware: [Firmware; 3],
}

const ARM: u64 = 0x41;

impl Processor {
    /// Implementer and part number.
    fn model(&self) -> (u64, u64) {
        (self.identity >> 24 & 0xff, self.identity >> 4 & 0xfff)
    }

    fn is_one_of(&self, parts: &[u64]) -> bool {
        let (implementer, part) = self.model();
        implementer == ARM && parts.contains(&part)
    }

    /// Cortex-A35, A53, A55: in order.
    fn is_in_order(&self) -> bool {
        self.is_one_of(&[0xd04, 0xd03, 0xd05])
    }

    /// FEAT_CSV3 (bits 63:60), or a core that never had it.
    fn has_meltdown(&self) -> bool {
        self.features >> 60 & 0xf == 0 && !self.is_in_order() && !self.is_one_of(&[0xd07, 0xd08, 0xd09])
    }

    /// FEAT_CSV2 (bits 59:56).
    fn keeps_branches_apart(&self) -> bool {
        self.features >> 56 & 0xf != 0
    }

    /// FEAT_SSBS.
    fn has_bypass_bit(&self) -> bool {
        self.more_features >> 4 & 0xf != 0
    }

    /// How many rounds of branches overwrite the history, for cores of which that is known.
    fn rounds(&self) -> Option<u64> {
        // Larger where sources differ: more rounds than needed only cost time.
        const ROUNDS: [(u64, &[u64]); 4] = [
            (24, &[0xd0b, 0xd0c, 0xd0d]),
            (32, &[0xd40, 0xd41, 0xd42, 0xd44, 0xd47, 0xd48, 0xd49, 0xd4a, 0xd4b, 0xd4c]),
            (38, &[0xd4d, 0xd81]),
            (132, &[0xd4e, 0xd4f]),
        ];
        ROUNDS.iter().find(|(_, parts)| self.is_one_of(parts)).map(|(rounds, _)| *rounds)
    }
}

/// What is done about trained branches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Branches {
    /// Nothing is needed: in order, or told by firmware.
    NotAffected,
    /// The CPU keeps them apart.
    Apart,
    /// Firmware is called when the address space changes.
    Firmware,
    /// Nothing.
    Open,
}

/// What is done about the history of branches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum History {
    /// Nothing is needed.
    NotAffected,
    /// So many rounds of branches at every entry.
    Rounds(u64),
    /// CLRBHB at every entry.
    Instruction,
    /// Firmware at every entry.
    Firmware,
    /// Nothing.
    Open,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Indices and user addresses are masked, the program's registers cleared at entry.
    pub masks: bool,
    /// Trained branches.
    pub branches: Branches,
    /// Their history.
    pub history: History,
    /// What a thread can do about store bypass.
    pub store_bypass: Means,
    has_meltdown: bool,
}

impl Plan {
    /// What to do on a CPU.
    pub fn new(processor: &Processor, wishes: Wishes) -> Self {
        let all = wishes.level == Level::Test;
        let branches = branches(processor, wishes);
        Self {
            masks: wishes.level != Level::Off && wishes.bounds,
            branches,
            history: if all {
                History::Rounds(processor.rounds().unwrap_or(8))
            } else {
                history(processor, branches, wishes)
            },
            store_bypass: store_bypass(processor, wishes),
            has_meltdown: processor.has_meltdown(),
        }
    }

    /// Says how things stand with a weakness, in Linux's words.
    pub fn describe(&self, weakness: Weakness, out: &mut dyn Write) -> Result {
        let words = match weakness {
            Weakness::Meltdown if self.has_meltdown => "Vulnerable",
            Weakness::SpectreV1 if self.masks => "Mitigation: __user pointer sanitization",
            Weakness::SpectreV1 => "Vulnerable",
            Weakness::SpecStoreBypass => match self.store_bypass {
                Means::NotAffected => NOT_AFFECTED,
                Means::Limits => "Mitigation: Speculative Store Bypass disabled via prctl",
                Means::None | Means::Refused => "Vulnerable",
            },
            Weakness::SpectreV2 => self.branch_words(),
            _ => NOT_AFFECTED,
        };
        out.write_str(words)
    }

    fn branch_words(&self) -> &'static str {
        match (self.branches, self.history) {
            (Branches::Open, _) => "Vulnerable",
            (Branches::NotAffected, History::NotAffected) => NOT_AFFECTED,
            (Branches::NotAffected, History::Open) => "Vulnerable",
            (Branches::NotAffected, _) => "Mitigation: BHB",
            (Branches::Apart, History::NotAffected) => NOT_AFFECTED,
            (Branches::Apart, History::Open) => "Mitigation: CSV2, but not BHB",
            (Branches::Apart, _) => "Mitigation: CSV2, BHB",
            (Branches::Firmware, History::NotAffected) => "Mitigation: Branch predictor hardening",
            (Branches::Firmware, History::Open) => "Mitigation: Branch predictor hardening, but not BHB",
            (Branches::Firmware, _) => "Mitigation: Branch predictor hardening, BHB",
        }
    }
}

fn branches(processor: &Processor, wishes: Wishes) -> Branches {
    let [first, ..] = processor.firmware;
    if processor.is_in_order() || first == Firmware::NotNeeded && !processor.keeps_branches_apart() {
        Branches::NotAffected
    } else if processor.keeps_branches_apart() {
        Branches::Apart
    } else if first == Firmware::Needed && wishes.branches {
        Branches::Firmware
    } else {
        Branches::Open
    }
}

fn history(processor: &Processor, branches: Branches, wishes: Wishes) -> History {
    let [_, _, third] = processor.firmware;
    let has_instruction = processor.instructions >> 28 & 0xf != 0;
    // FEAT_CSV2_3; FEAT_ECBHB (ID_AA64MMFR1_EL1 bits 63:60): an entry forgets by itself.
    let forgets = processor.features >> 56 & 0xf >= 3 || processor.memory >> 60 != 0;
    if processor.is_in_order() || forgets {
        History::NotAffected
    } else if !wishes.branches || branches == Branches::Open {
        History::Open
    } else if has_instruction {
        History::Instruction
    } else if let Some(rounds) = processor.rounds() {
        History::Rounds(rounds)
    } else {
        match third {
            Firmware::Needed => History::Firmware,
            Firmware::NotNeeded => History::NotAffected,
            Firmware::Silent => History::Open,
        }
    }
}

/// Firmware's work-around 2 is not called: its CPUs are old, and it would be a call at every entry.
fn store_bypass(processor: &Processor, wishes: Wishes) -> Means {
    let [_, second, _] = processor.firmware;
    if processor.is_in_order() || second == Firmware::NotNeeded {
        Means::NotAffected
    } else if !wishes.store_bypass {
        Means::Refused
    } else if processor.has_bypass_bit() {
        Means::Limits
    } else {
        Means::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::CommandLine;
    use std::string::String;

    fn processor(part: u64, csv2: u64, csv3: u64, ssbs: u64) -> Processor {
        Processor {
            identity: ARM << 24 | 0xf << 16 | part << 4,
            features: csv3 << 60 | csv2 << 56 | 0x11,
            more_features: ssbs << 4,
            memory: 0,
            instructions: 0,
            firmware: [Firmware::Silent; 3],
        }
    }

    fn says(processor: &Processor, line: &str) -> [String; 4] {
        let plan = Plan::new(processor, Wishes::read(CommandLine::new(line.as_bytes())));
        [Weakness::Meltdown, Weakness::SpecStoreBypass, Weakness::SpectreV1, Weakness::SpectreV2].map(
            |weakness| {
                let mut text = String::new();
                plan.describe(weakness, &mut text).unwrap();
                text
            },
        )
    }

    const BY_PRCTL: &str = "Mitigation: Speculative Store Bypass disabled via prctl";
    const MASKED: &str = "Mitigation: __user pointer sanitization";

    /// What Linux 6.1 says in QEMU 7.2.
    #[test]
    fn cpus_are_described_as_by_linux() {
        let a57 = processor(0xd07, 0, 0, 0);
        assert_eq!(says(&a57, ""), ["Not affected", "Vulnerable", MASKED, "Vulnerable"]);
        let a72 = processor(0xd08, 0, 0, 0);
        assert_eq!(says(&a72, ""), ["Not affected", "Vulnerable", MASKED, "Vulnerable"]);
        let n1 = processor(0xd0c, 1, 1, 2);
        assert_eq!(says(&n1, ""), ["Not affected", BY_PRCTL, MASKED, "Mitigation: CSV2, BHB"]);
        let a76 = processor(0xd0b, 1, 1, 1);
        assert_eq!(says(&a76, ""), says(&n1, ""));
        let a53 = processor(0xd03, 0, 0, 0);
        assert_eq!(says(&a53, ""), ["Not affected", "Not affected", MASKED, "Not affected"]);
        // `max`: no core that anybody lists.
        let max = Processor { identity: 0x0f_0510, ..processor(0, 2, 1, 2) };
        assert_eq!(says(&max, ""), ["Not affected", BY_PRCTL, MASKED, "Mitigation: CSV2, but not BHB"]);
        assert_eq!(
            says(&n1, "mitigations=off")[1..],
            ["Vulnerable", "Vulnerable", "Mitigation: CSV2, but not BHB"]
        );
    }

    #[test]
    fn firmware_is_called_where_it_says_so() {
        let mut a72 = processor(0xd08, 0, 0, 0);
        a72.firmware = [Firmware::Needed, Firmware::Silent, Firmware::Needed];
        let plan = Plan::new(&a72, Wishes::read(CommandLine::new(b"")));
        assert_eq!((plan.branches, plan.history), (Branches::Firmware, History::Firmware));
        assert_eq!(says(&a72, "")[3], "Mitigation: Branch predictor hardening, BHB");
        assert_eq!(says(&a72, "nospectre_v2")[3], "Vulnerable");
        assert_eq!([0, 1, -2, -1].map(Firmware::from_answer), {
            use Firmware::{Needed, NotNeeded, Silent};
            [Needed, NotNeeded, NotNeeded, Silent]
        });
    }

    #[test]
    fn history_is_overwritten_in_the_way_that_is_there() {
        let history =
            |processor: &Processor| Plan::new(processor, Wishes::read(CommandLine::new(b""))).history;
        assert_eq!(history(&processor(0xd0c, 1, 1, 2)), History::Rounds(24));
        let mut later = processor(0xd49, 1, 1, 2);
        assert_eq!(history(&later), History::Rounds(32));
        later.instructions = 1 << 28;
        assert_eq!(history(&later), History::Instruction);
        later.memory = 1 << 60;
        assert_eq!(history(&later), History::NotAffected);
        assert_eq!(history(&processor(0xd49, 3, 1, 2)), History::NotAffected);
        assert!(processor(0xd0a, 0, 0, 0).has_meltdown(), "Cortex-A75");
    }
}
