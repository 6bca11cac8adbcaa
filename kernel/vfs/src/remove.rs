//! Removing names: files and empty directories.

use alloc::sync::Arc;

use abi::Errno;
use subject::Credentials;

use super::change;
use super::clock;
use super::dentry::Dentry;
use super::directory::Key;
use super::inode::Inode;
use super::mount::Location;
use super::notify::Event;
use super::permission;
use super::writers::MountWriter;

/// What a removal expects to find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Victim {
    /// Anything but a directory: unlink(2).
    File,
    /// An empty directory: rmdir(2).
    Directory,
}

/// Removes `name` from a directory.
pub fn remove(
    directory: &Location,
    name: &[u8],
    victim: Victim,
    credentials: &Credentials,
) -> Result<(), Errno> {
    let parent = directory.dentry.inode();
    let Some(stored) = parent.changeable_directory() else { return Err(refusal(directory, name)) };
    let _writer = MountWriter::enter(&directory.mount)?;
    let key = Key::new(name);
    let changes = stored.changes.lock();
    let dentry = stored.names.read().find(&key).cloned().ok_or(Errno::ENOENT)?;
    change::may_change(directory, credentials)?;
    check_victim(parent, &dentry, victim, credentials)?;
    if victim == Victim::Directory {
        bury(&dentry)?;
    }
    stored.operations.remove(parent, name, dentry.inode())?;
    let entry = stored.names.write().remove(&key);
    dentry.mark_removed();
    drop(changes);
    forget(parent, dentry.inode());
    drop(entry);
    parent.watched.tell(Event::Deleted);
    Ok(())
}

/// A directory without stored names, such as those of `/proc`, allows no removal.
fn refusal(directory: &Location, name: &[u8]) -> Errno {
    match super::walk::child(&directory.dentry, name) {
        Ok(_) => Errno::EPERM,
        Err(errno) => errno,
    }
}

/// Whether the caller may take this victim away.
pub fn check_victim(
    parent: &Inode,
    dentry: &Dentry,
    expected: Victim,
    credentials: &Credentials,
) -> Result<(), Errno> {
    let inode = dentry.inode();
    permission::check_sticky(parent, inode, credentials)?;
    match (expected, inode.is_directory()) {
        (Victim::File, true) => return Err(Errno::EISDIR),
        (Victim::Directory, false) => return Err(Errno::ENOTDIR),
        _ => {}
    }
    if dentry.is_mount_point() { Err(Errno::EBUSY) } else { Ok(()) }
}

/// Closes an empty directory to new names. ENOTEMPTY if it has any.
pub fn bury(dentry: &Arc<Dentry>) -> Result<(), Errno> {
    let stored = dentry.inode().directory().ok_or(Errno::EPERM)?;
    let mut names = stored.names.write();
    if !names.is_empty() {
        return Err(Errno::ENOTEMPTY);
    }
    names.bury();
    Ok(())
}

/// A name of `inode` in `parent` is gone: link counts and times follow.
pub fn forget(parent: &Inode, inode: &Inode) {
    let now = clock::now();
    if inode.is_directory() {
        inode.remove_all_links();
        parent.remove_link();
    } else {
        inode.remove_link();
    }
    inode.touch_changed(now);
    parent.touch_modified(now);
}
