//! Changes that take something from an address space: translations, rights, frames.
//!
//! CPUs go on with what they have kept of the old entries. An [`Edit`] owns what a change leaves behind, of one table:
//! it makes the CPUs forget first and frees the frames after, when it is full and at its end. One that is forgotten
//! loses the frames; nobody else gets them.
//!
//! An entry that gives its frame up is noted whether it is present or not: it may have been until another edit changed
//! its rights, whose flush is still to come, or was forgotten.
use super::counts::Counts;
use super::table::{MapError, leaf, make_executable, safe};
use super::walk::{Blocks, Leaves, Piece, Slot};
use super::{Kind, PageTable, Prot};
use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::frame::{Account, OutOfMemory, SharedFrame, references};
use crate::sync::preempt;
use arrayvec::ArrayVec;
use core::mem::ManuallyDrop;
use core::sync::atomic::Ordering;
use libkernel::addr::{PAGE_SIZE, PhysAddr, UserAddr, UserRange};
use libkernel::arch::native::paging::Entry;
use libkernel::paging::{ENTRIES, index};

/// Frames that an edit holds before it must flush.
const CAPACITY: usize = 64;

/// Entries that are on their way from one place to another at a time, half of a table: they lie on the kernel's stack.
const MOVED: usize = 256;

/// What [`Edit::copy_on_write`] found.
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

/// Changes to one page table. Dropped, it flushes the translations first and frees the frames after.
pub struct Edit<'a> {
    pub(super) table: &'a PageTable,
    /// Freed by [`Edit::flush`] alone, which the end of an edit calls.
    pub(super) frames: ManuallyDrop<ArrayVec<SharedFrame, CAPACITY>>,
    /// First and last page whose translation may be stale.
    stale: Option<(UserAddr, UserAddr)>,
}

impl PageTable {
    /// Begins changes.
    #[inline]
    pub fn edit(&self) -> Edit<'_> {
        Edit { table: self, frames: ManuallyDrop::new(ArrayVec::new_const()), stale: None }
    }

    /// Makes every CPU forget what it keeps of the pages from `first` to `last`.
    #[inline]
    pub(super) fn forget(&self, first: UserAddr, last: UserAddr) {
        let _guard = preempt::disable();
        Arch::flush(self, first, last);
    }
}

impl Drop for Edit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.flush();
    }
}

impl Edit<'_> {
    /// Flushes and frees now; the edit can go on.
    pub fn flush(&mut self) {
        if let Some((first, last)) = self.stale.take() {
            self.table.forget(first, last);
        }
        self.frames.clear();
    }

    /// Notes that `page` lost its translation or rights of it.
    #[inline]
    pub(super) fn note(&mut self, page: UserAddr) {
        self.stale = Some(match self.stale {
            None => (page, page),
            Some((first, last)) => (first.min(page), last.max(page)),
        });
    }

    /// Keeps a frame until the flush. There must be room.
    #[inline]
    pub(super) fn keep(&mut self, frame: SharedFrame) {
        self.frames.push(frame);
    }

    /// Answers a write to a private page: gives the page at `address` the rights `prot`, after copying its frame if
    /// anybody else holds it; `account` is charged for the copy.
    pub fn copy_on_write(
        &mut self,
        address: UserAddr,
        prot: Prot,
        account: Account,
    ) -> Result<CopyOnWrite, OutOfMemory> {
        let Some((table, slot)) = self.table.find(address) else {
            return self.copy_on_write_in_block(address, prot, account);
        };
        let mut guard = self.table.lock.lock();
        loop {
            let old = slot.load();
            if !old.holds_frame() {
                return Ok(CopyOnWrite::Absent);
            }
            if references::are_only(old.address(), 1, &self.table.lends) {
                let new = old.with_user_prot(prot).with_kind(Kind::Anonymous);
                make_executable(old.address(), prot);
                slot.store(new);
                recount(table, old, Kind::Anonymous);
                if old.needs_flush(new) {
                    self.note(address.page_down());
                }
                return Ok(CopyOnWrite::Done);
            }
            // SAFETY: the entry holds a reference and cannot let go of it while the lock is held.
            let shared = unsafe { SharedFrame::borrowed(old.address()) };
            drop(guard);
            let copy = if shared.is_zero() {
                SharedFrame::alloc_zeroed(account)
            } else {
                shared.duplicate(account)
            }?;
            make_executable(copy.phys(), prot);
            if self.frames.is_full() {
                self.flush();
            }
            guard = self.table.lock.lock();
            if slot.load() == old {
                let new = leaf(copy.into_phys(), prot, Kind::Anonymous);
                self.exchange(slot, old, new, address.page_down());
                recount(table, old, Kind::Anonymous);
                return Ok(CopyOnWrite::Done);
            }
            // Another thread of the process changed the entry meanwhile: look again.
        }
    }

    /// Changes the rights of all mapped pages in `range`.
    pub fn protect(&mut self, range: UserRange, prot: Prot, writes: Writes) {
        let table = self.table;
        if !prot.is_executable() && Arch::breaks_before_execution_ends() {
            self.hide_executable(range);
        }
        table.each(range, |piece| {
            let leaves = match piece {
                Piece::Leaves(leaves) => leaves,
                Piece::Block(block) => return self.protect_block(block, prot, writes),
            };
            // In registers, for the loop.
            let (prot, writes) = (prot, writes);
            let _guard = table.lock.lock();
            for (page, slot) in leaves.slots() {
                let entry = slot.load();
                if !entry.holds_frame() {
                    continue;
                }
                let new = entry.with_user_prot(allowed(table, entry, prot, writes));
                if new != entry {
                    make_executable(entry.address(), prot);
                    slot.store(new);
                    if entry.needs_flush(new) {
                        self.note(page);
                    }
                }
            }
        });
    }

    /// Makes pages that programs execute invisible to all CPUs, and still visibly in use to faults.
    #[cold]
    #[inline(never)]
    pub(super) fn hide_executable(&mut self, range: UserRange) {
        let table = self.table;
        table.each(range, |piece| {
            let leaves = match piece {
                Piece::Leaves(leaves) => leaves,
                Piece::Block(block) => return self.hide_executable_block(block),
            };
            let _guard = table.lock.lock();
            for (page, slot) in leaves.slots() {
                let entry = slot.load();
                if entry.is_present() && entry.prot().is_executable() {
                    slot.store(entry.with_user_prot(Prot::NONE));
                    self.note(page);
                }
            }
        });
        self.flush();
    }

    /// Unmaps all pages in `range`.
    pub fn unmap(&mut self, range: UserRange) {
        let pages = self.clear(range);
        self.table.note_taken(pages);
    }

    /// The same in an address space that ends, whose peak nobody asks for any more; how many pages that are counted
    /// were there.
    pub fn clear(&mut self, range: UserRange) -> u32 {
        let mut pages = 0;
        self.table.each(range, |piece| {
            let mut leaves = match piece {
                Piece::Leaves(leaves) => leaves,
                Piece::Block(block) => {
                    pages += self.unmap_block(block);
                    return;
                }
            };
            while let Some(next) = self.unmap_some(leaves, &mut pages) {
                self.flush();
                leaves.address = leaves.address.wrapping_add((next - leaves.first) as u64 * PAGE_SIZE);
                leaves.first = next;
            }
        });
        pages
    }

    /// Unmaps until the edit is full; returns the index of the first entry that is still to do. Adds to `pages` those
    /// that are counted.
    fn unmap_some(&mut self, leaves: Leaves, pages: &mut u32) -> Option<usize> {
        let mut in_use = leaves.in_use();
        if in_use == 0 {
            // Tables stay, so that there are empty ones: not worth the lock.
            return None;
        }
        let before = in_use;
        let (mut rest, mut tally) = (None, 0);
        let guard = self.table.lock.lock();
        for (position, (page, slot)) in leaves.slots().enumerate() {
            if in_use == 0 {
                break;
            }
            let entry = slot.load();
            if !entry.holds_frame() {
                continue;
            }
            if self.frames.is_full() {
                rest = Some(leaves.first + position);
                break;
            }
            slot.store(Entry::EMPTY);
            in_use -= 1;
            tally += entry.tally();
            self.note(page);
            // SAFETY: the entry held this reference and is empty now.
            self.keep(unsafe { SharedFrame::from_phys(entry.address()) });
        }
        drop(guard);
        let taken = Counts::sum(before - in_use, tally);
        taken.take_from(leaves.table);
        *pages += taken.pages() as u32;
        rest
    }

    /// Moves the mapped pages of `from` to the free range of the same length at `to` (`mremap`). On an error,
    /// pages up to some point have moved; moving back the same way needs no memory.
    pub fn move_range(&mut self, from: UserRange, to: UserAddr) -> Result<(), MapError> {
        let target_of = |page: UserAddr| to.wrapping_add(page.as_u64() - from.start().as_u64());
        self.table.for_each_piece(from, Blocks::Split, |piece| {
            let Piece::Leaves(leaves) = piece else { return Ok(()) };
            let mut rest = Some(leaves);
            while let Some(part) = rest {
                let (part, behind) = part.split(MOVED);
                if let Some(part) = part.in_use_only() {
                    self.move_some(part, target_of(part.address))?;
                }
                rest = behind;
            }
            Ok(())
        })
    }

    /// Moves at most [`MOVED`] entries. All CPUs forget them at the old place before they stand at the new one, from
    /// where another edit may take them: it would not know of the old place, and a CPU would go on with a frame that is
    /// free.
    #[inline(never)]
    fn move_some(&mut self, from: Leaves, to: UserAddr) -> Result<(), MapError> {
        // The tables first, at most two: nothing is taken out that has no place to go.
        let last = to.wrapping_add((from.last - from.first) as u64 * PAGE_SIZE);
        let (first_table, _) = self.table.find_or_make(to)?;
        let (last_table, _) = self.table.find_or_make(last)?;
        let mut taken = [Entry::EMPTY; MOVED];
        self.take_out(from, &mut taken);
        self.flush();
        let mut outcome = Ok(());
        for (position, &entry) in taken.iter().enumerate().filter(|(_, entry)| entry.holds_frame()) {
            let place = index(to.as_u64(), 0) + position;
            let table = if place < ENTRIES { first_table } else { last_table };
            if put_in(table, place % ENTRIES, entry) {
                continue;
            }
            outcome = Err(MapError::Occupied);
            if !put_in(from.table, from.first + position, entry) {
                // Somebody was faster at both places: the page is unmapped.
                // SAFETY: no entry holds this reference any more.
                drop(unsafe { SharedFrame::from_phys(entry.address()) });
            }
        }
        outcome
    }

    /// Takes entries with their references out of a table, into places that are empty.
    fn take_out(&mut self, from: Leaves, taken: &mut [Entry; MOVED]) {
        let (mut found, mut tally) = (0, 0);
        let _guard = self.table.lock.lock();
        for ((page, slot), place) in from.slots().zip(taken) {
            let entry = slot.load();
            if entry.holds_frame() {
                slot.store(Entry::EMPTY);
                self.note(page);
                *place = entry;
                found += 1;
                tally += entry.tally();
            }
        }
        Counts::sum(found, tally).take_from(from.table);
    }

    /// Copies the mappings of `range` into `child`. With [`Writes::CopyOnWrite`] both sides lose write
    /// permission, but for pages that a device has: the child gets a copy of those, for which `account` is charged. No
    /// CPU is on `child` yet.
    pub fn fork_range(
        &mut self,
        child: &PageTable,
        range: UserRange,
        writes: Writes,
        account: Account,
    ) -> Result<(), OutOfMemory> {
        let parent = self.table;
        let lends = parent.lends.load(Ordering::Relaxed) && writes == Writes::CopyOnWrite;
        parent.for_each_piece(range, Blocks::Whole, |piece| {
            let leaves = match piece {
                Piece::Leaves(leaves) => leaves,
                Piece::Block(block) => return self.fork_block(child, block, writes, account),
            };
            let (table, _) = child.find_or_make(leaves.address).map_err(|_| OutOfMemory)?;
            let target = Leaves { table, ..leaves };
            if lends {
                self.fork_lent(leaves, target, account)?;
            }
            let (mut copied, mut tally) = (0, 0);
            let guard = parent.lock.lock();
            for ((page, slot), (_, target_slot)) in leaves.slots().zip(target.slots()) {
                if let Some(entry) = self.fork_entry(slot, target_slot, page, writes) {
                    copied += 1;
                    tally += entry.tally();
                }
            }
            drop(guard);
            Counts::sum(copied, tally).add_to(table);
            Ok(())
        })
    }

    /// Puts `new`, which holds a frame of its own, in the place of `old`, whose frame goes to the edit.
    fn exchange(&mut self, slot: Slot, old: Entry, new: Entry, page: UserAddr) {
        // Invisible to the CPUs, and still visibly in use to other faults of this page. Before the new frame can be
        // found: else a thread would write there, and another one, which has seen what it wrote after that, would read
        // the old frame by a translation from before. AArch64 wants it in any case (D8.16.1 "break-before-make").
        slot.store(old.with_user_prot(Prot::NONE));
        self.note(page);
        self.flush();
        slot.store(new);
        // SAFETY: the entry held this reference and now holds the new frame's.
        self.keep(unsafe { SharedFrame::from_phys(old.address()) });
    }

    /// Copies one entry to an empty one of a table that nobody else changes; none if there is nothing to copy.
    #[inline]
    fn fork_entry(&mut self, slot: Slot, target: Slot, page: UserAddr, writes: Writes) -> Option<Entry> {
        let mut entry = slot.load();
        if !entry.holds_frame() || target.load().holds_frame() {
            return None;
        }
        if writes == Writes::CopyOnWrite && entry.prot().is_writable() {
            entry = entry.without_write();
            slot.store(entry);
            self.note(page);
        }
        // SAFETY: the entry holds a reference, and the parent's lock is held. The child's entry takes the new one.
        unsafe { SharedFrame::borrowed(entry.address()) }.into_phys();
        target.store(entry);
        Some(entry)
    }

    /// Gives the child copies of pages that a device has, before it gets the others: a write of the parent's must not
    /// take the parent to a copy, and the child must not see what the device does.
    #[cold]
    #[inline(never)]
    fn fork_lent(&mut self, leaves: Leaves, target: Leaves, account: Account) -> Result<(), OutOfMemory> {
        for ((_, slot), (_, target_slot)) in leaves.slots().zip(target.slots()) {
            let guard = self.table.lock.lock();
            let entry = slot.load();
            if !is_lent(entry) || target_slot.load().holds_frame() {
                continue;
            }
            // SAFETY: the entry holds a reference and cannot let go of it while the lock is held.
            let lent = unsafe { SharedFrame::borrowed(entry.address()) };
            drop(guard);
            let copy = lent.duplicate(account)?;
            make_executable(copy.phys(), entry.prot());
            target_slot.store(leaf(copy.into_phys(), entry.prot(), Kind::Anonymous));
            Counts::one(Kind::Anonymous).add_to(target.table);
        }
        Ok(())
    }
}

/// Whether an entry holds a frame that a device has.
fn is_lent(entry: Entry) -> bool {
    entry.holds_frame() && references::is_lent(entry.address())
}

/// Puts an entry that was taken out into an empty place; false if that is not empty.
fn put_in(table: PhysAddr, index: usize, entry: Entry) -> bool {
    let done = Slot::of(table, index).fill(entry);
    if done {
        Counts::sum(1, entry.tally()).add_to(table);
    }
    done
}

/// Counts a page of `table` that was `old` as of another kind.
#[inline]
fn recount(table: PhysAddr, old: Entry, kind: Kind) {
    if old.kind() != kind {
        Counts::one(kind).add_to(table);
        Counts::one(old.kind()).take_from(table);
    }
}

/// The rights of `prot` that the page may have at once.
#[inline]
fn allowed(table: &PageTable, entry: Entry, prot: Prot, writes: Writes) -> Prot {
    let shared = || !references::are_only(entry.address(), 1, &table.lends);
    if writes == Writes::CopyOnWrite && prot.is_writable() && shared() {
        // A fault grants or copies later.
        return prot.write_protected();
    }
    safe(entry.address(), prot)
}
