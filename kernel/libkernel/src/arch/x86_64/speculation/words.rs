//! What `/sys/devices/system/cpu/vulnerabilities` says: Linux 6.1's words, for what this kernel does.
use super::{Branches, History, Plan, Weaknesses as W, capability};
use crate::speculation::{NOT_AFFECTED, Weakness};
use core::fmt::{Result, Write};

const VULNERABLE: &str = "Vulnerable";
const HOST_KNOWS: &str = "Unknown: Dependent on hypervisor status";

impl Plan {
    /// Says how things stand with a weakness; `shares_cores`: whether two CPUs are threads of one core.
    pub fn describe(&self, weakness: Weakness, shares_cores: bool, out: &mut dyn Write) -> Result {
        let has = |weakness| self.weaknesses.contains(weakness);
        let plain = |is_there, words| if is_there { words } else { NOT_AFFECTED };
        let words = match weakness {
            Weakness::GatherDataSampling => {
                plain(has(W::GDS), self.by_microcode(self.processor.can(capability::GDS_CTRL)))
            }
            Weakness::Srbds => plain(has(W::SRBDS), self.by_microcode(self.processor.controls >> 9 & 1 != 0)),
            Weakness::IndirectTargetSelection => plain(has(W::ITS), VULNERABLE),
            // A question of hypervisors; this is none.
            Weakness::ItlbMultihit => plain(has(W::ITLB_MULTIHIT), "KVM: Mitigation: VMX unsupported"),
            Weakness::Vmscape => NOT_AFFECTED,
            Weakness::L1tf => plain(has(W::L1TF), "Mitigation: PTE Inversion"),
            Weakness::Meltdown => plain(has(W::MELTDOWN), VULNERABLE),
            Weakness::Mds if has(W::MDS) => return self.describe_buffers(Some(shares_cores), out),
            Weakness::TsxAsyncAbort if has(W::TAA) => return self.describe_buffers(Some(shares_cores), out),
            Weakness::MmioStaleData if has(W::MMIO) => return self.describe_buffers(Some(shares_cores), out),
            Weakness::MmioStaleData => plain(has(W::MMIO_UNKNOWN), "Unknown: No mitigations"),
            Weakness::Tsa if has(W::TSA) => return self.describe_buffers(None, out),
            Weakness::Mds | Weakness::TsxAsyncAbort | Weakness::Tsa => NOT_AFFECTED,
            Weakness::RegFileDataSampling => plain(has(W::RFDS), self.register_file()),
            Weakness::Retbleed if has(W::RETBLEED) && self.branches != Branches::Open => self.returns(),
            Weakness::Retbleed => plain(has(W::RETBLEED), VULNERABLE),
            Weakness::SpecRstackOverflow => plain(has(W::SRSO), VULNERABLE),
            Weakness::SpecStoreBypass if self.has_store_bypass_disable => {
                "Mitigation: Speculative Store Bypass disabled via prctl"
            }
            Weakness::SpecStoreBypass => plain(has(W::STORE_BYPASS), VULNERABLE),
            Weakness::SpectreV1 if self.masks => {
                "Mitigation: usercopy/swapgs barriers and __user pointer sanitization"
            }
            Weakness::SpectreV1 => VULNERABLE,
            Weakness::SpectreV2 => return self.describe_branches(out),
        };
        out.write_str(words)
    }

    fn by_microcode(&self, has_control: bool) -> &'static str {
        match (self.processor.is_guest(), has_control) {
            (true, _) => HOST_KNOWS,
            (false, true) => "Mitigation: Microcode",
            (false, false) => "Vulnerable: No microcode",
        }
    }

    fn register_file(&self) -> &'static str {
        match (self.clears_buffers, self.processor.can(capability::RFDS_CLEAR)) {
            (true, true) => "Mitigation: Clear Register File",
            (true, false) => "Vulnerable: No microcode",
            (false, _) => VULNERABLE,
        }
    }

    /// Intel's returns go by the branch predictor when their stack is empty, which IBRS restricts; AMD's go by it
    /// always, and only untrained returns would do.
    fn returns(&self) -> &'static str {
        match (self.processor.vendor, self.branches) {
            (super::Vendor::Intel, Branches::AtEntry) => "Mitigation: IBRS",
            (super::Vendor::Intel, _) => "Mitigation: Enhanced IBRS",
            _ => VULNERABLE,
        }
    }

    /// Of what `verw` clears; with the state of threads of one core where they share the buffers.
    fn describe_buffers(&self, shares_cores: Option<bool>, out: &mut dyn Write) -> Result {
        out.write_str(match (self.clears_buffers, self.processor.clears_buffers_by_verw()) {
            (true, true) => "Mitigation: Clear CPU buffers",
            (true, false) => "Vulnerable: Clear CPU buffers attempted, no microcode",
            (false, _) => VULNERABLE,
        })?;
        let Some(shares_cores) = shares_cores else { return Ok(()) };
        out.write_str(match (self.processor.is_guest(), shares_cores) {
            (true, _) => "; SMT Host state unknown",
            (false, true) => "; SMT vulnerable",
            (false, false) => "; SMT disabled",
        })
    }

    fn describe_branches(&self, out: &mut dyn Write) -> Result {
        out.write_str(match self.branches {
            Branches::Open => VULNERABLE,
            Branches::Enhanced | Branches::Automatic => "Mitigation: Enhanced / Automatic IBRS",
            Branches::AtEntry => "Mitigation: IBRS",
        })?;
        if self.has_barrier {
            out.write_str("; IBPB: conditional")?;
        }
        if self.branches != Branches::Enhanced {
            out.write_str(if self.has_thread_protection {
                "; STIBP: conditional"
            } else {
                "; STIBP: disabled"
            })?;
        }
        if self.fills_return_stack {
            out.write_str("; RSB filling")?;
        }
        // Only a hypervisor meets it.
        out.write_str("; PBRSB-eIBRS: Not affected")?;
        let affected = self.weaknesses.contains(W::BHI);
        out.write_str(match self.history {
            History::Register => "; BHI: BHI_DIS_S",
            History::Branches => "; BHI: SW loop",
            History::Open if affected => "; BHI: Vulnerable",
            History::Open => "; BHI: Not affected",
        })
    }
}
