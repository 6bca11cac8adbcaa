//! The user half of one address space.
use super::walk::{Leaves, Slot, count};
use super::{FlushBatch, Prot};
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
    lock: SpinLock<()>,
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

/// What [`PageTable::copy_on_write`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyOnWrite {
    /// The page has the rights now.
    Done,
    /// Nothing is mapped there.
    Absent,
}

/// Whose writes a mapping takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writes {
    /// Shared: everybody sees them. Write permission is granted as asked.
    Shared,
    /// Private: write permission is granted only where no one else holds the frame; else the next write faults.
    CopyOnWrite,
}

#[inline]
fn leaf(frame: PhysAddr, prot: Prot) -> Entry {
    Entry::leaf(frame, 0, Attributes::user(prot))
}

/// Before programs may execute a frame. Every entry that allows it is written after this, so that no caller need think of it.
#[inline(always)]
fn make_executable(frame: PhysAddr, prot: Prot) {
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

    /// Maps `frame` where nothing is mapped.
    #[inline]
    pub fn map(&self, address: UserAddr, frame: SharedFrame, prot: Prot) -> Result<(), MapError> {
        let (table, slot) = self.find_or_make(address)?;
        make_executable(frame.phys(), prot);
        if !slot.fill(leaf(frame.phys(), prot)) {
            return Err(MapError::Occupied);
        }
        frame.into_phys();
        count(table, 1);
        Ok(())
    }

    /// What is mapped at `address`, with a reference to its frame.
    #[inline]
    pub fn lookup(&self, address: UserAddr) -> Option<Mapped> {
        if !address.is_user() {
            return None;
        }
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

    /// Answers a write to a private page: gives the page at `address` the rights `prot`, after copying its frame if
    /// anybody else holds it. The old frame goes to the batch.
    pub fn copy_on_write(
        &self,
        address: UserAddr,
        prot: Prot,
        batch: &mut FlushBatch<'_>,
    ) -> Result<CopyOnWrite, OutOfMemory> {
        let Some((_, slot)) = self.find(address) else { return Ok(CopyOnWrite::Absent) };
        let mut guard = self.lock.lock();
        loop {
            let old = slot.load();
            if !old.holds_frame() {
                return Ok(CopyOnWrite::Absent);
            }
            if record(old.address()).count.load(Ordering::Acquire) == 1 {
                let new = old.with_user_prot(prot);
                make_executable(old.address(), prot);
                slot.store(new);
                if old.needs_flush(new) {
                    batch.note(address.page_down());
                }
                return Ok(CopyOnWrite::Done);
            }
            // SAFETY: the entry holds a reference and cannot let go of it while the lock is held.
            let shared = unsafe { SharedFrame::borrowed(old.address()) };
            drop(guard);
            let copy = if shared.is_zero() { SharedFrame::alloc_zeroed() } else { shared.duplicate() }?;
            make_executable(copy.phys(), prot);
            if batch.is_full() {
                batch.flush();
            }
            guard = self.lock.lock();
            if slot.load() == old {
                exchange(slot, old, leaf(copy.into_phys(), prot), address.page_down(), batch);
                return Ok(CopyOnWrite::Done);
            }
            // Another thread of the process changed the entry meanwhile: look again.
        }
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

    /// Changes the rights of all mapped pages in `range`.
    pub fn protect(&self, range: UserRange, prot: Prot, writes: Writes, batch: &mut FlushBatch<'_>) {
        self.each(range, |leaves| {
            let _guard = self.lock.lock();
            for (page, slot) in leaves.slots() {
                let entry = slot.load();
                if !entry.holds_frame() {
                    continue;
                }
                let new = entry.with_user_prot(allowed(entry, prot, writes));
                if new != entry {
                    make_executable(entry.address(), prot);
                    slot.store(new);
                    if entry.needs_flush(new) {
                        batch.note(page);
                    }
                }
            }
        });
    }

    /// Unmaps all pages in `range`.
    pub fn unmap(&self, range: UserRange, batch: &mut FlushBatch<'_>) {
        self.each(range, |mut leaves| {
            while let Some(next) = self.unmap_some(leaves, batch) {
                batch.flush();
                leaves.address = leaves.address.wrapping_add((next - leaves.first) as u64 * PAGE_SIZE);
                leaves.first = next;
            }
        });
    }

    /// Unmaps until the batch is full; returns the index of the first entry that is still to do.
    fn unmap_some(&self, leaves: Leaves, batch: &mut FlushBatch<'_>) -> Option<usize> {
        let mut in_use = leaves.in_use();
        if in_use == 0 {
            // Tables stay, so that there are empty ones: not worth the lock.
            return None;
        }
        let before = in_use;
        let mut rest = None;
        let guard = self.lock.lock();
        for (position, (page, slot)) in leaves.slots().enumerate() {
            if in_use == 0 {
                break;
            }
            let entry = slot.load();
            if !entry.holds_frame() {
                continue;
            }
            if batch.is_full() {
                rest = Some(leaves.first + position);
                break;
            }
            slot.store(Entry::EMPTY);
            in_use -= 1;
            if entry.is_present() {
                batch.note(page);
            }
            // SAFETY: the entry held this reference and is empty now.
            batch.keep(unsafe { SharedFrame::from_phys(entry.address()) });
        }
        drop(guard);
        count(leaves.table, in_use.cast_signed() - before.cast_signed());
        rest
    }

    /// Moves the mapped pages of `from` to the free range of the same length at `to` (`mremap`). On an error,
    /// pages up to some point have moved; moving back the same way needs no memory.
    pub fn move_range(
        &self,
        from: UserRange,
        to: UserAddr,
        batch: &mut FlushBatch<'_>,
    ) -> Result<(), MapError> {
        self.for_each_leaves(from, |leaves| {
            for (page, slot) in leaves.slots() {
                if !slot.load().holds_frame() {
                    continue;
                }
                let target = to.wrapping_add(page.as_u64() - from.start().as_u64());
                let (table, target_slot) = self.find_or_make(target)?;
                let _guard = self.lock.lock();
                self.move_entry((leaves.table, slot), (table, target_slot), page, batch)?;
            }
            Ok(())
        })
    }

    fn move_entry(
        &self,
        from: (PhysAddr, Slot),
        to: (PhysAddr, Slot),
        page: UserAddr,
        batch: &mut FlushBatch<'_>,
    ) -> Result<(), MapError> {
        let entry = from.1.load();
        if !entry.holds_frame() {
            return Ok(());
        }
        if !to.1.fill(entry) {
            return Err(MapError::Occupied);
        }
        from.1.store(Entry::EMPTY);
        batch.note(page);
        count(to.0, 1);
        count(from.0, -1);
        Ok(())
    }

    /// Copies the mappings of `range` into `child`. With [`Writes::CopyOnWrite`] both sides lose write
    /// permission. `batch` is this (the parent's) table's.
    pub fn fork_range(
        &self,
        child: &PageTable,
        range: UserRange,
        writes: Writes,
        batch: &mut FlushBatch<'_>,
    ) -> Result<(), OutOfMemory> {
        self.for_each_leaves(range, |leaves| {
            let (table, _) = child.find_or_make(leaves.address).map_err(|_| OutOfMemory)?;
            let target = Leaves { table, ..leaves };
            let mut copied = 0;
            let guard = self.lock.lock();
            for ((page, slot), (_, target_slot)) in leaves.slots().zip(target.slots()) {
                copied += i32::from(fork_entry(slot, target_slot, page, writes, batch));
            }
            drop(guard);
            count(table, copied);
            Ok(())
        })
    }

    /// Pages mapped now: the sum over the tables, as a count of the whole would be a line that all faults write to.
    pub fn resident_pages(&self) -> usize {
        self.tables().map(|table| record(table).count.load(Ordering::Relaxed) as usize).sum()
    }

    /// The tables below the root.
    fn tables(&self) -> impl Iterator<Item = PhysAddr> + use<> {
        let table = |number: u32| (number != NO_TABLE).then(|| PhysAddr::of_frame(number.into()));
        let first = table(self.tables.load(Ordering::Acquire));
        core::iter::successors(first, move |&last| table(record(last).next.load(Ordering::Relaxed)))
    }

    fn each(&self, range: UserRange, mut visit: impl FnMut(Leaves)) {
        let done: Result<(), Infallible> = self.for_each_leaves(range, |leaves| {
            visit(leaves);
            Ok(())
        });
        let Ok(()) = done;
    }
}

/// Puts `new`, which holds a frame of its own, in the place of `old`, whose frame goes to the batch.
fn exchange(slot: Slot, old: Entry, new: Entry, page: UserAddr, batch: &mut FlushBatch<'_>) {
    if old.is_present() {
        batch.note(page);
        if Arch::BREAK_BEFORE_MAKE {
            // Invisible to the CPUs, and still visibly in use to other faults of this page.
            slot.store(old.with_user_prot(Prot::NONE));
            batch.flush();
        }
    }
    slot.store(new);
    // SAFETY: the entry held this reference and now holds the new frame's.
    batch.keep(unsafe { SharedFrame::from_phys(old.address()) });
}

/// Copies one entry to an empty one of a table that nobody else changes; false if there is nothing to copy.
#[inline]
fn fork_entry(slot: Slot, target: Slot, page: UserAddr, writes: Writes, batch: &mut FlushBatch<'_>) -> bool {
    let mut entry = slot.load();
    if !entry.holds_frame() || target.load().holds_frame() {
        return false;
    }
    if writes == Writes::CopyOnWrite && entry.prot().is_writable() {
        entry = entry.without_write();
        slot.store(entry);
        batch.note(page);
    }
    // SAFETY: the entry holds a reference, and the parent's lock is held. The child's entry takes the new one.
    unsafe { SharedFrame::borrowed(entry.address()) }.into_phys();
    target.store(entry);
    true
}

/// The rights of `prot` that the page may have at once.
#[inline]
fn allowed(entry: Entry, prot: Prot, writes: Writes) -> Prot {
    let shared = || record(entry.address()).count.load(Ordering::Acquire) != 1;
    if writes == Writes::CopyOnWrite && prot.is_writable() && shared() {
        // A fault grants or copies later.
        return prot.write_protected();
    }
    prot
}

impl Drop for PageTable {
    fn drop(&mut self) {
        if self.resident_pages() != 0 {
            self.unmap(UserRange::ALL, &mut FlushBatch::new(self));
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
