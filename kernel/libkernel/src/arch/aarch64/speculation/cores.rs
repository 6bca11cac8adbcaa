//! The cores of which it is known what speculation lets out of them, by MIDR_EL1 and by their names in device trees.
//!
//! Sources: Arm, "Speculative Processor Vulnerability" and "Spectre-BHB" (what the tables do not list is not affected);
//! Linux's `arch/arm64/kernel/proton-pack.c` and `cpufeature.c` for other makers' cores and for the rounds of branches;
//! `arm/cpus.yaml` for the names.

/// What is known of a core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It guesses in none of these ways.
    Immune,
    /// Nor does it keep a history that others could train; of the rest its registers tell.
    WithoutHistory,
    /// So many rounds of branches overwrite its history; it keeps branches apart.
    Rounds(u64),
    /// The same of a core that needs firmware for its branches, unless its registers say otherwise.
    RoundsAndFirmware(u64),
    /// It needs firmware for both.
    Firmware,
}

/// Maker and part number of MIDR_EL1.
pub type Model = (u64, u64);

/// Arm itself.
pub const ARM: u64 = 0x41;
const BROADCOM: u64 = 0x42;
const QUALCOMM: u64 = 0x51;
const AMPERE: u64 = 0xc0;

/// The core, its name where trees use one, and what is known. Where sources differ about rounds there is the larger
/// number: more than needed only cost time.
const CORES: [(Model, &str, Kind); 33] = [
    ((ARM, 0xd03), "arm,cortex-a53", Kind::Immune),
    ((ARM, 0xd04), "arm,cortex-a35", Kind::Immune),
    ((ARM, 0xd05), "arm,cortex-a55", Kind::Immune),
    ((BROADCOM, 0x100), "brcm,brahma-b53", Kind::Immune),
    // Kryo 2xx, 3xx and 4xx "silver", which are Cortex-A53 and A55 (Linux: all of its lists of safe cores have them).
    ((QUALCOMM, 0x801), "", Kind::Immune),
    ((QUALCOMM, 0x803), "", Kind::Immune),
    ((QUALCOMM, 0x805), "", Kind::Immune),
    ((ARM, 0xd46), "arm,cortex-a510", Kind::WithoutHistory),
    ((ARM, 0xd80), "arm,cortex-a520", Kind::WithoutHistory),
    ((ARM, 0xd07), "arm,cortex-a57", Kind::RoundsAndFirmware(8)),
    ((ARM, 0xd08), "arm,cortex-a72", Kind::RoundsAndFirmware(8)),
    ((ARM, 0xd09), "arm,cortex-a73", Kind::Firmware),
    ((ARM, 0xd0a), "arm,cortex-a75", Kind::Firmware),
    ((AMPERE, 0xac3), "", Kind::Rounds(11)),
    ((ARM, 0xd0b), "arm,cortex-a76", Kind::Rounds(24)),
    ((ARM, 0xd0c), "arm,neoverse-n1", Kind::Rounds(24)),
    ((ARM, 0xd0d), "arm,cortex-a77", Kind::Rounds(24)),
    ((ARM, 0xd0e), "arm,cortex-a76ae", Kind::Rounds(24)),
    ((QUALCOMM, 0x804), "", Kind::Rounds(24)),
    ((ARM, 0xd40), "arm,neoverse-v1", Kind::Rounds(32)),
    ((ARM, 0xd41), "arm,cortex-a78", Kind::Rounds(32)),
    ((ARM, 0xd42), "arm,cortex-a78ae", Kind::Rounds(32)),
    ((ARM, 0xd44), "arm,cortex-x1", Kind::Rounds(32)),
    ((ARM, 0xd47), "arm,cortex-a710", Kind::Rounds(32)),
    ((ARM, 0xd48), "arm,cortex-x2", Kind::Rounds(32)),
    ((ARM, 0xd49), "arm,neoverse-n2", Kind::Rounds(32)),
    ((ARM, 0xd4a), "arm,neoverse-e1", Kind::Rounds(32)),
    ((ARM, 0xd4b), "arm,cortex-a78c", Kind::Rounds(32)),
    ((ARM, 0xd4c), "arm,cortex-x1c", Kind::Rounds(32)),
    ((ARM, 0xd4d), "arm,cortex-a715", Kind::Rounds(38)),
    ((ARM, 0xd81), "arm,cortex-a720", Kind::Rounds(38)),
    ((ARM, 0xd4e), "arm,cortex-x3", Kind::Rounds(132)),
    ((ARM, 0xd4f), "arm,neoverse-v2", Kind::Rounds(132)),
];

/// What this MIDR_EL1 says of its core, if anything is known of it.
pub fn of_identity(identity: u64) -> Option<Kind> {
    let model = model(identity);
    CORES.iter().find(|(known, ..)| *known == model).map(|(.., kind)| *kind)
}

/// Maker and part number.
pub const fn model(identity: u64) -> Model {
    (identity >> 24 & 0xff, identity >> 4 & 0xfff)
}

/// Maker or part differ.
pub const fn is_another(identity: u64, other: u64) -> bool {
    let (one, other) = (model(identity), model(other));
    one.0 != other.0 || one.1 != other.1
}

/// The core that a device tree's `compatible` names, in one byte, as there is one for each CPU: a row of the table,
/// behind the two others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named(u8);

impl Named {
    /// None in particular: a hypervisor's, a model's, or no name at all. Nothing is known of it.
    pub const ANY: Self = Self(0);
    /// One that is not in the table.
    pub const UNKNOWN: Self = Self(1);
    const FIRST: u8 = 2;

    /// From the list of names, each with a zero behind it.
    pub fn read(names: &[u8]) -> Self {
        let is_in = |known: &str| {
            !known.is_empty() && names.split(|byte| *byte == 0).any(|name| name == known.as_bytes())
        };
        if let Some(row) = CORES.iter().position(|(_, name, _)| is_in(name)) {
            return Self(Self::FIRST + row as u8);
        }
        if names.is_empty() || is_in("arm,arm-v8") || is_in("arm,armv8") { Self::ANY } else { Self::UNKNOWN }
    }

    /// MIDR_EL1 of a core in the table, but for its revision.
    pub fn identity(self) -> Option<u64> {
        let row = self.0.checked_sub(Self::FIRST)?;
        CORES.get(usize::from(row)).map(|((maker, part), ..)| maker << 24 | part << 4)
    }
}
