//! The ACPI table that lists the CPUs: MADT, signature `APIC` (ACPI 6.4, 5.2.12).

use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// What firmware calls the table.
pub const SIGNATURE: &[u8; 4] = b"APIC";

/// The table's header, its APIC address and its flags.
const HEADER_BYTES: usize = 44;
/// Kinds of entries, in their first byte.
const LOCAL_APIC: u8 = 0;
const LOCAL_X2APIC: u8 = 9;
/// The CPU can be started.
const ENABLED: u32 = 1 << 0;

/// A CPU's local APIC, with the two bytes that start every entry (5.2.12.2).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct LocalApic {
    kind_and_length: [u8; 2],
    processor: u8,
    identity: u8,
    flags: U32,
}

/// The same for identifiers beyond 254 (5.2.12.12).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct LocalX2Apic {
    kind_and_length: [u8; 2],
    reserved: [u8; 2],
    identity: U32,
    flags: U32,
    processor: U32,
}

/// The local APIC identifiers of all CPUs that can be started, in the table's order, which is the firmware's order of
/// preference. What comes behind a broken entry is not read.
pub fn processors(table: &[u8]) -> impl Iterator<Item = u32> {
    let mut rest = table.get(HEADER_BYTES..).unwrap_or_default();
    core::iter::from_fn(move || {
        let [_, length, ..] = *rest else { return None };
        let (entry, behind) = rest.split_at_checked(length.into())?;
        rest = behind;
        (entry.len() >= 2).then(|| processor(entry))
    })
    .flatten()
}

/// The identifier, if the entry is a CPU that can be started.
fn processor(entry: &[u8]) -> Option<u32> {
    let (identity, flags) = match *entry.first()? {
        LOCAL_APIC => {
            let (cpu, _) = LocalApic::ref_from_prefix(entry).ok()?;
            (cpu.identity.into(), cpu.flags)
        }
        LOCAL_X2APIC => {
            let (cpu, _) = LocalX2Apic::ref_from_prefix(entry).ok()?;
            (cpu.identity.get(), cpu.flags)
        }
        _ => return None,
    };
    (flags.get() & ENABLED != 0).then_some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn table(entries: &[&[u8]]) -> Vec<u8> {
        let mut table = std::vec![0; HEADER_BYTES];
        entries.iter().for_each(|entry| table.extend_from_slice(entry));
        table
    }

    #[test]
    fn enabled_processors_are_listed_in_order() {
        let io_apic = [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0];
        let x2 = [9, 16, 0, 0, 0x34, 0x12, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        let table = table(&[
            &[0, 8, 0, 4, 1, 0, 0, 0],
            &io_apic,
            &[0, 8, 1, 5, 2, 0, 0, 0],
            &x2,
            &[0, 8, 2, 6, 1, 0, 0, 0],
        ]);
        assert_eq!(processors(&table).collect::<Vec<_>>(), [4, 0x1234, 6]);
    }

    #[test]
    fn a_broken_entry_ends_the_list() {
        let good: &[u8] = &[0, 8, 0, 4, 1, 0, 0, 0];
        for broken in [&[0, 0][..], &[0, 1], &[0], &[0, 200, 1, 1]] {
            assert_eq!(processors(&table(&[good, broken])).collect::<Vec<_>>(), [4]);
        }
        assert_eq!(processors(&table(&[&[0, 4, 0, 4], good])).count(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            prop_assert!(processors(&bytes).count() <= bytes.len());
        }
    }
}
