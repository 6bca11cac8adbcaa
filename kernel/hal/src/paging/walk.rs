//! Walking page tables: from an address to its leaf entry, and over the leaf tables of a range.
//!
//! Tables are only added while an address space lives, and freed all together at its end, so a walk needs no lock.
//! A table's record in the frame table links it into its address space's list (`next`), counts its entries that own
//! frames, and says its level. An entry at level 1 may own a block ([`super::block`]); it may become a table, never the
//! other way round.
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
        // SAFETY: `table` is a page-table frame of an address space that the caller borrows, or of the kernel's tables,
        // in the direct map; its entries are only accessed atomically.
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

/// What lies in a range.
pub(super) enum Piece {
    Leaves(Leaves),
    Block(Block),
}

/// The entry of a table at level 1 that owned a block when it was found. It may have become a table since.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub table: PhysAddr,
    /// The part of the block that lies in the range that was asked for.
    pub pages: UserRange,
}

impl Block {
    pub fn slot(self) -> Slot {
        Slot::of(self.table, index(self.pages.start().as_u64(), 1))
    }
}

/// What becomes of blocks that are met.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocks {
    /// They are visited as they are, those that the range cuts, too.
    Any,
    /// Those that the range cuts are split into pages first.
    Whole,
    /// All are.
    Split,
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
    /// From `address` on, in the table that an entry at level 1 leads to, as far as `end`.
    #[inline]
    fn below(entry: Entry, address: UserAddr, end: UserAddr) -> Leaves {
        let first = index(address.as_u64(), 0);
        let last = if end < after(address, 1) { index(end.as_u64() - 1, 0) } else { ENTRIES - 1 };
        Leaves { table: entry.address(), address, first, last }
    }

    /// The entries with the pages that they translate.
    #[inline]
    pub fn slots(self) -> impl Iterator<Item = (UserAddr, Slot)> {
        // Not inclusive: such a range is stepped through with twice the instructions.
        (self.first..self.last + 1).map(move |index| {
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
    /// The leaf table for `address` and the slot in it, if that is a user address and the table exists: not where a
    /// block is mapped.
    #[inline]
    pub(super) fn find(&self, address: UserAddr) -> Option<(PhysAddr, Slot)> {
        if !address.is_user() {
            return None;
        }
        let mut table = self.root;
        for level in (1..=ROOT_LEVEL).rev() {
            let entry = Slot::of(table, index(address.as_u64(), level)).load();
            if !entry.leads_on() {
                return None;
            }
            table = entry.address();
        }
        Some((table, Slot::of(table, index(address.as_u64(), 0))))
    }

    /// As [`Self::find`], making the tables that are missing. Where a block is mapped, that is [`MapError::Occupied`].
    #[inline]
    pub(super) fn find_or_make(&self, address: UserAddr) -> Result<(PhysAddr, Slot), MapError> {
        self.find_or_make_at(address, 0)
    }

    /// The slot for `address` in a table at `level`, making those that are missing.
    #[inline(always)]
    pub(super) fn find_or_make_at(
        &self,
        address: UserAddr,
        level: u32,
    ) -> Result<(PhysAddr, Slot), MapError> {
        if !address.is_user() {
            return Err(MapError::BadAddress);
        }
        let mut table = self.root;
        for above in (level + 1..=ROOT_LEVEL).rev() {
            let slot = Slot::of(table, index(address.as_u64(), above));
            let mut entry = slot.load();
            if !entry.leads_on() {
                entry = self.make_table(slot, above - 1)?;
            }
            table = entry.address();
        }
        Ok((table, Slot::of(table, index(address.as_u64(), level))))
    }

    #[cold]
    fn make_table(&self, slot: Slot, level: u32) -> Result<Entry, MapError> {
        if slot.load().holds_frame() {
            return Err(MapError::Occupied);
        }
        let frame = new_table()?;
        let entry = Entry::table(frame.phys(), Owner::User);
        Counts::begin(frame.phys(), level);
        if !slot.fill(entry) {
            // Another thread of the process was faster; the frame is freed.
            let found = slot.load();
            return if found.leads_on() { Ok(found) } else { Err(MapError::Occupied) };
        }
        self.own_table(frame.into_phys());
        Ok(entry)
    }

    /// Calls `visit` with every existing part of a leaf table in `range`, and with blocks, in ascending order, until it
    /// fails.
    pub(super) fn for_each_piece<E>(
        &self,
        range: UserRange,
        blocks: Blocks,
        mut visit: impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut address = range.start().page_down();
        while address < range.end() {
            address = match self.find_middle(address) {
                Ok(table) => self.for_each_below(table, address, range.end(), blocks, &mut visit)?,
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

    /// Visits what is below a table at level 1, from `address` on; returns where what it translates ends, or a place
    /// behind `end`.
    #[inline(always)]
    fn for_each_below<E>(
        &self,
        table: PhysAddr,
        mut address: UserAddr,
        end: UserAddr,
        blocks: Blocks,
        visit: &mut impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<UserAddr, E> {
        loop {
            let entry = Slot::of(table, index(address.as_u64(), 1)).load();
            let next = after(address, 1);
            // One call of `visit`, so that it becomes part of this loop.
            let piece = if entry.is_block() {
                self.block_piece(table, address, end, blocks)
            } else {
                entry.leads_on().then(|| Piece::Leaves(Leaves::below(entry, address, end)))
            };
            if let Some(piece) = piece {
                visit(piece)?;
            }
            address = next;
            if address >= end || index(address.as_u64(), 1) == 0 {
                return Ok(address);
            }
        }
    }

    /// What is to be visited where a block was found: it, or the pages into which it has fallen.
    #[cold]
    fn block_piece(
        &self,
        table: PhysAddr,
        address: UserAddr,
        end: UserAddr,
        blocks: Blocks,
    ) -> Option<Piece> {
        let next = after(address, 1);
        let whole = index(address.as_u64(), 0) == 0 && next <= end;
        if blocks == Blocks::Split || blocks == Blocks::Whole && !whole {
            self.edit().split(address);
            let entry = Slot::of(table, index(address.as_u64(), 1)).load();
            return entry.leads_on().then(|| Piece::Leaves(Leaves::below(entry, address, end)));
        }
        let pages = UserRange::from_bounds(address, next.min(end))?;
        Some(Piece::Block(Block { table, pages }))
    }
}

/// A frame for a table. Tables are memory for programs too: reading a sparse mapping costs nothing else.
pub(super) fn new_table() -> Result<KernelFrame, MapError> {
    if !may_allocate() {
        return Err(MapError::OutOfMemory);
    }
    KernelFrame::alloc_zeroed().map_err(|_| MapError::OutOfMemory)
}

/// The first address behind the entry at `level` that translates `address`. The user half's end is far below 2^64.
fn after(address: UserAddr, level: u32) -> UserAddr {
    let size = level_size(level);
    UserAddr::new((address.as_u64() & !(size - 1)) + size)
}
