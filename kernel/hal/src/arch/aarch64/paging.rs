//! Address translation: the kernel's half by TTBR1, programs' half by TTBR0, and the flushes.
//!
//! The kernel's root table is made by `boot.S` and never changes its place; its translations are global. Those of
//! programs are kept by ASID (`libkernel`: `asid`), so a CPU that changes address spaces forgets nothing.
//!
//! Virtual addresses of the kernel (docs/address-map.md): the direct map of memory and devices from
//! [`DIRECT_MAP`], kernel stacks from `KERNEL_STACKS`, objects of the heap from `KERNEL_OBJECTS`, the image at
//! [`IMAGE`].
use super::Arch;
use super::cpu::{read_register, write_register};
use super::patches::patched;
use super::platform::{errata, guards, identity};
use crate::contract::{Cpu as _, Paging};
use crate::cpu::MAX_CPUS;
use crate::frame::{KernelFrame, OutOfMemory};
use crate::paging::PageTable;
use crate::sync::{IrqLock, SpinLock};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange, UserAddr};
use libkernel::arch::aarch64::asid::{Asids, Assignment, BITS_MAX, BITS_MIN, NOBODY, Pool, Tag};
use libkernel::arch::aarch64::errata::Answer;
use libkernel::arch::aarch64::paging::Entry;
use libkernel::paging::{Attributes, Owner, Prot, ROOT_LEVEL, index, level_size};

/// Where physical address zero is visible to the kernel: the start of TTBR1's half.
pub(super) const DIRECT_MAP: u64 = 0xffff_0000_0000_0000;
/// Where the image is linked.
pub(super) const IMAGE: u64 = 0xffff_ffff_8000_0000;

unsafe extern "C" {
    static __boot_tables: [AtomicU64; 512];
    static __image_start: u8;
    static __rodata_end: u8;
    static __image_end: u8;
}

/// Serialises changes to the kernel's own tables, which happen at boot and when stacks and objects are mapped, perhaps
/// with interrupts masked.
static KERNEL_TABLES: IrqLock<()> = IrqLock::new(());

/// Where a new table comes from.
type TableSource<'a> = &'a mut dyn FnMut() -> Result<PhysAddr, OutOfMemory>;

/// Maps `length` bytes at `virtual_start` to `physical_start` by the largest pages that fit. Both are page starts, and
/// nothing is mapped there yet.
fn map_kernel_range(
    virtual_start: u64,
    physical: PhysRange,
    attributes: Attributes,
    tables: TableSource<'_>,
) -> Result<(), OutOfMemory> {
    let mut done = 0;
    while done < physical.length() {
        let (address, frame) = (virtual_start + done, physical.start.as_u64() + done);
        let level = largest_level(address | frame, physical.length() - done);
        let slot = entry_slot(address, level, tables)?;
        let entry = Entry::leaf(PhysAddr::new(frame), level, attributes);
        // SAFETY: the slot is a live table's.
        let old = unsafe { (*slot).swap(entry.bits(), Ordering::Release) };
        // Another entry would have had to be made invalid and flushed first (break-before-make, D8.16.1).
        assert!(old == 0 || old == entry.bits(), "mapped twice: {address:#x}");
        done += level_size(level);
    }
    synchronise_tables();
    Ok(())
}

/// The highest level whose pages fit the alignment and the rest: 1 GiB, 2 MiB or 4 KiB.
fn largest_level(alignment: u64, left: u64) -> u32 {
    let fits = |level: &u32| alignment.is_multiple_of(level_size(*level)) && left >= level_size(*level);
    [2, 1].into_iter().find(fits).unwrap_or(0)
}

/// The entry that translates `address` at `level` in the kernel's tables; makes the tables above it.
fn entry_slot(address: u64, level: u32, tables: TableSource<'_>) -> Result<*const AtomicU64, OutOfMemory> {
    let mut table = (&raw const __boot_tables).cast::<AtomicU64>();
    for above in (level + 1..=ROOT_LEVEL).rev() {
        let slot = table.wrapping_add(index(address, above));
        // SAFETY: `table` is a live table of 512 entries.
        let mut entry = Entry::from_bits(unsafe { (*slot).load(Ordering::Acquire) });
        if entry.is_empty() {
            entry = Entry::table(tables()?, Owner::Kernel);
            // SAFETY: as above; a zeroed table in place of nothing changes no translation.
            unsafe { (*slot).store(entry.bits(), Ordering::Release) };
        }
        assert!(entry.is_table(above), "a kernel page lies where a table is needed: {address:#x}");
        table = table_pointer(entry.address());
    }
    Ok(table.wrapping_add(index(address, level)))
}

/// A kernel table as the kernel sees it: in the direct map; until that is whole, all tables lie in the image.
fn table_pointer(address: PhysAddr) -> *const AtomicU64 {
    match image_offset(address) {
        Some(offset) => (IMAGE + offset) as *const AtomicU64,
        None => Arch::direct_map(address).cast_const().cast(),
    }
}

/// Physical start of the image; set first of all.
static IMAGE_START: AtomicU64 = AtomicU64::new(0);
/// Bytes of it, as long as tables are to be looked for there.
static IMAGE_LENGTH: AtomicU64 = AtomicU64::new(0);

/// Tells where the image was loaded.
pub(super) fn set_image(range: PhysRange) {
    IMAGE_START.store(range.start.as_u64(), Ordering::Relaxed);
    IMAGE_LENGTH.store(range.length(), Ordering::Relaxed);
}

/// Tells that all memory is in the direct map.
pub(super) fn finish_direct_map() {
    IMAGE_LENGTH.store(0, Ordering::Relaxed);
}

/// Offset in the image of a physical address that lies in it.
fn image_offset(address: PhysAddr) -> Option<u64> {
    let offset = address.as_u64().wrapping_sub(IMAGE_START.load(Ordering::Relaxed));
    (offset < IMAGE_LENGTH.load(Ordering::Relaxed)).then_some(offset)
}

/// The physical address of something in the image.
pub(super) fn image_address(pointer: *const u8) -> PhysAddr {
    PhysAddr::new(IMAGE_START.load(Ordering::Relaxed) + (pointer as u64 - IMAGE))
}

/// Takes a page of the image away, for a guard.
pub(super) fn unmap_image_page(address: u64) {
    let _guard = KERNEL_TABLES.lock();
    let slot = entry_slot(address, 0, &mut || Err(OutOfMemory)).expect("the image is mapped by pages");
    // SAFETY: the slot is a live table's, and the caller's page is used by nobody; the flush follows.
    unsafe { (*slot).store(0, Ordering::Release) };
    forget_everything();
}

/// Makes all CPUs forget all translations that were walked before, the kernel's included.
fn forget_everything() {
    // SAFETY: forgetting translations is always sound.
    unsafe { asm!("dsb ishst", "tlbi vmalle1is", options(nostack, preserves_flags)) };
    complete_flush();
}

/// Makes memory visible in the direct map: never executable, and read-only where the image's text and constants lie.
pub(super) fn map_memory(memory: PhysRange, tables: TableSource<'_>) -> Result<(), OutOfMemory> {
    let _guard = KERNEL_TABLES.lock();
    let constants = constants_range();
    let before = PhysRange { start: memory.start, end: memory.end.min(constants.start) };
    let inside = PhysRange { start: memory.start.max(constants.start), end: memory.end.min(constants.end) };
    let after = PhysRange { start: memory.start.max(constants.end), end: memory.end };
    for (part, prot) in [(before, Prot::READ_WRITE), (inside, Prot::READ), (after, Prot::READ_WRITE)] {
        if part.start < part.end {
            map_kernel_range(DIRECT_MAP + part.start.as_u64(), part, Attributes::kernel(prot), tables)?;
        }
    }
    Ok(())
}

/// Text and constants of the image.
fn constants_range() -> PhysRange {
    // SAFETY: only the addresses of the linker's symbols are taken.
    let length = unsafe { (&raw const __rodata_end).offset_from_unsigned(&raw const __image_start) };
    PhysRange::new(PhysAddr::new(IMAGE_START.load(Ordering::Relaxed)), length as u64)
}

/// Makes 2 MiB of memory visible at `address`, behind the image's own place in the boot tables, before the direct map
/// is there.
pub(super) fn map_window(address: u64, memory: PhysAddr) {
    let _guard = KERNEL_TABLES.lock();
    let block = PhysRange::new(memory, level_size(1));
    let attributes = Attributes::kernel(Prot::READ_WRITE);
    let mapped = map_kernel_range(address, block, attributes, &mut || Err(OutOfMemory));
    mapped.expect("the boot tables reach as far");
}

/// Closes what [`map_window`] opened.
pub(super) fn unmap_window(address: u64) {
    let _guard = KERNEL_TABLES.lock();
    let slot = entry_slot(address, 1, &mut || Err(OutOfMemory)).expect("the boot tables reach as far");
    // SAFETY: the slot is a live table's, and nothing points into the window any more; the flush follows.
    unsafe { (*slot).store(0, Ordering::Release) };
    forget_everything();
}

/// Leaves the identity mapping that `boot.S` ran on. Its entries are global, so they are under no ASID.
pub(super) fn forget_boot_mappings() {
    Arch::activate(None, None);
    forget_all_here();
}

/// Makes table changes visible to this CPU's table walker (D8.2.6): needed where an empty entry became valid.
fn synchronise_tables() {
    // SAFETY: barriers.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
}

/// An empty table for CPUs that have no user address space.
#[repr(C, align(4096))]
struct EmptyTable([AtomicU64; 512]);
static NO_USER: EmptyTable = EmptyTable([const { AtomicU64::new(0) }; 512]);

/// Which address space each CPU runs, and the ASIDs that are free.
static ASIDS: Asids<MAX_CPUS> = Asids::new();
static POOL: SpinLock<Pool<MAX_CPUS>> = SpinLock::new(Pool::new(BITS_MIN));

/// TTBR0_EL1 and the operands of TLBI have the ASID in bits 63:48.
const ASID_SHIFT: u32 = 48;

/// Sees how many ASIDs there are: `boot.S` set TCR_EL1.AS where ID_AA64MMFR0_EL1 offers 16 bits. Once, at boot.
pub(super) fn count_asids() {
    if has_wide_asids() {
        POOL.lock().widen(BITS_MAX);
    }
}

/// Whether this CPU tells 16 bits of an ASID apart (TCR_EL1.AS).
fn has_wide_asids() -> bool {
    read_register!("tcr_el1") >> 36 & 1 != 0
}

/// Gives the address space an ASID for this generation, and forgets what this CPU kept of older ones.
#[cold]
fn assign(tag: &Tag) -> u16 {
    let mut pool = POOL.lock();
    let Assignment { asid, forget } = ASIDS.assign(&mut pool, Arch::id(), tag);
    if forget {
        forget_all_here();
    }
    drop(pool);
    // `flush` changes entries, then reads the tag; the tag was written here, then entries are walked. With a barrier on
    // both sides, one of the two sees the other: the walk the changed entries, or the flush the new ASID.
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    asid
}

/// Makes this CPU forget everything, the kernel's translations included.
fn forget_all_here() {
    // SAFETY: forgetting translations is always sound.
    unsafe { asm!("tlbi vmalle1", "dsb nsh", "isb", options(nostack, preserves_flags)) };
}

/// Makes all CPUs forget what they keep under an ASID.
fn forget_asid(asid: u16) {
    let asid = u64::from(asid) << ASID_SHIFT;
    // SAFETY: forgetting translations is always sound.
    unsafe { asm!("tlbi aside1is, {}", in(reg) asid, options(nostack, preserves_flags)) };
    complete_flush();
}

/// Waits until all CPUs have done what they were told by broadcast. The CPU that told them must wait: a task that moves
/// in between is waited for by the switch (`context.rs`).
fn complete_flush() {
    // Some cores may go on with a translation that was forgotten once (1286807, 2441007, 2441009): all of them are
    // forgotten there then, which is the same again and more. SAFETY: barriers; forgetting translations is always
    // sound.
    unsafe {
        asm!(
            "dsb ish",
            patched!(REPEATED_FLUSHES, "nop" => "tlbi vmalle1is"),
            patched!(REPEATED_FLUSHES, "nop" => "dsb ish"),
            "isb",
            options(nostack, preserves_flags)
        );
    };
}

impl Paging for Arch {
    type Translations = Tag;
    const KERNEL_STACKS: u64 = 0xffff_c000_0000_0000;
    const KERNEL_OBJECTS: u64 = 0xffff_d000_0000_0000;
    const DIRECT_MAP_END: PhysAddr = PhysAddr::new(1 << 47);
    const COHERENT_INSTRUCTIONS: bool = false;

    fn breaks_before_execution_ends() -> bool {
        errata::is_done(Answer::HidesPagesFirst)
    }

    #[inline(always)]
    fn direct_map(address: PhysAddr) -> *mut u8 {
        (DIRECT_MAP + address.as_u64()) as *mut u8
    }

    #[inline(always)]
    fn direct_unmap(pointer: *const u8) -> PhysAddr {
        PhysAddr::new(pointer as u64 - DIRECT_MAP)
    }

    /// The kernel's half has a root of its own.
    fn initialise_root(_root: PhysAddr) {}

    /// One write changes base and ASID together (TCR_EL1.A1 is clear: the ASID is TTBR0_EL1's), so no walk, not even a
    /// speculative one, ever pairs the tables of one address space with the ASID of another. CnP stays clear: CPUs may
    /// run under one ASID with different tables for a moment, when a generation of ASIDs ends.
    #[inline]
    fn activate(_previous: Option<&PageTable>, next: Option<&PageTable>) {
        let (root, asid) = match next {
            Some(table) => {
                let tag = &table.translations;
                (table.root(), ASIDS.activate(Self::id(), tag).unwrap_or_else(|| assign(tag)))
            }
            None => (image_address((&raw const NO_USER).cast()), NOBODY),
        };
        // SAFETY: user translations only, and no user memory is touched before the barrier.
        unsafe {
            write_register!("ttbr0_el1", root.as_u64() | u64::from(asid) << ASID_SHIFT);
            asm!(patched!(BRANCHES, "isb" => "bl {forget}"), forget = sym guards::forget_branches, out("x30") _,
                options(preserves_flags));
        }
    }

    /// CPUs may keep translations of an address space that they do not run, so the broadcast does not look at who runs
    /// it. It takes last-level entries only: tables are freed with their address space and not before.
    fn flush(table: &PageTable, first: UserAddr, last: UserAddr) {
        /// Above so many pages, all are forgotten.
        const MANY_PAGES: u64 = 64;
        // SAFETY: a barrier: walks see the changed entries before the tag is read. See `assign`.
        unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
        let Some(asid) = table.translations.asid() else { return };
        let (first, last) = (first.page_number(), last.page_number());
        if last.saturating_sub(first) >= MANY_PAGES {
            return forget_asid(asid);
        }
        let asid = u64::from(asid) << ASID_SHIFT;
        for page in first..=last {
            // SAFETY: forgetting translations is always sound.
            unsafe { asm!("tlbi vale1is, {}", in(reg) page | asid, options(nostack, preserves_flags)) };
        }
        complete_flush();
    }

    /// What was walked of the tables lies under the ASID, entries of the upper levels too, and a walk under way ends
    /// before the barrier does.
    fn retire(table: &PageTable) {
        let tag = &table.translations;
        if let Some(asid) = tag.asid() {
            forget_asid(asid);
            ASIDS.release(&mut POOL.lock(), tag);
        }
    }

    fn map_kernel(address: u64, frame: PhysAddr) -> Result<(), OutOfMemory> {
        let _guard = KERNEL_TABLES.lock();
        let page = PhysRange::new(frame, PAGE_SIZE);
        // A kernel table lives as long as the kernel.
        let mut tables =
            || KernelFrame::alloc_zeroed().map(|frame| core::mem::ManuallyDrop::new(frame).phys());
        map_kernel_range(address, page, Attributes::kernel(Prot::READ_WRITE), &mut tables)
    }

    /// In the direct map, as all memory is.
    fn kernel_tables() -> PhysAddr {
        image_address((&raw const __boot_tables).cast())
    }

    fn flush_kernel() {
        forget_everything();
    }

    /// B2.4.4: clean the data cache to the point of unification, then invalidate the instruction cache, on all CPUs.
    fn synchronise_instructions(frame: PhysAddr) {
        let start = Self::direct_map(frame) as u64;
        let control = identity::cache_type();
        // SAFETY: cache maintenance by address on a mapped frame changes no content.
        unsafe {
            if control >> 28 & 1 == 0 {
                let line = 4 << (control >> 16 & 0xf);
                let mut address = start;
                while address < start + PAGE_SIZE {
                    asm!(patched!(INVALIDATION, "dc cvau, x9" => "dc civac, x9"),
                        in("x9") address, options(nostack, preserves_flags));
                    address += line;
                }
            }
            asm!("dsb ish", options(nostack, preserves_flags));
            if control >> 29 & 1 == 0 {
                // The program's alias of the frame has another address: by address is not enough where the cache is
                // indexed virtually, so all of it goes.
                asm!("ic ialluis", options(nostack, preserves_flags));
            }
            asm!("dsb ish", "isb", options(nostack, preserves_flags));
        }
    }
}

/// Writes the image back to memory, out of all caches, wherever it runs (B2.4.5: the point of coherency), and forgets
/// nothing: what comes next runs with the caches off.
pub(super) fn write_back_image() {
    let line = 4 << (identity::cache_type() >> 16 & 0xf);
    let (start, end) = (&raw const __image_start as u64, &raw const __image_end as u64);
    // SAFETY: cache maintenance by address changes no content.
    unsafe {
        let mut address = start;
        while address < end {
            asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags));
            address += line;
        }
        asm!("dsb sy", options(nostack, preserves_flags));
    }
}

/// Registers of a device in the direct map.
#[derive(Clone, Copy)]
pub(super) struct DeviceRegisters(u64);

impl DeviceRegisters {
    /// Maps a device's registers.
    ///
    /// # Safety
    /// The range holds nothing but this device's registers.
    pub unsafe fn map(registers: PhysRange, tables: TableSource<'_>) -> Result<Self, OutOfMemory> {
        let _guard = KERNEL_TABLES.lock();
        let frames = registers.touched_frames();
        let pages =
            PhysRange { start: PhysAddr::of_frame(frames.start), end: PhysAddr::of_frame(frames.end) };
        let address = DIRECT_MAP + registers.start.as_u64();
        map_kernel_range(DIRECT_MAP + pages.start.as_u64(), pages, Attributes::device(), tables)?;
        Ok(Self(address))
    }

    /// Where the registers are.
    pub fn address(self) -> u64 {
        self.0
    }

    /// Reads the 8-bit register at `offset`.
    #[inline]
    pub fn read8(self, offset: usize) -> u8 {
        // SAFETY: as in `read32`.
        unsafe { ((self.0 as usize + offset) as *const u8).read_volatile() }
    }

    /// Writes the 8-bit register at `offset`.
    #[inline]
    pub fn write8(self, offset: usize, value: u8) {
        // SAFETY: as in `read32`.
        unsafe { ((self.0 as usize + offset) as *mut u8).write_volatile(value) }
    }

    /// Reads the 32-bit register at `offset`, one of this device's.
    #[inline]
    pub fn read32(self, offset: usize) -> u32 {
        // SAFETY: mapped device memory, and drivers in this folder name only registers that exist.
        unsafe { ((self.0 as usize + offset) as *const u32).read_volatile() }
    }

    /// Writes the 32-bit register at `offset`.
    #[inline]
    pub fn write32(self, offset: usize, value: u32) {
        // SAFETY: as above.
        unsafe { ((self.0 as usize + offset) as *mut u32).write_volatile(value) }
    }
}
