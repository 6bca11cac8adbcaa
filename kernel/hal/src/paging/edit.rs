//! Frames that were unmapped and must not be freed before every CPU has forgotten them.
use super::PageTable;
use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::frame::SharedFrame;
use crate::sync::preempt;
use arrayvec::ArrayVec;
use libkernel::addr::UserAddr;

/// Frames that a batch holds before it must flush.
const CAPACITY: usize = 64;

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
    /// Makes every CPU forget what it keeps of the pages from `first` to `last`.
    #[inline]
    pub(super) fn forget(&self, first: UserAddr, last: UserAddr) {
        let _guard = preempt::disable();
        Arch::flush(self, first, last);
    }
}
