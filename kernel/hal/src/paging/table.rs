// LEAD IS WRITING THIS FILE (frame/, heap, paging/, task/, user_copy, random, sync/per_cpu users) IN BRANCH lead SINCE 14:08: do not write it; finish arch/x86_64 (boot, console, power, entry to start) first, then `git checkout` these files, rebase.
//! The user half of one address space.
use super::FlushBatch;
use super::Prot;
use crate::frame::{OutOfMemory, SharedFrame};
use alloc::sync::Arc;
use libkernel::addr::{UserAddr, UserRange};

/// Page tables of one address space. Dropping it frees the tables and their frame references; no CPU may run on
/// it then, which the tasks' and CPUs' own references to it ensure.
pub struct PageTable {}

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

/// Whose writes a mapping takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writes {
    /// Shared: everybody sees them. Write permission is granted as asked.
    Shared,
    /// Private: write permission is granted only where no one else holds the frame; else the next write faults.
    CopyOnWrite,
}

#[allow(unused_variables)]
impl PageTable {
    /// An empty address space.
    pub fn new() -> Result<Arc<Self>, OutOfMemory> {
        todo!()
    }

    /// Maps `frame` where nothing is mapped.
    pub fn map(&self, address: UserAddr, frame: SharedFrame, prot: Prot) -> Result<(), MapError> {
        todo!()
    }

    /// What is mapped at `address`, with a reference to its frame.
    pub fn lookup(&self, address: UserAddr) -> Option<Mapped> {
        todo!()
    }

    /// Maps `frame` in place of whatever is there (copy-on-write). The old frame goes to the batch.
    pub fn replace(
        &self,
        address: UserAddr,
        frame: SharedFrame,
        prot: Prot,
        batch: &mut FlushBatch<'_>,
    ) -> Result<(), MapError> {
        todo!()
    }

    /// Gives the page at `address` the rights `prot`, if it still maps `frame` — and, for
    /// [`Writes::CopyOnWrite`], if nobody but the mapping and the caller's `frame` holds it. Adding rights needs no
    /// flush. False if not done.
    pub fn upgrade(&self, address: UserAddr, frame: &SharedFrame, prot: Prot, writes: Writes) -> bool {
        todo!()
    }

    /// Changes the rights of all mapped pages in `range`.
    pub fn protect(&self, range: UserRange, prot: Prot, writes: Writes, batch: &mut FlushBatch<'_>) {
        todo!()
    }

    /// Unmaps all pages in `range`.
    pub fn unmap(&self, range: UserRange, batch: &mut FlushBatch<'_>) {
        todo!()
    }

    /// Moves the mapped pages of `from` to the free range of the same length at `to` (`mremap`).
    pub fn move_range(&self, from: UserRange, to: UserAddr, batch: &mut FlushBatch<'_>) -> Result<(), MapError> {
        todo!()
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
        todo!()
    }

    /// Pages mapped now.
    pub fn resident_pages(&self) -> usize {
        todo!()
    }
}
