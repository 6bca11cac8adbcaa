//! What the kernel finds when it starts: itself, the initramfs, the structures of its loader's protocol, and the CPU's
//! registers.

use std::fs::File;

use anyhow::{Context, Result, bail};
use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};
use linux_loader::loader::KernelLoader;
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use linux_loader::loader::elf::start_info::{hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info};
use linux_loader::loader::elf::{Elf, PvhBootCapability};
use vm_memory::{ByteValued, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::kind::{Kind, Protocol};
use crate::machine::Machine;
use crate::{acpi, mp_table};

/// The CPU's registers.
pub struct Registers {
    /// General ones.
    pub general: kvm_regs,
    /// Segments, tables and control registers.
    pub special: kvm_sregs,
}

const GDT: u64 = 0x500;
const START_INFO: u64 = 0x6000;
const MODULES: u64 = 0x6040;
const MEMORY_MAP: u64 = 0x7000;
const ZERO_PAGE: u64 = 0x7000;
const STACK: u64 = 0x8ff0;
const ROOT_TABLE: u64 = 0x9000;
const COMMAND_LINE: u64 = 0x2_0000;
/// Where memory goes on behind an old PC's devices.
const HIGH: u64 = 0x10_0000;
const RAM: u32 = 1;

/// What both protocols tell.
struct Loaded {
    entry: u64,
    pvh_entry: Option<u64>,
    initramfs: [u64; 2],
    memory: [[u64; 2]; 2],
    acpi_root: u64,
}

/// Puts everything into the machine's memory, and returns the registers to start with.
pub fn load(
    machine: &Machine,
    kind: &Kind,
    kernel: &str,
    initramfs: &str,
    command_line: &str,
) -> Result<Registers> {
    let memory = &machine.memory;
    let mut file = File::open(kernel).with_context(|| format!("cannot open {kernel}"))?;
    let loaded = Elf::load(memory, None, &mut file, Some(GuestAddress(HIGH)))?;
    let pvh_entry = match loaded.pvh_boot_cap {
        PvhBootCapability::PvhEntryPresent(address) => Some(address.0),
        _ => None,
    };
    let end = memory.last_addr().0 + 1;
    let content = std::fs::read(initramfs).with_context(|| format!("cannot read {initramfs}"))?;
    let start = (end - content.len() as u64) & !0xfff;
    memory.write_slice(&content, GuestAddress(start))?;
    memory.write_slice(format!("{command_line}\0").as_bytes(), GuestAddress(COMMAND_LINE))?;
    if kind.has_mp_table {
        memory.write_slice(
            &mp_table::bytes(u8::try_from(machine.cpus.len())?)?,
            GuestAddress(mp_table::ADDRESS),
        )?;
    }
    let acpi_root = if kind.has_acpi { acpi::put(memory, &machine.cpus)? } else { 0 };
    let loaded = Loaded {
        entry: loaded.kernel_load.0,
        pvh_entry,
        initramfs: [start, content.len() as u64],
        memory: [[0, kind.low_end], [HIGH, end - HIGH]],
        acpi_root,
    };
    let mut special = machine.special_registers()?;
    let general = match kind.protocol {
        Protocol::Linux => by_linux(memory, &loaded, command_line.len(), &mut special)?,
        Protocol::Pvh => by_pvh(memory, &loaded, &mut special)?,
    };
    Ok(Registers { general, special })
}

fn by_linux(
    memory: &GuestMemoryMmap,
    loaded: &Loaded,
    length: usize,
    special: &mut kvm_sregs,
) -> Result<kvm_regs> {
    let mut page = boot_params::default();
    page.hdr.type_of_loader = 0xff;
    page.hdr.boot_flag = 0xaa55;
    page.hdr.header = u32::from_le_bytes(*b"HdrS");
    page.hdr.kernel_alignment = 0x0100_0000;
    page.hdr.cmd_line_ptr = COMMAND_LINE as u32;
    page.hdr.cmdline_size = length as u32;
    page.hdr.ramdisk_image = loaded.initramfs[0] as u32;
    page.hdr.ramdisk_size = loaded.initramfs[1] as u32;
    for (index, [addr, size]) in loaded.memory.into_iter().enumerate() {
        page.e820_table[index] = boot_e820_entry { addr, size, r#type: RAM };
    }
    page.e820_entries = loaded.memory.len() as u8;
    put(memory, page, ZERO_PAGE)?;
    enter_long_mode(memory, special)?;
    Ok(kvm_regs { rip: loaded.entry, rsp: STACK, rbp: STACK, rsi: ZERO_PAGE, ..Default::default() })
}

fn by_pvh(memory: &GuestMemoryMmap, loaded: &Loaded, special: &mut kvm_sregs) -> Result<kvm_regs> {
    const MAGIC: u32 = 0x336e_c578;
    let Some(entry) = loaded.pvh_entry else { bail!("the kernel has no PVH entry") };
    let module =
        hvm_modlist_entry { paddr: loaded.initramfs[0], size: loaded.initramfs[1], ..Default::default() };
    put(memory, module, MODULES)?;
    for (index, [addr, size]) in loaded.memory.into_iter().enumerate() {
        let entry = hvm_memmap_table_entry { addr, size, type_: RAM, reserved: 0 };
        put(memory, entry, MEMORY_MAP + (index * size_of::<hvm_memmap_table_entry>()) as u64)?;
    }
    let info = hvm_start_info {
        magic: MAGIC,
        version: 1,
        nr_modules: 1,
        modlist_paddr: MODULES,
        cmdline_paddr: COMMAND_LINE,
        memmap_paddr: MEMORY_MAP,
        memmap_entries: loaded.memory.len() as u32,
        rsdp_paddr: loaded.acpi_root,
        ..Default::default()
    };
    put(memory, info, START_INFO)?;
    let [code, data, task] = segments(Protocol::Pvh);
    set_segments(memory, special, [code, data, task])?;
    // Protection on, paging off.
    special.cr0 = 0x11;
    special.cr4 = 0;
    Ok(kvm_regs { rip: entry, rbx: START_INFO, ..Default::default() })
}

fn put<T: ByteValued>(memory: &GuestMemoryMmap, value: T, address: u64) -> Result<()> {
    Ok(memory.write_obj(value, GuestAddress(address))?)
}

/// Paging on, with the first GiB mapped to itself.
fn enter_long_mode(memory: &GuestMemoryMmap, special: &mut kvm_sregs) -> Result<()> {
    const PAGE: u64 = 4096;
    put(memory, (ROOT_TABLE + PAGE) | 3, ROOT_TABLE)?;
    put(memory, (ROOT_TABLE + 2 * PAGE) | 3, ROOT_TABLE + PAGE)?;
    for index in 0..512u64 {
        put(memory, (index << 21) | 0x83, ROOT_TABLE + 2 * PAGE + 8 * index)?;
    }
    set_segments(memory, special, segments(Protocol::Linux))?;
    special.cr3 = ROOT_TABLE;
    special.cr4 |= 0x20;
    special.cr0 |= 0x8000_0001;
    special.efer |= 0x500;
    Ok(())
}

/// Code, data and a task, all of it flat.
fn segments(protocol: Protocol) -> [kvm_segment; 3] {
    let is_long = u8::from(protocol == Protocol::Linux);
    let flat = kvm_segment { limit: u32::MAX, present: 1, s: 1, g: 1, ..Default::default() };
    let code = kvm_segment { selector: 8, type_: 11, l: is_long, db: 1 - is_long, ..flat };
    let data = kvm_segment { selector: 16, type_: 3, db: 1, ..flat };
    let task = kvm_segment { selector: 24, limit: 0x67, present: 1, type_: 11, ..Default::default() };
    [code, data, task]
}

fn set_segments(memory: &GuestMemoryMmap, special: &mut kvm_sregs, segments: [kvm_segment; 3]) -> Result<()> {
    let [code, data, task] = segments;
    for (index, descriptor) in [0].into_iter().chain(segments.iter().map(descriptor)).enumerate() {
        put(memory, descriptor, GDT + 8 * index as u64)?;
    }
    special.gdt.base = GDT;
    special.gdt.limit = 31;
    special.idt.base = 0;
    special.idt.limit = 0;
    special.cs = code;
    [special.ds, special.es, special.fs, special.gs, special.ss] = [data; 5];
    special.tr = task;
    Ok(())
}

/// A segment as it lies in the table (SDM volume 3, 3.4.5).
fn descriptor(segment: &kvm_segment) -> u64 {
    let limit = u64::from(if segment.g != 0 { segment.limit >> 12 } else { segment.limit });
    let access = u64::from(segment.type_) | u64::from(segment.s) << 4 | u64::from(segment.present) << 7;
    let flags = u64::from(segment.l) << 1 | u64::from(segment.db) << 2 | u64::from(segment.g) << 3;
    limit & 0xffff | access << 40 | (limit >> 16 & 0xf) << 48 | flags << 52
}
