//! What CPUID says of the time-stamp counter's frequency.
//!
//! Sources: SDM volume 2, CPUID leaves 15H and 16H; for the hypervisors' leaf the VMware proposal that KVM and QEMU
//! follow (<https://lwn.net/Articles/301888/>): 40000010H, EAX in kilohertz.

/// The frequency in hertz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// As the counter's maker knows it.
    Exact(u64),
    /// A nominal frequency that the real one is near to.
    About(u64),
    /// Nothing is said.
    Unknown,
}

/// Asks `cpuid` (leaf, subleaf; EAX, EBX, ECX, EDX). What a hypervisor says counts first: the CPU's own leaves may be
/// those of another machine than the one that it runs on now.
pub fn frequency(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> Frequency {
    const HYPERVISOR_LEAVES: u32 = 0x4000_0000;
    const HYPERVISOR_TIMING: u32 = 0x4000_0010;
    const TSC: u32 = 0x15;
    const NOMINAL: u32 = 0x16;
    let [last, ..] = cpuid(0, 0);
    let is_guest = is_guest(&cpuid);
    // Leaves beyond the last repeat those of another range, so the last is asked first.
    if is_guest && (HYPERVISOR_TIMING..HYPERVISOR_TIMING + 0xffff).contains(&cpuid(HYPERVISOR_LEAVES, 0)[0]) {
        let [kilohertz, ..] = cpuid(HYPERVISOR_TIMING, 0);
        if kilohertz != 0 {
            return Frequency::Exact(u64::from(kilohertz) * 1000);
        }
    }
    if last >= TSC {
        let [denominator, numerator, crystal_hertz, _] = cpuid(TSC, 0).map(u64::from);
        if denominator != 0 && numerator != 0 && crystal_hertz != 0 {
            return Frequency::Exact(crystal_hertz * numerator / denominator);
        }
    }
    if last >= NOMINAL {
        let megahertz = u64::from(cpuid(NOMINAL, 0)[0] & 0xffff);
        if megahertz != 0 {
            return Frequency::About(megahertz * 1_000_000);
        }
    }
    Frequency::Unknown
}

/// Whether the counter runs at one frequency while the CPU is in no deeper sleep than `hlt`: it is invariant, or an
/// Intel of which the manual says so (family 15 from model 3 on, 6 from model 14 on; SDM volume 3, 17.17).
pub fn is_constant(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> bool {
    if is_invariant(&cpuid) {
        return true;
    }
    let [_, name @ ..] = cpuid(0, 0);
    let version = cpuid(1, 0)[0];
    let (family, model) = (version >> 8 & 0xf, version >> 4 & 0xf | version >> 12 & 0xf0);
    let is_intel = name == [*b"Genu", *b"ntel", *b"ineI"].map(u32::from_le_bytes);
    is_intel && (family == 15 && model >= 3 || family == 6 && model >= 14)
}

/// Whether the counter runs at one frequency whatever the CPU does: leaf 80000007H, EDX, bit 8 (SDM volume 3, 17.17.1).
pub fn is_invariant(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> bool {
    const POWER: u32 = 0x8000_0007;
    cpuid(0x8000_0000, 0)[0] >= POWER && cpuid(POWER, 0)[3] >> 8 & 1 != 0
}

/// Whether `cpuid`'s machine is a virtual one: leaf 1, ECX, bit 31, which no CPU sets.
pub fn is_guest(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> bool {
    const HYPERVISOR: u32 = 1 << 31;
    cpuid(1, 0)[2] & HYPERVISOR != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CPU with these leaves, the last basic one first; others answer with the highest basic leaf, as Intel's do.
    fn found(leaves: &[(u32, [u32; 4])]) -> Frequency {
        frequency(|leaf, _| leaves.iter().find(|known| known.0 == leaf).map_or([7; 4], |known| known.1))
    }

    const GUEST: (u32, [u32; 4]) = (1, [0, 0, 1 << 31, 0]);
    const BARE: (u32, [u32; 4]) = (1, [0; 4]);

    #[test]
    fn the_crystal_is_believed() {
        let skylake_server =
            [(0, [0x16, 0, 0, 0]), BARE, (0x15, [2, 168, 25_000_000, 0]), (0x16, [2_100, 0, 0, 0])];
        assert_eq!(found(&skylake_server), Frequency::Exact(2_100_000_000));
        // Client parts leave the crystal's frequency out.
        let skylake = [(0, [0x16, 0, 0, 0]), BARE, (0x15, [2, 226, 0, 0]), (0x16, [2_700, 3_500, 100, 0])];
        assert_eq!(found(&skylake), Frequency::About(2_700_000_000));
    }

    #[test]
    fn a_hypervisor_knows_best() {
        let guest = [
            (0, [0x16, 0, 0, 0]),
            GUEST,
            (0x4000_0000, [0x4000_0010, 0, 0, 0]),
            (0x4000_0010, [2_099_512, 1_000_000, 0, 0]),
            (0x15, [2, 168, 25_000_000, 0]),
        ];
        assert_eq!(found(&guest), Frequency::Exact(2_099_512_000));
        let silent = [
            (0, [0xd, 0, 0, 0]),
            GUEST,
            (0x4000_0000, [0x4000_0001, 0, 0, 0]),
            (0x4000_0010, [2_099_512, 0, 0, 0]),
        ];
        assert_eq!(found(&silent), Frequency::Unknown);
    }

    #[test]
    fn a_counter_is_constant_where_somebody_says_so() {
        let intel = [0x16, 0x756e_6547, 0x6c65_746e, 0x4965_6e69];
        let amd = [0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65];
        let constant = |name: [u32; 4], version: u32, power: u32| {
            let cpuid = |leaf, _| match leaf {
                0 => name,
                1 => [version, 0, 0, 0],
                0x8000_0000 => [0x8000_0008, 0, 0, 0],
                0x8000_0007 => [0, 0, 0, power],
                _ => [0; 4],
            };
            (is_constant(cpuid), is_invariant(cpuid))
        };
        assert_eq!(constant(intel, 0x6_06f1, 1 << 8), (true, true));
        // A Core 2, a Pentium M, a first Pentium 4, an Opteron.
        assert_eq!(constant(intel, 0x6fb, 0), (true, false));
        assert_eq!(constant(intel, 0x6d8, 0), (false, false));
        assert_eq!(constant(intel, 0xf24, 0), (false, false));
        assert_eq!(constant(amd, 0xf5a, 0), (false, false));
    }

    #[test]
    fn leaves_that_are_not_there_say_nothing() {
        assert_eq!(found(&[(0, [0xd, 0, 0, 0]), BARE]), Frequency::Unknown);
        assert_eq!(found(&[(0, [0x16, 0, 0, 0]), BARE, (0x15, [0; 4]), (0x16, [0; 4])]), Frequency::Unknown);
    }
}
