//! What a PVH loader hands over: `hvm_start_info` (Xen's `xen/include/public/arch-x86/hvm/start_info.h`).
use crate::arch::x86_64::paging::IMAGE;
use crate::boot::MemoryMap;
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};

const MAGIC: u32 = 0x336e_c578;
const TYPE_RAM: u32 = 1;
/// The first MiB holds firmware tables, the loader's data and old devices; it is left alone.
const LOW_MEMORY_END: u64 = 1 << 20;
/// The boot tables map this much, and the loader's data must lie below.
const EARLY_END: u64 = 1 << 30;
const MAX_COMMAND_LINE: usize = 4096;

#[repr(C)]
#[derive(Clone, Copy)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Module {
    address: u64,
    size: u64,
    command_line: u64,
    reserved: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct MemoryEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// The loader's data, copied out of its memory.
pub struct Handover {
    /// Usable memory above the first MiB.
    pub memory: MemoryMap,
    /// The first module: the initramfs.
    pub initramfs: Option<PhysRange>,
    /// The root of the ACPI tables, zero when unknown.
    pub rsdp: u64,
    /// A page of memory below 1 MiB, where other CPUs can start.
    pub low_page: Option<PhysAddr>,
    command_line: [u8; MAX_COMMAND_LINE],
    command_line_length: usize,
}

impl Handover {
    /// The command line without its NUL.
    pub fn command_line(&self) -> &[u8] {
        &self.command_line[..self.command_line_length]
    }
}

/// A value of the loader's, if it lies where the boot tables map memory.
fn read<T: Copy>(address: u64) -> Option<T> {
    let end = address.checked_add(size_of::<T>() as u64)?;
    if address == 0 || end > EARLY_END {
        return None;
    }
    // SAFETY: the boot tables map the first GiB of physical memory at IMAGE; `T` is plain data.
    Some(unsafe { ((IMAGE + address) as *const T).read_unaligned() })
}

/// Copies the hand-over; `None` if it is not one.
pub fn read_start_info(address: u64, into: &mut Handover) -> Option<()> {
    let info: StartInfo = read(address)?;
    if info.magic != MAGIC || info.version == 0 {
        return None;
    }
    for number in 0..u64::from(info.memory_map_entries) {
        let entry: MemoryEntry = read(info.memory_map + number * size_of::<MemoryEntry>() as u64)?;
        let range = PhysRange::new(PhysAddr::new(entry.address), entry.size);
        if entry.kind == TYPE_RAM && range.end.as_u64() > LOW_MEMORY_END {
            let start = range.start.max(PhysAddr::new(LOW_MEMORY_END));
            into.memory.push(PhysRange { start, end: range.end });
        }
        if entry.kind == TYPE_RAM && into.low_page.is_none() {
            into.low_page = low_page(range);
        }
    }
    if info.module_count > 0 {
        let module: Module = read(info.modules)?;
        into.initramfs = Some(PhysRange::new(PhysAddr::new(module.address), module.size));
    }
    into.rsdp = info.rsdp;
    copy_command_line(info.command_line, into);
    Some(())
}

/// The highest whole page of `range` that firmware's data areas at the end of low memory leave.
fn low_page(range: PhysRange) -> Option<PhysAddr> {
    const END: u64 = 0x9_0000;
    let end = range.end.as_u64().min(END) / PAGE_SIZE * PAGE_SIZE;
    let page = end.checked_sub(PAGE_SIZE)?;
    (page > 0 && page >= range.start.as_u64()).then(|| PhysAddr::new(page))
}

fn copy_command_line(address: u64, into: &mut Handover) {
    for (offset, slot) in into.command_line.iter_mut().enumerate() {
        match read::<u8>(address + offset as u64) {
            None | Some(0) => break,
            Some(byte) => *slot = byte,
        }
        into.command_line_length = offset + 1;
    }
}

impl Handover {
    /// Nothing handed over yet.
    pub const fn empty() -> Self {
        Self {
            memory: MemoryMap::empty(),
            initramfs: None,
            rsdp: 0,
            low_page: None,
            command_line: [0; MAX_COMMAND_LINE],
            command_line_length: 0,
        }
    }
}
