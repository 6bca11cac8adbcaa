//! Where path walk starts: root, working directory and umask.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

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
    /// How many threads have it as their own.
    holders: AtomicUsize,
}

/// A thread's own context, counted among its holders; whoever else looks at it is not.
pub struct OwnContext(Arc<FsContext>);

impl OwnContext {
    /// One more thread has it.
    pub fn new(context: Arc<FsContext>) -> OwnContext {
        context.holders.fetch_add(1, Ordering::Relaxed);
        OwnContext(context)
    }

    /// The context.
    #[inline]
    pub fn get(&self) -> &Arc<FsContext> {
        &self.0
    }
}

impl Drop for OwnContext {
    fn drop(&mut self) {
        self.0.holders.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FsContext {
    /// A context with `root` as both root and working directory, and the umask that the kernel starts with.
    pub fn at(root: Location) -> Arc<FsContext> {
        const FIRST_UMASK: u32 = 0o022;
        let places = Places { working_directory: root.clone(), root };
        FsContext::of(places, FIRST_UMASK)
    }

    fn of(places: Places, umask: u32) -> Arc<FsContext> {
        let (places, umask, holders) = (SpinLock::new(places), AtomicU32::new(umask), AtomicUsize::new(0));
        Arc::new(FsContext { places, umask, holders })
    }

    /// How many threads have it as their own.
    pub fn holders(&self) -> usize {
        self.holders.load(Ordering::Relaxed)
    }

    /// A copy that changes independently: `fork` and `unshare(CLONE_FS)`.
    pub fn duplicate(&self) -> Arc<FsContext> {
        let places = self.places.lock().clone();
        FsContext::of(places, self.umask())
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

    /// Where the root or the working directory is the old root, it becomes the new one: pivot_root(2).
    pub fn change_root(&self, old: &Location, new: &Location) {
        let mut places = self.places.lock();
        let Places { root, working_directory } = &mut *places;
        let mut before = [None, None];
        for (place, before) in [root, working_directory].into_iter().zip(&mut before) {
            if place.same_as(old) {
                *before = Some(core::mem::replace(place, new.clone()));
            }
        }
        drop(places);
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
