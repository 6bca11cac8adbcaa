//! The mount table, and places in the tree of mounts.
//!
//! A [`Location`] is a dentry together with the mount through which it was reached: the only thing that path walk, working
//! directories and open files hold on to. Lock order: the table's lock, then the lock of one mount's place; both are leaves
//! towards everything else.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use hal::sync::SpinLock;

use super::dentry::Dentry;
use super::filesystem::FileSystem;

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
}

/// A file system, attached to the tree.
pub struct Mount {
    /// What `/proc/PID/mountinfo` numbers it.
    pub id: u32,
    /// The part of the file system that shows.
    pub root: Arc<Dentry>,
    /// The file system.
    pub filesystem: Arc<FileSystem>,
    /// What was mounted, as given to mount(2).
    pub source: Arc<[u8]>,
    /// The `MS_*` flags that hold for this mount.
    flags: AtomicU64,
    /// Where it is attached; `None` for the root and for what was never attached.
    place: SpinLock<Option<Location>>,
}

/// All attached mounts, the root first, later ones over earlier ones.
static TABLE: SpinLock<Vec<Arc<Mount>>> = SpinLock::new(Vec::new());

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl Mount {
    /// A mount that is not attached yet.
    pub fn new(filesystem: Arc<FileSystem>, root: Arc<Dentry>, source: Arc<[u8]>, flags: u64) -> Arc<Mount> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        filesystem.add_mount();
        Arc::new(Mount {
            id,
            root,
            filesystem,
            source,
            flags: AtomicU64::new(flags),
            place: SpinLock::new(None),
        })
    }

    /// The `MS_*` flags.
    pub fn flags(&self) -> u64 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Replaces the flags: `mount -o remount`.
    pub fn set_flags(&self, flags: u64) {
        self.flags.store(flags, Ordering::Relaxed);
    }

    /// Where it is attached.
    pub fn place(&self) -> Option<Location> {
        self.place.lock().clone()
    }

    /// Its root, as a place.
    pub fn root_location(self: &Arc<Self>) -> Location {
        Location { mount: self.clone(), dentry: self.root.clone() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.filesystem.remove_mount();
    }
}

/// Attaches the very first mount.
pub fn attach_root(mount: Arc<Mount>) {
    TABLE.lock().push(mount);
}

/// The root of everything.
pub fn root() -> Option<Location> {
    TABLE.lock().first().map(Mount::root_location)
}

/// Attaches a mount at a directory. ENOMEM when the table cannot grow.
pub fn attach(mount: Arc<Mount>, place: Location) -> Result<(), Errno> {
    let mut table = TABLE.lock();
    table.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    place.dentry.add_mount();
    *mount.place.lock() = Some(place);
    table.push(mount);
    Ok(())
}

/// Whether [`detach`] minds that a mount is in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    /// EBUSY.
    Refuse,
    /// Out of the tree now, gone when the last user lets go: `MNT_DETACH`.
    DetachAnyway,
}

/// Detaches a mount, of which the caller holds one reference. EINVAL for the root and for what is not attached.
pub fn detach(mount: &Arc<Mount>, in_use: InUse) -> Result<(), Errno> {
    /// The table's own reference and the caller's; mounts below, open files and directories hold more.
    const UNUSED: usize = 2;
    let mut table = TABLE.lock();
    let index = table.iter().position(|each| Arc::ptr_eq(each, mount)).ok_or(Errno::EINVAL)?;
    if index == 0 {
        return Err(Errno::EINVAL);
    }
    if in_use == InUse::Refuse && Arc::strong_count(mount) > UNUSED {
        return Err(Errno::EBUSY);
    }
    let removed = table.remove(index);
    let place = removed.place.lock().take();
    drop(table);
    if let Some(place) = place {
        place.dentry.remove_mount();
    }
    Ok(())
}

/// Moves a mount to another directory: `MS_MOVE`.
pub fn move_to(mount: &Arc<Mount>, place: Location) -> Result<(), Errno> {
    let mut old = mount.place.lock();
    if old.is_none() {
        return Err(Errno::EINVAL);
    }
    place.dentry.add_mount();
    let before = old.replace(place);
    drop(old);
    if let Some(before) = before {
        before.dentry.remove_mount();
    }
    Ok(())
}

/// What is mounted on a place, the latest if several are.
pub fn mounted_on(place: &Location) -> Option<Arc<Mount>> {
    let table = TABLE.lock();
    let covers = |mount: &&Arc<Mount>| mount.place.lock().as_ref().is_some_and(|at| at.same_as(place));
    table.iter().rev().find(covers).cloned()
}

/// Goes down through whatever is mounted on a place.
pub fn descend(mut place: Location) -> Location {
    while place.dentry.is_mount_point() {
        match mounted_on(&place) {
            Some(mount) => place = mount.root_location(),
            None => break,
        }
    }
    place
}

/// A copy of the table, for listing.
pub fn all() -> Vec<Arc<Mount>> {
    TABLE.lock().clone()
}
