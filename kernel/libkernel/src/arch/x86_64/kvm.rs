//! What CPUID says of KVM, and of what it offers its guests beyond a machine.
//!
//! Sources: Linux, Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst.
use super::tsc::is_guest;
use crate::clock::SECOND_NS;

/// The clock by MSR 0x4b564d00 and 0x4b564d01.
pub const CLOCK: u32 = 1 << 3;
/// The time that a CPU was not run though it could have, by MSR 0x4b564d03.
pub const STEAL_TIME: u32 = 1 << 5;
/// An end of interrupt that needs no exit, by MSR 0x4b564d04.
pub const END_OF_INTERRUPT: u32 = 1 << 6;
/// A hypercall that wakes a halted CPU, interrupts masked or not.
pub const KICK: u32 = 1 << 7;
/// A CPU that does not run forgets its translations before it does, if it is told so in its steal time.
pub const FLUSH: u32 = 1 << 9;
/// A hypercall that interrupts many CPUs.
pub const SEND_INTERRUPT: u32 = 1 << 11;
/// Whether the hypervisor polls when a CPU halts, by MSR 0x4b564d05.
pub const POLL_CONTROL: u32 = 1 << 12;
/// A hypercall that gives a turn to a CPU that does not run.
pub const YIELD: u32 = 1 << 13;
/// The clock's parameters are the same for all CPUs where they say so.
pub const CLOCK_STABLE: u32 = 1 << 24;

/// A hypervisor that speaks KVM's protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kvm {
    /// What it offers: the bits above.
    pub features: u32,
    /// Its hint that each CPU has one of the host's for itself.
    pub is_dedicated: bool,
    /// The frequency of the local APIC's timer before it is divided, in hertz.
    pub timer_hertz: u64,
}

impl Kvm {
    /// Asks `cpuid` (leaf, subleaf; EAX, EBX, ECX, EDX). KVM's leaves stand behind those of another hypervisor where it
    /// acts as that too (Hyper-V; QEMU's `kvm_arch_init_vcpu`).
    pub fn find(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> Option<Kvm> {
        const FIRST: u32 = 0x4000_0000;
        const TIMING: u32 = 0x10;
        const PLACES: u32 = 2;
        if !is_guest(&cpuid) {
            return None;
        }
        let signature = [*b"KVMK", *b"VMKV", *b"M\0\0\0"].map(u32::from_le_bytes);
        let base = (0..PLACES).map(|place| FIRST + place * 0x100).find(|&base| {
            let [_, rest @ ..] = cpuid(base, 0);
            rest == signature
        })?;
        // Early ones say zero and have the next leaf all the same.
        let last = cpuid(base, 0)[0].max(base + 1);
        let told = if last >= base + TIMING { cpuid(base + TIMING, 0)[1] } else { 0 };
        let timer_hertz = if told == 0 { SECOND_NS } else { u64::from(told) * 1000 };
        let [features, _, _, hints] = cpuid(base + 1, 0);
        Some(Kvm { features, is_dedicated: hints & 1 != 0, timer_hertz })
    }
}

/// The hypercall that sends `vector` to the CPUs with these APIC identifiers: its number and arguments. `None` if they
/// do not fit into one: it takes 128 identifiers from the least on.
pub fn send_call(identities: impl Iterator<Item = u32> + Clone, vector: u8) -> Option<[u64; 5]> {
    const SEND: u64 = 10;
    let least = identities.clone().min()?;
    let mut map = [0u64; 2];
    for identity in identities {
        let bit = identity - least;
        *map.get_mut(bit as usize / 64)? |= 1 << (bit % 64);
    }
    Some([SEND, map[0], map[1], least.into(), vector.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_interrupted_by_a_map_of_their_numbers() {
        let call = |identities: &[u32]| send_call(identities.iter().copied(), 58);
        assert_eq!(call(&[]), None);
        assert_eq!(call(&[7, 5]), Some([10, 0b101, 0, 5, 58]));
        assert_eq!(call(&[300, 364, 427]), Some([10, 1, 1 | 1 << 63, 300, 58]));
        assert_eq!(call(&[300, 428]), None);
    }

    fn found(base: u32, last: u32, guest: bool) -> Option<Kvm> {
        Kvm::find(|leaf, _| match leaf {
            1 => [0, 0, u32::from(guest) << 31, 0],
            leaf if leaf == base => [last, 0x4b4d_564b, 0x564b_4d56, 0x4d],
            leaf if leaf == base + 1 => [CLOCK | CLOCK_STABLE, 0, 0, u32::from(last == 0)],
            leaf if leaf == base + 0x10 => [2_100_000, 200_000, 0, 0],
            _ => [0; 4],
        })
    }

    #[test]
    fn kvm_is_found_by_its_signature() {
        let kvm = Kvm { features: CLOCK | CLOCK_STABLE, is_dedicated: false, timer_hertz: SECOND_NS };
        assert_eq!(found(0x4000_0000, 0x4000_0001, true), Some(kvm));
        assert_eq!(found(0x4000_0000, 0, true), Some(Kvm { is_dedicated: true, ..kvm }));
        assert_eq!(found(0x4000_0100, 0x4000_0101, true), Some(kvm));
        assert_eq!(found(0x4000_0000, 0x4000_0001, false), None);
        assert_eq!(found(0x5000_0000, 0x5000_0001, true), None);
    }

    #[test]
    fn the_timers_frequency_may_be_told() {
        assert_eq!(found(0x4000_0000, 0x4000_0010, true).unwrap().timer_hertz, 200_000_000);
    }
}
