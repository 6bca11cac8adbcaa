//! Changes of attributes: by one at a time, and stored, where a file system stores them, before anybody sees them.
//!
//! Who changes mode, owner, times by request or extended attributes of an inode holds its [`AttributeChanges`], a lock
//! that sleeps (Linux: `i_rwsem`), from the first look at what decides whether he may until the change is made. So no
//! change slips between another's check and its making, a file system is told of changes in memory's order, and who
//! holds it sees mode, owner, group and capabilities of one moment: `execve` does. Looks that need no more than one of
//! them (`stat`, a path walk) take no lock.
//!
//! Lock order: before the locks of the file system and that of the extended attributes; never taken under a lock of
//! names.

use abi::Errno;
use sched::mutex::MutexGuard;

pub use super::attributes::Change;
use super::inode::Inode;

/// What a file system does with attributes. The defaults are those of one that keeps them in memory, with the inode.
pub trait AttributeOperations: Send + Sync {
    /// Stores a change; on an error nothing has changed. Whoever asks may make it, and holds the inode's
    /// [`AttributeChanges`].
    fn store(&self, inode: &Inode, change: &Change) -> Result<(), Errno> {
        let _ = (inode, change);
        Ok(())
    }
}

/// Leave to change an inode's attributes, which nobody else does as long as it is held.
pub struct AttributeChanges<'a> {
    inode: &'a Inode,
    _alone: MutexGuard<'a, ()>,
}

impl Inode {
    /// Waits until nobody else changes the attributes.
    pub fn lock_attributes(&self) -> AttributeChanges<'_> {
        AttributeChanges { inode: self, _alone: self.attributes.lock_changes() }
    }
}

impl AttributeChanges<'_> {
    /// Whose attributes they are.
    pub fn inode(&self) -> &Inode {
        self.inode
    }

    /// Makes a change, when the file system has stored it.
    pub fn make(&self, change: &Change) -> Result<(), Errno> {
        self.inode.filesystem.store(self.inode, change)?;
        self.inode.attributes.apply(change);
        Ok(())
    }
}
