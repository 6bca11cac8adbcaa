//! Namespaces of mounts: which mounts there are for a process, in which order they are listed, and how many there may
//! be.
//!
//! There is one that programs are in, made at boot, and one for each tree that only a descriptor keeps (open_tree(2)).
//! Who changes a namespace has the turn; who lists one looks at it under its lock.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use abi::Errno;
use hal::sync::{Once, SpinRwLock};

use super::Mount;
use crate::generated::content::Changes;

/// `mount-max`: how many mounts there may be in a namespace.
pub static MOUNT_MAX: AtomicU32 = AtomicU32::new(100_000);

/// What Debian's kernel numbers the first one, which has none of the fixed numbers.
const FIRST: u64 = 0xf000_0001;
const NONE: u64 = 0;

/// The mounts that a process sees.
pub struct Namespace {
    /// All of them, as they came.
    mounts: SpinRwLock<BTreeMap<u64, Arc<Mount>>>,
    /// The number of the next one to come.
    next: AtomicU64,
    /// The root of everything here.
    root: Once<Arc<Mount>>,
    /// How many there are, with those that are on their way.
    count: AtomicUsize,
    /// Whether it is but a tree that is attached nowhere, which some descriptor keeps.
    pub(super) is_anonymous: bool,
    /// The inode number of its file: what programs tell namespaces apart by; 0 for none.
    pub number: u64,
    /// Tells of every change of the tree, and of a mount's flags.
    pub changes: Changes,
}

impl Namespace {
    /// The first one, with the very first mount, which is the root of everything there.
    pub fn initial(root: Arc<Mount>) -> Arc<Namespace> {
        let namespace = Namespace::new(FIRST);
        namespace.begin_with(root);
        namespace
    }

    /// For a tree that is attached nowhere.
    pub(super) fn anonymous() -> Arc<Namespace> {
        Namespace::new(NONE)
    }

    fn new(number: u64) -> Arc<Namespace> {
        Arc::new(Namespace {
            mounts: SpinRwLock::new(BTreeMap::new()),
            next: AtomicU64::new(0),
            root: Once::new(),
            count: AtomicUsize::new(0),
            is_anonymous: number == NONE,
            number,
            changes: Changes::new(),
        })
    }

    /// Enters its root, or what has none above it.
    pub(super) fn begin_with(self: &Arc<Self>, mount: Arc<Mount>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let _ = self.root.set(mount.clone());
        self.enter(&mount);
    }

    /// Its root.
    pub fn root(&self) -> Option<&Arc<Mount>> {
        self.root.get()
    }

    /// Whether a mount is one of its.
    pub fn has(&self, mount: &Mount) -> bool {
        mount.listed.lock().as_ref().is_some_and(|(namespace, _)| core::ptr::eq(&raw const **namespace, self))
    }

    /// Keeps room for mounts to come; ENOSPC beyond [`MOUNT_MAX`]. For who has the turn.
    pub(super) fn reserve(&self, mounts: usize) -> Result<(), Errno> {
        let bound = MOUNT_MAX.load(Ordering::Relaxed) as usize;
        let free = bound.saturating_sub(self.count.load(Ordering::Relaxed));
        if mounts > free {
            return Err(Errno::ENOSPC);
        }
        self.count.fetch_add(mounts, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back what was kept for mounts that do not come.
    pub(super) fn release(&self, mounts: usize) {
        self.count.fetch_sub(mounts, Ordering::Relaxed);
    }

    /// Lists a mount, for which room was kept.
    pub(super) fn enter(self: &Arc<Self>, mount: &Arc<Mount>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        *mount.listed.lock() = Some((self.clone(), number));
        self.mounts.write().insert(number, mount.clone());
    }

    /// All mounts from a number of the list's order on. The lock is let go between one and the next, so that a long
    /// list holds nobody up.
    pub fn from(&self, first: u64) -> impl Iterator<Item = (u64, Arc<Mount>)> {
        let mut next = first;
        core::iter::from_fn(move || {
            let mounts = self.mounts.read();
            let (number, mount) =
                mounts.range(next..).next().map(|(number, mount)| (*number, mount.clone()))?;
            next = number + 1;
            Some((number, mount))
        })
    }
}

/// Takes a mount off the list that it is on, if it is on one.
pub(super) fn strike(mount: &Mount) {
    let listed = mount.listed.lock().take();
    let Some((namespace, number)) = listed else { return };
    let mount = namespace.mounts.write().remove(&number);
    namespace.release(1);
    namespace.changes.announce();
    drop(mount);
}
