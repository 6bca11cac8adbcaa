//! Frames that were unmapped and must not be freed before every CPU has forgotten them.
use super::PageTable;
use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::frame::SharedFrame;
use crate::sync::preempt;
use arrayvec::ArrayVec;
use core::sync::atomic::{Ordering, fence};
use libkernel::addr::{PAGE_SIZE, UserAddr};

/// Frames that a batch holds before it must flush.
const CAPACITY: usize = 64;
/// Above so many pages, forgetting everything is cheaper than page by page.
const SINGLE_PAGES_MAX: u64 = 32;

/// Collects what left a page table. Dropped, it flushes the translations first and frees the frames after.
pub struct FlushBatch<'a> {
    table: &'a PageTable,
    frames: ArrayVec<SharedFrame, CAPACITY>,
    /// First and last page whose translation may be stale.
    stale: Option<(UserAddr, UserAddr)>,
}

impl<'a> FlushBatch<'a> {
    /// An empty batch for changes to `table`.
    pub fn new(table: &'a PageTable) -> Self {
        Self { table, frames: ArrayVec::new_const(), stale: None }
    }

    /// Notes that `page` lost its translation or rights of it.
    #[inline]
    pub(super) fn note(&mut self, page: UserAddr) {
        self.stale = Some(match self.stale {
            None => (page, page),
            Some((first, last)) => (first.min(page), last.max(page)),
        });
    }

    /// Keeps a frame until the flush. There must be room: see [`Self::is_full`].
    #[inline]
    pub(super) fn keep(&mut self, frame: SharedFrame) {
        self.frames.push(frame);
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.frames.is_full()
    }

    /// Flushes and frees now; the batch can be used again.
    pub fn flush(&mut self) {
        if let Some((first, last)) = self.stale.take() {
            self.table.forget(first, last);
        }
        self.frames.clear();
    }
}

impl Drop for FlushBatch<'_> {
    #[inline]
    fn drop(&mut self) {
        self.flush();
    }
}

impl PageTable {
    /// Makes every CPU that runs on this table forget the pages from `first` to `last`.
    pub(super) fn forget(&self, first: UserAddr, last: UserAddr) {
        let _guard = preempt::disable();
        // The entries were changed before; a CPU that is not in the mask yet will walk the changed ones.
        fence(Ordering::SeqCst);
        let cpus = self.cpus.load(Ordering::Relaxed);
        let own = 1 << crate::cpu::id();
        if cpus & own != 0 {
            forget_here(first, last);
        }
        if cpus & !own != 0 {
            Arch::flush_remote(cpus & !own, first, last);
        }
    }
}

/// Makes this CPU forget the pages from `first` to `last` of the active address space.
fn forget_here(first: UserAddr, last: UserAddr) {
    let pages = (last.as_u64() - first.as_u64()) / PAGE_SIZE + 1;
    if pages > SINGLE_PAGES_MAX {
        return Arch::flush_all();
    }
    for page in 0..pages {
        Arch::flush_page(first.wrapping_add(page * PAGE_SIZE));
    }
}
