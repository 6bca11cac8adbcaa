//! What EFI's system table says to a kernel: where ACPI's root pointer is, a device tree, and a loader's random bytes.
//!
//! Source: UEFI 2.10, 4.3 (system table), 4.6 (configuration tables).
use crate::physical::{Memory, matches, number};

const SIGNATURE: &[u8; 8] = b"IBI SYST";
const ENTRY_COUNT: u64 = 104;
const ENTRIES: u64 = 112;
/// A GUID and an address.
const ENTRY_BYTES: u64 = 24;
/// More than any firmware has.
const ENTRY_COUNT_MAX: u64 = 256;

/// EFI_ACPI_20_TABLE_GUID, as it lies in memory.
const ACPI_2: [u8; 16] =
    [0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81];
/// ACPI_TABLE_GUID, of ACPI 1.0.
const ACPI_1: [u8; 16] =
    [0x30, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11, 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d];

/// LINUX_EFI_RANDOM_SEED_TABLE_GUID (Linux, `include/linux/efi.h`).
const RANDOM_SEED: [u8; 16] =
    [0xbc, 0xe5, 0xe1, 0x1c, 0xeb, 0x7c, 0xf2, 0x42, 0x81, 0xe5, 0x8a, 0xad, 0xf1, 0x80, 0xf5, 0x7b];
/// So many bytes of a seed are used (Linux: EFI_RANDOM_SEED_SIZE times some).
const SEED_MAX: u64 = 1024;

/// EFI_DTB_TABLE_GUID (Devicetree's "Embedded Base Boot Requirements").
const DEVICE_TREE: [u8; 16] =
    [0xd5, 0x21, 0xb6, 0xb1, 0x9c, 0xf1, 0xa5, 0x41, 0x83, 0x0b, 0xd9, 0x15, 0x2c, 0x69, 0xaa, 0xe0];

/// The root pointer of ACPI that the system table at `system_table` names.
pub fn acpi_root(memory: &impl Memory, system_table: u64) -> Option<u64> {
    find(memory, system_table, &[ACPI_2, ACPI_1])
}

/// Start and length of the random bytes that a loader left: `struct linux_efi_random_seed`.
pub fn random_seed(memory: &impl Memory, system_table: u64) -> Option<(u64, u64)> {
    let table = find(memory, system_table, &[RANDOM_SEED])?;
    Some((table.checked_add(4)?, number::<4>(memory, table)?.min(SEED_MAX)))
}

/// The address of the device tree that the system table names.
pub fn device_tree(memory: &impl Memory, system_table: u64) -> Option<u64> {
    find(memory, system_table, &[DEVICE_TREE])
}

/// The first of these configuration tables that there is.
fn find(memory: &impl Memory, system_table: u64, wanted: &[[u8; 16]]) -> Option<u64> {
    if !matches(memory, system_table, SIGNATURE) {
        return None;
    }
    let count = number::<8>(memory, system_table.checked_add(ENTRY_COUNT)?)?.min(ENTRY_COUNT_MAX);
    let entries = number::<8>(memory, system_table.checked_add(ENTRIES)?)?;
    let end = entries.checked_add(count * ENTRY_BYTES)?;
    wanted.iter().find_map(|guid| {
        let entry =
            (entries..end).step_by(ENTRY_BYTES as usize).find(|&entry| matches(memory, entry, guid))?;
        number::<8>(memory, entry + 16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn system(tables: &[([u8; 16], u64)]) -> Vec<u8> {
        let mut memory = SIGNATURE.to_vec();
        memory.resize(0x200, 0);
        memory[104] = tables.len() as u8;
        memory[112..120].copy_from_slice(&0x200u64.to_le_bytes());
        for (guid, address) in tables {
            memory.extend(guid);
            memory.extend(address.to_le_bytes());
        }
        memory
    }

    fn root(memory: &[u8]) -> Option<u64> {
        acpi_root(&|address: u64| memory.get(address as usize).copied(), 0)
    }

    #[test]
    fn the_newer_table_comes_first() {
        assert_eq!(root(&system(&[([9; 16], 1), (ACPI_1, 2), (ACPI_2, 3)])), Some(3));
        assert_eq!(root(&system(&[(ACPI_1, 2)])), Some(2));
        assert_eq!(root(&system(&[])), None);
    }

    #[test]
    fn a_seed_has_its_length_before_it() {
        let mut memory = system(&[(ACPI_2, 3), (RANDOM_SEED, 0x300)]);
        memory.resize(0x400, 0);
        memory[0x300] = 32;
        let find = |memory: &[u8]| random_seed(&|address: u64| memory.get(address as usize).copied(), 0);
        assert_eq!(find(&memory), Some((0x304, 32)));
        memory[0x303] = 0xff;
        assert_eq!(find(&memory), Some((0x304, SEED_MAX)));
        assert_eq!(find(&system(&[(ACPI_2, 3)])), None);
        assert_eq!(find(&system(&[(RANDOM_SEED, u64::MAX)])), None);
    }

    #[test]
    fn a_device_tree_is_another_table() {
        let memory = system(&[(ACPI_2, 3), (DEVICE_TREE, 5)]);
        let memory = |address: u64| memory.get(address as usize).copied();
        assert_eq!((device_tree(&memory, 0), acpi_root(&memory, 0)), (Some(5), Some(3)));
    }

    #[test]
    fn what_lies_has_no_root() {
        let mut memory = system(&[(ACPI_2, 3)]);
        memory[0] = 0;
        assert_eq!(root(&memory), None);
        let mut memory = system(&[(ACPI_2, 3)]);
        memory[104..112].fill(0xff);
        assert_eq!(root(&memory), Some(3));
        memory[112..120].fill(0xff);
        assert_eq!(root(&memory), None);
    }
}
