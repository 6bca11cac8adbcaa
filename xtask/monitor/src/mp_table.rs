//! The table of CPUs that Firecracker and libkrun make (Intel, "MultiProcessor Specification", version 1.4, chapter 4).
//!
//! As theirs, it has no count of its entries, and may end beyond the KiB that is meant for it.

use anyhow::Result;

/// Where the pointer to it lies, and the table behind that.
pub const ADDRESS: u64 = 0x9_fc00;

const POINTER_BYTES: u64 = 16;
const LOCAL_APIC: u32 = 0xfee0_0000;
const IO_APIC: u32 = 0xfec0_0000;
const APIC_VERSION: u8 = 0x14;
const LINES: u8 = 24;

/// The pointer and the table of a machine with so many CPUs.
pub fn bytes(cpus: u8) -> Result<Vec<u8>> {
    let mut table = vec![0; 44];
    table[..4].copy_from_slice(b"PCMP");
    table[6] = 4;
    table[8..16].copy_from_slice(b"FC      ");
    table[16..28].copy_from_slice(b"000000000000");
    table[36..40].copy_from_slice(&LOCAL_APIC.to_le_bytes());
    for cpu in 0..cpus {
        // A CPU that can be started, the first of which is running.
        table.extend([0, cpu, APIC_VERSION, if cpu == 0 { 3 } else { 1 }]);
        table.extend([0x600u32, 0x201, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    }
    table.extend(*b"\x01\x00ISA   ");
    table.extend([2, cpus + 1, APIC_VERSION, 1]);
    table.extend(IO_APIC.to_le_bytes());
    for line in 0..LINES {
        table.extend([3, 0, 0, 0, 0, line, cpus + 1, line]);
    }
    table.extend([4, 3, 0, 0, 0, 0, 0, 0]);
    table.extend([4, 1, 0, 0, 0, 0, 0xff, 1]);
    let length = u16::try_from(table.len())?;
    table[4..6].copy_from_slice(&length.to_le_bytes());
    settle(&mut table, 7);
    let mut pointer = b"_MP_".to_vec();
    pointer.extend(u32::try_from(ADDRESS + POINTER_BYTES)?.to_le_bytes());
    pointer.extend([1, 4, 0, 0, 0, 0, 0, 0]);
    settle(&mut pointer, 10);
    pointer.extend(table);
    Ok(pointer)
}

/// Sets the byte at `at` so that all together are zero.
pub fn settle(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
}
