//! The kernel's final page tables, built at boot: image, direct map, and empty windows for stacks, objects and devices.
//!
//! The image is mapped page by page: text executable, rodata read-only, data never executable, and no page where the
//! boot stack ends. The direct map is never executable and, over text and rodata, read-only; elsewhere it takes the
//! largest pages the CPU has.
use super::vga;
use crate::arch::x86_64::cpu::{feature, has};
use crate::arch::x86_64::paging::{
    DEVICES, DIRECT_MAP, DIRECT_MAP_BYTES, IMAGE, KERNEL_OBJECTS, KERNEL_STACKS, set_kernel_root,
};
use crate::boot::MemoryMap;
use crate::boot::early::EarlyFrames;
use crate::frame::OutOfMemory;
use core::arch::asm;
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};
use libkernel::arch::x86_64::paging::Entry;
use libkernel::paging::{Attributes, Owner, Prot, ROOT_LEVEL, index, level_size};

unsafe extern "C" {
    static __image_start: [u8; 0];
    static __text_end: [u8; 0];
    static __rodata_end: [u8; 0];
    static __data_end: [u8; 0];
    static __symbols_start: [u32; 4];
    /// The page below the boot CPU's first stack, which becomes its idle task's. Only UEFI's way in has used it
    /// (`boot.rs`).
    static boot_guard: [u8; 0];
}

/// A tree of tables that can be written through `pointer`.
pub struct Tables {
    /// The root table.
    pub root: PhysAddr,
    /// Where a table can be written.
    pub pointer: fn(PhysAddr) -> *mut Entry,
}

impl Tables {
    /// Sets the entry for `address` at `level`, making tables on the way.
    pub fn set(
        &self,
        address: u64,
        level: u32,
        entry: Entry,
        allocate: &mut impl FnMut() -> Result<PhysAddr, OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        let mut table = self.root;
        for walked in (level + 1..=ROOT_LEVEL).rev() {
            // SAFETY: `table` is a page table of this tree, and `index` is below 512.
            let slot = unsafe { &mut *(self.pointer)(table).add(index(address, walked)) };
            if !slot.is_present() {
                *slot = Entry::table(allocate()?, Owner::Kernel);
            }
            table = slot.address();
        }
        // SAFETY: as above.
        unsafe { (self.pointer)(table).add(index(address, level)).write_volatile(entry) };
        Ok(())
    }
}

/// Where the image lies in physical memory, and where its kinds of memory end.
pub struct Image {
    start: PhysAddr,
    text_end: PhysAddr,
    rodata_end: PhysAddr,
    data_end: PhysAddr,
    end: PhysAddr,
    guard: PhysAddr,
}

impl Image {
    /// From the linker script's symbols and the length word of the symbol table that the build appended.
    pub fn locate() -> Self {
        let physical = |symbol: u64| PhysAddr::new(symbol - IMAGE);
        let symbols = &raw const __symbols_start as u64;
        // SAFETY: the linker script puts 16 bytes there at least; the early tables map them.
        let length = u64::from(unsafe { __symbols_start[2] }).max(16);
        Self {
            start: physical(&raw const __image_start as u64),
            text_end: physical(&raw const __text_end as u64),
            rodata_end: physical(&raw const __rodata_end as u64),
            data_end: physical(&raw const __data_end as u64),
            end: PhysAddr::new((symbols - IMAGE + length).next_multiple_of(PAGE_SIZE)),
            guard: physical(&raw const boot_guard as u64),
        }
    }

    /// All of it.
    pub fn range(&self) -> PhysRange {
        PhysRange { start: self.start, end: self.end }
    }

    fn prot(&self, page: PhysAddr) -> Prot {
        if page < self.text_end {
            Prot::READ_EXECUTE
        } else if page < self.rodata_end || page >= self.data_end {
            Prot::READ
        } else {
            Prot::READ_WRITE
        }
    }
}

/// The symbol table that the build appended; starts with a header of zeros when there is none.
pub fn symbols() -> &'static [u8] {
    let start = &raw const __symbols_start as *const u8;
    // SAFETY: the header is mapped read-only for ever, and so is what its length covers (see `Image::locate`).
    unsafe {
        let length = __symbols_start[2] as usize;
        core::slice::from_raw_parts(start, length.max(16))
    }
}

/// How early page tables are written: through the image's window, which the boot tables map over the first 1 GiB.
pub fn early_pointer(address: PhysAddr) -> *mut Entry {
    (IMAGE + address.as_u64()) as *mut Entry
}

/// Builds the tables and switches to them. The direct map has `memory`, and the initramfs wherever it lies: a loader
/// may put it where firmware has taken a part away since (SeaBIOS under KVM).
pub fn build(
    image: &Image,
    memory: &MemoryMap,
    initramfs: PhysRange,
    frames: &mut EarlyFrames<'_>,
) -> Result<(), OutOfMemory> {
    let mut allocate = || {
        let frame = frames.allocate(1).ok_or(OutOfMemory)?;
        // SAFETY: an early frame is free memory that the boot tables map.
        unsafe { early_pointer(frame).cast::<[u64; 512]>().write([0; 512]) };
        Ok(frame)
    };
    let tables = Tables { root: allocate()?, pointer: early_pointer };
    let mut page = image.start;
    while page < image.end {
        if page != image.guard {
            let entry = Entry::leaf(page, 0, Attributes::kernel(image.prot(page)));
            tables.set(IMAGE + page.as_u64(), 0, entry, &mut allocate)?;
        }
        page = page.wrapping_add(PAGE_SIZE);
    }
    let mut result = Ok(());
    let mut map = |range| result = result.and_then(|()| map_directly(&tables, image, range, &mut allocate));
    memory.ranges().iter().copied().for_each(&mut map);
    memory.for_each_missing(initramfs, &mut map);
    result?;
    for window in [KERNEL_STACKS, KERNEL_OBJECTS, DEVICES] {
        let table = allocate()?;
        let slot = index(window, ROOT_LEVEL);
        // SAFETY: the root is ours; the window's slot is free.
        unsafe { (tables.pointer)(tables.root).add(slot).write(Entry::table(table, Owner::Kernel)) };
    }
    // Who fails later can allocate nothing.
    let text = Entry::leaf(vga::TEXT, 0, Attributes::device());
    tables.set(DEVICES + vga::TEXT.as_u64(), 0, text, &mut allocate)?;
    set_kernel_root(tables.root);
    vga::enter_window();
    // SAFETY: the new tables map the image where it runs, its stack and its data.
    unsafe { asm!("mov cr3, {}", in(reg) tables.root.as_u64(), options(nostack, preserves_flags)) };
    Ok(())
}

/// Maps one range of memory into the direct map, by the largest pages that fit.
fn map_directly(
    tables: &Tables,
    image: &Image,
    range: PhysRange,
    allocate: &mut impl FnMut() -> Result<PhysAddr, OutOfMemory>,
) -> Result<(), OutOfMemory> {
    let largest = if has(feature::GIGANTIC_PAGES) { 2 } else { 1 };
    let mut at = range.start.page_down().as_u64();
    let end = range.end.as_u64().next_multiple_of(PAGE_SIZE).min(DIRECT_MAP_BYTES);
    let mixed = |start: u64, size: u64| {
        start < image.rodata_end.as_u64() && image.start.as_u64() < start + size && size > PAGE_SIZE
    };
    while at < end {
        let level = (0..=largest)
            .rev()
            .find(|&level| {
                let size = level_size(level);
                at.is_multiple_of(size) && at + size <= end && !mixed(at, size)
            })
            .unwrap_or(0);
        let read_only = at >= image.start.as_u64() && at < image.rodata_end.as_u64();
        let prot = if read_only { Prot::READ } else { Prot::READ_WRITE };
        let entry = Entry::leaf(PhysAddr::new(at), level, Attributes::kernel(prot));
        tables.set(DIRECT_MAP + at, level, entry, allocate)?;
        at += level_size(level);
    }
    Ok(())
}
