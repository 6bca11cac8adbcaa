//! What an AArch64 CPU needs against speculation: from MIDR, the identification registers and what firmware answers.
//!
//! Sources: Arm, "Cache Speculation Side-channels" and "Spectre-BHB" with the tables of affected cores; SMCCC (DEN
//! 0028), 7; DDI 0487, D17.2; as Linux 6.1 judges them.
use crate::speculation::{Level, Means, NOT_AFFECTED, Weakness, Wishes};
use core::fmt::{Result, Write};
use cores::{ARM, Kind, Named};

pub mod cores;

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

impl Processor {
    fn kind(&self) -> Option<Kind> {
        cores::of_identity(self.identity)
    }

    fn is_immune(&self) -> bool {
        self.kind() == Some(Kind::Immune)
    }

    /// FEAT_CSV3 (bits 63:60), or a core that never had it: Cortex-A57, A72, A73; Cavium's ThunderX2, HiSilicon's
    /// TSV110, NVIDIA's Carmel.
    fn has_meltdown(&self) -> bool {
        const NEVER: [(u64, u64); 7] = [
            (ARM, 0xd07),
            (ARM, 0xd08),
            (ARM, 0xd09),
            (0x42, 0x516),
            (0x43, 0xaf),
            (0x48, 0xd01),
            (0x4e, 0x4),
        ];
        self.features >> 60 & 0xf == 0 && !self.is_immune() && !NEVER.contains(&cores::model(self.identity))
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
        match self.kind() {
            Some(Kind::Rounds(rounds) | Kind::RoundsAndFirmware(rounds)) => Some(rounds),
            _ => None,
        }
    }

    /// A core beside this one, of which nothing is known but what it is called: with what such a core has at least.
    /// Firmware that knows a call answers for the CPU that asks, which says nothing of the other.
    fn beside(&self, identity: u64) -> Self {
        const CSV2: u64 = 1 << 56;
        const CSV3: u64 = 1 << 60;
        let features = match cores::of_identity(identity) {
            Some(Kind::Rounds(_) | Kind::WithoutHistory) => CSV2 | CSV3,
            _ => 0,
        };
        let firmware = self.firmware.map(|answer| match answer {
            Firmware::Silent => Firmware::Silent,
            Firmware::Needed | Firmware::NotNeeded => Firmware::Needed,
        });
        Self { identity, features, memory: 0, instructions: 0, firmware, ..*self }
    }
}

/// What is done about trained branches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
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

/// What is done about the history of branches at every entry. Nothing at all: nothing is needed, or [`Self::is_open`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct History {
    /// So many rounds of branches.
    pub rounds: u64,
    /// CLRBHB, which does nothing on a core without it.
    pub by_instruction: bool,
    /// Firmware.
    pub by_firmware: bool,
    /// A core needs something that is not done.
    pub is_open: bool,
}

impl History {
    const NOT_AFFECTED: Self = Self { rounds: 0, by_instruction: false, by_firmware: false, is_open: false };
    const OPEN: Self = Self { is_open: true, ..Self::NOT_AFFECTED };
    const BY_INSTRUCTION: Self = Self { by_instruction: true, ..Self::NOT_AFFECTED };
    const BY_FIRMWARE: Self = Self { by_firmware: true, ..Self::NOT_AFFECTED };

    /// Whether something is done.
    pub const fn is_cleared(self) -> bool {
        self.rounds > 0 || self.by_instruction || self.by_firmware
    }

    fn with(self, other: Self) -> Self {
        Self {
            rounds: self.rounds.max(other.rounds),
            by_instruction: self.by_instruction || other.by_instruction,
            by_firmware: self.by_firmware || other.by_firmware,
            is_open: self.is_open || other.is_open,
        }
    }

    /// Whether a core that needs `other` has what it needs.
    fn covers(self, other: Self) -> bool {
        self.with(Self { is_open: false, ..other }) == self
    }
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
    /// No core guesses where a bound is checked.
    is_immune: bool,
    has_meltdown: bool,
}

impl Plan {
    /// What to do on a CPU.
    pub fn new(processor: &Processor, wishes: Wishes) -> Self {
        let all = wishes.level == Level::Test;
        let branches = branches(processor, wishes);
        Self {
            masks: wishes.level != Level::Off && wishes.bounds && (all || !processor.is_immune()),
            is_immune: processor.is_immune(),
            branches,
            history: if all {
                History { rounds: processor.rounds().unwrap_or(8), ..History::NOT_AFFECTED }
            } else {
                history(processor, branches, wishes)
            },
            store_bypass: store_bypass(processor, wishes),
            has_meltdown: processor.has_meltdown(),
        }
    }

    /// What to do on a machine whose boot CPU that is, and whose other cores are called so: whatever one of them needs.
    /// All CPUs do the same.
    pub fn of_machine(processor: &Processor, others: impl Iterator<Item = Named>, wishes: Wishes) -> Self {
        others.fold(Self::new(processor, wishes), |plan, other| match other.identity() {
            Some(identity) if !cores::is_another(identity, processor.identity) => plan,
            Some(identity) => {
                let other = Self::new(&processor.beside(identity), wishes);
                // Such a core may have the instruction, too, and then goes by it when it starts.
                let instruction =
                    if other.history.is_cleared() { History::BY_INSTRUCTION } else { History::NOT_AFFECTED };
                plan.with(other).with(Self { history: instruction, ..other })
            }
            None if other == Named::UNKNOWN => {
                let history = if wishes.branches { History::BY_INSTRUCTION } else { History::NOT_AFFECTED };
                plan.with(Self { history, ..plan.guarded(wishes) })
            }
            None => plan.with(plan.guarded(wishes)),
        })
    }

    /// The same with masks, unless they are not wanted.
    fn guarded(self, wishes: Wishes) -> Self {
        Self { masks: wishes.bounds, is_immune: false, ..self }
    }

    fn with(self, other: Self) -> Self {
        let worse = |means: Means| match means {
            Means::NotAffected => 0,
            Means::Limits => 1,
            Means::Refused => 2,
            Means::None => 3,
        };
        Self {
            masks: self.masks || other.masks,
            branches: self.branches.max(other.branches),
            history: self.history.with(other.history),
            store_bypass: if worse(other.store_bypass) > worse(self.store_bypass) {
                other.store_bypass
            } else {
                self.store_bypass
            },
            is_immune: self.is_immune && other.is_immune,
            has_meltdown: self.has_meltdown || other.has_meltdown,
        }
    }

    /// Whether a core that needs `own` has what it needs where this is done. What nothing can be done about counts for
    /// nothing.
    pub fn covers(&self, own: &Self) -> bool {
        (self.masks || !own.masks)
            && (own.branches != Branches::Firmware || self.branches == Branches::Firmware)
            && self.history.covers(own.history)
    }

    /// Says how things stand with a weakness, in Linux's words.
    pub fn describe(&self, weakness: Weakness, out: &mut dyn Write) -> Result {
        let words = match weakness {
            Weakness::Meltdown if self.has_meltdown => "Vulnerable",
            Weakness::SpectreV1 if self.is_immune => NOT_AFFECTED,
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
        let history = self.history;
        match (self.branches, history.is_cleared() && !history.is_open, history.is_open) {
            (Branches::Open, ..) | (Branches::NotAffected, _, true) => "Vulnerable",
            (Branches::NotAffected | Branches::Apart, false, false) => NOT_AFFECTED,
            (Branches::NotAffected, true, _) => "Mitigation: BHB",
            (Branches::Apart, _, true) => "Mitigation: CSV2, but not BHB",
            (Branches::Apart, true, _) => "Mitigation: CSV2, BHB",
            (Branches::Firmware, false, false) => "Mitigation: Branch predictor hardening",
            (Branches::Firmware, _, true) => "Mitigation: Branch predictor hardening, but not BHB",
            (Branches::Firmware, true, _) => "Mitigation: Branch predictor hardening, BHB",
        }
    }
}

fn branches(processor: &Processor, wishes: Wishes) -> Branches {
    /// HiSilicon's, which Linux lists as safe.
    const TSV110: (u64, u64) = (0x48, 0xd01);
    let [first, ..] = processor.firmware;
    if processor.is_immune()
        || cores::model(processor.identity) == TSV110
        || first == Firmware::NotNeeded && !processor.keeps_branches_apart()
    {
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
    let has_none = matches!(processor.kind(), Some(Kind::Immune | Kind::WithoutHistory));
    if has_none || forgets {
        History::NOT_AFFECTED
    } else if !wishes.branches || branches == Branches::Open {
        History::OPEN
    } else if has_instruction {
        History::BY_INSTRUCTION
    } else if let Some(rounds) = processor.rounds() {
        History { rounds, ..History::NOT_AFFECTED }
    } else {
        match third {
            Firmware::Needed => History::BY_FIRMWARE,
            Firmware::NotNeeded => History::NOT_AFFECTED,
            Firmware::Silent => History::OPEN,
        }
    }
}

/// Firmware's work-around 2 is not called: its CPUs are old, and it would be a call at every entry.
fn store_bypass(processor: &Processor, wishes: Wishes) -> Means {
    let [_, second, _] = processor.firmware;
    if processor.is_immune() || second == Firmware::NotNeeded {
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
        let rounds = History { rounds: 8, ..History::NOT_AFFECTED };
        assert_eq!((plan.branches, plan.history), (Branches::Firmware, rounds));
        let a73 = Processor { firmware: a72.firmware, ..processor(0xd09, 0, 0, 0) };
        assert_eq!(Plan::new(&a73, Wishes::read(CommandLine::new(b""))).history, History::BY_FIRMWARE);
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
        let rounds = |rounds| History { rounds, ..History::NOT_AFFECTED };
        assert_eq!(history(&processor(0xd0c, 1, 1, 2)), rounds(24));
        let mut later = processor(0xd49, 1, 1, 2);
        assert_eq!(history(&later), rounds(32));
        later.instructions = 1 << 28;
        assert_eq!(history(&later), History::BY_INSTRUCTION);
        later.memory = 1 << 60;
        assert_eq!(history(&later), History::NOT_AFFECTED);
        assert_eq!(history(&processor(0xd49, 3, 1, 2)), History::NOT_AFFECTED);
        assert!(processor(0xd0a, 0, 0, 0).has_meltdown(), "Cortex-A75");
    }

    /// Cores that guess in no such way have nothing to pay for, and it is not said that something were done.
    #[test]
    fn cores_in_order_need_nothing() {
        for part in [0xd03, 0xd04, 0xd05] {
            let core = processor(part, 0, 0, 0);
            assert_eq!(says(&core, ""), [NOT_AFFECTED; 4]);
            assert_eq!(says(&core, "mitigations=off"), [NOT_AFFECTED; 4]);
            let plan = Plan::new(&core, Wishes::read(CommandLine::new(b"")));
            assert!(!plan.masks && !plan.history.is_cleared());
            assert!(Plan::new(&core, Wishes::read(CommandLine::new(b"mitigations=test"))).masks);
        }
        for part in [0xd46, 0xd80] {
            assert_eq!(says(&processor(part, 1, 1, 1), "")[2..], [MASKED, NOT_AFFECTED]);
        }
    }

    fn machine(boot: &Processor, names: &[&str]) -> Plan {
        let names = names.iter().map(|name| Named::read(name.as_bytes()));
        Plan::of_machine(boot, names, Wishes::read(CommandLine::new(b"")))
    }

    /// The small core starts first, and must not speak for the large ones.
    #[test]
    fn one_machine_does_what_any_of_its_cores_needs() {
        let own = |processor: &Processor| Plan::new(processor, Wishes::read(CommandLine::new(b"")));
        let mut small = processor(0xd05, 0, 0, 0);
        let large = processor(0xd0b, 1, 1, 0);
        let alike = machine(&small, &["arm,cortex-a55", "arm,cortex-a55\0arm,armv8\0"]);
        assert_eq!(alike, own(&small));
        assert!(!alike.covers(&own(&large)));
        let mixed = machine(&small, &["arm,cortex-a55", "arm,cortex-a76"]);
        assert!(
            mixed.masks
                && mixed.history.rounds == 24
                && mixed.covers(&own(&large))
                && mixed.covers(&own(&small))
        );
        let newer = Processor { instructions: 1 << 28, ..large };
        assert!(mixed.covers(&own(&newer)), "one that has CLRBHB");
        // Firmware's answer is for the small core.
        small.firmware = [Firmware::NotNeeded; 3];
        let a72 = Processor { firmware: [Firmware::Needed; 3], ..processor(0xd08, 0, 0, 0) };
        let mixed = machine(&small, &["arm,cortex-a55", "arm,cortex-a72"]);
        assert!(mixed.branches == Branches::Firmware && mixed.covers(&own(&a72)));
        // Cores that a tree does not name may be anything.
        for name in ["arm,arm-v8", "", "arm,cortex-x4"] {
            assert!(machine(&small, &[name]).masks, "{name}");
        }
        assert!(machine(&small, &["arm,cortex-x4"]).history.by_instruction);
        assert_eq!(machine(&large, &["arm,arm-v8"]), own(&large));
    }
}
