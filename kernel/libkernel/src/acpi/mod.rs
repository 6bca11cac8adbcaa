//! The tables of ACPI as firmware leaves them in memory: from the root pointer to the table with a signature.
//!
//! Lengths and sums are believed only as far as they hold: no content can make more than an absent table. A table whose
//! bytes do not add up to zero is none. Source: ACPI 6.4, 5.2.
pub mod dmar;
pub mod fadt;
pub mod hpet;
pub mod sleep;
pub mod spcr;

use crate::physical::{Memory, matches, number};

/// Bytes of a table's header (5.2.6).
const HEADER_BYTES: u64 = 36;
/// The longest table that is believed. A DSDT of a large server has a few hundred KiB.
const LENGTH_MAX: u64 = 4 << 20;
/// The longest list of tables that is believed.
const DIRECTORY_MAX: u64 = 64 << 10;
const ROOT_SIGNATURE: &[u8; 8] = b"RSD PTR ";
/// The root pointer of ACPI 1.0, whose sum is that of its own bytes, and of the later ones (5.2.5.3).
const OLD_ROOT_BYTES: u64 = 20;
const ROOT_BYTES: u64 = 36;
/// Where BIOSes leave the root pointer: in the area of a segment that is named at 0x40e, or below 1 MiB (5.2.5.1).
const EXTENDED_BIOS_AREA: u64 = 0x40e;
const EXTENDED_BIOS_AREA_BYTES: u64 = 1024;
const BIOS: core::ops::Range<u64> = 0xe_0000..0x10_0000;

/// Whether so many bytes add up to zero.
fn adds_up(memory: &impl Memory, address: u64, length: u64) -> bool {
    let Some(end) = address.checked_add(length) else { return false };
    let sum = (address..end).try_fold(0u8, |sum, at| Some(sum.wrapping_add(memory.byte(at)?)));
    sum == Some(0)
}

/// A table that adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where it lies.
    pub address: u64,
    /// Its bytes with its header.
    pub length: u64,
}

impl Table {
    /// The table at `address`, if it has `signature` and adds up.
    pub fn at(memory: &impl Memory, address: u64, signature: &[u8; 4]) -> Option<Self> {
        if address == 0 || !matches(memory, address, signature) {
            return None;
        }
        let length = number::<4>(memory, address + 4)?;
        let believed = (HEADER_BYTES..=LENGTH_MAX).contains(&length) && adds_up(memory, address, length);
        believed.then_some(Self { address, length })
    }

    /// The number of `BYTES` bytes at `offset`; `None` behind the table's end.
    pub fn number<const BYTES: usize>(&self, memory: &impl Memory, offset: u64) -> Option<u64> {
        (offset + BYTES as u64 <= self.length).then(|| number::<BYTES>(memory, self.address + offset))?
    }

    /// What follows the header: addresses.
    pub fn body(&self) -> core::ops::Range<u64> {
        self.address + HEADER_BYTES..self.address + self.length
    }
}

/// Whether a root pointer that adds up lies at `address`.
fn is_root(memory: &impl Memory, address: u64) -> bool {
    matches(memory, address, ROOT_SIGNATURE) && adds_up(memory, address, OLD_ROOT_BYTES)
}

/// The root pointer where BIOSes leave it.
pub fn search_root(memory: &impl Memory) -> Option<u64> {
    let area = number::<2>(memory, EXTENDED_BIOS_AREA).unwrap_or(0) << 4;
    let areas = [area..area + EXTENDED_BIOS_AREA_BYTES, BIOS];
    areas.into_iter().filter(|area| area.start != 0).flatten().step_by(16).find(|&at| is_root(memory, at))
}

/// The list of all tables, with the bytes of its entries: the one of 64-bit addresses, where there is one that adds up.
fn directories(memory: &impl Memory, root: u64) -> [Option<(Table, usize)>; 2] {
    if !is_root(memory, root) {
        return [None; 2];
    }
    let is_extended = memory.byte(root + 15).is_some_and(|revision| revision >= 2)
        && number::<4>(memory, root + 20).is_some_and(|length| length >= ROOT_BYTES)
        && adds_up(memory, root, ROOT_BYTES);
    let extended = is_extended.then(|| number::<8>(memory, root + 24)).flatten();
    let old = number::<4>(memory, root + 16);
    [
        extended.and_then(|address| Some((Table::at(memory, address, b"XSDT")?, 8))),
        old.and_then(|address| Some((Table::at(memory, address, b"RSDT")?, 4))),
    ]
}

/// All addresses that the root pointer at `root` leads to.
fn addresses<'a>(memory: &'a impl Memory, root: u64) -> impl Iterator<Item = u64> + 'a {
    let directory = directories(memory, root).into_iter().flatten().next();
    directory.into_iter().flat_map(move |(table, entry_bytes)| {
        let body = table.body();
        let slots = (body.start..body.end.min(table.address + DIRECTORY_MAX)).step_by(entry_bytes);
        slots.filter(move |slot| slot + entry_bytes as u64 <= body.end).filter_map(move |slot| {
            if entry_bytes == 8 { number::<8>(memory, slot) } else { number::<4>(memory, slot) }
        })
    })
}

/// The tables with `signature`, from the root pointer at `root` on.
pub fn tables<'a>(
    memory: &'a impl Memory,
    root: u64,
    signature: &'a [u8; 4],
) -> impl Iterator<Item = Table> + 'a {
    addresses(memory, root).filter_map(move |address| Table::at(memory, address, signature))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    /// Memory with tables in it.
    #[derive(Default)]
    pub struct Image(pub BTreeMap<u64, Vec<u8>>);

    impl Memory for Image {
        fn byte(&self, address: u64) -> Option<u8> {
            let (start, bytes) = self.0.range(..=address).next_back()?;
            bytes.get((address - start) as usize).copied()
        }
    }

    /// Sets the byte at `offset` so that the first `length` bytes add up to zero.
    fn sum(bytes: &mut [u8], offset: usize, length: usize) {
        bytes[offset] = 0;
        let sum = bytes[..length].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[offset] = sum.wrapping_neg();
    }

    /// A table with its header and sum.
    pub fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut table = signature.to_vec();
        table.extend((HEADER_BYTES as u32 + body.len() as u32).to_le_bytes());
        table.resize(HEADER_BYTES as usize, 1);
        table.extend(body);
        let length = table.len();
        sum(&mut table, 9, length);
        table
    }

    /// A root pointer of ACPI 2.0 or later.
    pub fn root(old: u32, extended: u64) -> Vec<u8> {
        let mut root = ROOT_SIGNATURE.to_vec();
        root.extend([0; 28]);
        root[15] = 2;
        root[16..20].copy_from_slice(&old.to_le_bytes());
        root[20..24].copy_from_slice(&36u32.to_le_bytes());
        root[24..32].copy_from_slice(&extended.to_le_bytes());
        sum(&mut root, 8, 20);
        sum(&mut root, 32, 36);
        root
    }

    const ROOT: u64 = 0xf_0010;

    fn image() -> Image {
        let mut image = Image::default();
        image.0.insert(ROOT, root(0x1000, 0x2000));
        image.0.insert(0x1000, table(b"RSDT", &0x3000u32.to_le_bytes()));
        image.0.insert(0x2000, table(b"XSDT", &0x1_0000_0000u64.to_le_bytes()));
        image.0.insert(0x3000, table(b"FACP", &[1]));
        image.0.insert(0x1_0000_0000, table(b"FACP", &[2, 3]));
        image
    }

    fn found(image: &Image) -> Option<Table> {
        tables(image, ROOT, b"FACP").next()
    }

    #[test]
    fn the_directory_of_64_bits_comes_first() {
        assert_eq!(found(&image()), Some(Table { address: 0x1_0000_0000, length: 38 }));
        assert_eq!(tables(&image(), ROOT, b"APIC").next(), None);
    }

    #[test]
    fn a_directory_that_does_not_add_up_is_none() {
        let mut image = image();
        image.0.get_mut(&0x2000).unwrap()[20] ^= 1;
        assert_eq!(found(&image).unwrap().address, 0x3000);
        image.0.get_mut(&0x3000).unwrap()[20] ^= 1;
        assert_eq!(found(&image), None);
    }

    #[test]
    fn a_root_pointer_whose_second_sum_is_wrong_is_an_old_one() {
        let mut image = image();
        image.0.get_mut(&ROOT).unwrap()[35] ^= 1;
        assert_eq!(found(&image).unwrap().address, 0x3000);
        image.0.get_mut(&ROOT).unwrap()[10] ^= 1;
        assert_eq!(found(&image), None);
    }

    #[test]
    fn lengths_that_lie_make_no_table() {
        for length in [0u32, 35, 39, 5 << 20, u32::MAX] {
            let mut image = image();
            image.0.get_mut(&0x1_0000_0000).unwrap()[4..8].copy_from_slice(&length.to_le_bytes());
            assert_eq!(found(&image), None, "{length}");
        }
        let mut image = image();
        image.0.insert(u64::MAX - 7, b"FACP\xff\xff\xff\0".to_vec());
        image.0.insert(0x2000, table(b"XSDT", &(u64::MAX - 7).to_le_bytes()));
        assert_eq!(found(&image), None);
    }

    #[test]
    fn numbers_end_with_their_table() {
        let image = image();
        let table = found(&image).unwrap();
        assert_eq!(table.number::<2>(&image, 36), Some(0x302));
        assert_eq!((table.number::<2>(&image, 37), table.number::<1>(&image, 38)), (None, None));
    }

    #[test]
    fn the_root_is_found_where_bioses_leave_it() {
        assert_eq!(search_root(&image()), Some(ROOT));
        let mut image = image();
        image.0.insert(0x40e, std::vec![0x00, 0x9f]);
        image.0.insert(0x9_f020, root(1, 2));
        assert_eq!(search_root(&image), Some(0x9_f020));
        image.0.get_mut(&0x9_f020).unwrap()[0] = b'X';
        assert_eq!(search_root(&image), Some(ROOT));
        assert_eq!(search_root(&Image::default()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>, base in 0u64..64) {
            let mut image = Image::default();
            image.0.insert(base, bytes);
            let _ = search_root(&image);
            prop_assert!(tables(&image, base, b"FACP").count() <= DIRECTORY_MAX as usize);
        }
    }
}
