//! Where path walk starts: root, working directory and umask.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::Errno;
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
    /// How many threads have it as their own; above [`EXECUTION`] how many of these are in an `execve` that has settled
    /// that no other process has it.
    holders: AtomicU64,
}

/// One execution in [`FsContext::holders`].
const EXECUTION: u64 = 1 << 32;

/// A thread's own context, counted among its holders; whoever else looks at it is not.
pub struct OwnContext(Arc<FsContext>);

impl OwnContext {
    /// A context that no other thread has.
    pub fn new(context: Arc<FsContext>) -> OwnContext {
        context.holders.fetch_add(1, Ordering::Relaxed);
        OwnContext(context)
    }

    /// The same for one more thread: `CLONE_FS`. EAGAIN while it must stay with those who have it.
    pub fn share(context: Arc<FsContext>) -> Result<OwnContext, Errno> {
        let one_more = |holders: u64| (holders < EXECUTION).then_some(holders + 1);
        context
            .holders
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .map_err(|_| Errno::EAGAIN)?;
        Ok(OwnContext(context))
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

/// An `execve` during which no other thread gets the context: what it has found out of who has it stays true.
pub struct Execution(Arc<FsContext>);

impl Execution {
    /// Begins one. Count the holders after this.
    pub fn begin(context: Arc<FsContext>) -> Execution {
        context.holders.fetch_add(EXECUTION, Ordering::AcqRel);
        Execution(context)
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.0.holders.fetch_sub(EXECUTION, Ordering::AcqRel);
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
        let (places, umask, holders) = (SpinLock::new(places), AtomicU32::new(umask), AtomicU64::new(0));
        Arc::new(FsContext { places, umask, holders })
    }

    /// How many threads have it as their own.
    pub fn holders(&self) -> usize {
        (self.holders.load(Ordering::Acquire) % EXECUTION) as usize
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anonymous;
    use crate::filesystem::FileSystemType;

    struct Named;

    impl FileSystemType for Named {
        fn name(&self) -> &'static str {
            "named"
        }

        fn magic(&self) -> i64 {
            0
        }
    }

    #[test]
    fn who_executes_shares_with_nobody_new() {
        hal::cpu::id();
        let context = FsContext::at(anonymous::new_mount(&Named).expect("a device").root_location());
        let own = OwnContext::new(context.clone());
        let thread = OwnContext::share(context.clone());
        assert_eq!((thread.is_ok(), context.holders()), (true, 2));
        let executions = [Execution::begin(context.clone()), Execution::begin(context.clone())];
        assert_eq!(OwnContext::share(context.clone()).err(), Some(Errno::EAGAIN));
        drop(thread);
        assert_eq!(context.holders(), 1);
        let [first, second] = executions;
        drop(first);
        assert!(OwnContext::share(context.clone()).is_err());
        drop(second);
        assert!(OwnContext::share(context.clone()).is_ok());
        drop(own);
        assert_eq!(context.holders(), 0);
    }
}
