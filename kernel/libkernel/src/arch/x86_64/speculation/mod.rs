//! What an x86_64 CPU needs against speculation: its weaknesses, from CPUID and IA32_ARCH_CAPABILITIES, and the plan.
//!
//! Sources: Intel, "CPUID Enumeration and Architectural MSRs" and "Affected Processors"; AMD, "Software techniques for
//! managing speculation" and APM volume 3, appendix E; the words: Linux 6.1, which `xtask run --kernel linux` shows for
//! each CPU model.
pub mod enforce;
mod models;
#[cfg(test)]
mod tests;
mod words;

use crate::speculation::{Level, Wishes};

bitflags::bitflags! {
    /// Weaknesses of a CPU.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Weaknesses: u32 {
        /// Reads of kernel pages by programs.
        const MELTDOWN = 1 << 0;
        /// Entries that are not present reach the first-level cache.
        const L1TF = 1 << 1;
        /// Loads past older stores.
        const STORE_BYPASS = 1 << 2;
        /// Data left in buffers.
        const MDS = 1 << 3;
        /// … in store buffers alone.
        const MSBDS_ONLY = 1 << 4;
        /// `swapgs` that is not executed speculatively, or is.
        const SWAPGS = 1 << 5;
        /// A machine check by page sizes, of interest to hypervisors.
        const ITLB_MULTIHIT = 1 << 6;
        /// Data left in buffers by device accesses.
        const MMIO = 1 << 7;
        /// Nobody says whether it has that.
        const MMIO_UNKNOWN = 1 << 8;
        /// Data of random-number instructions.
        const SRBDS = 1 << 9;
        /// Data left in buffers by aborted transactions.
        const TAA = 1 << 10;
        /// Targets of returns.
        const RETBLEED = 1 << 11;
        /// The return stack of Zen.
        const SRSO = 1 << 12;
        /// Data of gathers.
        const GDS = 1 << 13;
        /// Data of vector registers.
        const RFDS = 1 << 14;
        /// The history of branches.
        const BHI = 1 << 15;
        /// Targets of branches at odd places.
        const ITS = 1 << 16;
        /// AMD's transient schedulers.
        const TSA = 1 << 17;
        /// Targets of branches.
        const SPECTRE_V2 = 1 << 18;
        /// FXSAVE and XSAVE leave the pointers of the last x87 instruction where no exception is pending (AMD).
        const X87_POINTERS = 1 << 19;
    }
}

/// Who made the CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vendor {
    /// Intel.
    Intel,
    /// AMD, or Hygon.
    Amd,
    /// Another one.
    Other,
}

/// What the CPU says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Processor {
    /// Who made it.
    pub vendor: Vendor,
    /// Display family (SDM volume 2, CPUID).
    pub family: u32,
    /// Display model.
    pub model: u32,
    /// Leaf 1 ECX.
    pub features: u32,
    /// Leaf 7 EBX.
    pub extended_features: u32,
    /// Leaf 7 EDX.
    pub controls: u32,
    /// Leaf 7, sub-leaf 2, EDX.
    pub more_controls: u32,
    /// Leaf 8000_0008 EBX.
    pub amd_controls: u32,
    /// Leaf 8000_0021 EAX.
    pub amd_features: u32,
    /// Leaf 8000_0021 ECX.
    pub amd_more_features: u32,
    /// IA32_ARCH_CAPABILITIES; zero where there is none.
    pub capabilities: u64,
}

/// IA32_ARCH_CAPABILITIES (SDM volume 4).
mod capability {
    pub const RDCL_NO: u64 = 1 << 0;
    pub const IBRS_ALL: u64 = 1 << 1;
    pub const RSBA: u64 = 1 << 2;
    pub const SSB_NO: u64 = 1 << 4;
    pub const MDS_NO: u64 = 1 << 5;
    pub const PSCHANGE_MC_NO: u64 = 1 << 6;
    pub const TAA_NO: u64 = 1 << 8;
    pub const SBDR_SSDP_NO: u64 = 1 << 13;
    pub const FBSDP_NO: u64 = 1 << 14;
    pub const PSDP_NO: u64 = 1 << 15;
    pub const FB_CLEAR: u64 = 1 << 17;
    pub const BHI_NO: u64 = 1 << 20;
    pub const GDS_CTRL: u64 = 1 << 25;
    pub const GDS_NO: u64 = 1 << 26;
    pub const RFDS_NO: u64 = 1 << 27;
    pub const RFDS_CLEAR: u64 = 1 << 28;
    pub const ITS_NO: u64 = 1 << 62;
}

impl Processor {
    /// Asks CPUID (leaf and sub-leaf to EAX, EBX, ECX, EDX) and, where leaf 7 EDX bit 29 says that it exists,
    /// IA32_ARCH_CAPABILITIES.
    pub fn read(mut cpuid: impl FnMut(u32, u32) -> [u32; 4], capabilities: impl FnOnce() -> u64) -> Self {
        let [highest, name @ ..] = cpuid(0, 0);
        let vendor = match name.map(u32::to_le_bytes).as_flattened() {
            b"GenuntelineI" => Vendor::Intel,
            b"AuthcAMDenti" | b"HygouineGenn" => Vendor::Amd,
            _ => Vendor::Other,
        };
        let [version, _, features, _] = cpuid(1, 0);
        let [sub_leaves, extended_features, _, controls] = if highest >= 7 { cpuid(7, 0) } else { [0; 4] };
        let more_controls = if highest >= 7 && sub_leaves >= 2 { cpuid(7, 2)[3] } else { 0 };
        let highest = cpuid(0x8000_0000, 0)[0];
        let amd_controls = if highest >= 0x8000_0008 { cpuid(0x8000_0008, 0)[1] } else { 0 };
        let [amd_features, _, amd_more_features, _] =
            if highest >= 0x8000_0021 { cpuid(0x8000_0021, 0) } else { [0; 4] };
        let (family, model) = (version >> 8 & 0xf, version >> 4 & 0xf);
        Self {
            vendor,
            family: if family == 0xf { family + (version >> 20 & 0xff) } else { family },
            model: if family >= 6 { model | version >> 12 & 0xf0 } else { model },
            features,
            extended_features,
            controls,
            more_controls,
            amd_controls,
            amd_features,
            amd_more_features,
            capabilities: if controls >> 29 & 1 != 0 { capabilities() } else { 0 },
        }
    }

    fn can(&self, capability: u64) -> bool {
        self.capabilities & capability != 0
    }

    fn is_guest(&self) -> bool {
        self.features >> 31 != 0
    }

    /// IBRS, IBPB, STIBP and SSBD as they exist: `[bit of Intel's, bit of AMD's]`.
    fn has_control(&self, intel: u32, amd: u32) -> bool {
        self.controls >> intel & 1 != 0 || self.vendor == Vendor::Amd && self.amd_controls >> amd & 1 != 0
    }

    fn has_automatic_restriction(&self) -> bool {
        self.vendor == Vendor::Amd && self.amd_features >> 8 & 1 != 0
    }

    fn clears_buffers_by_verw(&self) -> bool {
        match self.vendor {
            Vendor::Amd => self.amd_features >> 5 & 1 != 0,
            _ => self.controls >> 10 & 1 != 0 || self.can(capability::FB_CLEAR),
        }
    }

    /// Its weaknesses. Every CPU speculates past bounds.
    pub fn weaknesses(&self) -> Weaknesses {
        let (immune, listed) = (models::immune(self), models::listed(self));
        let mut found = Weaknesses::SPECTRE_V2 | (listed & Weaknesses::MSBDS_ONLY);
        for (weakness, is_there) in [
            (Weaknesses::MELTDOWN, !self.can(capability::RDCL_NO)),
            (Weaknesses::L1TF, !self.can(capability::RDCL_NO)),
            (Weaknesses::STORE_BYPASS, !self.can(capability::SSB_NO) && !self.is_amd_bit(26)),
            (Weaknesses::MDS, !self.can(capability::MDS_NO)),
            (Weaknesses::SWAPGS, true),
            (Weaknesses::ITLB_MULTIHIT, !self.can(capability::PSCHANGE_MC_NO)),
            (Weaknesses::MMIO, listed.contains(Weaknesses::MMIO) && !self.has_no_stale_data()),
            (Weaknesses::MMIO_UNKNOWN, !listed.contains(Weaknesses::MMIO) && !self.has_no_stale_data()),
            (Weaknesses::SRBDS, listed.contains(Weaknesses::SRBDS) && self.has_random()),
            (Weaknesses::TAA, self.has_transactions() && !self.can(capability::TAA_NO)),
            (Weaknesses::RETBLEED, self.has_retbleed(listed)),
            (Weaknesses::SRSO, listed.contains(Weaknesses::SRSO) && self.amd_features >> 29 & 1 == 0),
            (
                Weaknesses::GDS,
                listed.contains(Weaknesses::GDS)
                    && self.features >> 28 & 1 != 0
                    && !self.can(capability::GDS_NO),
            ),
            (Weaknesses::RFDS, self.has_register_file_sampling(listed)),
            (Weaknesses::BHI, !self.can(capability::BHI_NO)),
            (Weaknesses::ITS, self.has_target_selection(listed)),
            (Weaknesses::TSA, listed.contains(Weaknesses::TSA) && self.amd_more_features & 0b110 != 0b110),
            (Weaknesses::X87_POINTERS, self.vendor == Vendor::Amd && self.amd_controls >> 2 & 1 == 0),
        ] {
            found.set(weakness, is_there && !immune.contains(weakness));
        }
        found
    }

    fn is_amd_bit(&self, bit: u32) -> bool {
        self.vendor == Vendor::Amd && self.amd_controls >> bit & 1 != 0
    }

    fn has_no_stale_data(&self) -> bool {
        let all = capability::SBDR_SSDP_NO | capability::FBSDP_NO | capability::PSDP_NO;
        self.capabilities & all == all
    }

    /// RDRAND or RDSEED.
    fn has_random(&self) -> bool {
        self.features >> 30 & 1 != 0 || self.extended_features >> 18 & 1 != 0
    }

    fn has_transactions(&self) -> bool {
        self.extended_features >> 11 & 1 != 0
    }

    fn has_retbleed(&self, listed: Weaknesses) -> bool {
        !self.is_amd_bit(29) && (listed.contains(Weaknesses::RETBLEED) || self.can(capability::RSBA))
    }

    fn has_register_file_sampling(&self, listed: Weaknesses) -> bool {
        let told = self.can(capability::RFDS_CLEAR) || listed.contains(Weaknesses::RFDS);
        told && !self.can(capability::RFDS_NO)
    }

    /// A guest cannot know on what it runs, or will.
    fn has_target_selection(&self, listed: Weaknesses) -> bool {
        let has_history_control = self.more_controls >> 4 & 1 != 0;
        self.vendor == Vendor::Intel
            && !self.can(capability::ITS_NO)
            && !has_history_control
            && (self.is_guest() || listed.contains(Weaknesses::ITS))
    }
}

/// How targets of indirect branches are kept apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Branches {
    /// They are not.
    Open,
    /// IBRS once for all (eIBRS; AMD: preferred always on).
    Enhanced,
    /// EFER.AIBRSE (AMD).
    Automatic,
    /// IBRS at every entry, off in programs.
    AtEntry,
}

/// How the history of branches is kept apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum History {
    /// It is not.
    Open,
    /// BHI_DIS_S once for all.
    Register,
    /// A run of branches at every entry.
    Branches,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    processor: Processor,
    /// What the CPU has.
    pub weaknesses: Weaknesses,
    /// Indices and user addresses are masked, the program's registers cleared at entry.
    pub masks: bool,
    /// `lfence` where `swapgs` is decided on.
    pub fences_swapgs: bool,
    /// `verw` on the way out.
    pub clears_buffers: bool,
    /// Targets.
    pub branches: Branches,
    /// History.
    pub history: History,
    /// The return stack is filled when the address space changes.
    pub fills_return_stack: bool,
    /// The pointers of the last x87 instruction are overwritten before a task's registers are loaded.
    pub clears_x87_pointers: bool,
    /// IBPB exists and is issued between address spaces where a program asked for it.
    pub has_barrier: bool,
    /// STIBP exists, and is asked for with that.
    pub has_thread_protection: bool,
    /// A program may turn store bypass off: SSBD.
    pub has_store_bypass_disable: bool,
}

impl Plan {
    /// What to do on a CPU.
    pub fn new(processor: Processor, wishes: Wishes) -> Self {
        use Weaknesses as W;
        let all = wishes.level == Level::Test;
        let on = wishes.level != Level::Off;
        let weaknesses = processor.weaknesses();
        let buffers = W::MDS | W::TAA | W::MMIO | W::RFDS | W::TSA;
        let branches = if wishes.branches { branches(&processor, all) } else { Branches::Open };
        let own_bits = processor.controls & (1 << 26 | 1 << 27 | 1 << 31) != 0;
        let has = |intel, amd| all || processor.has_control(intel, amd);
        Self {
            processor,
            weaknesses,
            masks: wishes.bounds,
            fences_swapgs: wishes.bounds
                && (all || processor.vendor == Vendor::Amd && !own_bits || weaknesses.contains(W::SWAPGS)),
            clears_buffers: on && (all || weaknesses.intersects(buffers)),
            branches,
            history: history(&processor, weaknesses, branches, wishes, all),
            fills_return_stack: wishes.branches,
            clears_x87_pointers: on && (all || weaknesses.contains(W::X87_POINTERS)),
            has_barrier: wishes.branches && has(26, 12),
            has_thread_protection: wishes.branches && has(27, 15),
            has_store_bypass_disable: wishes.store_bypass
                && (all || weaknesses.contains(W::STORE_BYPASS))
                && has(31, 24),
        }
    }

    /// Whether IA32_SPEC_CTRL changes with what runs.
    pub fn changes_control(&self) -> bool {
        self.branches == Branches::AtEntry || self.has_store_bypass_disable || self.has_thread_protection
    }

    /// IA32_SPEC_CTRL for the kernel, before what a thread asks for.
    pub fn control(&self) -> u64 {
        const IBRS: u64 = 1 << 0;
        const BHI_DIS_S: u64 = 1 << 10;
        let restriction = if self.branches == Branches::Enhanced { IBRS } else { 0 };
        restriction | if self.history == History::Register { BHI_DIS_S } else { 0 }
    }
}

fn branches(processor: &Processor, all: bool) -> Branches {
    if all {
        Branches::AtEntry
    } else if processor.has_automatic_restriction() {
        Branches::Automatic
    } else if processor.can(capability::IBRS_ALL) || processor.is_amd_bit(14) && processor.is_amd_bit(16) {
        Branches::Enhanced
    } else if processor.has_control(26, 14) {
        Branches::AtEntry
    } else {
        Branches::Open
    }
}

/// Where IBRS is written at every entry, it keeps branches by history apart too.
fn history(
    processor: &Processor,
    weaknesses: Weaknesses,
    branches: Branches,
    wishes: Wishes,
    all: bool,
) -> History {
    if all {
        return History::Branches;
    }
    if !wishes.branches || !weaknesses.contains(Weaknesses::BHI) || branches == Branches::AtEntry {
        return History::Open;
    }
    if processor.more_controls >> 4 & 1 != 0 { History::Register } else { History::Branches }
}
