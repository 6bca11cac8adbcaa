//! Attaching mounts, showing a second time what is there, and moving it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;

use super::passing::{Passed, pass_on};
use super::peers::Propagation;
use super::tree::{Node, abandon, copy, list};
use super::{Location, Mount, Turn, namespace, table};
use crate::moves::Moving;

/// Whether what is mounted inside comes along.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// One mount alone.
    One,
    /// The whole tree.
    Tree,
}

impl Turn {
    /// Attaches a new mount. ENOENT on a removed name, EINVAL outside of the caller's namespace, EBUSY where the same
    /// shows already, ENOTDIR for a directory on what is none, ENOSPC beyond the most mounts, ENOMEM.
    pub fn attach(&self, mount: &Arc<Mount>, place: Location) -> Result<(), Errno> {
        let landing = self.landing(place)?;
        let place = &landing.place;
        if Arc::ptr_eq(&place.mount.filesystem, &mount.filesystem) && Arc::ptr_eq(&place.dentry, &mount.root)
        {
            return Err(Errno::EBUSY);
        }
        self.graft(&list(mount, |_, _| true)?, place)
    }

    /// Shows at a place what is seen at another: `MS_BIND`. EINVAL for what may not be shown twice, or is not of the
    /// caller's namespace.
    pub fn bind(&self, from: &Location, place: Location, depth: Depth) -> Result<(), Errno> {
        let landing = self.landing(place)?;
        let copies = self.view_of(from, depth)?;
        let top = copies.first().ok_or(Errno::EINVAL)?;
        let done = list(top, |_, _| true).and_then(|nodes| self.graft(&nodes, &landing.place));
        if done.is_err() {
            abandon(&copies);
        }
        done
    }

    /// What is seen at a place as mounts of its own, attached nowhere.
    pub(super) fn view_of(&self, from: &Location, depth: Depth) -> Result<Vec<Arc<Mount>>, Errno> {
        self.check_own(&from.mount)?;
        if matches!(from.mount.propagation(), Propagation::Unbindable) {
            return Err(Errno::EINVAL);
        }
        let nodes = list(&from.mount, |inner, place| {
            let is_seen =
                !Arc::ptr_eq(&place.mount, &from.mount) || from.dentry.is_ancestor_of(&place.dentry);
            depth == Depth::Tree && is_seen && !matches!(inner.propagation(), Propagation::Unbindable)
        })?;
        copy(&nodes, &from.dentry, |index, view| {
            match nodes.get(index).map(|node| node.mount.propagation()) {
                Some(Propagation::Shared(group)) => view.join(group),
                Some(Propagation::Slave(master)) => view.receive_from(Some(master)),
                _ => {}
            }
            Ok(())
        })
    }

    /// Attaches a tree that is attached nowhere yet, and what comes of it to others. Nothing has changed on an error.
    fn graft(&self, nodes: &[Node], place: &Location) -> Result<(), Errno> {
        let top = nodes.first().ok_or(Errno::EINVAL)?;
        if top.mount.root.inode().is_directory() != place.dentry.inode().is_directory() {
            return Err(Errno::ENOTDIR);
        }
        self.namespace.reserve(nodes.len())?;
        let passed = match pass_on(nodes, place) {
            Ok(passed) => passed,
            Err(errno) => {
                self.namespace.release(nodes.len());
                return Err(errno);
            }
        };
        table::lay(&top.mount, place.clone());
        for Node { mount, .. } in nodes {
            // It may have been a tree that only a descriptor kept.
            namespace::strike(mount);
            self.namespace.enter(mount);
        }
        self.namespace.changes.announce();
        passed.into_iter().for_each(Passed::settle);
        Ok(())
    }

    /// Moves a tree to another place: `MS_MOVE`, move_mount(2). EINVAL unless it is a mount of the caller's namespace
    /// that lies in one that is not shared, or all of a tree that is attached nowhere, and for a tree with something
    /// unbindable that would be passed on; ELOOP if it would lie in itself.
    pub fn relocate(&self, from: &Location, place: Location) -> Result<(), Errno> {
        let landing = self.landing(place)?;
        let place = &landing.place;
        let Location { mount, .. } = from;
        self.check_reachable(mount)?;
        let outer = mount.place().map(|place| place.mount);
        let are_alike = from.dentry.inode().is_directory() == place.dentry.inode().is_directory();
        let is_passed_on = outer.as_ref().is_some_and(|outer| outer.peers().is_some());
        if !from.is_mount_root() || !are_alike || is_passed_on {
            return Err(Errno::EINVAL);
        }
        let nodes = list(mount, |_, _| true)?;
        let is_unbindable = |node: &Node| matches!(node.mount.propagation(), Propagation::Unbindable);
        if place.mount.peers().is_some() && nodes.iter().any(is_unbindable) {
            return Err(Errno::EINVAL);
        }
        if lies_in(place, mount) {
            return Err(Errno::ELOOP);
        }
        if outer.is_none() {
            return self.graft(&nodes, place);
        }
        let passed = pass_on(&nodes, place)?;
        let moving = Moving::start();
        table::shift(mount, place.clone());
        drop(moving);
        self.namespace.changes.announce();
        passed.into_iter().for_each(Passed::settle);
        Ok(())
    }
}

/// Whether a place is in a mount, or in what lies in that.
fn lies_in(place: &Location, outer: &Arc<Mount>) -> bool {
    let mut above = Some(place.mount.clone());
    while let Some(mount) = above {
        if Arc::ptr_eq(&mount, outer) {
            return true;
        }
        above = mount.place().map(|place| place.mount);
    }
    false
}
