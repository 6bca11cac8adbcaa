//! Changes of attributes: by one at a time, and stored, where a file system stores them, before anybody sees them.
//!
//! Who changes mode, owner, times by request or extended attributes of an inode holds its [`AttributeChanges`], a lock
//! that sleeps (Linux: `i_rwsem`), from the first look at what decides whether he may until the change is made. So no
//! change slips between another's check and its making, a file system is told of changes in memory's order, and who
//! holds it sees mode, owner, group and capabilities of one moment: `execve` does. Looks that need no more than one of
//! them (`stat`, a path walk) take no lock.
//!
//! Who gives a file a name, or takes one from it, holds it too, from the look at how many there are until they are
//! counted anew: so no file system is asked to name a file whose last name it has just taken.
//!
//! Lock order: after the locks of names, before those of the file system and of the extended attributes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use sched::mutex::MutexGuard;

pub use super::attributes::Change;
use super::inode::Inode;

/// What a file system does with attributes. The defaults are those of one that keeps them in memory, with the inode,
/// and has no extended ones; [`in_memory`](super::extended::in_memory) keeps those, too.
pub trait AttributeOperations: Send + Sync {
    /// Stores a change; on an error nothing has changed. Whoever asks may make it, and holds the inode's
    /// [`AttributeChanges`].
    fn store(&self, inode: &Inode, change: &Change) -> Result<(), Errno> {
        let _ = (inode, change);
        Ok(())
    }

    /// The value of an extended attribute; whoever asks may see it. ENODATA where there is none, EOPNOTSUPP for a name
    /// that no attribute can have here. May be called with or without the inode's [`AttributeChanges`].
    fn extended(&self, inode: &Inode, name: &[u8]) -> Result<Arc<Vec<u8>>, Errno> {
        let _ = (inode, name);
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute. EEXIST or ENODATA where `flags` (`XATTR_CREATE`, `XATTR_REPLACE`) want otherwise.
    fn set_extended(
        &self,
        changes: &AttributeChanges<'_>,
        name: Vec<u8>,
        bytes: Vec<u8>,
        flags: u32,
    ) -> Result<(), Errno> {
        let _ = (changes, name, bytes, flags);
        Err(Errno::EOPNOTSUPP)
    }

    /// Takes an extended attribute away. ENODATA where there is none.
    fn remove_extended(&self, changes: &AttributeChanges<'_>, name: &[u8]) -> Result<(), Errno> {
        let _ = (changes, name);
        Err(Errno::EOPNOTSUPP)
    }

    /// Tells the names of all extended attributes, until `emit` fails.
    fn list_extended(
        &self,
        inode: &Inode,
        emit: &mut dyn FnMut(&[u8]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let _ = (inode, emit);
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
        self.inode.filesystem.attributes().store(self.inode, change)?;
        self.inode.attributes.apply(change);
        Ok(())
    }
}
