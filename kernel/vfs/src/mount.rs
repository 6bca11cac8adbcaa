//! Mounts, and places in the trees that they make.
//!
//! A [`Location`] is a dentry together with the mount through which it was reached: the only thing that path walk,
//! working directories and open files hold on to. What lies on a place is in one table for all ([`table`]); a
//! [`Namespace`] says which mounts a process sees and how many there may be; peers, masters and slaves ([`peers`]) say
//! who gets what is mounted elsewhere. Whoever changes any of this has the [`Turn`], a lock that sleeps, so that only
//! the table, which every walk asks, is under a lock that spins. Lock order: the turn, a namespace's list, the table's
//! lock, the lock of one mount's place; then, each by itself, a mount's other locks and those of peer groups, which are
//! leaves towards everything else.

mod attach;
mod change;
mod detach;
mod detached;
mod namespace;
mod numbers;
mod passing;
mod peers;
mod receivers;
mod root;
mod table;
mod tree;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Errno;
use abi::fs::MS_RDONLY;
use hal::sync::SpinLock;

use super::dentry::Dentry;
use super::filesystem::FileSystem;
use super::writers::Writers;

pub use attach::Depth;
pub use change::Turn;
pub use detach::InUse;
pub use detached::{AttributeChange, DetachedTree};
pub use namespace::{MOUNT_MAX, Namespace};
pub use peers::{PeerGroup, Propagation, PropagationKind};
pub use table::{descend, mounted_on};

/// A dentry, and the mount through which it was reached.
#[derive(Clone)]
pub struct Location {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The name within the mount's file system.
    pub dentry: Arc<Dentry>,
}

impl Location {
    /// Whether both are the same place.
    pub fn same_as(&self, other: &Location) -> bool {
        Arc::ptr_eq(&self.dentry, &other.dentry) && Arc::ptr_eq(&self.mount, &other.mount)
    }

    /// Whether it is the root of its mount.
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.dentry, &self.mount.root)
    }

    /// Whether it is at or below another place.
    pub fn is_below(&self, top: &Location) -> bool {
        let mut place = self.clone();
        while !Arc::ptr_eq(&place.mount, &top.mount) {
            match place.mount.place() {
                Some(outside) => place = outside,
                None => return false,
            }
        }
        top.dentry.is_ancestor_of(&place.dentry)
    }
}

/// A file system, attached to the tree.
pub struct Mount {
    /// What programs know it by; another mount's afterwards.
    pub id: u32,
    /// The part of the file system that shows.
    pub root: Arc<Dentry>,
    /// The file system.
    pub filesystem: Arc<FileSystem>,
    /// What was mounted, as given to mount(2).
    pub source: Arc<[u8]>,
    /// The `MS_*` flags that hold for this mount.
    flags: AtomicU64,
    /// Who writes through it.
    pub(crate) writers: Writers,
    /// What no other mount was ever numbered by.
    serial: u64,
    /// Where it is attached; `None` for a root and for what is attached nowhere.
    place: SpinLock<Option<Location>>,
    /// The namespace in whose list it is, and its place in the list's order.
    listed: SpinLock<Option<(Arc<Namespace>, u64)>>,
    /// From whom it gets what is mounted elsewhere, and who gets what is mounted here; changed by who has the turn.
    propagation: SpinLock<Propagation>,
    /// Whether nobody has come here since it was found unused: `MNT_EXPIRE`.
    is_stale: AtomicBool,
    /// What the one who unmounts a tree has found out about it ([`detach`]).
    mark: AtomicU64,
}

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

impl Mount {
    /// A mount that is not attached yet.
    pub fn new(filesystem: Arc<FileSystem>, root: Arc<Dentry>, source: Arc<[u8]>, flags: u64) -> Arc<Mount> {
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        filesystem.add_mount();
        let writers = Writers::new();
        if flags & MS_RDONLY != 0 {
            // Nobody writes yet.
            let _ = writers.forbid();
        }
        Arc::new(Mount {
            id: numbers::take(),
            root,
            filesystem,
            source,
            flags: AtomicU64::new(flags),
            writers,
            serial,
            place: SpinLock::new(None),
            listed: SpinLock::new(None),
            propagation: SpinLock::new(Propagation::Private),
            is_stale: AtomicBool::new(false),
            mark: AtomicU64::new(0),
        })
    }

    /// The `MS_*` flags that hold here: the mount's own and those of its file system.
    #[inline]
    pub fn flags(&self) -> u64 {
        self.own_flags() | self.filesystem.flags()
    }

    /// The mount's own flags.
    #[inline]
    pub fn own_flags(&self) -> u64 {
        self.flags.load(Ordering::Relaxed)
    }

    fn announce_change(&self) {
        if let Some(namespace) = self.namespace() {
            namespace.changes.announce();
        }
    }

    /// Replaces the mount's own flags: `mount -o remount`. EBUSY if it would become read-only with files open for
    /// writing.
    pub fn set_flags(&self, flags: u64) -> Result<(), Errno> {
        if flags & MS_RDONLY != 0 {
            self.writers.forbid()?;
        } else {
            self.writers.allow();
        }
        self.flags.store(flags, Ordering::Relaxed);
        self.announce_change();
        Ok(())
    }

    /// Where it is attached.
    pub fn place(&self) -> Option<Location> {
        self.place.lock().clone()
    }

    /// The namespace that it belongs to; `None` for what was never attached, or is no more.
    pub fn namespace(&self) -> Option<Arc<Namespace>> {
        self.listed.lock().as_ref().map(|(namespace, _)| namespace.clone())
    }

    /// A mount, not yet attached and with no peers, that shows the part of the file system below `root`.
    fn view(&self, root: Arc<Dentry>) -> Arc<Mount> {
        Mount::new(self.filesystem.clone(), root, self.source.clone(), self.own_flags())
    }

    /// Somebody comes here.
    #[inline]
    pub(crate) fn note_visit(&self) {
        if self.is_stale.load(Ordering::Relaxed) {
            self.is_stale.store(false, Ordering::Relaxed);
        }
    }

    /// Its root, as a place.
    pub fn root_location(self: &Arc<Self>) -> Location {
        Location { mount: self.clone(), dentry: self.root.clone() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        numbers::give_back(self.id);
        self.filesystem.remove_mount();
    }
}
