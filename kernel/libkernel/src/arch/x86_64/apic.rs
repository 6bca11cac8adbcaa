//! What CPUID says of the local APIC: how it is talked to, and what its timer is armed by.

use super::tsc::is_guest;

/// What the boot CPU's local APIC offers; the others are of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its registers can be model-specific ones, and its number 32 bits wide (leaf 1, ECX, bit 21; SDM volume 3,
    /// 10.12).
    pub x2apic: bool,
    /// Its timer can interrupt at a value of the time-stamp counter (bit 24; SDM volume 3, 10.5.4.1).
    pub deadline: bool,
}

impl Offer {
    /// Asks `cpuid` (leaf, subleaf; EAX, EBX, ECX, EDX).
    pub fn read(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> Self {
        let [version, _, features, _] = cpuid(1, 0);
        let has = |bit: u32| features >> bit & 1 != 0;
        let [_, first, third, second] = cpuid(0, 0);
        let is_intel = [first, second, third] == [*b"Genu", *b"ineI", *b"ntel"].map(u32::from_le_bytes);
        // A hypervisor makes the timer itself.
        let is_faulty = is_intel && !is_guest(&cpuid) && has_erratum(version);
        Self { x2apic: has(21), deadline: has(24) && !is_faulty }
    }
}

/// Whether a CPU of Intel's has an erratum of this timer unless its microcode is new enough: all of family 6, Haswell
/// to Kaby Lake. Which microcode that is differs by stepping (Linux, arch/x86/kernel/apic/apic.c, `deadline_match`), so
/// their timers count.
fn has_erratum(version: u32) -> bool {
    const MODELS: [u32; 13] = [0x3c, 0x3d, 0x3f, 0x45, 0x46, 0x47, 0x4e, 0x4f, 0x55, 0x56, 0x5e, 0x8e, 0x9e];
    let model = version >> 4 & 0xf | version >> 12 & 0xf0;
    version >> 8 & 0xf == 6 && MODELS.contains(&model)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEL: [u32; 4] = [0xd, 0x756e_6547, 0x6c65_746e, 0x4965_6e69];
    const AMD: [u32; 4] = [0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65];

    fn offer(vendor: [u32; 4], version: u32, features: u32) -> Offer {
        Offer::read(|leaf, _| match leaf {
            0 => vendor,
            1 => [version, 0, features, 0],
            _ => [0; 4],
        })
    }

    #[test]
    fn each_bit_is_one_offer() {
        assert_eq!(offer(AMD, 0, 0), Offer { x2apic: false, deadline: false });
        assert_eq!(offer(AMD, 0, 1 << 21), Offer { x2apic: true, deadline: false });
        assert_eq!(offer(AMD, 0, 1 << 24), Offer { x2apic: false, deadline: true });
    }

    #[test]
    fn a_timer_with_an_erratum_is_not_used() {
        const GUEST: u32 = 1 << 31;
        let (haswell, ice_lake) = (0x306c3, 0x606a6);
        assert!(!offer(INTEL, haswell, 1 << 24).deadline);
        assert!(offer(INTEL, haswell, 1 << 24 | GUEST).deadline);
        assert!(offer(INTEL, ice_lake, 1 << 24).deadline);
        assert!(offer(AMD, haswell, 1 << 24).deadline);
    }
}
