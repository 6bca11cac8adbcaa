//! The mount table, and places in the tree of mounts.
//!
//! A [`Location`] is a dentry together with the mount through which it was reached: the only thing that path walk, working
//! directories and open files hold on to. What lies on a place is found in an ordered map, under a lock that path walks share; a map
//! has no keys that meet, whatever a program mounts. Lock order: the table's lock, then the lock of one mount's place; both are
//! leaves towards everything else.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use abi::fs::MS_RDONLY;
use hal::sync::{SpinLock, SpinRwLock};
use sched::Mutex;

use super::dentry::Dentry;
use super::filesystem::FileSystem;
use super::generated::content::Changes;
use super::moves::Moving;
use super::writers::Writers;

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
    /// Who writes through it.
    pub(crate) writers: Writers,
    /// Where it is attached; `None` for the root and for what was never attached.
    place: SpinLock<Option<Location>>,
    /// Whether nobody has come here since it was found unused: `MNT_EXPIRE`.
    is_stale: AtomicBool,
}

/// Which mount and dentry a place is, by address: what lies in one mount stands together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spot(usize, usize);

impl Spot {
    fn of(place: &Location) -> Spot {
        Spot(Arc::as_ptr(&place.mount).addr(), Arc::as_ptr(&place.dentry).addr())
    }
}

struct Table {
    /// All attached mounts by number, the root first.
    mounts: BTreeMap<u32, Arc<Mount>>,
    /// What lies where, all but the root: usually one mount on a spot, and of several the last one shows.
    covers: BTreeMap<Spot, Vec<Arc<Mount>>>,
}

static TABLE: SpinRwLock<Table> = SpinRwLock::new(Table { mounts: BTreeMap::new(), covers: BTreeMap::new() });

/// Tells of every change of the table, and of a mount's flags.
pub static CHANGES: Changes = Changes::new();

impl Table {
    /// Lays a mount on a spot. ENOMEM without room for one more.
    fn cover(&mut self, spot: Spot, mount: &Arc<Mount>) -> Result<(), Errno> {
        let mounts = self.covers.entry(spot).or_default();
        mounts.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        mounts.push(mount.clone());
        Ok(())
    }

    /// The mounts that lie in a mount.
    fn inside(&self, mount: &Arc<Mount>) -> impl Iterator<Item = &Arc<Mount>> {
        let outer = Arc::as_ptr(mount).addr();
        self.covers.range(Spot(outer, 0)..=Spot(outer, usize::MAX)).flat_map(|(_, mounts)| mounts)
    }

    /// Takes a mount out of the tree; returns where it was.
    fn take_out(&mut self, mount: &Arc<Mount>) -> Option<Location> {
        let listed = self.mounts.remove(&mount.id);
        let place = mount.place.lock().take()?;
        self.uncover(Spot::of(&place), mount);
        place.dentry.remove_mount();
        drop(listed);
        Some(place)
    }

    /// Takes a mount off a spot.
    fn uncover(&mut self, spot: Spot, mount: &Arc<Mount>) {
        let Some(mounts) = self.covers.get_mut(&spot) else { return };
        mounts.retain(|each| !Arc::ptr_eq(each, mount));
        if mounts.is_empty() {
            self.covers.remove(&spot);
        }
    }
}

/// Held by whoever changes the tree of mounts, from the look at it to the end of the change; before the table's lock.
pub static TREE: Mutex<()> = Mutex::new(());

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl Mount {
    /// A mount that is not attached yet.
    pub fn new(filesystem: Arc<FileSystem>, root: Arc<Dentry>, source: Arc<[u8]>, flags: u64) -> Arc<Mount> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        filesystem.add_mount();
        let writers = Writers::new();
        if flags & MS_RDONLY != 0 {
            // Nobody writes yet.
            let _ = writers.forbid();
        }
        let flags = AtomicU64::new(flags);
        let (place, is_stale) = (SpinLock::new(None), AtomicBool::new(false));
        Arc::new(Mount { id, root, filesystem, source, flags, writers, place, is_stale })
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

    /// Replaces the mount's own flags: `mount -o remount`. EBUSY if it would become read-only with files open for writing.
    pub fn set_flags(&self, flags: u64) -> Result<(), Errno> {
        if flags & MS_RDONLY != 0 {
            self.writers.forbid()?;
        } else {
            self.writers.allow();
        }
        self.flags.store(flags, Ordering::Relaxed);
        CHANGES.announce();
        Ok(())
    }

    /// Where it is attached.
    pub fn place(&self) -> Option<Location> {
        self.place.lock().clone()
    }

    /// A mount, not yet attached, that shows the part of the file system below `root`: `MS_BIND`.
    pub fn view(&self, root: Arc<Dentry>) -> Arc<Mount> {
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
        self.filesystem.remove_mount();
    }
}

/// Attaches the very first mount.
pub fn attach_root(mount: Arc<Mount>) {
    TABLE.write().mounts.insert(mount.id, mount);
}

/// The root of everything.
pub fn root() -> Option<Location> {
    TABLE.read().mounts.first_key_value().map(|(_, mount)| mount.root_location())
}

/// `mount-max`: how many mounts there may be.
pub static MOUNT_MAX: AtomicU32 = AtomicU32::new(100_000);

/// Attaches a mount at a directory. ENOMEM when the table cannot grow, ENOSPC when there are [`MOUNT_MAX`].
pub fn attach(mount: Arc<Mount>, place: Location) -> Result<(), Errno> {
    let mut table = TABLE.write();
    if table.mounts.len() >= MOUNT_MAX.load(Ordering::Relaxed) as usize {
        return Err(Errno::ENOSPC);
    }
    table.cover(Spot::of(&place), &mount)?;
    place.dentry.add_mount();
    *mount.place.lock() = Some(place);
    table.mounts.insert(mount.id, mount);
    drop(table);
    CHANGES.announce();
    Ok(())
}

/// Attaches at `place` what is seen at `from`, with all that is mounted inside: `MS_BIND | MS_REC`. Nothing is attached on an error.
pub fn attach_copy(from: &Location, place: Location) -> Result<(), Errno> {
    let copy = from.mount.view(from.dentry.clone());
    // What was mounted inside is settled before the copy lies inside itself.
    let mut originals = vec_of((from.mount.clone(), copy.clone()))?;
    let mut done = 0;
    while let Some((original, copied)) = originals.get(done).cloned() {
        done += 1;
        let mut after = None;
        while let Some(inner) = next_inside(&original, after.as_ref()) {
            let is_seen = |at: &Location| done > 1 || from.dentry.is_ancestor_of(&at.dentry);
            if let Some(at) = inner.place().filter(is_seen) {
                let view = inner.view(inner.root.clone());
                let spot = Location { mount: copied.clone(), dentry: at.dentry };
                originals.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                originals.push((inner.clone(), view.clone()));
                *view.place.lock() = Some(spot);
            }
            after = Some(inner);
        }
    }
    attach(copy.clone(), place)?;
    for (_, view) in originals.iter().skip(1) {
        let spot = view.place.lock().take();
        if let Some(spot) = spot
            && let Err(errno) = attach(view.clone(), spot)
        {
            originals.clear();
            // The copy was attached above, and this takes all of it away again.
            let _ = detach(&copy, InUse::DetachAnyway);
            return Err(errno);
        }
    }
    Ok(())
}

fn vec_of<T>(first: T) -> Result<Vec<T>, Errno> {
    let mut all = Vec::new();
    all.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    all.push(first);
    Ok(all)
}

/// The mount inside a mount that follows another in the table's order. The lock is let go in between.
fn next_inside(outer: &Arc<Mount>, after: Option<&Arc<Mount>>) -> Option<Arc<Mount>> {
    let table = TABLE.read();
    let mut inside = table.inside(outer);
    match after {
        None => inside.next().cloned(),
        Some(after) => {
            let spot = Spot::of(&after.place()?);
            let first = Spot(spot.0, spot.1.checked_add(1)?);
            let last = Spot(spot.0, usize::MAX);
            table.covers.range(first..=last).find_map(|(_, mounts)| mounts.last()).cloned()
        }
    }
}

/// Whether [`detach`] minds that a mount is in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    /// EBUSY.
    Refuse,
    /// Out of the tree now, gone when the last user lets go: `MNT_DETACH`.
    DetachAnyway,
}

/// The references to a mount that nobody uses: the table's own two and the caller's; mounts below, open files and directories hold
/// more.
const UNUSED: usize = 3;

/// `MNT_EXPIRE`: EBUSY for a mount in use, of which the caller holds one reference, and EAGAIN when it is found unused for the first time
/// since somebody came there.
pub fn expire(mount: &Arc<Mount>) -> Result<(), Errno> {
    let _table = TABLE.read();
    if Arc::strong_count(mount) > UNUSED {
        return Err(Errno::EBUSY);
    }
    if mount.is_stale.swap(true, Ordering::Relaxed) { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// Whether a mount is in the tree.
pub fn is_attached(mount: &Mount) -> bool {
    TABLE.read().mounts.contains_key(&mount.id)
}

/// Detaches a mount, of which the caller holds one reference; if it is in use, with all that is mounted inside. EINVAL for the root
/// and for what is not attached.
pub fn detach(mount: &Arc<Mount>, in_use: InUse) -> Result<(), Errno> {
    let mut table = TABLE.write();
    let is_root = table.mounts.first_key_value().is_some_and(|(_, root)| Arc::ptr_eq(root, mount));
    if is_root || !table.mounts.contains_key(&mount.id) {
        return Err(Errno::EINVAL);
    }
    if in_use == InUse::Refuse && Arc::strong_count(mount) > UNUSED {
        return Err(Errno::EBUSY);
    }
    let place = table.take_out(mount);
    drop(table);
    drop(place);
    CHANGES.announce();
    // From here on nobody finds it. What lies inside goes from the innermost outwards, without a list.
    let mut current = mount.clone();
    loop {
        match next_inside(&current, None) {
            Some(inner) => current = inner,
            None if Arc::ptr_eq(&current, mount) => return Ok(()),
            None => {
                let place = TABLE.write().take_out(&current);
                CHANGES.announce();
                current = place.map_or_else(|| mount.clone(), |place| place.mount);
            }
        }
    }
}

/// Moves a mount to another directory: `MS_MOVE`.
pub fn move_to(mount: &Arc<Mount>, place: Location) -> Result<(), Errno> {
    let _moving = Moving::start();
    let mut table = TABLE.write();
    let mut at = mount.place.lock();
    let before = at.as_ref().map(Spot::of).ok_or(Errno::EINVAL)?;
    if before == Spot::of(&place) {
        return Ok(());
    }
    table.cover(Spot::of(&place), mount)?;
    table.uncover(before, mount);
    place.dentry.add_mount();
    let before = at.replace(place);
    drop(at);
    drop(table);
    CHANGES.announce();
    if let Some(before) = before {
        before.dentry.remove_mount();
    }
    Ok(())
}

/// Puts a mount in the place of another one, and that on a directory that lies in the first: pivot_root(2).
pub fn exchange(new: &Arc<Mount>, old: &Arc<Mount>, put_old: Location) -> Result<(), Errno> {
    let _moving = Moving::start();
    let mut table = TABLE.write();
    let (mut new_place, mut old_place) = (new.place.lock(), old.place.lock());
    let (Some(above), Some(below)) = (old_place.clone(), new_place.clone()) else {
        return Err(Errno::EINVAL);
    };
    table.cover(Spot::of(&put_old), old)?;
    if let Err(errno) = table.cover(Spot::of(&above), new) {
        table.uncover(Spot::of(&put_old), old);
        return Err(errno);
    }
    table.uncover(Spot::of(&above), old);
    table.uncover(Spot::of(&below), new);
    put_old.dentry.add_mount();
    below.dentry.remove_mount();
    *old_place = Some(put_old);
    *new_place = Some(above);
    drop((new_place, old_place));
    drop(table);
    CHANGES.announce();
    Ok(())
}

/// What is mounted on a place, the latest if several are.
pub fn mounted_on(place: &Location) -> Option<Arc<Mount>> {
    let spot = Spot::of(place);
    let table = TABLE.read_or_spread();
    table.covers.get(&spot)?.last().cloned()
}

/// Goes down through whatever is mounted on a place.
pub fn descend(mut place: Location) -> Location {
    while place.dentry.is_mount_point() {
        match mounted_on(&place) {
            Some(mount) => place = Location { dentry: mount.root.clone(), mount },
            None => break,
        }
    }
    place
}

/// All mounts, for listing. The lock is let go between one and the next, so that a long table holds nobody up.
pub fn all() -> impl Iterator<Item = Arc<Mount>> {
    numbered_from(0)
}

/// [`all`] from a number on.
pub fn numbered_from(id: u32) -> impl Iterator<Item = Arc<Mount>> {
    let mut next = id;
    core::iter::from_fn(move || {
        let mount = TABLE.read().mounts.range(next..).next().map(|(_, mount)| mount.clone())?;
        next = mount.id + 1;
        Some(mount)
    })
}
