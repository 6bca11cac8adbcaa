//! What lies where: an ordered map, which has no keys that meet whatever a program mounts, under a lock that path walks
//! share.
//!
//! At most one mount lies on a place: what is mounted there next lies on the root of the one before. A mount that
//! nobody can reach yet, or any more, may be in it, too: its parts are found by who has it in hand.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use hal::sync::SpinRwLock;

use super::{Location, Mount};

/// Which mount and dentry a place is, by address: what lies in one mount stands together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spot(usize, usize);

impl Spot {
    fn of(place: &Location) -> Spot {
        Spot(Arc::as_ptr(&place.mount).addr(), Arc::as_ptr(&place.dentry).addr())
    }
}

struct Table {
    covers: BTreeMap<Spot, Arc<Mount>>,
}

static TABLE: SpinRwLock<Table> = SpinRwLock::new(Table { covers: BTreeMap::new() });

impl Table {
    /// Lays a mount on a place where nothing lies. A mount that lies in another holds that one, so that its address
    /// stays its own.
    fn cover(&mut self, place: Location, mount: Arc<Mount>) {
        place.dentry.add_mount();
        let spot = Spot::of(&place);
        *mount.place.lock() = Some(place);
        self.covers.insert(spot, mount);
    }

    /// Takes a mount off its place. Both are for the caller to drop, without the lock.
    fn uncover(&mut self, mount: &Mount) -> Option<(Location, Arc<Mount>)> {
        let place = mount.place.lock().take()?;
        place.dentry.remove_mount();
        let listed = self.covers.remove(&Spot::of(&place))?;
        Some((place, listed))
    }

    fn on(&self, place: &Location) -> Option<&Arc<Mount>> {
        self.covers.get(&Spot::of(place))
    }
}

/// Lays a mount on a place where nothing lies.
pub(super) fn lay(mount: &Arc<Mount>, place: Location) {
    TABLE.write().cover(place, mount.clone());
}

/// Lays a mount on a place, below what lies there: that comes to lie on `top`, the root of the new one or of what lies
/// on that.
pub(super) fn lay_below(mount: &Arc<Mount>, place: Location, top: Location) {
    let mut table = TABLE.write();
    let before = table.on(&place).cloned().and_then(|there| table.uncover(&there));
    table.cover(place, mount.clone());
    let Some((place, there)) = before else { return };
    table.cover(top, there);
    drop(table);
    drop(place);
}

/// Takes a mount out of the table, if `may` still holds.
pub(super) fn take_out_if(mount: &Arc<Mount>, may: impl FnOnce() -> bool) -> bool {
    let mut table = TABLE.write();
    if !may() {
        return false;
    }
    let before = table.uncover(mount);
    drop(table);
    drop(before);
    true
}

/// Takes a mount out of the table.
pub(super) fn take_out(mount: &Arc<Mount>) {
    take_out_if(mount, || true);
}

/// Takes a mount out of the table; what lies on its root comes in its place.
pub(super) fn lift_out(mount: &Arc<Mount>) {
    let mut table = TABLE.write();
    let on_top = table.on(&mount.root_location()).cloned();
    let on_top = on_top.and_then(|on_top| table.uncover(&on_top));
    let Some((place, listed)) = table.uncover(mount) else { return };
    let root = on_top.map(|(root, on_top)| {
        table.cover(place.clone(), on_top);
        root
    });
    drop(table);
    drop((place, listed, root));
}

/// Moves a mount from its place to another where nothing lies.
pub(super) fn shift(mount: &Arc<Mount>, place: Location) {
    let mut table = TABLE.write();
    let before = table.uncover(mount);
    table.cover(place, mount.clone());
    drop(table);
    drop(before);
}

/// Puts a mount in the place of another one, and that on a place that lies in the first.
pub(super) fn exchange(new: &Arc<Mount>, old: &Arc<Mount>, put_old: Location) {
    let mut table = TABLE.write();
    let (above, below) = (table.uncover(old), table.uncover(new));
    let kept = above.map(|(place, old)| {
        table.cover(place, new.clone());
        old
    });
    table.cover(put_old, old.clone());
    drop(table);
    drop((below, kept));
}

/// The mount inside a mount that follows another in the table's order; the first one for `None`.
pub(super) fn next_inside(outer: &Arc<Mount>, after: Option<&Arc<Mount>>) -> Option<Arc<Mount>> {
    let address = Arc::as_ptr(outer).addr();
    let first = match after {
        None => Spot(address, 0),
        Some(after) => Spot(address, Spot::of(&after.place()?).1.checked_add(1)?),
    };
    let table = TABLE.read();
    table.covers.range(first..=Spot(address, usize::MAX)).next().map(|(_, mount)| mount.clone())
}

/// What is mounted on a place.
pub fn mounted_on(place: &Location) -> Option<Arc<Mount>> {
    let table = TABLE.read_or_count_per_cpu();
    table.on(place).cloned()
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
