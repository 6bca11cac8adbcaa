//! Models of CPUs by what they have and what they cannot have.
//!
//! Source: Intel, "Affected Processors: Transient Execution Attacks"; AMD's bulletins; as Linux 6.1 lists them.
use super::{Processor, Vendor, Weaknesses as W};

/// A family-6 model of Intel's and a set.
type Row = (&'static [u32], W);

const fn all(sets: &[W]) -> W {
    let (mut bits, mut index) = (0, 0);
    while index < sets.len() {
        bits |= sets[index].bits();
        index += 1;
    }
    W::from_bits_truncate(bits)
}

/// What Intel's models have, as far as a list is the only way to know.
const INTEL: [Row; 16] = [
    (&[0x3a, 0x3c, 0x45, 0x46, 0x47, 0x3d], W::SRBDS),
    (&[0x3f, 0x56, 0x4f], W::MMIO),
    (&[0x55], all(&[W::MMIO, W::RETBLEED, W::GDS, W::ITS])),
    (&[0x4e, 0x5e], all(&[W::MMIO, W::RETBLEED, W::GDS, W::SRBDS])),
    (&[0x8e, 0x9e], all(&[W::MMIO, W::RETBLEED, W::GDS, W::SRBDS, W::ITS])),
    (&[0x66], W::RETBLEED),
    (&[0x7e], all(&[W::MMIO, W::RETBLEED, W::GDS, W::ITS])),
    (&[0x6a, 0x6c], all(&[W::MMIO, W::GDS, W::ITS])),
    (&[0xa5, 0xa6], all(&[W::MMIO, W::RETBLEED, W::GDS, W::ITS])),
    (&[0x8c, 0x8d], all(&[W::GDS, W::ITS])),
    (&[0x8a], all(&[W::MMIO, W::RETBLEED])),
    (&[0xa7], all(&[W::MMIO, W::RETBLEED, W::GDS, W::ITS])),
    (&[0x97, 0x9a, 0xb7, 0xba, 0xbf, 0xbe], W::RFDS),
    (&[0x86, 0x96, 0x9c], all(&[W::MMIO, W::RFDS])),
    (&[0x5c, 0x5f, 0x7a], W::RFDS),
    (&[0x37, 0x4a, 0x4c, 0x4d, 0x5a, 0x57, 0x85], W::MSBDS_ONLY),
];

/// What some Intel models cannot have: small cores.
const INTEL_IMMUNE: [Row; 4] = [
    (&[0x37, 0x4a, 0x4c, 0x4d, 0x57, 0x85], all(&[W::STORE_BYPASS, W::L1TF, W::SWAPGS, W::ITLB_MULTIHIT])),
    (&[0x5a, 0x75], all(&[W::L1TF, W::SWAPGS, W::ITLB_MULTIHIT])),
    (&[0x5c, 0x5f, 0x7a], all(&[W::MDS, W::L1TF, W::SWAPGS, W::ITLB_MULTIHIT, W::MMIO, W::MMIO_UNKNOWN])),
    (&[0x86], W::ITLB_MULTIHIT),
];

/// What no CPU of AMD's has.
const AMD_IMMUNE: W = all(&[
    W::MELTDOWN,
    W::L1TF,
    W::MDS,
    W::SWAPGS,
    W::ITLB_MULTIHIT,
    W::MMIO,
    W::MMIO_UNKNOWN,
    W::BHI,
    W::TAA,
]);

fn sum(rows: &[Row], processor: &Processor) -> W {
    if processor.vendor != Vendor::Intel || processor.family != 6 {
        return W::empty();
    }
    let fits = rows.iter().filter(|(models, _)| models.contains(&processor.model));
    fits.fold(W::empty(), |found, (_, weaknesses)| found | *weaknesses)
}

/// What the model is known to have.
pub fn listed(processor: &Processor) -> W {
    match (processor.vendor, processor.family) {
        (Vendor::Amd, 0x15 | 0x16) => W::RETBLEED,
        (Vendor::Amd, 0x17 | 0x18) => W::RETBLEED | W::SRSO,
        (Vendor::Amd, 0x19) => W::SRSO | W::TSA,
        _ => sum(&INTEL, processor),
    }
}

/// What the model cannot have.
pub fn immune(processor: &Processor) -> W {
    match (processor.vendor, processor.family) {
        (Vendor::Amd, 0xf..=0x12) => AMD_IMMUNE | W::STORE_BYPASS,
        (Vendor::Amd, _) => AMD_IMMUNE,
        _ => sum(&INTEL_IMMUNE, processor),
    }
}
