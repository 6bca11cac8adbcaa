//! Where path walk starts: root, working directory and umask.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use hal::sync::SpinLock;

use super::mount::Location;

#[derive(Clone)]
struct Places {
    root: Location,
    working_directory: Location,
}

/// Root directory, working directory and umask; shared by `clone(CLONE_FS)`.
pub struct FsContext {
    places: SpinLock<Places>,
    umask: AtomicU32,
}

impl FsContext {
    /// A context with `root` as both root and working directory, and the umask that the kernel starts with.
    pub fn at(root: Location) -> Arc<FsContext> {
        const FIRST_UMASK: u32 = 0o022;
        let places = Places { working_directory: root.clone(), root };
        Arc::new(FsContext { places: SpinLock::new(places), umask: AtomicU32::new(FIRST_UMASK) })
    }

    /// A copy that changes independently: `fork` and `unshare(CLONE_FS)`.
    pub fn duplicate(&self) -> Arc<FsContext> {
        let places = self.places.lock().clone();
        Arc::new(FsContext { places: SpinLock::new(places), umask: AtomicU32::new(self.umask()) })
    }

    /// The root directory.
    pub fn root(&self) -> Location {
        self.places.lock().root.clone()
    }

    /// The working directory.
    pub fn working_directory(&self) -> Location {
        self.places.lock().working_directory.clone()
    }

    /// chroot(2).
    pub fn set_root(&self, root: Location) {
        let before = core::mem::replace(&mut self.places.lock().root, root);
        drop(before);
    }

    /// chdir(2).
    pub fn set_working_directory(&self, directory: Location) {
        let before = core::mem::replace(&mut self.places.lock().working_directory, directory);
        drop(before);
    }

    /// The permission bits that new files do not get.
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// umask(2): sets the nine bits and returns the ones before.
    pub fn set_umask(&self, umask: u32) -> u32 {
        self.umask.swap(umask & 0o777, Ordering::Relaxed)
    }
}
