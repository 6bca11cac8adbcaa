//! Descriptor tables: small integers to open files.

use alloc::sync::Arc;

/// The descriptors of one process; shared by `clone(CLONE_FILES)`.
#[derive(Default)]
pub struct FdTable {}

impl FdTable {
    /// A table without descriptors.
    pub fn empty() -> Arc<FdTable> {
        Arc::new(FdTable {})
    }

    /// A table that refers to the same open files: `fork` and `unshare(CLONE_FILES)`.
    pub fn duplicate(&self) -> Arc<FdTable> {
        Arc::new(FdTable {})
    }

    /// Closes every descriptor marked close-on-exec: `execve`.
    pub fn close_on_exec(&self) {}

    /// Closes every descriptor: the end of a process.
    pub fn close_all(&self) {}
}
