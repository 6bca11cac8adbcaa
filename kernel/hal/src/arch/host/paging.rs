//! Physical memory as an arena on the host's heap, and the active address space.
use super::Arch;
use super::cpu::{running, update};
use crate::contract::Paging;
use crate::frame::OutOfMemory;
use crate::paging::PageTable;
use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use libkernel::addr::{PhysAddr, UserAddr};
use std::alloc::{Layout, alloc_zeroed};
use std::sync::OnceLock;

/// Bytes of physical memory. The host commits a page only when it is touched.
pub(super) const ARENA_BYTES: usize = 1 << 30;
/// Alignment of the arena's start, that of the largest block the frame allocator hands out.
const ARENA_ALIGNMENT: usize = 4 << 20;

/// The arena's address on the host: physical address zero.
fn arena() -> *mut u8 {
    static ARENA: OnceLock<usize> = OnceLock::new();
    let start = *ARENA.get_or_init(|| {
        // A small alignment, so that the allocator asks the host for fresh zero pages and touches none.
        let layout = Layout::from_size_align(ARENA_BYTES + ARENA_ALIGNMENT, 16).expect("a valid layout");
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(layout) };
        assert!(!memory.is_null(), "the host has no memory for the arena");
        (memory as usize).next_multiple_of(ARENA_ALIGNMENT)
    });
    core::ptr::with_exposed_provenance_mut(start)
}

impl Paging for Arch {
    /// The number of CPUs on which it is active.
    type Translations = AtomicUsize;
    const KERNEL_STACKS: u64 = 0;
    const KERNEL_OBJECTS: u64 = 0;
    const DIRECT_MAP_END: PhysAddr = PhysAddr::new(1 << 47);
    const COHERENT_INSTRUCTIONS: bool = false;

    fn direct_map(address: PhysAddr) -> *mut u8 {
        assert!(address.as_u64() < ARENA_BYTES as u64, "no such memory: {address:?}");
        arena().wrapping_add(address.as_u64() as usize)
    }

    fn direct_unmap(pointer: *const u8) -> PhysAddr {
        PhysAddr::new((pointer as usize - arena() as usize) as u64)
    }

    fn initialise_root(_root: PhysAddr) {}

    fn activate(previous: Option<&PageTable>, next: Option<&PageTable>) {
        if let Some(next) = next {
            next.translations.fetch_add(1, Ordering::Relaxed);
        }
        update(|running| running.root = next.map(PageTable::root));
        if let Some(previous) = previous {
            previous.translations.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The CPUs walk the tables at each access.
    fn flush(_table: &PageTable, _first: UserAddr, _last: UserAddr) {
        FLUSHED.with(|count| count.set(count.get() + 1));
    }

    fn retire(table: &PageTable) {
        let active = table.translations.load(Ordering::Relaxed);
        assert_eq!(active, 0, "an address space ends while it is active");
    }

    /// Kernel stacks are not used: each task runs on its host thread's own.
    fn map_kernel(_address: u64, _frame: PhysAddr) -> Result<(), OutOfMemory> {
        Ok(())
    }

    fn kernel_tables() -> PhysAddr {
        unreachable!("there are no kernel stacks")
    }

    fn flush_kernel() {}

    fn synchronise_instructions(_frame: PhysAddr) {
        SYNCHRONISED.with(|count| count.set(count.get() + 1));
    }
}

std::thread_local! {
    static SYNCHRONISED: Cell<usize> = const { Cell::new(0) };
    static FLUSHED: Cell<usize> = const { Cell::new(0) };
}

/// How often this thread made a frame's instructions visible.
#[cfg(test)]
pub fn synchronised() -> usize {
    SYNCHRONISED.get()
}

/// How often this thread made the CPUs forget translations of programs.
#[cfg(test)]
pub fn flushed() -> usize {
    FLUSHED.get()
}

/// Root of the address space that this CPU's user copies go through.
pub(super) fn active_root() -> Option<PhysAddr> {
    running().root
}
