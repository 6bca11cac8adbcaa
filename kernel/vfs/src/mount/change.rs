//! The turn: whoever changes a tree of mounts has it, from the look at the tree to the end of the change.

use alloc::sync::Arc;

use abi::Errno;
use sched::Mutex;
use sched::mutex::MutexGuard;

use super::peers::PropagationKind;
use super::{Depth, Location, Mount, Namespace, table, tree};
use crate::dentry::Dentry;

static TREES: Mutex<()> = Mutex::new(());

/// The permission to change trees of mounts; there is one, as changes in one namespace can come to another.
pub struct Turn {
    /// Of who changes something.
    pub(super) namespace: Arc<Namespace>,
    _lock: MutexGuard<'static, ()>,
}

impl Turn {
    /// Waits for the turn, for a process of this namespace.
    pub fn of(namespace: &Arc<Namespace>) -> Turn {
        let lock = TREES.lock();
        Turn { namespace: namespace.clone(), _lock: lock }
    }

    /// Where something can be mounted: on top of what lies on a place. ENOENT where the name is removed, EINVAL for
    /// what is not of the caller's namespace.
    pub(super) fn landing(&self, place: Location) -> Result<Landing, Errno> {
        let place = table::descend(place);
        let claim = Claim::new(&place.dentry)?;
        self.check_own(&place.mount)?;
        Ok(Landing { place, _claim: claim })
    }

    /// EINVAL for a mount that is not of the caller's namespace.
    pub fn check_own(&self, mount: &Mount) -> Result<(), Errno> {
        if self.namespace.has(mount) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Changes how mounts stand to others: the one whose root is given, or with all that lies inside. EINVAL for
    /// another place.
    pub fn set_propagation(
        &self,
        place: &Location,
        kind: PropagationKind,
        depth: Depth,
    ) -> Result<(), Errno> {
        if !place.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        self.check_own(&place.mount)?;
        for node in tree::list(&place.mount, |_, _| depth == Depth::Tree)? {
            node.mount.set_propagation(kind)?;
        }
        self.namespace.changes.announce();
        Ok(())
    }
}

/// A place where something is about to be mounted.
pub(super) struct Landing {
    /// The place, on which nothing lies.
    pub place: Location,
    _claim: Claim,
}

/// A name that is not removed while something is being mounted on it: it counts as a mount by itself.
struct Claim(Arc<Dentry>);

impl Claim {
    /// ENOENT where the name is removed. Who removes one looks for mounts with the directory locked, so that is needed
    /// here, too.
    fn new(dentry: &Arc<Dentry>) -> Result<Claim, Errno> {
        loop {
            let parent = dentry.parent();
            let directory = parent.as_ref().and_then(|parent| parent.inode().changeable_directory());
            let changes = directory.map(|directory| directory.lock_changes());
            let is_same = match (&parent, dentry.parent()) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, &now),
                (before, now) => before.is_none() && now.is_none(),
            };
            if dentry.is_removed() && !dentry.is_nameless() {
                return Err(Errno::ENOENT);
            }
            if is_same {
                dentry.add_mount();
                drop(changes);
                return Ok(Claim(dentry.clone()));
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.remove_mount();
    }
}
