//! The user half of one address space.
use super::counts::{Counts, Peak, Resident};
use super::walk::{Blocks, Piece, Slot};
use super::{Kind, Prot, Writes};
use crate::arch::Arch;
use crate::contract::Paging;
use crate::frame::{
    self, KernelFrame, Loan, OutOfMemory, SharedFrame, record, references, synchronise_instructions,
};
use crate::sync::SpinLock;
use alloc::sync::Arc;
use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr, UserAddr, UserRange};
use libkernel::arch::native::paging::Entry;
use libkernel::fault::Access;
use libkernel::paging::{Attributes, ENTRIES, index};

/// Ends a list of tables. No table is in frame 2^32 - 1: it lies beyond 16 TiB.
const NO_TABLE: u32 = u32::MAX;

/// Page tables of one address space. Dropping it frees the tables and their frame references; no CPU may run on
/// it then, which the tasks' and CPUs' own references to it ensure.
pub struct PageTable {
    pub(super) root: PhysAddr,
    /// The tables below the root, linked through their records.
    tables: AtomicU32,
    /// A table for each block that is mapped, and for none besides but for moments: see [`super::block`].
    pub(super) deposits: AtomicU32,
    /// Whether pages of it have ever been lent to a device, so that every fork has to look.
    pub(super) lends: AtomicBool,
    /// Serialises changes of leaf entries that are in use, and reads that take a reference from them.
    pub(super) lock: SpinLock<()>,
    peak: Peak,
    /// Where the CPUs may keep translations of it.
    pub(crate) translations: <Arch as Paging>::Translations,
}

/// Why [`PageTable::map`] failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// Another frame is there already (a parallel fault was faster).
    Occupied,
    /// No memory for the tables.
    OutOfMemory,
    /// Not a user address.
    BadAddress,
}

/// What is mapped at a page.
#[derive(Debug)]
pub struct Mapped {
    /// A reference of the caller's own.
    pub frame: SharedFrame,
    /// What the CPU allows now.
    pub prot: Prot,
    /// Whether it may have been written through this mapping.
    pub dirty: bool,
}

/// The entry of a page.
#[inline]
pub(super) fn leaf(frame: PhysAddr, prot: Prot, kind: Kind) -> Entry {
    Entry::leaf(frame, 0, Attributes::user(safe(frame, prot))).with_kind(kind)
}

/// The rights of `prot` that a frame may be mapped with at all: the frame of zeros is everybody's.
#[inline]
pub(super) fn safe(frame: PhysAddr, prot: Prot) -> Prot {
    if prot.is_writable() && frame::is_zero(frame) { prot.write_protected() } else { prot }
}

/// Before programs may execute a frame. Every entry that allows it is written after this, so that no caller need think
/// of it.
#[inline(always)]
pub(super) fn make_executable(frame: PhysAddr, prot: Prot) {
    if prot.is_executable() {
        synchronise_instructions(frame);
    }
}

/// Links a table to the front of a list. The page table's lock is held.
pub(super) fn link(list: &AtomicU32, table: PhysAddr) {
    record(table).next.store(list.load(Ordering::Relaxed), Ordering::Relaxed);
    list.store(table.frame_number() as u32, Ordering::Release);
}

/// The tables of a list.
#[inline]
pub(super) fn listed(list: &AtomicU32) -> impl Iterator<Item = PhysAddr> + use<> {
    let table = |number: u32| (number != NO_TABLE).then(|| PhysAddr::of_frame(number.into()));
    let first = table(list.load(Ordering::Acquire));
    core::iter::successors(first, move |&last| table(record(last).next.load(Ordering::Relaxed)))
}

/// Takes the first table of a list out. The page table's lock is held.
pub(super) fn unlink(list: &AtomicU32) -> Option<PhysAddr> {
    let first = listed(list).next()?;
    list.store(record(first).next.load(Ordering::Relaxed), Ordering::Relaxed);
    Some(first)
}

impl PageTable {
    /// An empty address space.
    pub fn new() -> Result<Arc<Self>, OutOfMemory> {
        let root = KernelFrame::alloc_zeroed()?.into_phys();
        Arch::initialise_root(root);
        Ok(Arc::new(Self {
            root,
            tables: AtomicU32::new(NO_TABLE),
            deposits: AtomicU32::new(NO_TABLE),
            lends: AtomicBool::new(false),
            lock: SpinLock::new(()),
            peak: Peak::new(),
            translations: Default::default(),
        }))
    }

    /// The root table, for the CPU.
    #[inline]
    pub(crate) fn root(&self) -> PhysAddr {
        self.root
    }

    /// Links a new table into the list that `drop` frees.
    pub(super) fn own_table(&self, table: PhysAddr) {
        let _guard = self.lock.lock();
        self.own_table_locked(table);
    }

    /// The same for who holds the lock.
    pub(super) fn own_table_locked(&self, table: PhysAddr) {
        link(&self.tables, table);
    }

    /// Maps `frame` where nothing is mapped, and counts it as `kind`.
    #[inline]
    pub fn map(&self, address: UserAddr, frame: SharedFrame, prot: Prot, kind: Kind) -> Result<(), MapError> {
        let (table, slot) = self.find_or_make(address)?;
        make_executable(frame.phys(), prot);
        // Counted before it is there: another thread may take it out at once, and no field falls below zero.
        Counts::one(kind).add_to(table);
        if !slot.fill(leaf(frame.phys(), prot, kind)) {
            Counts::one(kind).take_from(table);
            return Err(MapError::Occupied);
        }
        frame.into_phys();
        Ok(())
    }

    /// Takes those of `frames` that are there and maps them at `pages`, one after the other, where nothing is mapped;
    /// as far as the table of the first page goes, and only if there is one. Counts them as `kind`.
    pub fn map_beside(&self, pages: UserRange, frames: &mut [Option<SharedFrame>], prot: Prot, kind: Kind) {
        let Some((table, _)) = self.find(pages.start()) else { return };
        let first = index(pages.start().as_u64(), 0);
        let count = (pages.length() / PAGE_SIZE) as usize;
        let places = (first..ENTRIES).take(count);
        frames.iter().take(places.len()).flatten().for_each(|frame| make_executable(frame.phys(), prot));
        let mut mapped = 0;
        // Who takes one of them out, or counts it as of another kind, has the lock: it is counted by then.
        let _guard = self.lock.lock();
        for (index, frame) in places.zip(frames) {
            let Some(frame) = frame.take() else { continue };
            if Slot::of(table, index).fill(leaf(frame.phys(), prot, kind)) {
                frame.into_phys();
                mapped += 1;
            }
        }
        Counts::one(kind).times(mapped).add_to(table);
    }

    /// What is mapped at `address`, with a reference to its frame.
    #[inline]
    pub fn lookup(&self, address: UserAddr) -> Option<Mapped> {
        let Some((_, slot)) = self.find(address) else { return self.lookup_in_block(address) };
        let _guard = self.lock.lock();
        let entry = slot.load();
        if !entry.holds_frame() {
            return None;
        }
        // SAFETY: the entry holds a reference and cannot let go of it while the lock is held.
        let frame = unsafe { SharedFrame::borrowed(entry.address()) };
        Some(Mapped { frame, prot: entry.prot(), dirty: entry.is_dirty() })
    }

    /// Lends the frame of the page at `address` to a device, which may write to it if `access` is to. None where the
    /// program itself could not access it so now, by what its entry allows: the caller brings it in then, and makes it
    /// the program's own, and tries again.
    pub fn lend(&self, address: UserAddr, access: Access) -> Option<Loan> {
        // Before the look, in which no fork may be under way: a fork that comes later sees it.
        self.lends.store(true, Ordering::Relaxed);
        let (_, slot) = self.find(address)?;
        let _guard = self.lock.lock();
        let entry = slot.load();
        if !entry.holds_frame() || !entry.prot().allows(access) {
            return None;
        }
        // SAFETY: the entry holds a reference and cannot let go of it while the lock is held.
        unsafe { SharedFrame::borrowed(entry.address()) }.lend().ok()
    }

    /// Calls `visit` for every page that is mapped in `range`, in ascending order. What is mapped meanwhile may be
    /// missed.
    pub fn each_mapped(&self, range: UserRange, mut visit: impl FnMut(UserAddr, Mapped)) {
        self.find_mapped(range, |page, mapped| {
            visit(page, mapped);
            None::<Infallible>
        });
    }

    /// The first page that is mapped in `range` for which `wanted` has an answer, and that.
    pub fn find_mapped<R>(
        &self,
        range: UserRange,
        mut wanted: impl FnMut(UserAddr, Mapped) -> Option<R>,
    ) -> Option<R> {
        let mut look = |page| match self.lookup(page).and_then(|mapped| wanted(page, mapped)) {
            Some(found) => Err(found),
            None => Ok(()),
        };
        let searched = self.for_each_piece(range, Blocks::Any, |piece| match piece {
            Piece::Leaves(leaves) => {
                let mut used = leaves.slots().filter(|(_, slot)| slot.load().holds_frame());
                used.try_for_each(|(page, _)| look(page))
            }
            Piece::Block(block) => block.pages.pages().try_for_each(&mut look),
        });
        searched.err()
    }

    /// Gives the page at `address` the rights `prot`, if it still maps `frame` — and, for
    /// [`Writes::CopyOnWrite`], if nobody but the mapping and the caller's `frame` holds it. False if not done.
    pub fn upgrade(&self, address: UserAddr, frame: &SharedFrame, prot: Prot, writes: Writes) -> bool {
        let Some((_, slot)) = self.find(address) else {
            return self.edit().split(address) && self.upgrade(address, frame, prot, writes);
        };
        let _guard = self.lock.lock();
        let entry = slot.load();
        let same = entry.holds_frame() && entry.address() == frame.phys();
        let alone = writes == Writes::Shared || references::are_only(frame.phys(), 2, &self.lends);
        if same && alone {
            let new = entry.with_user_prot(safe(entry.address(), prot));
            make_executable(entry.address(), prot);
            slot.store(new);
            if entry.needs_flush(new) {
                self.forget(address.page_down(), address.page_down());
            }
        }
        same && alone
    }

    /// Pages mapped now: the sum over the tables, as a count of the whole would be a line that all faults write to.
    pub fn resident(&self) -> Resident {
        self.tables().fold(Resident::default(), |sum, table| sum.plus(Counts::resident_of(table)))
    }

    /// The most pages that were resident at a time; see [`Peak`].
    pub fn peak_pages(&self) -> u64 {
        self.peak.pages().max(self.tables().map(Counts::pages_of).sum())
    }

    /// Bytes of the tables, the root included.
    pub fn table_bytes(&self) -> u64 {
        (self.tables().count() as u64 + 1) * PAGE_SIZE
    }

    /// Pages that are counted were taken out.
    #[inline(always)]
    pub(super) fn note_taken(&self, pages: u32) {
        if pages != 0 && self.peak.is_due(pages) {
            self.look_for_peak(pages);
        }
    }

    /// There were so many pages more a moment ago.
    #[cold]
    fn look_for_peak(&self, more: u32) {
        let (mut pages, mut tables) = (u64::from(more), 0);
        for table in self.tables() {
            pages += Counts::pages_of(table);
            tables += 1;
        }
        self.peak.note(pages, tables);
    }

    /// The tables below the root.
    fn tables(&self) -> impl Iterator<Item = PhysAddr> + use<> {
        listed(&self.tables)
    }

    /// Visits what is in a range, and splits the blocks that it cuts.
    #[inline(always)]
    pub(super) fn each(&self, range: UserRange, mut visit: impl FnMut(Piece)) {
        let done: Result<(), Infallible> = self.for_each_piece(range, Blocks::Whole, |piece| {
            visit(piece);
            Ok(())
        });
        let Ok(()) = done;
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        if self.tables().any(|table| Counts::of(table).entries() != 0) {
            self.edit().clear(UserRange::ALL);
        }
        Arch::retire(self);
        debug_assert!(listed(&self.deposits).next().is_none(), "a deposit without a block");
        let mut tables = self.tables();
        let mut next = tables.next();
        while let Some(table) = next {
            next = tables.next();
            // SAFETY: the table was linked by `own_table` alone, and no CPU walks it any more.
            drop(unsafe { KernelFrame::from_phys(table) });
        }
        // SAFETY: as above; the root was made by `new`.
        drop(unsafe { KernelFrame::from_phys(self.root) });
    }
}
