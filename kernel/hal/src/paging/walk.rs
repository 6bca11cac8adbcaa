//! Walking page tables: from an address to its leaf entry, and over the leaf tables of a range.
//!
//! Tables are only added while an address space lives, and freed all together at its end, so a walk needs no lock.
//! A table's record in the frame table links it into its address space's list (`next`) and counts its entries in use.
use super::PageTable;
use super::counts::Counts;
use super::table::MapError;
use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::frame::{KernelFrame, may_allocate};
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr, UserAddr, UserRange};
use libkernel::arch::native::paging::Entry;
use libkernel::paging::{ENTRIES, Owner, ROOT_LEVEL, index, level_size};

/// One entry in memory. The CPU reads it at any time, and may set bits.
#[derive(Clone, Copy)]
pub(super) struct Slot(&'static AtomicU64);

impl Slot {
    pub(super) fn of(table: PhysAddr, index: usize) -> Self {
        debug_assert!(index < ENTRIES);
        let entries: *const AtomicU64 = Arch::direct_map(table).cast();
        // SAFETY: `table` is a page-table frame of an address space that the caller borrows, or of the kernel's tables, in the
        // direct map; its entries are only accessed atomically.
        Self(unsafe { &*entries.add(index) })
    }

    #[inline]
    pub fn load(self) -> Entry {
        Entry::from_bits(self.0.load(Ordering::Acquire))
    }

    #[inline]
    pub fn store(self, entry: Entry) {
        self.0.store(entry.bits(), Ordering::Release);
    }

    /// Fills an empty slot; false if it is not empty.
    #[inline]
    pub fn fill(self, entry: Entry) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.0.compare_exchange(Entry::EMPTY.bits(), entry.bits(), success, failure).is_ok()
    }
}

/// Part of a leaf table: entries `first..=last`, of which the first translates `address`.
#[derive(Clone, Copy)]
pub(super) struct Leaves {
    pub table: PhysAddr,
    pub address: UserAddr,
    pub first: usize,
    pub last: usize,
}

impl Leaves {
    /// The entries with the pages that they translate.
    #[inline]
    pub fn slots(self) -> impl Iterator<Item = (UserAddr, Slot)> {
        (self.first..=self.last).map(move |index| {
            let page = self.address.wrapping_add((index - self.first) as u64 * PAGE_SIZE);
            (page, Slot::of(self.table, index))
        })
    }

    /// The first `count` entries, and the rest if there are more.
    pub fn split(self, count: usize) -> (Leaves, Option<Leaves>) {
        let next = self.first + count;
        if next > self.last {
            return (self, None);
        }
        let address = self.address.wrapping_add(count as u64 * PAGE_SIZE);
        (Leaves { last: next - 1, ..self }, Some(Leaves { address, first: next, ..self }))
    }

    /// From the first entry that holds a frame to the last one that does.
    pub fn in_use_only(self) -> Option<Leaves> {
        let mut used =
            (self.first..=self.last).filter(|&index| Slot::of(self.table, index).load().holds_frame());
        let first = used.next()?;
        let last = used.next_back().unwrap_or(first);
        let address = self.address.wrapping_add((first - self.first) as u64 * PAGE_SIZE);
        Some(Leaves { table: self.table, address, first, last })
    }

    /// Entries in use in the whole table.
    #[inline]
    pub fn in_use(self) -> u32 {
        Counts::of(self.table).entries()
    }
}

impl PageTable {
    /// The leaf table for `address` and the slot in it, if that is a user address and the table exists.
    #[inline]
    pub(super) fn find(&self, address: UserAddr) -> Option<(PhysAddr, Slot)> {
        if !address.is_user() {
            return None;
        }
        let mut table = self.root;
        for level in (1..=ROOT_LEVEL).rev() {
            let entry = Slot::of(table, index(address.as_u64(), level)).load();
            if !entry.is_present() {
                return None;
            }
            table = entry.address();
        }
        Some((table, Slot::of(table, index(address.as_u64(), 0))))
    }

    /// As [`Self::find`], making the tables that are missing.
    #[inline]
    pub(super) fn find_or_make(&self, address: UserAddr) -> Result<(PhysAddr, Slot), MapError> {
        if !address.is_user() {
            return Err(MapError::BadAddress);
        }
        let mut table = self.root;
        for level in (1..=ROOT_LEVEL).rev() {
            let slot = Slot::of(table, index(address.as_u64(), level));
            let mut entry = slot.load();
            if !entry.is_present() {
                entry = self.make_table(slot)?;
            }
            table = entry.address();
        }
        Ok((table, Slot::of(table, index(address.as_u64(), 0))))
    }

    #[cold]
    fn make_table(&self, slot: Slot) -> Result<Entry, MapError> {
        // Tables are memory for programs too: reading a sparse mapping costs nothing else.
        if !may_allocate() {
            return Err(MapError::OutOfMemory);
        }
        let frame = KernelFrame::alloc_zeroed().map_err(|_| MapError::OutOfMemory)?;
        let entry = Entry::table(frame.phys(), Owner::User);
        Counts::clear(frame.phys());
        if !slot.fill(entry) {
            // Another thread of the process was faster; the frame is freed.
            return Ok(slot.load());
        }
        self.own_table(frame.into_phys());
        Ok(entry)
    }

    /// Calls `visit` with every existing part of a leaf table in `range`, in ascending order, until it fails.
    pub(super) fn for_each_leaves<E>(
        &self,
        range: UserRange,
        mut visit: impl FnMut(Leaves) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut address = range.start().page_down();
        while address < range.end() {
            address = match self.find_middle(address) {
                Ok(table) => for_each_leaves_below(table, address, range.end(), &mut visit)?,
                Err(level) => after(address, level),
            };
        }
        Ok(())
    }

    /// The table at level 1 for `address`; or the level of the entry that is missing.
    #[inline(always)]
    fn find_middle(&self, address: UserAddr) -> Result<PhysAddr, u32> {
        let mut table = self.root;
        for level in (2..=ROOT_LEVEL).rev() {
            let entry = Slot::of(table, index(address.as_u64(), level)).load();
            if !entry.is_present() {
                return Err(level);
            }
            table = entry.address();
        }
        Ok(table)
    }
}

/// Visits the leaf tables below a table at level 1, from `address` on; returns where what it translates ends, or a place behind `end`.
#[inline(always)]
fn for_each_leaves_below<E>(
    table: PhysAddr,
    mut address: UserAddr,
    end: UserAddr,
    visit: &mut impl FnMut(Leaves) -> Result<(), E>,
) -> Result<UserAddr, E> {
    loop {
        let entry = Slot::of(table, index(address.as_u64(), 1)).load();
        let next = after(address, 1);
        if entry.is_present() {
            let first = index(address.as_u64(), 0);
            let last = if end < next { index(end.as_u64() - 1, 0) } else { ENTRIES - 1 };
            visit(Leaves { table: entry.address(), address, first, last })?;
        }
        address = next;
        if address >= end || index(address.as_u64(), 1) == 0 {
            return Ok(address);
        }
    }
}

/// The first address behind the entry at `level` that translates `address`. The user half's end is far below 2^64.
fn after(address: UserAddr, level: u32) -> UserAddr {
    let size = level_size(level);
    UserAddr::new((address.as_u64() & !(size - 1)) + size)
}
