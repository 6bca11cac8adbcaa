//! Trees of mounts that only a descriptor keeps, and what the calls that make them can change of any tree:
//! open_tree(2), fsmount(2), move_mount(2), mount_setattr(2).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::MS_RDONLY;

use super::passing::{share, unshare};
use super::peers::{Propagation, PropagationKind};
use super::tree::{Node, abandon, list};
use super::{Depth, Location, Mount, Namespace, Turn};

/// A tree that is attached nowhere. If it still is when this is dropped, it goes.
pub struct DetachedTree(Arc<Mount>);

impl DetachedTree {
    /// Its root.
    pub fn root(&self) -> Location {
        self.0.root_location()
    }
}

impl Drop for DetachedTree {
    /// Waits for the turn: never to be dropped by who has it.
    fn drop(&mut self) {
        let Some(namespace) = self.0.namespace() else { return };
        let turn = Turn::of(&namespace);
        // It may have been attached meanwhile.
        if self.0.namespace().is_some_and(|namespace| namespace.is_anonymous) {
            turn.dissolve(&self.0);
        }
    }
}

/// What mount_setattr(2) changes.
#[derive(Clone, Copy, Default)]
pub struct AttributeChange {
    /// `MS_*` flags that are set.
    pub set: u64,
    /// Those that are cleared before.
    pub clear: u64,
    /// How the mounts stand to others from now on.
    pub propagation: Option<PropagationKind>,
}

impl Turn {
    /// What is seen at a place as a tree of its own. Errors as of a bind; ENOSPC for more mounts than there may be in a
    /// namespace.
    pub fn detached_view(&self, from: &Location, depth: Depth) -> Result<DetachedTree, Errno> {
        let copies = self.view_of(from, depth)?;
        let top = copies.first().ok_or(Errno::EINVAL)?;
        let namespace = Namespace::anonymous();
        if let Err(errno) = namespace.reserve(copies.len()) {
            abandon(&copies);
            return Err(errno);
        }
        copies.iter().for_each(|mount| namespace.enter(mount));
        Ok(DetachedTree(top.clone()))
    }

    /// A mount that is attached nowhere as a tree of its own.
    pub fn detached(&self, mount: Arc<Mount>) -> DetachedTree {
        Namespace::anonymous().begin_with(mount.clone());
        DetachedTree(mount)
    }

    /// EINVAL for a mount that is neither of the caller's namespace nor the root of a tree that is attached nowhere.
    pub(super) fn check_reachable(&self, mount: &Mount) -> Result<(), Errno> {
        let is_detached = || mount.namespace().is_some_and(|namespace| namespace.is_anonymous);
        match mount.place() {
            Some(_) => self.check_own(mount),
            None if is_detached() => Ok(()),
            None => Err(Errno::EINVAL),
        }
    }

    /// Lets a mount that is private receive from whom another one does, as its peer if it is shared:
    /// `MOVE_MOUNT_SET_GROUP`. EINVAL unless both are mounts of one file system, of which the other one shows at least
    /// as much.
    pub fn join_group(&self, from: &Location, to: &Location) -> Result<(), Errno> {
        let are_mounted = from.mount.namespace().is_some() && to.mount.namespace().is_some();
        let is_private = matches!(to.mount.propagation(), Propagation::Private | Propagation::Unbindable);
        let shows_all = from.mount.root.is_ancestor_of(&to.mount.root);
        if !are_mounted || !from.is_mount_root() || !to.is_mount_root() || !shows_all || !is_private {
            return Err(Errno::EINVAL);
        }
        match from.mount.propagation() {
            Propagation::Shared(group) => to.mount.join(group),
            Propagation::Slave(master) => to.mount.receive_from(Some(master)),
            Propagation::Private | Propagation::Unbindable => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// Changes attributes of the mount whose root is given, or of all that lies inside, too: of all or of none. EINVAL
    /// for another place, and for what is not the caller's; EBUSY where somebody writes to what would be read-only.
    pub fn set_attributes(
        &self,
        place: &Location,
        change: &AttributeChange,
        depth: Depth,
    ) -> Result<(), Errno> {
        if !place.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        self.check_reachable(&place.mount)?;
        let nodes = list(&place.mount, |_, _| depth == Depth::Tree)?;
        let shares = change.propagation == Some(PropagationKind::Shared);
        let newly_shared = share(if shares { &nodes } else { &[] })?;
        if let Err(errno) = forbid_writers(&nodes, change) {
            unshare(&newly_shared);
            return Err(errno);
        }
        for Node { mount, .. } in &nodes {
            mount.apply(change)?;
        }
        Ok(())
    }
}

/// Keeps writers from all mounts that become read-only, or from none: EBUSY.
fn forbid_writers(nodes: &[Node], change: &AttributeChange) -> Result<(), Errno> {
    let becomes = |node: &&Node| change.set & MS_RDONLY != 0 && node.mount.own_flags() & MS_RDONLY == 0;
    for (index, Node { mount, .. }) in nodes.iter().enumerate().filter(|(_, node)| becomes(node)) {
        if let Err(errno) = mount.writers.forbid() {
            nodes.iter().take(index).filter(becomes).for_each(|node| node.mount.writers.allow());
            return Err(errno);
        }
    }
    Ok(())
}

impl Mount {
    /// Changes attributes; nobody writes where nobody may.
    fn apply(self: &Arc<Self>, change: &AttributeChange) -> Result<(), Errno> {
        let flags = self.own_flags() & !change.clear | change.set;
        if flags & MS_RDONLY == 0 {
            self.writers.allow();
        }
        self.flags.store(flags, Ordering::Relaxed);
        if let Some(kind) = change.propagation {
            self.set_propagation(kind)?;
        }
        self.announce_change();
        Ok(())
    }
}
