//! The ACPI table that lists CPUs and interrupt controllers: MADT, signature `APIC` (ACPI 6.4, 5.2.12.14 to 5.2.12.17).
use crate::acpi::{Table, tables};
use crate::addr::{PhysAddr, PhysRange};
use crate::physical::Memory;

/// The table's header, an address and flags that mean nothing here.
const HEADER_BYTES: u64 = 44;
/// Kinds of entries, in their first byte; the second one is their length.
const CPU: u64 = 0x0b;
const DISTRIBUTOR: u64 = 0x0c;
const REDISTRIBUTORS: u64 = 0x0e;

/// Flags of a CPU: it can be started.
const ENABLED: u64 = 1 << 0;
/// The affinity fields of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// What this kernel takes of the table's entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A CPU that can be started.
    Cpu {
        /// The affinity fields of its MPIDR_EL1.
        affinity: u64,
        /// A GICv2's CPU interface; zero: none.
        interface: u64,
        /// A GICv3's redistributor, where no region holds it; zero: none.
        redistributor: u64,
    },
    /// The distributor.
    Distributor {
        /// Where it is.
        address: u64,
        /// The GIC's version; zero: look.
        version: u8,
    },
    /// A region of redistributors.
    Redistributors(PhysRange),
}

/// Calls `visit` with the entries that matter, in the table's order. What comes behind a broken entry is not read.
pub fn for_each(memory: &impl Memory, root: u64, mut visit: impl FnMut(Entry)) {
    let Some(table) = tables(memory, root, b"APIC").next() else { return };
    let mut at = HEADER_BYTES;
    while let Some(length) = table.number::<1>(memory, at + 1)
        && length >= 2
        && at + length <= table.length
    {
        if let Some(entry) = read(memory, Table { address: table.address + at, length }) {
            visit(entry);
        }
        at += length;
    }
}

fn read(memory: &impl Memory, entry: Table) -> Option<Entry> {
    match entry.number::<1>(memory, 0)? {
        CPU => {
            let flags = entry.number::<4>(memory, 12)?;
            (flags & ENABLED != 0).then_some(Entry::Cpu {
                interface: entry.number::<8>(memory, 32)?,
                redistributor: entry.number::<8>(memory, 60)?,
                affinity: entry.number::<8>(memory, 68)? & AFFINITY,
            })
        }
        DISTRIBUTOR => Some(Entry::Distributor {
            address: entry.number::<8>(memory, 8)?,
            version: entry.number::<1>(memory, 20)? as u8,
        }),
        REDISTRIBUTORS => {
            let start = PhysAddr::new(entry.number::<8>(memory, 4)?);
            Some(Entry::Redistributors(PhysRange::new(start, entry.number::<4>(memory, 12)?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::tests::{Image, root, table};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn entries(body: &[u8]) -> Vec<Entry> {
        let mut image = Image::default();
        image.0.insert(0x800, root(0, 0x1000));
        image.0.insert(0x1000, table(b"XSDT", &0x2000u64.to_le_bytes()));
        image.0.insert(0x2000, table(b"APIC", &[&[0; 8], body].concat()));
        let mut found = Vec::new();
        for_each(&image, 0x800, |entry| found.push(entry));
        found
    }

    fn cpu(flags: u8, affinity: u64) -> Vec<u8> {
        let mut entry = std::vec![0; 80];
        (entry[0], entry[1], entry[12]) = (0x0b, 80, flags);
        entry[32..40].copy_from_slice(&0x801_0000u64.to_le_bytes());
        entry[68..76].copy_from_slice(&affinity.to_le_bytes());
        entry
    }

    #[test]
    fn controllers_and_cpus_are_read_in_order() {
        let distributor = [0x0c, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0];
        let region = [0x0e, 16, 0, 0, 0, 0, 0x0a, 8, 0, 0, 0, 0, 0, 0, 0xf6, 0];
        let frame = [0x0d, 24, 0, 0, 0, 0, 0, 0, 0, 0, 2, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0x50, 0];
        let body =
            [&distributor[..], &cpu(1, 0x8000_0000), &cpu(0, 1), &frame, &cpu(1, 0x1_0000_0102), &region];
        let cpu = |affinity| Entry::Cpu { affinity, interface: 0x801_0000, redistributor: 0 };
        let range = PhysRange::new(PhysAddr::new(0x80a_0000), 0xf6_0000);
        assert_eq!(
            entries(&body.concat()),
            [
                Entry::Distributor { address: 0x800_0000, version: 3 },
                cpu(0),
                cpu(0x1_0000_0102),
                Entry::Redistributors(range)
            ]
        );
    }

    #[test]
    fn a_broken_entry_ends_the_list() {
        for broken in [&[0x0b, 0][..], &[0x0b, 1], &[0x0b, 200, 1], &[0x0b]] {
            assert_eq!(entries(&[&cpu(1, 3), broken, &cpu(1, 4)].concat()).len(), 1);
        }
        // One that is too short for what it must say is passed over.
        assert_eq!(entries(&[&[0x0b, 20][..], &[1; 18], &cpu(1, 4)].concat()).len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            prop_assert!(entries(&bytes).len() <= bytes.len());
        }
    }
}
