//! Blocks: entries at level 1 that own 2 MiB of frames, and how they fall into pages.
//!
//! Nobody maps blocks yet; whoever does finds that all other changes know them. What concerns a block as a whole
//! changes its entry; what concerns a part splits it first. A split needs a table and must not fail, since `munmap` may
//! not: so each block deposits one when it is mapped, and takes it away when it is unmapped.
//!
//! A split is the only change of an entry above level 0, from a block to a table, and it is done under the lock:
//! whoever found a block without it looks again.
use super::counts::Counts;
use super::edit::{CopyOnWrite, Edit, Writes};
use super::table::{MapError, Mapped, PageTable, link, make_executable, unlink};
use super::walk::{Block, Slot, new_table};
use super::{Kind, Prot};
use crate::frame::{Account, KernelFrame, OutOfMemory, SharedBlock, SharedFrame, references};
use libkernel::addr::{PAGE_SIZE, PhysAddr, UserAddr, UserRange};
use libkernel::arch::native::paging::Entry;
use libkernel::paging::{Attributes, BLOCK_ORDER, ENTRIES, Owner, ROOT_LEVEL, index, level_size};

/// Before programs may execute the frames of a block.
fn make_block_executable(block: PhysAddr, prot: Prot) {
    for page in 0..ENTRIES as u64 {
        make_executable(block.wrapping_add(page * PAGE_SIZE), prot);
    }
}

impl PageTable {
    /// Maps a block of order [`BLOCK_ORDER`] at a multiple of its size where nothing is mapped, and no table stands,
    /// either.
    pub fn map_block(
        &self,
        address: UserAddr,
        block: SharedBlock,
        prot: Prot,
        kind: Kind,
    ) -> Result<(), MapError> {
        if block.order() != BLOCK_ORDER || !address.as_u64().is_multiple_of(level_size(1)) {
            return Err(MapError::BadAddress);
        }
        // To its end: on x86_64 the last page below the user half's end is never mapped.
        UserRange::new(address, level_size(1)).ok_or(MapError::BadAddress)?;
        let (table, slot) = self.find_or_make_at(address, 1)?;
        make_block_executable(block.phys(), prot);
        let entry = Entry::leaf(block.phys(), 1, Attributes::user(prot)).with_kind(kind);
        self.deposit(new_table()?);
        if !slot.fill(entry) {
            self.withdraw();
            return Err(MapError::Occupied);
        }
        block.into_phys();
        Counts::one(kind).add_to(table);
        Ok(())
    }

    /// The entry at level 1 for a user address, if that owned a block a moment ago, and its table.
    fn find_block(&self, address: UserAddr) -> Option<(PhysAddr, Slot)> {
        if !address.is_user() {
            return None;
        }
        let mut table = self.root;
        for level in (2..=ROOT_LEVEL).rev() {
            let entry = Slot::of(table, index(address.as_u64(), level)).load();
            if !entry.is_present() {
                return None;
            }
            table = entry.address();
        }
        let slot = Slot::of(table, index(address.as_u64(), 1));
        slot.load().is_block().then_some((table, slot))
    }

    /// What is mapped at `address` where there is no leaf table.
    #[cold]
    pub(super) fn lookup_in_block(&self, address: UserAddr) -> Option<Mapped> {
        let (_, slot) = self.find_block(address)?;
        let guard = self.lock.lock();
        let entry = slot.load();
        if !entry.is_block() {
            drop(guard);
            return self.lookup(address);
        }
        let page = entry.part(1, index(address.as_u64(), 0));
        // SAFETY: the entry holds a reference and cannot let go of it while the lock is held.
        let frame = unsafe { SharedFrame::borrowed(page.address()) };
        Some(Mapped { frame, prot: entry.prot(), dirty: entry.is_dirty() })
    }

    /// Keeps a table for the split of a block.
    fn deposit(&self, table: KernelFrame) {
        let _guard = self.lock.lock();
        link(&self.deposits, table.into_phys());
    }

    /// Frees the table of a block that is no more.
    fn withdraw(&self) {
        let table = {
            let _guard = self.lock.lock();
            unlink(&self.deposits)
        };
        // SAFETY: the table was deposited by `deposit` alone and is in no list any more.
        drop(table.map(|table| unsafe { KernelFrame::from_phys(table) }));
    }
}

impl Edit<'_> {
    /// Makes pages of the block at `address`, with what it allows. False if there was none.
    #[cold]
    pub(super) fn split(&mut self, address: UserAddr) -> bool {
        let Some((middle, slot)) = self.table.find_block(address) else { return false };
        let _guard = self.table.lock.lock();
        let old = slot.load();
        if !old.is_block() {
            // Somebody was faster: there are pages.
            return true;
        }
        let table = unlink(&self.table.deposits).expect("a block has deposited its table");
        Counts::begin(table, 0);
        for index in 0..ENTRIES {
            Slot::of(table, index).store(old.part(1, index));
        }
        // The block's own reference is one of the pages' now.
        references::add_to_block(old.address(), ENTRIES as u32 - 1);
        Counts::sum(ENTRIES as u32, old.tally() * ENTRIES as u64).add_to(table);
        Counts::one(old.kind()).take_from(middle);
        // No CPU may see both sizes at once: AArch64 demands it (D8.16.1), and some x86_64 CPUs end in a machine check
        // (Intel, "Machine Check Error on Page Size Change"). Faults meanwhile see that the place is in use.
        slot.store(old.with_user_prot(Prot::NONE));
        self.note(address.page_down());
        self.flush();
        slot.store(Entry::table(table, Owner::User));
        self.table.own_table_locked(table);
        true
    }

    /// [`Edit::copy_on_write`] where there is no leaf table: of a block that is shared, single pages are copied.
    #[cold]
    pub(super) fn copy_on_write_in_block(
        &mut self,
        address: UserAddr,
        prot: Prot,
        account: Account,
    ) -> Result<CopyOnWrite, OutOfMemory> {
        let Some((table, slot)) = self.table.find_block(address) else { return Ok(CopyOnWrite::Absent) };
        let guard = self.table.lock.lock();
        let old = slot.load();
        if old.is_block() && references::are_only_with_loans(old.address(), 1) {
            let new = old.with_user_prot(prot).with_kind(Kind::Anonymous);
            make_block_executable(old.address(), prot);
            slot.store(new);
            Counts::one(Kind::Anonymous).add_to(table);
            Counts::one(old.kind()).take_from(table);
            if old.needs_flush(new) {
                self.note(address.page_down());
            }
            return Ok(CopyOnWrite::Done);
        }
        drop(guard);
        self.split(address);
        self.copy_on_write(address, prot, account)
    }

    /// Changes the rights of a block.
    #[cold]
    pub(super) fn protect_block(&mut self, block: Block, prot: Prot, writes: Writes) {
        let guard = self.table.lock.lock();
        let entry = block.slot().load();
        if !entry.is_block() {
            drop(guard);
            return self.protect(block.pages, prot, writes);
        }
        let alone = || references::are_only_with_loans(entry.address(), 1);
        let may_write = !prot.is_writable() || writes == Writes::Shared || alone();
        let new = entry.with_user_prot(if may_write { prot } else { prot.write_protected() });
        if new != entry {
            make_block_executable(entry.address(), prot);
            block.slot().store(new);
            if entry.needs_flush(new) {
                self.note(block.pages.start());
            }
        }
    }

    /// Makes a block that programs execute invisible to all CPUs, and still visibly in use to faults.
    #[cold]
    pub(super) fn hide_executable_block(&mut self, block: Block) {
        let guard = self.table.lock.lock();
        let entry = block.slot().load();
        if !entry.is_block() {
            drop(guard);
            return self.hide_executable(block.pages);
        }
        if entry.is_present() && entry.prot().is_executable() {
            block.slot().store(entry.with_user_prot(Prot::NONE));
            self.note(block.pages.start());
        }
    }

    /// Unmaps a block; how many pages that are counted it had.
    #[cold]
    pub(super) fn unmap_block(&mut self, block: Block) -> u32 {
        if self.frames.is_full() {
            self.flush();
        }
        let guard = self.table.lock.lock();
        let entry = block.slot().load();
        if !entry.is_block() {
            drop(guard);
            return self.clear(block.pages);
        }
        block.slot().store(Entry::EMPTY);
        self.note(block.pages.start());
        let taken = Counts::one(entry.kind());
        taken.take_from(block.table);
        drop(guard);
        // SAFETY: the entry held this reference and is empty now.
        self.keep(unsafe { SharedBlock::from_phys(entry.address()) }.into_frame());
        self.table.withdraw();
        (taken.pages() * ENTRIES as u64) as u32
    }

    /// Copies the mapping of a block into `child`, where nothing is mapped.
    #[cold]
    pub(super) fn fork_block(
        &mut self,
        child: &PageTable,
        block: Block,
        writes: Writes,
        account: Account,
    ) -> Result<(), OutOfMemory> {
        let address = block.pages.start();
        let (child_table, child_slot) = child.find_or_make_at(address, 1).map_err(|_| OutOfMemory)?;
        child.deposit(new_table().map_err(|_| OutOfMemory)?);
        let guard = self.table.lock.lock();
        let mut entry = block.slot().load();
        if !entry.is_block() || references::is_lent(entry.address()) || !child_slot.load().is_empty() {
            // What is lent is copied, page by page.
            drop(guard);
            child.withdraw();
            self.split(address);
            return self.fork_range(child, block.pages, writes, account);
        }
        if writes == Writes::CopyOnWrite && entry.prot().is_writable() {
            entry = entry.without_write();
            block.slot().store(entry);
            self.note(address);
        }
        references::add_to_block(entry.address(), 1);
        child_slot.store(entry);
        Counts::one(entry.kind()).add_to(child_table);
        Ok(())
    }
}
