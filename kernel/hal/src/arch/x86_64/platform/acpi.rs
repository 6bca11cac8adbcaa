//! The few facts that ACPI tables are needed for: which CPUs there are, how to switch the machine off and how to restart it.
//!
//! Read when that is wanted. Sources: ACPI 6.4, chapters 4.8, 5.2.
use super::port;
use crate::arch::x86_64::paging::map_device;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr};
use libkernel::arch::x86_64::madt;

static RSDP: AtomicU64 = AtomicU64::new(0);

/// Remembers where the loader says the root pointer is; zero: search.
pub fn remember_root(address: u64) {
    RSDP.store(address, Ordering::Relaxed);
}

/// Physical memory, read through the device window a page at a time.
fn read_byte(address: u64) -> Option<u8> {
    let pointer = map_device(PhysAddr::new(address)).ok()?;
    // SAFETY: just mapped, and firmware tables may be read.
    Some(unsafe { pointer.read_volatile() })
}

fn read<const BYTES: usize>(address: u64) -> Option<u64> {
    let mut value = 0;
    for offset in (0..BYTES as u64).rev() {
        value = value << 8 | u64::from(read_byte(address.checked_add(offset)?)?);
    }
    Some(value)
}

fn matches(address: u64, text: &[u8]) -> bool {
    text.iter().zip(address..).all(|(&byte, at)| read_byte(at) == Some(byte))
}

/// The root pointer: from the loader, else searched where BIOSes put it (ACPI 5.2.5.1).
fn root_pointer() -> Option<u64> {
    let known = RSDP.load(Ordering::Relaxed);
    if known != 0 {
        return Some(known);
    }
    (0xe_0000..0x10_0000u64).step_by(16).find(|&address| matches(address, b"RSD PTR "))
}

/// The table with `signature`.
fn table(signature: &[u8; 4]) -> Option<u64> {
    let root = root_pointer()?;
    let extended = read_byte(root + 15)? >= 2 && read::<8>(root + 24)? != 0;
    let (directory, entry_bytes) =
        if extended { (read::<8>(root + 24)?, 8) } else { (read::<4>(root + 16)?, 4) };
    let length = read::<4>(directory + 4)?.min(PAGE_SIZE);
    (directory + 36..directory + length).step_by(entry_bytes).find_map(|slot| {
        let address = if entry_bytes == 8 { read::<8>(slot)? } else { read::<4>(slot)? };
        matches(address, signature).then_some(address)
    })
}

/// A copy of the table that lists the CPUs.
pub fn cpu_table() -> Option<Vec<u8>> {
    /// More than 64 CPUs with all that belongs to them need.
    const LENGTH_MAX: u64 = 64 << 10;
    let table = table(madt::SIGNATURE)?;
    let length = read::<4>(table + 4)?.min(LENGTH_MAX);
    (table..table + length).map(read_byte).collect()
}

/// Offsets in the FADT (ACPI table 5.9).
mod fadt {
    pub const DSDT: u64 = 40;
    pub const PM1A_CONTROL: u64 = 64;
    pub const PM1B_CONTROL: u64 = 68;
    pub const FLAGS: u64 = 112;
    pub const RESET_REGISTER: u64 = 116;
    pub const RESET_VALUE: u64 = 128;
    pub const SLEEP_CONTROL: u64 = 244;
}

const FLAG_RESET_SUPPORTED: u64 = 1 << 10;
const FLAG_HARDWARE_REDUCED: u64 = 1 << 20;
const SLEEP_ENABLE: u64 = 1 << 13;
const REDUCED_SLEEP_ENABLE: u8 = 1 << 5;
const SPACE_MEMORY: u8 = 0;
const SPACE_IO: u8 = 1;

/// The sleep type of "soft off": the first number of the DSDT's package `_S5_`.
fn soft_off_type(dsdt: u64) -> Option<u64> {
    let length = read::<4>(dsdt + 4)?.min(1 << 20);
    let name = (dsdt + 36..dsdt + length).find(|&address| matches(address, b"_S5_"))?;
    // After the name: PackageOp, its length in one byte, the element count, then an optional BytePrefix.
    let first = name + 4 + 3;
    match read_byte(first)? {
        0x0a => Some(u64::from(read_byte(first + 1)?)),
        small => Some(u64::from(small)),
    }
}

/// Writes one byte to a register named by a generic address structure (ACPI 5.2.3.2).
fn write_generic(structure: u64, value: u8) -> Option<()> {
    let (space, address) = (read_byte(structure)?, read::<8>(structure + 4)?);
    match space {
        // SAFETY: the firmware names this register for this purpose.
        SPACE_IO => unsafe { port::write_u8(address as u16, value) },
        SPACE_MEMORY if address != 0 => {
            let pointer = map_device(PhysAddr::new(address)).ok()?;
            // SAFETY: as above, and just mapped.
            unsafe { pointer.write_volatile(value) };
        }
        _ => return None,
    }
    Some(())
}

/// Tries to switch the machine off; returns if there is no way.
pub fn power_off() -> Option<()> {
    let table = table(b"FACP")?;
    let sleep_type = soft_off_type(read::<4>(table + fadt::DSDT)?).unwrap_or(0);
    if read::<4>(table + fadt::FLAGS)? & FLAG_HARDWARE_REDUCED != 0 {
        return write_generic(table + fadt::SLEEP_CONTROL, (sleep_type << 2) as u8 | REDUCED_SLEEP_ENABLE);
    }
    for control in [fadt::PM1A_CONTROL, fadt::PM1B_CONTROL] {
        let control = read::<4>(table + control)?;
        if control != 0 {
            // SAFETY: the power-management register that the firmware names.
            unsafe { port::write_u16(control as u16, (sleep_type << 10 | SLEEP_ENABLE) as u16) };
        }
    }
    Some(())
}

/// Tries the reset register; returns if there is none.
pub fn restart() -> Option<()> {
    let table = table(b"FACP")?;
    if read::<4>(table + fadt::FLAGS)? & FLAG_RESET_SUPPORTED == 0 {
        return None;
    }
    write_generic(table + fadt::RESET_REGISTER, read_byte(table + fadt::RESET_VALUE)?)
}
