//! The inodes of a file system that stores them elsewhere, by number: two names of a file lead to one inode.
//!
//! An inode is here as long as somebody holds it. When the last one has let go, the [`reaper`](super::reaper) has the
//! file system write back and free what it must; only then is the number free again. Who looks for it meanwhile waits,
//! and reads it anew. The lock is a leaf; nobody sleeps under it.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::{Arc, Weak};

use abi::Errno;
use hal::sync::SpinLock;
use sched::wait::WaitQueue;

use super::inode::Inode;

/// Inodes by their numbers.
pub struct InodeCache {
    slots: SpinLock<BTreeMap<u64, Slot>>,
    changed: WaitQueue,
}

enum Slot {
    /// Somebody reads it.
    Coming,
    /// It is here, or it is going: nobody holds it any more, and its file system is not done with it.
    Here(Weak<Inode>),
}

enum Found {
    Inode(Arc<Inode>),
    /// Nothing; the number is the caller's to fill.
    Own,
}

impl InodeCache {
    /// No inodes.
    pub const fn new() -> InodeCache {
        InodeCache { slots: SpinLock::new(BTreeMap::new()), changed: WaitQueue::new() }
    }

    /// The inode with this number, which `read` makes if it is not here. Nobody else reads it at the same time. EINTR
    /// for a thread that is to end; else what `read` says.
    pub fn get(
        &self,
        number: u64,
        read: impl FnOnce() -> Result<Arc<Inode>, Errno>,
    ) -> Result<Arc<Inode>, Errno> {
        match self.changed.wait_until_killed(|| self.find(number)).map_err(|_| Errno::EINTR)? {
            Found::Inode(inode) => Ok(inode),
            Found::Own => {
                // Without the lock, for as long as it takes: the slot says that the number is coming, and keeps others
                // off it.
                let inode = read();
                let mut slots = self.slots.lock();
                match &inode {
                    Ok(inode) => slots.insert(number, Slot::Here(Arc::downgrade(inode))),
                    Err(_) => slots.remove(&number),
                };
                drop(slots);
                // Also after a failure: one of those that waited reads the inode itself then.
                self.changed.wake_all();
                inode
            }
        }
    }

    /// `None` while somebody reads the inode, or its file system is not done with it.
    fn find(&self, number: u64) -> Option<Found> {
        match self.slots.lock().entry(number) {
            Entry::Vacant(slot) => {
                slot.insert(Slot::Coming);
                Some(Found::Own)
            }
            Entry::Occupied(slot) => match slot.get() {
                Slot::Coming => None,
                // Nobody holds it, but its file system is not done with it: what would be read now is of before the
                // last changes.
                Slot::Here(inode) => inode.upgrade().map(Found::Inode),
            },
        }
    }

    /// The file system is done with an inode that nobody holds.
    pub(super) fn leave(&self, number: u64) {
        let gone = self.slots.lock().remove(&number);
        drop(gone);
        self.changed.wake_all();
    }
}

impl Default for InodeCache {
    fn default() -> InodeCache {
        InodeCache::new()
    }
}
