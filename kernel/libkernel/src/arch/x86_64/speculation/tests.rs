//! Plans for CPUs that exist, against what Linux 6.1 says of them.
use super::*;
use crate::command_line::CommandLine;
use crate::speculation::Weakness;
use std::string::String;

const GUEST: u32 = 1 << 31;
const AVX: u32 = 1 << 28;

fn processor(vendor: Vendor, family: u32, model: u32, features: u32) -> Processor {
    Processor {
        vendor,
        family,
        model,
        features,
        extended_features: 0,
        controls: 0,
        more_controls: 0,
        amd_controls: 0,
        amd_features: 0,
        amd_more_features: 0,
        capabilities: 0,
    }
}

fn plan(processor: Processor, line: &str) -> Plan {
    Plan::new(processor, Wishes::read(CommandLine::new(line.as_bytes())))
}

fn says(plan: &Plan, weakness: Weakness) -> String {
    let mut text = String::new();
    plan.describe(weakness, false, &mut text).unwrap();
    text
}

/// Leaf by leaf, as QEMU 7.2's `Haswell` answers.
fn haswell(leaf: u32, sub_leaf: u32) -> [u32; 4] {
    match (leaf, sub_leaf) {
        (0, _) => [0xd, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
        (1, _) => [0x000306c4, 0x800, 0xf7fa_3223, 0x178b_fbff],
        (7, 0) => [0, 0x0000_07ab, 0, 0],
        (0x8000_0000, _) => [0x8000_0008, 0, 0, 0],
        _ => [0; 4],
    }
}

#[test]
fn leaves_are_read_as_the_manual_says() {
    let read = Processor::read(haswell, || panic!("there is no such register"));
    assert_eq!((read.vendor, read.family, read.model), (Vendor::Intel, 6, 0x3c));
    assert!(read.is_guest() && read.has_random());
    let amd = |leaf, _| match leaf {
        0 => [1, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
        1 => [0x00a2_0f12, 0, 0, 0],
        0x8000_0000 => [0x8000_0021, 0, 0, 0],
        0x8000_0008 => [0, 0x1234, 0, 0],
        0x8000_0021 => [0x100, 0, 2, 0],
        _ => [u32::MAX; 4],
    };
    let read = Processor::read(amd, || panic!("there is no such register"));
    assert_eq!((read.vendor, read.family, read.model), (Vendor::Amd, 0x19, 0x21));
    assert_eq!((read.amd_controls, read.amd_features, read.amd_more_features), (0x1234, 0x100, 2));
    let with_capabilities = |leaf, sub_leaf| {
        if (leaf, sub_leaf) == (7, 0) { [0, 0, 0, 1 << 29] } else { haswell(leaf, sub_leaf) }
    };
    assert_eq!(Processor::read(with_capabilities, || 7).capabilities, 7);
}

/// What Linux 6.1 in the same QEMU says, but for what it does in other ways: Meltdown, ITS, and targets.
#[test]
fn old_intel_cpus_are_described_as_by_linux() {
    let plan = plan(Processor::read(haswell, || 0), "");
    let buffers = "Vulnerable: Clear CPU buffers attempted, no microcode; SMT Host state unknown";
    for (weakness, words) in [
        (Weakness::GatherDataSampling, "Not affected"),
        (Weakness::ItlbMultihit, "KVM: Mitigation: VMX unsupported"),
        (Weakness::L1tf, "Mitigation: PTE Inversion"),
        (Weakness::Mds, buffers),
        (Weakness::MmioStaleData, "Unknown: No mitigations"),
        (Weakness::RegFileDataSampling, "Not affected"),
        (Weakness::Retbleed, "Not affected"),
        (Weakness::SpecRstackOverflow, "Not affected"),
        (Weakness::SpecStoreBypass, "Vulnerable"),
        (Weakness::SpectreV1, "Mitigation: usercopy/swapgs barriers and __user pointer sanitization"),
        (Weakness::Srbds, "Unknown: Dependent on hypervisor status"),
        (Weakness::Tsa, "Not affected"),
        (Weakness::TsxAsyncAbort, "Not affected"),
        (Weakness::Vmscape, "Not affected"),
        // Linux: PTI; aligned thunks; retpolines, against BHI too.
        (Weakness::Meltdown, "Vulnerable"),
        (Weakness::IndirectTargetSelection, "Vulnerable"),
        (
            Weakness::SpectreV2,
            "Vulnerable; STIBP: disabled; RSB filling; PBRSB-eIBRS: Not affected; BHI: SW loop",
        ),
    ] {
        assert_eq!(says(&plan, weakness), words, "{weakness:?}");
    }
    assert!(plan.clears_buffers && plan.fences_swapgs && plan.masks && plan.fills_return_stack);
    assert!(!plan.changes_control() && !plan.has_barrier);
}

#[test]
fn server_cpus_are_described_as_by_linux() {
    let skylake = plan(processor(Vendor::Intel, 6, 0x55, GUEST | AVX), "");
    assert_eq!(says(&skylake, Weakness::GatherDataSampling), "Unknown: Dependent on hypervisor status");
    assert_eq!(says(&skylake, Weakness::Retbleed), "Vulnerable");
    assert_eq!(says(&skylake, Weakness::MmioStaleData), says(&skylake, Weakness::Mds));
    assert_eq!(says(&skylake, Weakness::Srbds), "Not affected");
    let denverton = plan(processor(Vendor::Intel, 6, 0x5f, GUEST), "");
    for weakness in [Weakness::Mds, Weakness::L1tf, Weakness::MmioStaleData, Weakness::ItlbMultihit] {
        assert_eq!(says(&denverton, weakness), "Not affected", "{weakness:?}");
    }
    assert_eq!(says(&denverton, Weakness::RegFileDataSampling), "Vulnerable: No microcode");
    let zen = plan(processor(Vendor::Amd, 0x17, 1, GUEST | AVX), "");
    assert_eq!(says(&zen, Weakness::SpecRstackOverflow), "Vulnerable");
    assert_eq!(says(&zen, Weakness::Meltdown), "Not affected");
    assert_eq!(says(&zen, Weakness::SpecStoreBypass), "Vulnerable");
    let milan = plan(processor(Vendor::Amd, 0x19, 1, GUEST | AVX), "");
    assert_eq!(says(&milan, Weakness::Tsa), "Vulnerable: Clear CPU buffers attempted, no microcode");
    assert_eq!(says(&milan, Weakness::Retbleed), "Not affected");
}

/// What QEMU's translator runs by default: an old CPU of AMD's.
#[test]
fn the_translators_cpu_needs_little() {
    let plan = plan(processor(Vendor::Amd, 0xf, 0x6b, GUEST), "");
    assert!(
        plan.masks
            && plan.fences_swapgs
            && !plan.clears_buffers
            && plan.weaknesses.contains(Weaknesses::X87_POINTERS)
    );
    assert_eq!(says(&plan, Weakness::SpecStoreBypass), "Not affected");
    assert_eq!((plan.history, plan.branches), (History::Open, Branches::Open));
}

/// AMD's CPUs without XSAVEERPTR (CPUID 8000_0008 EBX bit 2) leave x87's pointers; Linux: `X86_BUG_FXSAVE_LEAK`.
#[test]
fn x87_pointers_are_cleared_where_the_cpu_leaves_them() {
    const ERROR_POINTERS: u32 = 1 << 2;
    let opteron = processor(Vendor::Amd, 0xf, 0x41, GUEST);
    let rome = Processor { amd_controls: ERROR_POINTERS, ..processor(Vendor::Amd, 0x17, 0x31, GUEST) };
    let nehalem = processor(Vendor::Intel, 6, 0x1a, GUEST);
    let clears = |processor, line| plan(processor, line).clears_x87_pointers;
    assert_eq!([opteron, rome, nehalem].map(|processor| clears(processor, "")), [true, false, false]);
    assert_eq!([opteron, nehalem].map(|processor| clears(processor, "mitigations=test")), [true, true]);
    assert!(!clears(opteron, "mitigations=off"));
}

#[test]
fn registers_are_written_once_where_that_is_enough() {
    // Cascade Lake: eIBRS, RDCL_NO, MDS_NO; no control of history.
    let mut cascade_lake = processor(Vendor::Intel, 6, 0x55, AVX);
    cascade_lake.controls = 1 << 10 | 1 << 26 | 1 << 27 | 1 << 29 | 1 << 31;
    cascade_lake.capabilities = capability::RDCL_NO | capability::IBRS_ALL | capability::MDS_NO;
    let found = plan(cascade_lake, "");
    assert_eq!((found.branches, found.history, found.control()), (Branches::Enhanced, History::Branches, 1));
    assert!(found.has_barrier && found.has_store_bypass_disable);
    assert_eq!(says(&found, Weakness::Meltdown), "Not affected");
    assert_eq!(says(&found, Weakness::Mds), "Not affected");
    assert_eq!(says(&found, Weakness::Retbleed), "Mitigation: Enhanced IBRS");
    assert_eq!(says(&found, Weakness::MmioStaleData), "Mitigation: Clear CPU buffers; SMT disabled");
    let v2 = "Mitigation: Enhanced / Automatic IBRS; IBPB: conditional; RSB filling; PBRSB-eIBRS: Not affected; BHI: SW loop";
    assert_eq!(says(&found, Weakness::SpectreV2), v2);
    // Alder Lake: BHI_DIS_S.
    let mut alder_lake = processor(Vendor::Intel, 6, 0x97, AVX);
    alder_lake.controls = cascade_lake.controls;
    alder_lake.more_controls = 1 << 4;
    alder_lake.capabilities = cascade_lake.capabilities | capability::RFDS_CLEAR;
    let found = plan(alder_lake, "");
    assert_eq!((found.history, found.control()), (History::Register, 1 | 1 << 10));
    assert_eq!(says(&found, Weakness::RegFileDataSampling), "Mitigation: Clear Register File");
    // Zen 4.
    let mut zen = processor(Vendor::Amd, 0x19, 0x61, AVX);
    (zen.amd_controls, zen.amd_features) = (1 << 12 | 1 << 14 | 1 << 15 | 1 << 24 | 1 << 29, 1 << 8 | 1 << 5);
    let found = plan(zen, "");
    assert_eq!((found.branches, found.control()), (Branches::Automatic, 0));
    assert_eq!(says(&found, Weakness::Tsa), "Mitigation: Clear CPU buffers");
}

#[test]
fn cpus_with_microcode_write_at_every_entry() {
    let mut broadwell = processor(Vendor::Intel, 6, 0x4f, AVX);
    broadwell.controls = 1 << 10 | 1 << 26 | 1 << 27 | 1 << 31;
    let found = plan(broadwell, "");
    assert_eq!((found.branches, found.history), (Branches::AtEntry, History::Open));
    assert!(found.changes_control());
    assert_eq!(says(&found, Weakness::Mds), "Mitigation: Clear CPU buffers; SMT disabled");
    let mut text = String::new();
    found.describe(Weakness::Mds, true, &mut text).unwrap();
    assert_eq!(text, "Mitigation: Clear CPU buffers; SMT vulnerable");
}

#[test]
fn without_mitigations_nothing_is_done_and_that_is_said() {
    let off = plan(Processor::read(haswell, || 0), "mitigations=off");
    assert!(
        !off.masks
            && !off.fences_swapgs
            && !off.clears_buffers
            && !off.fills_return_stack
            && !off.changes_control()
    );
    assert_eq!((off.branches, off.history), (Branches::Open, History::Open));
    assert_eq!(says(&off, Weakness::Mds), "Vulnerable; SMT Host state unknown");
    assert_eq!(says(&off, Weakness::SpectreV1), "Vulnerable");
    assert_eq!(
        says(&off, Weakness::SpectreV2),
        "Vulnerable; STIBP: disabled; PBRSB-eIBRS: Not affected; BHI: Vulnerable"
    );
    let test = plan(Processor::read(haswell, || 0), "mitigations=test");
    assert!(
        test.clears_buffers && test.has_barrier && test.has_store_bypass_disable && test.changes_control()
    );
    assert_eq!((test.branches, test.history), (Branches::AtEntry, History::Branches));
}
