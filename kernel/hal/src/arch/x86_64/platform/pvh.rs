//! What a PVH loader hands over: `hvm_start_info` (Xen's `xen/include/public/arch-x86/hvm/start_info.h`).
use super::loader::{Loaded, read};
use libkernel::addr::{PhysAddr, PhysRange};

const MAGIC: u32 = 0x336e_c578;
const TYPE_RAM: u32 = 1;

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

/// Copies the hand-over; `None` if it is not one.
pub fn read_start_info(address: u64, into: &mut Loaded) -> Option<()> {
    let info: StartInfo = read(address)?;
    if info.magic != MAGIC || info.version == 0 {
        return None;
    }
    for number in 0..u64::from(info.memory_map_entries) {
        let entry: MemoryEntry = read(info.memory_map + number * size_of::<MemoryEntry>() as u64)?;
        if entry.kind == TYPE_RAM {
            into.add_memory(PhysRange::new(PhysAddr::new(entry.address), entry.size));
        }
    }
    if info.module_count > 0 {
        let module: Module = read(info.modules)?;
        into.initramfs = Some(PhysRange::new(PhysAddr::new(module.address), module.size));
    }
    into.acpi_root = info.rsdp;
    into.copy_command_line(info.command_line);
    Some(())
}
