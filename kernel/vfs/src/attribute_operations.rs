//! Changes of attributes that a file system may have to store before anybody sees them.

use abi::Errno;
use abi::time::Timespec;

use super::inode::Inode;

/// What a file system does with attributes. The defaults are those of one that keeps them in memory, with the inode.
pub trait AttributeOperations: Send + Sync {
    /// Stores a change; on an error nothing has changed. Whoever asks may make it.
    fn store(&self, inode: &Inode, change: &Change) -> Result<(), Errno> {
        let _ = (inode, change);
        Ok(())
    }
}

/// A change of attributes.
#[derive(Clone, Copy)]
pub enum Change {
    /// Other permission bits.
    Mode(u32),
    /// Another owner and group.
    Owner(u32, u32),
    /// Permission bits that it loses.
    Loss(u32),
    /// Other times of access and modification, where there are such, and the time of this change.
    Times {
        /// Of the last access.
        accessed: Option<Timespec>,
        /// Of the last modification.
        modified: Option<Timespec>,
        /// Now.
        changed: Timespec,
    },
}

impl Inode {
    /// Changes attributes, when the file system has stored that.
    pub fn change_attributes(&self, change: Change) -> Result<(), Errno> {
        self.filesystem.store(self, &change)?;
        match change {
            Change::Mode(permissions) => self.attributes.set_permissions(permissions),
            Change::Owner(user, group) => self.attributes.set_owner(user, group),
            Change::Loss(bits) => self.attributes.drop_permissions(bits),
            Change::Times { accessed, modified, changed } => self.attributes.update_times(|times| {
                times.accessed = accessed.unwrap_or(times.accessed);
                times.modified = modified.unwrap_or(times.modified);
                times.changed = changed;
            }),
        }
        Ok(())
    }
}
