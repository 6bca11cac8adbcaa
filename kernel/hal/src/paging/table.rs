//! The user half of one address space.
use super::counts::{Counts, Peak, Resident};
use super::walk::Leaves;
use super::{Kind, Prot, Writes};
use crate::arch::Arch;
use crate::contract::Paging;
use crate::frame::{KernelFrame, OutOfMemory, SharedFrame, record, synchronise_instructions};
use crate::sync::SpinLock;
use alloc::sync::Arc;
use core::convert::Infallible;
use core::sync::atomic::{AtomicU32, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr, UserAddr, UserRange};
use libkernel::arch::native::paging::Entry;
use libkernel::paging::Attributes;

/// Ends a list of tables. No table is in frame 2^32 - 1: it lies beyond 16 TiB.
const NO_TABLE: u32 = u32::MAX;

/// Page tables of one address space. Dropping it frees the tables and their frame references; no CPU may run on
/// it then, which the tasks' and CPUs' own references to it ensure.
pub struct PageTable {
    pub(super) root: PhysAddr,
    /// The tables below the root, linked through their records.
    tables: AtomicU32,
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

#[inline]
pub(super) fn leaf(frame: PhysAddr, prot: Prot, kind: Kind) -> Entry {
    Entry::leaf(frame, 0, Attributes::user(prot)).with_kind(kind)
}

/// Before programs may execute a frame. Every entry that allows it is written after this, so that no caller need think of it.
#[inline(always)]
pub(super) fn make_executable(frame: PhysAddr, prot: Prot) {
    if prot.is_executable() {
        synchronise_instructions(frame);
    }
}

impl PageTable {
    /// An empty address space.
    pub fn new() -> Result<Arc<Self>, OutOfMemory> {
        let root = KernelFrame::alloc_zeroed()?.into_phys();
        Arch::initialise_root(root);
        Ok(Arc::new(Self {
            root,
            tables: AtomicU32::new(NO_TABLE),
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
        record(table).next.store(self.tables.load(Ordering::Relaxed), Ordering::Relaxed);
        self.tables.store(table.frame_number() as u32, Ordering::Release);
    }

    /// Maps `frame` where nothing is mapped, and counts it as `kind`.
    #[inline]
    pub fn map(&self, address: UserAddr, frame: SharedFrame, prot: Prot, kind: Kind) -> Result<(), MapError> {
        let (table, slot) = self.find_or_make(address)?;
        make_executable(frame.phys(), prot);
        if !slot.fill(leaf(frame.phys(), prot, kind)) {
            return Err(MapError::Occupied);
        }
        frame.into_phys();
        Counts::one(kind).add_to(table);
        Ok(())
    }

    /// What is mapped at `address`, with a reference to its frame.
    #[inline]
    pub fn lookup(&self, address: UserAddr) -> Option<Mapped> {
        let (_, slot) = self.find(address)?;
        let _guard = self.lock.lock();
        let entry = slot.load();
        if !entry.holds_frame() {
            return None;
        }
        // SAFETY: the entry holds a reference and cannot let go of it while the lock is held.
        let frame = unsafe { SharedFrame::borrowed(entry.address()) };
        Some(Mapped { frame, prot: entry.prot(), dirty: entry.is_dirty() })
    }

    /// Calls `visit` for every page that is mapped in `range`, in ascending order. What is mapped meanwhile may be missed.
    pub fn each_mapped(&self, range: UserRange, mut visit: impl FnMut(UserAddr, Mapped)) {
        self.each(range, |leaves| {
            for (page, _) in leaves.slots().filter(|(_, slot)| slot.load().holds_frame()) {
                if let Some(mapped) = self.lookup(page) {
                    visit(page, mapped);
                }
            }
        });
    }

    /// The first page that is mapped in `range` for which `wanted` has an answer, and that.
    pub fn find_mapped<R>(
        &self,
        range: UserRange,
        mut wanted: impl FnMut(UserAddr, Mapped) -> Option<R>,
    ) -> Option<R> {
        let searched = self.for_each_leaves(range, |leaves| {
            for (page, _) in leaves.slots().filter(|(_, slot)| slot.load().holds_frame()) {
                if let Some(found) = self.lookup(page).and_then(|mapped| wanted(page, mapped)) {
                    return Err(found);
                }
            }
            Ok(())
        });
        searched.err()
    }

    /// Gives the page at `address` the rights `prot`, if it still maps `frame` — and, for
    /// [`Writes::CopyOnWrite`], if nobody but the mapping and the caller's `frame` holds it. False if not done.
    pub fn upgrade(&self, address: UserAddr, frame: &SharedFrame, prot: Prot, writes: Writes) -> bool {
        let Some((_, slot)) = self.find(address) else { return false };
        let _guard = self.lock.lock();
        let entry = slot.load();
        let same = entry.holds_frame() && entry.address() == frame.phys();
        let alone = writes == Writes::Shared || frame.references() == 2;
        if same && alone {
            let new = entry.with_user_prot(prot);
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
        self.tables().fold(Resident::default(), |sum, table| sum.plus(Counts::of(table).resident()))
    }

    /// The most pages that were resident at a time; see [`Peak`].
    pub fn peak_pages(&self) -> u64 {
        self.peak.pages().max(self.tables().map(|table| Counts::of(table).pages()).sum())
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
            pages += Counts::of(table).pages();
            tables += 1;
        }
        self.peak.note(pages, tables);
    }

    /// The tables below the root.
    fn tables(&self) -> impl Iterator<Item = PhysAddr> + use<> {
        let table = |number: u32| (number != NO_TABLE).then(|| PhysAddr::of_frame(number.into()));
        let first = table(self.tables.load(Ordering::Acquire));
        core::iter::successors(first, move |&last| table(record(last).next.load(Ordering::Relaxed)))
    }

    pub(super) fn each(&self, range: UserRange, mut visit: impl FnMut(Leaves)) {
        let done: Result<(), Infallible> = self.for_each_leaves(range, |leaves| {
            visit(leaves);
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
