//! What comes to others of a tree of mounts that is attached in a shared mount.
//!
//! Each mount of the tree becomes shared, and so do its copies: in each group that receives, they are peers of each
//! other and receive from those of the nearest group above that has any; one that only receives gets copies that only
//! receive (mount_namespaces(7), "Propagation type transitions"). All is made before anything is attached, so that it
//! can be taken back.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use outcome::OrErrno;

use super::peers::{PeerGroup, PropagationKind};
use super::receivers::{Receiver, Receivers};
use super::tree::{Node, abandon, copy};
use super::{Location, Mount, table};

/// A copy for one who receives it: attached nowhere yet, but there is room for it.
pub(super) struct Passed {
    at: Location,
    mounts: Vec<Arc<Mount>>,
}

impl Passed {
    /// Attaches it, below what lies there.
    pub fn settle(self) {
        let (Some(top), Some(namespace)) = (self.mounts.first(), self.at.mount.namespace()) else { return };
        table::lay_below(top, self.at, table::descend(top.root_location()));
        self.mounts.iter().for_each(|mount| namespace.enter(mount));
        namespace.changes.announce();
    }

    fn abandon(self) {
        if let Some(namespace) = self.at.mount.namespace() {
            namespace.release(self.mounts.len());
        }
        abandon(&self.mounts);
    }
}

/// The copies that are being made.
struct Passing<'a> {
    /// The tree.
    nodes: &'a [Node],
    /// The group of the mount that the tree is attached in.
    first: Arc<PeerGroup>,
    passed: Vec<Passed>,
    /// The first copy of each group that has any.
    by_group: BTreeMap<u32, usize>,
}

/// Makes what comes to others of a tree at a place, and shares the tree if that is in a shared mount. Nothing has
/// changed on an error.
pub(super) fn pass_on(nodes: &[Node], place: &Location) -> Result<Vec<Passed>, Errno> {
    let Some(first) = place.mount.peers() else { return Ok(Vec::new()) };
    let newly_shared = share(nodes)?;
    let mut passing = Passing { nodes, first, passed: Vec::new(), by_group: BTreeMap::new() };
    for receiver in Receivers::of(&place.mount) {
        if let Err(errno) = passing.receive(&receiver, place) {
            passing.passed.into_iter().for_each(Passed::abandon);
            unshare(&newly_shared);
            return Err(errno);
        }
    }
    Ok(passing.passed)
}

impl Passing<'_> {
    fn receive(&mut self, receiver: &Receiver, place: &Location) -> Result<(), Errno> {
        // What has no namespace is on its way itself, and what only a descriptor keeps gets nothing. Nor does who does
        // not show the place.
        let namespace = receiver.mount.namespace().filter(|namespace| !namespace.is_anonymous);
        let Some(namespace) = namespace else { return Ok(()) };
        if !receiver.mount.root.is_ancestor_of(&place.dentry) {
            return Ok(());
        }
        self.passed.try_reserve(1).or_errno()?;
        namespace.reserve(self.nodes.len())?;
        let mounts = self.copy_for(receiver).inspect_err(|_| namespace.release(self.nodes.len()))?;
        if receiver.is_peer {
            self.by_group.entry(receiver.group.id).or_insert(self.passed.len());
        }
        let at = Location { mount: receiver.mount.clone(), dentry: place.dentry.clone() };
        self.passed.push(Passed { at, mounts });
        Ok(())
    }

    fn copy_for(&self, receiver: &Receiver) -> Result<Vec<Arc<Mount>>, Errno> {
        let Some(Node { mount: top, .. }) = self.nodes.first() else { return Ok(Vec::new()) };
        let model = self.model_for(&receiver.group);
        let is_of_group = self.has_copies(&receiver.group);
        copy(self.nodes, &top.root, |index, view| {
            let Some(peers) = self.mount_of(model, index).and_then(|mount| mount.peers()) else {
                return Ok(());
            };
            match receiver.is_peer {
                true if is_of_group => view.join(peers),
                true => view.join(PeerGroup::new(Some(peers))?),
                false => view.receive_from(Some(peers)),
            }
            Ok(())
        })
    }

    /// A mount of the tree, or of one of its copies.
    fn mount_of(&self, copy: Option<usize>, index: usize) -> Option<&Arc<Mount>> {
        match copy {
            None => self.nodes.get(index).map(|node| &node.mount),
            Some(copy) => self.passed.get(copy)?.mounts.get(index),
        }
    }

    fn has_copies(&self, group: &Arc<PeerGroup>) -> bool {
        Arc::ptr_eq(group, &self.first) || self.by_group.contains_key(&group.id)
    }

    /// Of a group, or of the nearest one above that has any, the first copy; `None` is the tree itself.
    fn model_for(&self, group: &Arc<PeerGroup>) -> Option<usize> {
        let mut group = group.clone();
        while !self.has_copies(&group) {
            group = group.master()?;
        }
        self.by_group.get(&group.id).copied()
    }
}

/// Shares all mounts of a tree; returns those that were not shared before.
pub(super) fn share(nodes: &[Node]) -> Result<Vec<&Arc<Mount>>, Errno> {
    let mut made = Vec::new();
    made.try_reserve_exact(nodes.len()).or_errno()?;
    for Node { mount, .. } in nodes.iter().filter(|node| node.mount.peers().is_none()) {
        if let Err(errno) = mount.set_propagation(PropagationKind::Shared) {
            unshare(&made);
            return Err(errno);
        }
        made.push(mount);
    }
    Ok(made)
}

/// Takes [`share`] back: of groups of one, what is left receives as it did before.
pub(super) fn unshare(made: &[&Arc<Mount>]) {
    for mount in made {
        // Needs no new group.
        let _ = mount.set_propagation(PropagationKind::Slave);
    }
}
