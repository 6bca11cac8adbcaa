//! What every loader hands over, copied out of its memory, and how that memory is read before the final tables exist.
use crate::arch::efi::Receiver;
use crate::arch::x86_64::paging::IMAGE;
use crate::boot::MemoryMap;
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};
use libkernel::efi;

/// The first MiB holds firmware tables, the loader's data and old devices; it is left alone.
const LOW_MEMORY_END: u64 = 1 << 20;
/// The boot tables map this much, and the loader's data must lie below.
const EARLY_END: u64 = 1 << 30;
const MAX_COMMAND_LINE: usize = 4096;
/// So many random bytes of firmware's are kept.
const SEED_MAX: usize = 64;

/// The loader's data. Each loader's module fills it.
pub struct Loaded {
    /// Usable memory above the first MiB.
    pub memory: MemoryMap,
    /// The initramfs.
    pub initramfs: Option<PhysRange>,
    /// The root of the ACPI tables, zero when unknown.
    pub acpi_root: u64,
    /// EFI's system table, zero when there is none.
    pub efi_system_table: u64,
    /// A page of memory below 1 MiB, where other CPUs can start.
    pub low_page: Option<PhysAddr>,
    /// Random bytes of firmware's, and how many there are.
    seed: [u8; SEED_MAX],
    seed_length: usize,
    command_line: [u8; MAX_COMMAND_LINE],
    command_line_length: usize,
}

impl Loaded {
    /// Nothing handed over yet.
    pub const fn empty() -> Self {
        Self {
            memory: MemoryMap::empty(),
            initramfs: None,
            acpi_root: 0,
            efi_system_table: 0,
            low_page: None,
            seed: [0; SEED_MAX],
            seed_length: 0,
            command_line: [0; MAX_COMMAND_LINE],
            command_line_length: 0,
        }
    }

    /// The command line without its NUL.
    pub fn command_line(&self) -> &[u8] {
        &self.command_line[..self.command_line_length]
    }

    /// Random bytes of firmware's.
    pub fn seed(&self) -> &[u8] {
        &self.seed[..self.seed_length]
    }

    /// Adds a range of usable memory.
    pub fn add_memory(&mut self, range: PhysRange) {
        if range.end.as_u64() > LOW_MEMORY_END {
            let start = range.start.max(PhysAddr::new(LOW_MEMORY_END));
            self.memory.push(PhysRange { start, end: range.end });
        }
        if self.low_page.is_none() {
            self.low_page = low_page(range);
        }
    }

    /// Takes a range away that firmware lists as something else as well.
    pub fn remove_memory(&mut self, range: PhysRange) {
        if self.memory.ranges().iter().any(|usable| usable.overlaps(range)) {
            self.memory = self.memory.without(range);
        }
        let low = |page: PhysAddr| PhysRange::new(page, PAGE_SIZE);
        self.low_page = self.low_page.filter(|&page| !low(page).overlaps(range));
    }

    /// Copies the command line at `address`; zero: there is none.
    pub fn copy_command_line(&mut self, address: u64) {
        for at in (address..).take(MAX_COMMAND_LINE) {
            match read::<u8>(at) {
                None | Some(0) => break,
                Some(byte) => self.push_command_line(byte),
            }
        }
    }

    /// Adds a byte to the command line, as long as there is room.
    pub fn push_command_line(&mut self, byte: u8) {
        if let Some(slot) = self.command_line.get_mut(self.command_line_length) {
            *slot = byte;
            self.command_line_length += 1;
        }
    }
}

impl Receiver for Loaded {
    fn push_command_line(&mut self, byte: u8) {
        Self::push_command_line(self, byte);
    }

    fn command_line(&self) -> &[u8] {
        Self::command_line(self)
    }

    fn set_initramfs(&mut self, range: PhysRange) {
        self.initramfs = Some(range);
    }

    fn add_memory(&mut self, range: PhysRange) {
        Self::add_memory(self, range);
    }

    /// They are read through the device window, wherever they lie.
    fn add_tables(&mut self, _range: PhysRange) {}

    fn push_seed(&mut self, byte: u8) {
        if let Some(slot) = self.seed.get_mut(self.seed_length) {
            *slot = byte;
            self.seed_length += 1;
        }
    }
}

/// Where the boot tables map `bytes` bytes of the loader's at `address`.
fn early(address: u64, bytes: usize) -> Option<*mut u8> {
    let end = address.checked_add(bytes as u64)?;
    (address != 0 && end <= EARLY_END).then_some((IMAGE + address) as *mut u8)
}

/// A value of the loader's, if it lies where the boot tables map memory.
pub fn read<T: Copy>(address: u64) -> Option<T> {
    let pointer = early(address, size_of::<T>())?;
    // SAFETY: the boot tables map the first GiB of physical memory at IMAGE; `T` is plain data.
    Some(unsafe { pointer.cast::<T>().read_unaligned() })
}

/// Takes the random bytes that a loader before this one left with EFI's tables.
pub fn take_efi_seed(into: &mut Loaded) {
    if let Some((start, length)) = efi::random_seed(&read::<u8>, into.efi_system_table) {
        for place in start..start.saturating_add(length) {
            into.push_seed(read(place).unwrap_or(0));
            wipe(place);
        }
    }
}

/// Forgets a byte of the loader's.
pub fn wipe(address: u64) {
    if let Some(pointer) = early(address, 1) {
        // SAFETY: as above; the loader is gone, and its data is nobody's but this kernel's.
        unsafe { pointer.write_volatile(0) };
    }
}

/// The highest whole page of `range` that firmware's data areas at the end of low memory leave.
fn low_page(range: PhysRange) -> Option<PhysAddr> {
    const END: u64 = 0x9_0000;
    let end = range.end.as_u64().min(END) / PAGE_SIZE * PAGE_SIZE;
    let page = end.checked_sub(PAGE_SIZE)?;
    (page > 0 && page >= range.start.as_u64()).then(|| PhysAddr::new(page))
}
