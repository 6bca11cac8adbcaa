//! The table that listed CPUs before ACPI's did (Intel, "MultiProcessor Specification", version 1.4, chapter 4), which
//! BIOSes still make, and monitors without ACPI: libkrun, Firecracker before 1.8.

use crate::physical::{Memory, matches, number};

/// Where the pointer to it lies, at a multiple of sixteen bytes: the first KiB of the BIOS's extended data, the last
/// one below the area of old PCs' devices, and the BIOS (4).
const EXTENDED_BIOS_AREA: u64 = 0x40e;
const LAST_BELOW_DEVICES: core::ops::Range<u64> = 0x9_fc00..0xa_0000;
const BIOS: core::ops::Range<u64> = 0xf_0000..0x10_0000;
const AREA_BYTES: u64 = 1 << 10;
const POINTER_BYTES: u64 = 16;
/// The table's header, with the length in bytes at 4 (4.2). Its count of entries is not looked at: those monitors leave
/// it zero, and Linux goes by the length.
const HEADER_BYTES: u64 = 44;
/// Entries of CPUs are longer than all others; there are five kinds (4.3).
const CPU: u8 = 0;
const LAST_KIND: u8 = 4;
const CPU_BYTES: u64 = 20;
const OTHER_BYTES: u64 = 8;
/// The CPU can be started (4.3.1).
const ENABLED: u8 = 1 << 0;

/// The local APIC identifiers of all CPUs that can be started, in the table's order; none without a table that adds up.
pub fn processors(memory: &impl Memory) -> impl Iterator<Item = u32> {
    let extended = number::<2>(memory, EXTENDED_BIOS_AREA).map_or(0, |segment| segment << 4);
    let areas = [extended..extended + AREA_BYTES, LAST_BELOW_DEVICES, BIOS];
    let mut places = areas.into_iter().filter(|area| area.start != 0).flatten().step_by(16);
    let [mut at, end] = places.find_map(|at| entries(memory, at)).unwrap_or([0; 2]);
    core::iter::from_fn(move || {
        let kind = (at < end).then(|| memory.byte(at)).flatten().filter(|kind| *kind <= LAST_KIND)?;
        let entry = at;
        at += if kind == CPU { CPU_BYTES } else { OTHER_BYTES };
        (at <= end).then_some((kind == CPU).then_some(entry))
    })
    .flatten()
    .filter(|entry| memory.byte(entry + 3).is_some_and(|flags| flags & ENABLED != 0))
    .filter_map(|entry| memory.byte(entry + 1).map(u32::from))
}

/// Where the entries begin and end of the table that a pointer at `at` leads to.
fn entries(memory: &impl Memory, at: u64) -> Option<[u64; 2]> {
    let is_pointer = matches(memory, at, b"_MP_") && adds_up(memory, at, POINTER_BYTES);
    let table = is_pointer.then(|| number::<4>(memory, at + 4)).flatten().filter(|table| *table != 0)?;
    let length = number::<2>(memory, table + 4).filter(|length| *length >= HEADER_BYTES)?;
    let is_table = matches(memory, table, b"PCMP") && adds_up(memory, table, length);
    is_table.then_some([table + HEADER_BYTES, table + length])
}

/// Whether all bytes together are zero.
fn adds_up(memory: &impl Memory, start: u64, length: u64) -> bool {
    let bytes = (start..start + length).map(|at| memory.byte(at));
    bytes.into_iter().try_fold(0u8, |sum, byte| byte.map(|byte| sum.wrapping_add(byte))) == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const POINTER: u64 = 0x9_fc00;
    const TABLE: u64 = 0x9_fc10;

    fn settle(bytes: &mut [u8], at: usize) {
        bytes[at] = 0;
        bytes[at] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    }

    /// As such monitors lay it out: a pointer, and the table behind it, without the count of its entries.
    fn memory(entries: &[&[u8]], spoil: Option<usize>) -> Vec<u8> {
        let mut table = std::vec![0; HEADER_BYTES as usize];
        table[..4].copy_from_slice(b"PCMP");
        entries.iter().for_each(|entry| table.extend_from_slice(entry));
        table[4] = table.len() as u8;
        settle(&mut table, 7);
        let mut pointer = std::vec![0; POINTER_BYTES as usize];
        pointer[..4].copy_from_slice(b"_MP_");
        pointer[4..8].copy_from_slice(&(TABLE as u32).to_le_bytes());
        pointer[8] = 1;
        settle(&mut pointer, 10);
        let mut bytes = [pointer, table].concat();
        if let Some(at) = spoil {
            bytes[at] ^= 1;
        }
        bytes
    }

    fn cpu(identity: u8, flags: u8) -> Vec<u8> {
        let mut entry = std::vec![CPU, identity, 0x14, flags];
        entry.resize(CPU_BYTES as usize, 0);
        entry
    }

    fn found(bytes: &[u8]) -> Vec<u32> {
        let at = |address: u64| match address.checked_sub(POINTER) {
            Some(offset) => Some(bytes.get(offset as usize).copied().unwrap_or(0)),
            None => Some(0),
        };
        processors(&at).collect()
    }

    #[test]
    fn enabled_processors_are_listed_in_order() {
        let (first, second, off, bus) = (cpu(0, 3), cpu(4, 1), cpu(5, 0), [1, 0, b'I', b'S', b'A', 0, 0, 0]);
        let bytes = memory(&[&first, &bus, &off, &second], None);
        assert_eq!(found(&bytes), [0, 4]);
    }

    #[test]
    fn a_table_that_does_not_add_up_is_none() {
        let first = cpu(0, 3);
        let whole = memory(&[&first], None);
        for at in [0, 4, 9, 16, 20, 40, 61] {
            assert_eq!(found(&memory(&[&first], Some(at))), [], "{at}");
        }
        assert_eq!(found(&whole), [0]);
        assert_eq!(found(&[]), []);
    }

    /// The table says so by its length, and by a kind that there is not.
    #[test]
    fn entries_end_with_the_table() {
        let (whole, odd) = (cpu(7, 1), [5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(found(&memory(&[&whole, &cpu(8, 1)[..19]], None)), [7]);
        assert_eq!(found(&memory(&[&whole, &odd, &whole], None)), [7]);
        assert_eq!(found(&memory(&[], None)), []);
    }

    /// As BIOSes may have it: the BIOS's extended data lie elsewhere, and name the table.
    #[test]
    fn the_extended_bios_area_is_looked_through() {
        let cpus = [cpu(0, 3), cpu(1, 1)];
        let table = memory(&[&cpus[0], &cpus[1]], None);
        let mut pointer = table[..16].to_vec();
        pointer[4..8].copy_from_slice(&0x8_0010u32.to_le_bytes());
        settle(&mut pointer, 10);
        let at = |address: u64| match address {
            0x40e => Some(0),
            0x40f => Some(0x80),
            0x8_0000..0x8_0010 => Some(pointer[(address - 0x8_0000) as usize]),
            0x8_0010.. => Some(table.get((address - 0x8_0000) as usize).copied().unwrap_or(0)),
            _ => Some(0),
        };
        assert_eq!(processors(&at).collect::<Vec<_>>(), [0, 1]);
    }
}
