//! Unmounting: of a mount or a tree, and of what its parts have passed on to others.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::Errno;

use super::receivers::Receivers;
use super::tree::{Node, list, push};
use super::{Location, Mount, Turn, namespace, table};

/// Whether [`Turn::detach`] minds that a mount is in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    /// EBUSY.
    Refuse,
    /// Out of the tree now, gone when the last user lets go: `MNT_DETACH`.
    DetachAnyway,
}

/// The references to a mount that nobody uses: its namespace's, the table's and the caller's; mounts inside, open files
/// and directories hold more.
const UNUSED: usize = 3;

/// What the one who unmounts has found out about a mount, in the bits of its mark; above them is the number of the
/// unmounting.
const GOES: u64 = 1;
const IS_PASSED: u64 = 2;
const WAS_VISITED: u64 = 4;
const NEXT_ROUND: u64 = 8;

/// The round of an unmounting: marks of another one are none.
struct Round(u64);

impl Round {
    /// The next one, of those who have the turn one after the other.
    fn start(_turn: &Turn) -> Round {
        use core::sync::atomic::AtomicU64;
        static LAST: AtomicU64 = AtomicU64::new(0);
        Round(LAST.fetch_add(NEXT_ROUND, Ordering::Relaxed) + NEXT_ROUND)
    }

    fn has(&self, mount: &Mount, bit: u64) -> bool {
        let mark = mount.mark.load(Ordering::Relaxed);
        mark >= self.0 && mark & bit != 0
    }

    fn set(&self, mount: &Mount, bit: u64) {
        let before = mount.mark.load(Ordering::Relaxed).max(self.0);
        mount.mark.store(before | bit, Ordering::Relaxed);
    }

    fn clear(&self, mount: &Mount, bit: u64) {
        let before = mount.mark.load(Ordering::Relaxed).max(self.0);
        mount.mark.store(before & !bit, Ordering::Relaxed);
    }
}

impl Turn {
    /// `MNT_EXPIRE`: EBUSY for a mount in use, of which the caller holds one reference, and EAGAIN when it is found
    /// unused for the first time since somebody came there.
    pub fn expire(&self, mount: &Arc<Mount>) -> Result<(), Errno> {
        if Arc::strong_count(mount) > UNUSED {
            return Err(Errno::EBUSY);
        }
        if mount.is_stale.swap(true, Ordering::Relaxed) { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// Detaches a mount, of which the caller holds one reference; if it may be in use, with all that is mounted inside.
    /// What has come of it to others goes, too, where nothing else lies inside. EINVAL for the root and for what is not
    /// of the caller's namespace.
    pub fn detach(&self, mount: &Arc<Mount>, in_use: InUse) -> Result<(), Errno> {
        self.check_own(mount)?;
        let place = mount.place().ok_or(Errno::EINVAL)?;
        let refuses = in_use == InUse::Refuse;
        if refuses && (table::next_inside(mount, None).is_some() || is_used_elsewhere(&place)) {
            return Err(Errno::EBUSY);
        }
        drop(place);
        let passed = self.passed_of(mount)?;
        // With the table's lock, under which nobody comes to it.
        if !table::take_out_if(mount, || !refuses || Arc::strong_count(mount) <= UNUSED) {
            return Err(Errno::EBUSY);
        }
        finish(mount);
        self.take_inner(mount);
        for mount in &passed {
            table::lift_out(mount);
            finish(mount);
        }
        Ok(())
    }

    /// Takes a tree apart that is attached nowhere.
    pub(super) fn dissolve(&self, top: &Arc<Mount>) {
        finish(top);
        self.take_inner(top);
    }

    /// Takes all out that lies in a mount which nobody finds any more: from the innermost outwards, without a list.
    fn take_inner(&self, outer: &Arc<Mount>) {
        let mut current = outer.clone();
        loop {
            match table::next_inside(&current, None) {
                Some(inner) => current = inner,
                None if Arc::ptr_eq(&current, outer) => return,
                None => {
                    let place = current.place();
                    table::take_out(&current);
                    finish(&current);
                    current = place.map_or_else(|| outer.clone(), |place| place.mount);
                }
            }
        }
    }

    /// What has come to others of a tree, and goes with it.
    fn passed_of(&self, top: &Arc<Mount>) -> Result<Vec<Arc<Mount>>, Errno> {
        let round = Round::start(self);
        let nodes = list(top, |_, _| true)?;
        nodes.iter().for_each(|node| round.set(&node.mount, GOES));
        let mut passed = Vec::new();
        for Node { mount, .. } in &nodes {
            if !round.has(mount, WAS_VISITED) {
                round.set(mount, WAS_VISITED);
                find_passed(&round, mount, &mut passed)?;
            }
        }
        for mount in &passed {
            keep_if_used(&round, mount);
        }
        passed.retain(|mount| round.has(mount, GOES));
        Ok(passed)
    }
}

/// Out of the tree: no longer listed, and related to none.
fn finish(mount: &Mount) {
    namespace::strike(mount);
    mount.leave();
}

/// Whether what has come to others from a place is in use there, and would go with it. What has something inside does
/// not go; but what lies on its root does not matter.
fn is_used_elsewhere(place: &Location) -> bool {
    Receivers::of(&place.mount).any(|receiver| {
        let there = Location { mount: receiver.mount, dentry: place.dentry.clone() };
        let Some(mount) = table::mounted_on(&there) else { return false };
        drop(there);
        // Its own reference to where it lies is none to itself; one inside it has one.
        match table::next_inside(&mount, None) {
            None => Arc::strong_count(&mount) > UNUSED,
            Some(inner) => {
                let is_on_top = inner.place().is_some_and(|place| place.is_mount_root());
                let is_alone = table::next_inside(&mount, Some(&inner)).is_none();
                is_on_top && is_alone && Arc::strong_count(&mount) > UNUSED + 1
            }
        }
    })
}

/// Finds what has come to others of a mount that goes. Where somebody was visited, all were who receive from there.
fn find_passed(round: &Round, mount: &Arc<Mount>, passed: &mut Vec<Arc<Mount>>) -> Result<(), Errno> {
    let Some(place) = mount.place() else { return Ok(()) };
    let mut receivers = Receivers::of(&place.mount);
    while let Some(receiver) = receivers.next() {
        let there = Location { mount: receiver.mount, dentry: place.dentry.clone() };
        let Some(like) = table::mounted_on(&there) else { continue };
        if round.has(&like, WAS_VISITED) {
            if receiver.is_peer {
                receivers.skip_group();
            }
            continue;
        }
        round.set(&like, WAS_VISITED);
        if !round.has(&like, GOES) {
            push(passed, like.clone())?;
            round.set(&like, GOES | IS_PASSED);
        }
    }
    Ok(())
}

/// Lets a mount stay, and all that it lies in, if something stays inside but what lies on its root.
fn keep_if_used(round: &Round, mount: &Arc<Mount>) {
    let mut inner = None;
    while let Some(next) = table::next_inside(mount, inner.as_ref()) {
        let is_on_top = next.place().is_some_and(|place| place.is_mount_root());
        if !is_on_top && !round.has(&next, GOES) {
            return keep(round, mount);
        }
        inner = Some(next);
    }
}

fn keep(round: &Round, mount: &Arc<Mount>) {
    let mut current = mount.clone();
    while round.has(&current, IS_PASSED) && round.has(&current, GOES) {
        round.clear(&current, GOES);
        match current.place() {
            // What lies on the root of another is lifted off it.
            Some(place) if !place.is_mount_root() => current = place.mount,
            _ => return,
        }
    }
}
