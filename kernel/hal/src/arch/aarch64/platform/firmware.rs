//! What UEFI firmware handed over, where it started the kernel as an application.
//!
//! `boot.S` calls [`aarch64_efi_main`] where firmware put the image, not where it is linked: see `arch/efi.rs`. What it
//! keeps lies in a part of the image that is not cleared afterwards.
use super::super::paging;
use crate::arch::efi::{self, Receiver};
use crate::boot::MemoryMap;
use libkernel::addr::PhysRange;
use r_efi::efi::{Handle, SystemTable};

const MAX_COMMAND_LINE: usize = 4096;
/// So many bytes of the seeds of loader and firmware are kept.
const SEED_MAX: usize = 64;

/// All of it. Physical addresses; zero where there is none.
pub struct Firmware {
    has_started_us: bool,
    /// Memory that is free.
    pub free: MemoryMap,
    /// Memory that holds tables of ACPI.
    pub tables: MemoryMap,
    /// The initramfs.
    pub initramfs: Option<PhysRange>,
    /// The device tree.
    pub device_tree: u64,
    /// The root pointer of ACPI's tables.
    pub acpi_root: u64,
    /// By firmware's clock.
    pub seconds_since_1970: Option<u64>,
    seed: [u8; SEED_MAX],
    seed_length: usize,
    command_line: [u8; MAX_COMMAND_LINE],
    command_line_length: usize,
}

#[unsafe(link_section = ".data.firmware")]
static mut FIRMWARE: Firmware = Firmware {
    has_started_us: false,
    free: MemoryMap::empty(),
    tables: MemoryMap::empty(),
    initramfs: None,
    device_tree: 0,
    acpi_root: 0,
    seconds_since_1970: None,
    seed: [0; SEED_MAX],
    seed_length: 0,
    command_line: [0; MAX_COMMAND_LINE],
    command_line_length: 0,
};

/// What firmware handed over; `None` where a loader started the kernel by Linux's boot protocol.
pub fn handover() -> Option<&'static Firmware> {
    let place = &raw const FIRMWARE;
    // SAFETY: written by `aarch64_efi_main` alone, before the MMU was turned on for the kernel.
    let firmware: &Firmware = unsafe { &*place };
    firmware.has_started_us.then_some(firmware)
}

impl Firmware {
    /// Random bytes of loader and firmware.
    pub fn seed(&self) -> &[u8] {
        &self.seed[..self.seed_length]
    }

    /// The command line.
    pub fn command_line(&self) -> &[u8] {
        &self.command_line[..self.command_line_length]
    }
}

impl Receiver for Firmware {
    fn push_command_line(&mut self, byte: u8) {
        if let Some(slot) = self.command_line.get_mut(self.command_line_length) {
            *slot = byte;
            self.command_line_length += 1;
        }
    }

    fn command_line(&self) -> &[u8] {
        Self::command_line(self)
    }

    fn set_initramfs(&mut self, range: PhysRange) {
        self.initramfs = Some(range);
    }

    fn add_memory(&mut self, range: PhysRange) {
        self.free.push(range);
    }

    fn add_tables(&mut self, range: PhysRange) {
        self.tables.push(range);
    }

    fn push_seed(&mut self, byte: u8) {
        if let Some(slot) = self.seed.get_mut(self.seed_length) {
            *slot = byte;
            self.seed_length += 1;
        }
    }
}

/// First Rust code where UEFI firmware starts the kernel. False: firmware is still in charge.
#[unsafe(no_mangle)]
extern "C" fn aarch64_efi_main(image: Handle, system: *mut SystemTable) -> bool {
    // SAFETY: firmware maps all memory at its own addresses.
    let memory = |address: u64| Some(unsafe { (address as *const u8).read_volatile() });
    let table = system as u64;
    let place = &raw mut FIRMWARE;
    // SAFETY: nothing else touches the static yet.
    let firmware = unsafe { &mut *place };
    firmware.acpi_root = libkernel::efi::acpi_root(&memory, table).unwrap_or(0);
    firmware.device_tree = libkernel::efi::device_tree(&memory, table).unwrap_or(0);
    if let Some((start, length)) = libkernel::efi::random_seed(&memory, table) {
        for index in 0..length {
            // SAFETY: as above. Nobody else shall read it.
            firmware.push_seed(unsafe { ((start + index) as *mut u8).replace(0) });
        }
    }
    // SAFETY: boot.S hands on what firmware gave it.
    unsafe {
        firmware.seconds_since_1970 = efi::seconds_since_1970(system);
        firmware.has_started_us = efi::take_over(image, system, firmware).is_some();
    }
    if firmware.has_started_us {
        paging::write_back_image();
    }
    firmware.has_started_us
}
