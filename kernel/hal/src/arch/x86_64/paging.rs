//! CR3, `invlpg`, the direct map and the kernel's own mappings after boot.
use super::Arch;
use super::patches::patched;
use super::platform::{guards, kernel_map, shootdown};
use crate::contract::{Cpu as _, Paging};
use crate::cpu::MAX_CPUS;
use crate::frame::{KernelFrame, OutOfMemory};
use crate::paging::PageTable;
use crate::sync::{IrqLock, PerCpu};
use core::arch::asm;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::addr::{PhysAddr, UserAddr};
use libkernel::arch::x86_64::paging::Entry;
use libkernel::arch::x86_64::pcid::{Choice, Identifiers, KERNEL, Space};
use libkernel::arch::x86_64::shootdown::KERNEL_TOO;
use libkernel::paging::{Attributes, ENTRIES, Prot};

/// Start of the direct map: entry 256 of the root, 512 GiB.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// Bytes that the direct map can hold.
pub const DIRECT_MAP_BYTES: u64 = 1 << 39;
/// Start of the kernel stacks: entry 448 of the root.
pub const KERNEL_STACKS: u64 = 0xffff_e000_0000_0000;
/// Start of the heap's objects out of single frames: entry 464 of the root.
pub const KERNEL_OBJECTS: u64 = 0xffff_e800_0000_0000;
/// Start of device registers: entry 480 of the root.
pub const DEVICES: u64 = 0xffff_f000_0000_0000;
/// Bytes of that window.
const DEVICES_BYTES: u64 = 1 << 39;
/// What is added to the kernel image's physical addresses: entry 511 of the root.
pub const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// The root entries that every address space shares; filled at boot and constant from then on.
const SHARED_ROOT_ENTRIES: [usize; 5] = [256, 448, 464, 480, 511];

static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);
/// Memory is mapped where interrupts may be masked.
static KERNEL_TABLES: IrqLock<()> = IrqLock::new(());

/// Remembers the kernel's root table. Once, at boot.
pub fn set_kernel_root(root: PhysAddr) {
    KERNEL_ROOT.store(root.as_u64(), Ordering::Relaxed);
}

/// The kernel's root table: no user memory.
pub fn kernel_root() -> PhysAddr {
    PhysAddr::new(KERNEL_ROOT.load(Ordering::Relaxed))
}

/// Which identifier each CPU has given to which address space.
static IDENTIFIERS: PerCpu<Identifiers> = PerCpu::new([const { Identifiers::new() }; MAX_CPUS]);

/// CR3 bit 63: what is kept under the identifier stays so (SDM volume 3, 4.10.4.1).
const KEEP: u64 = 1 << 63;

/// Above so many pages, forgetting everything is cheaper than page by page.
const SINGLE_PAGES_MAX: u64 = 32;

/// Makes this CPU forget the pages from `first` to `last` of the active address space; up to [`KERNEL_TOO`],
/// everything.
pub fn flush_here(first: UserAddr, last: UserAddr) {
    if last == KERNEL_TOO {
        return flush_all_and_kernel();
    }
    let pages = first.page_number()..=last.page_number();
    if last.page_number() - first.page_number() >= SINGLE_PAGES_MAX {
        return flush_all();
    }
    for page in pages {
        // SAFETY: forgetting a translation is always sound.
        unsafe {
            asm!("invlpg [{}]", in(reg) UserAddr::of_page(page).as_u64(), options(nostack, preserves_flags))
        };
    }
}

/// Makes this CPU forget all translations of the active address space.
pub fn flush_all() {
    // SAFETY: reloads the same root and identifier, KEEP reads as zero; kernel translations are global and stay.
    unsafe { asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags)) };
}

/// Makes this CPU forget all translations of all address spaces, the kernel's included: changing CR4.PGE does (SDM
/// volume 3, 4.10.4.1).
pub fn flush_all_and_kernel() {
    const GLOBAL_PAGES: u64 = 1 << 7;
    // SAFETY: forgetting translations is always sound, and CR4 is at last what it was.
    unsafe {
        asm!("mov {0}, cr4", "mov {1}, {0}", "xor {1}, {bit}", "mov cr4, {1}", "mov cr4, {0}",
            out(reg) _, out(reg) _, bit = const GLOBAL_PAGES, options(nostack));
    }
}

/// Whether the CPU has identifiers of address spaces: a branch that is patched away where it has.
#[inline(always)]
fn has_identifiers() -> bool {
    // SAFETY: goes to one of the two places that follow.
    unsafe {
        asm!(patched!(PCID, "jmp {absent}" => ""), absent = label { return false },
            options(nomem, nostack, preserves_flags));
    }
    true
}

/// What goes into CR3 beside the root: the identifier, and whether what is kept under it stays. Interrupts masked.
fn identify(next: Option<&PageTable>) -> u64 {
    let Choice { pcid, keep } = match next {
        Some(next) => IDENTIFIERS.with_own(|identifiers| identifiers.choose(&next.translations)),
        // There is no user memory in these tables.
        None => Choice { pcid: KERNEL, keep: true },
    };
    u64::from(pcid) | if keep { KEEP } else { 0 }
}

fn root_table(root: PhysAddr) -> *mut [Entry; ENTRIES] {
    Arch::direct_map(root).cast()
}

impl Paging for Arch {
    type Translations = Space;
    const KERNEL_STACKS: u64 = KERNEL_STACKS;
    const KERNEL_OBJECTS: u64 = KERNEL_OBJECTS;
    const DIRECT_MAP_END: PhysAddr = PhysAddr::new(DIRECT_MAP_BYTES);
    const COHERENT_INSTRUCTIONS: bool = true;

    #[inline(always)]
    fn direct_map(address: PhysAddr) -> *mut u8 {
        (DIRECT_MAP + address.as_u64()) as *mut u8
    }

    #[inline(always)]
    fn direct_unmap(pointer: *const u8) -> PhysAddr {
        PhysAddr::new(pointer as u64 - DIRECT_MAP)
    }

    fn initialise_root(root: PhysAddr) {
        let (kernel, user) = (root_table(kernel_root()), root_table(root));
        for index in SHARED_ROOT_ENTRIES {
            // SAFETY: both are whole tables in the direct map; the new one is not in use yet.
            unsafe { (*user)[index] = (*kernel)[index] };
        }
    }

    /// A CPU notes itself before it can walk: whoever changes an entry and then reads the mask finds it there, or it
    /// walks the changed entry. What it has kept from the last time is `libkernel::arch::x86_64::pcid`'s business;
    /// without identifiers the write of CR3 forgets all translations that are not global (SDM volume 3, 4.10.4.1).
    #[inline]
    fn activate(previous: Option<&PageTable>, next: Option<&PageTable>) {
        let cpu = Self::id();
        shootdown::wake(cpu);
        if let Some(next) = next {
            next.translations.enter(cpu);
        }
        let root = next.map_or_else(kernel_root, PageTable::root).as_u64();
        let choice = if has_identifiers() { identify(next) } else { 0 };
        // SAFETY: every root shares the kernel's half, so the running code and stack stay mapped; the CPU has the
        // identifier's bits if they are set, and keeps nothing under it that is not this root's. The prefixes, which
        // mean nothing here, leave room for a call; the kernel's target has no red zone.
        unsafe {
            asm!(patched!(FILL_RETURNS, ".byte 0x3e, 0x3e\nmov cr3, rax" => "call {fill}"), fill = sym guards::change_space,
                in("rax") root | choice);
        }
        if let Some(previous) = previous {
            previous.translations.leave(cpu);
        }
    }

    #[inline]
    fn suspend() {
        shootdown::rest();
    }

    #[inline]
    fn resume() {
        shootdown::wake(Self::id());
    }

    fn flush(table: &PageTable, first: UserAddr, last: UserAddr) {
        let (cpus, before) = table.translations.change();
        let own = 1 << Self::id();
        if cpus & own != 0 {
            flush_here(first, last);
            if has_identifiers() {
                IDENTIFIERS.with_own(|identifiers| identifiers.note_forgotten(&table.translations, before));
            }
        }
        if cpus & !own != 0 {
            shootdown::request(cpus & !own, first, last);
        }
    }

    fn retire(table: &PageTable) {
        debug_assert_eq!(table.translations.cpus(), 0, "an address space ends while it is active");
    }

    fn map_kernel(address: u64, frame: PhysAddr) -> Result<(), OutOfMemory> {
        let _guard = KERNEL_TABLES.lock();
        let mut allocate = || {
            let table = ManuallyDrop::new(KernelFrame::alloc_zeroed()?);
            Ok(table.phys())
        };
        let map = kernel_map::Tables { root: kernel_root(), pointer: |table| root_table(table).cast() };
        map.set(address, 0, Entry::leaf(frame, 0, Attributes::kernel(Prot::READ_WRITE)), &mut allocate)
    }

    fn kernel_tables() -> PhysAddr {
        kernel_root()
    }

    fn flush_kernel_here() {
        flush_all_and_kernel();
    }

    fn flush_kernel() {
        flush_all_and_kernel();
        shootdown::request_kernel();
    }

    fn synchronise_instructions(_frame: PhysAddr) {
        // x86_64 keeps instruction fetches coherent with stores (SDM volume 3, 11.6).
    }
}

/// Maps device registers, or memory of the firmware's, at their own place in the device window. What lies behind the
/// window's end, at 512 GiB, cannot be mapped: firmware's tables may name any address.
pub fn map_device(page: PhysAddr) -> Result<*mut u8, OutOfMemory> {
    if page.as_u64() >= DEVICES_BYTES {
        return Err(OutOfMemory);
    }
    let _guard = KERNEL_TABLES.lock();
    let address = DEVICES + page.page_down().as_u64();
    let mut allocate = || {
        let table = ManuallyDrop::new(KernelFrame::alloc_zeroed()?);
        Ok(table.phys())
    };
    let map = kernel_map::Tables { root: kernel_root(), pointer: |table| root_table(table).cast() };
    map.set(address, 0, Entry::leaf(page.page_down(), 0, Attributes::device()), &mut allocate)?;
    Ok((address + page.page_offset() as u64) as *mut u8)
}
