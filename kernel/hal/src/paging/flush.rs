//! Frames that were unmapped and must not be freed before every CPU has forgotten them.
use super::PageTable;

/// Collects what left a page table. Dropped, it flushes the translations first and frees the frames after.
pub struct FlushBatch<'a> {
    table: &'a PageTable,
}

impl<'a> FlushBatch<'a> {
    /// An empty batch for changes to `table`.
    pub fn new(table: &'a PageTable) -> Self {
        Self { table }
    }

    /// Flushes and frees now; the batch can be used again.
    pub fn flush(&mut self) {
        let _ = self.table;
        todo!()
    }
}
