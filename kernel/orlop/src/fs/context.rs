//! Where path walk starts: root, working directory and umask.

use alloc::sync::Arc;

/// Root directory, working directory and umask; shared by `clone(CLONE_FS)`.
#[derive(Default)]
pub struct FsContext {}

impl FsContext {
    /// The context of the first process: the root of the root file system is both root and working directory.
    pub fn initial() -> Arc<FsContext> {
        Arc::new(FsContext {})
    }

    /// A copy that changes independently: `fork` and `unshare(CLONE_FS)`.
    pub fn duplicate(&self) -> Arc<FsContext> {
        Arc::new(FsContext {})
    }
}
