//! Removing names: files and empty directories.

use abi::Errno;
use subject::Credentials;

use super::attribute_operations::AttributeChanges;
use super::change;
use super::clock;
use super::dentry::Dentry;
use super::directory::cache::Changing;
use super::directory::{Directory, Key, Store};
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
    stored.refresh(&directory.dentry, &key)?;
    let changes = stored.lock_changes();
    let dentry = stored.find_to_change(&directory.dentry, &key)?.ok_or(Errno::ENOENT)?;
    change::may_change(directory, credentials)?;
    check_victim(parent, &dentry, victim, credentials)?;
    let hold = Hold::begin(&dentry)?;
    stored.operations.remove(parent, name, dentry.inode())?;
    let entry = stored.take_away(&key);
    dentry.mark_removed();
    // Before the parent can be removed itself, which ends its count of links.
    forget(parent, dentry.inode());
    hold.finish();
    drop(changes);
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

/// What is about to lose a name.
pub enum Hold<'a> {
    /// A directory, and with the name itself.
    Directory(Burial<'a>),
    /// A file, which nobody gives another name until it is known whether that was its last.
    File(AttributeChanges<'a>),
}

impl Hold<'_> {
    /// Has nobody else make or take names there; what [`Burial::begin`] says of a directory.
    pub fn begin(dentry: &Dentry) -> Result<Hold<'_>, Errno> {
        let inode = dentry.inode();
        if inode.is_directory() {
            Burial::begin(dentry).map(Hold::Directory)
        } else {
            Ok(Hold::File(inode.lock_attributes()))
        }
    }

    /// The name has gone.
    pub fn finish(self) {
        if let Hold::Directory(burial) = self {
            burial.finish();
        }
    }
}

/// A directory that is about to be removed: nobody else changes names in it until that is done, or has failed.
pub struct Burial<'a> {
    directory: &'a Directory,
    _changes: Changing<'a>,
}

impl Burial<'_> {
    /// Locks the changes of an empty directory; of one whose names are elsewhere the file system knows whether there
    /// are any. ENOTEMPTY if it has any, EPERM for one that programs cannot change.
    pub fn begin(dentry: &Dentry) -> Result<Burial<'_>, Errno> {
        let directory = dentry.inode().changeable_directory().ok_or(Errno::EPERM)?;
        let burial = Burial { directory, _changes: directory.lock_changes() };
        if directory.store == Store::Memory && !directory.names.read().is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        Ok(burial)
    }

    /// The file system has done its part: the directory takes no names any more.
    pub fn finish(self) {
        self.directory.names.write().bury();
    }
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
