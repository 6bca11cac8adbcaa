//! Packages, cores and threads by the number of a CPU's APIC (Intel SDM vol. 3A, 9.9.3, and the topology leaves of
//! CPUID).

use crate::topology::CpuPosition;

/// The leaf that lists the levels.
const LEVELS: u32 = 0xb;
/// Kinds of levels there (ECX bits 15-8); 0 ends the list.
const END: u32 = 0;
const THREADS: u32 = 1;

/// How an APIC's number is made: the bits below are those of the threads, and of the threads and cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shifts {
    thread: u32,
    package: u32,
}

impl Shifts {
    /// As CPUID says on every CPU of the machine; `cpuid` returns EAX, EBX, ECX and EDX of a leaf and subleaf.
    pub fn read(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> Shifts {
        let most = cpuid(0, 0)[0];
        if most >= LEVELS && cpuid(LEVELS, 0)[1] != 0 {
            return Shifts::of_levels(cpuid);
        }
        // Leaf 1: EBX bits 23-16 count the package's numbers if EDX has HTT; leaf 4: EAX bits 31-26 those of its cores,
        // less one.
        let [_, counts, _, features] = cpuid(1, 0);
        let logical = if features & 1 << 28 != 0 { (counts >> 16 & 0xff).max(1) } else { 1 };
        let cores = if most >= 4 { (cpuid(4, 0)[0] >> 26) + 1 } else { 1 };
        let package = bits_for(logical);
        Shifts { thread: package.saturating_sub(bits_for(cores)), package }
    }

    fn of_levels(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> Shifts {
        let mut shifts = Shifts { thread: 0, package: 0 };
        for level in 0..8 {
            let [shift, _, kind, _] = cpuid(LEVELS, level);
            match kind >> 8 & 0xff {
                END => break,
                THREADS => shifts.thread = shift & 0x1f,
                _ => {}
            }
            shifts.package = shift & 0x1f;
        }
        shifts
    }

    /// The place of the CPU whose APIC has this number.
    pub fn place_of(self, apic: u32) -> CpuPosition {
        let below = |number: u32, bits: u32| number & !(u32::MAX << bits);
        CpuPosition {
            package: apic >> self.package,
            cluster: 0,
            core: below(apic, self.package) >> self.thread,
            thread: below(apic, self.thread),
        }
    }
}

/// The bits that tell so many apart.
fn bits_for(count: u32) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(package: u32, core: u32, thread: u32) -> CpuPosition {
        CpuPosition { package, cluster: 0, core, thread }
    }

    #[test]
    fn levels_are_read() {
        // As QEMU says for two sockets of four cores of two threads.
        let cpuid = |leaf, level| match (leaf, level) {
            (0, _) => [0xd, 0, 0, 0],
            (0xb, 0) => [1, 2, 0x100, 0],
            (0xb, 1) => [3, 8, 0x201, 0],
            _ => [0; 4],
        };
        let shifts = Shifts::read(cpuid);
        assert_eq!(shifts.place_of(0), place(0, 0, 0));
        assert_eq!(shifts.place_of(7), place(0, 3, 1));
        assert_eq!(shifts.place_of(0b1_010), place(1, 1, 0));
    }

    #[test]
    fn old_processors_count() {
        // Three cores of two threads take numbers for four.
        let cpuid = |leaf, _| match leaf {
            0 => [4, 0, 0, 0],
            1 => [0, 8 << 16, 0, 1 << 28],
            4 => [3 << 26, 0, 0, 0],
            _ => [0; 4],
        };
        assert_eq!(Shifts::read(cpuid).place_of(5), place(0, 2, 1));
        assert_eq!(Shifts::read(cpuid).place_of(9), place(1, 0, 1));
        let alone = |leaf, _| if leaf == 0 { [1, 0, 0, 0] } else { [0; 4] };
        assert_eq!(Shifts::read(alone).place_of(2), place(2, 0, 0));
    }

    #[test]
    fn nonsense_is_borne() {
        let shifts = Shifts::read(|_, _| [u32::MAX; 4]);
        let _ = shifts.place_of(u32::MAX);
    }
}
