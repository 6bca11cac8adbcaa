//! Making names: new files, directories, links.
//!
//! A change is begun by entering its mount as a writer, and holds its directory's `changes` lock from the look at the
//! old name to the entry of the new one. Checks come in Linux's order: an existing name is EEXIST before permissions
//! are looked at.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{S_ISGID, S_ISUID};
use subject::{Credentials, capability};

use super::attributes::{DeviceNumber, FileKind};
use super::clock;
use super::dentry::{Dentry, Linkable};
use super::directory::{Directory, Key, Name};
use super::inode::{Inode, Ownership};
use super::mount::Location;
use super::notify::Event;
use super::permission::{self, Access};
use super::shared_folders;
use super::writers::MountWriter;

/// The number of a whiteout (Linux: `WHITEOUT_DEV`).
pub const WHITEOUT: DeviceNumber = DeviceNumber::new(0, 0);

/// What a new name is to stand for.
pub struct NewFile {
    kind: FileKind,
    permissions: u32,
    content: Content,
}

/// What a new file is to hold.
pub enum Content {
    /// Nothing.
    Empty,
    /// The text of a link.
    Link(Arc<[u8]>),
    /// The number of a device, or of what needs none.
    Device(DeviceNumber),
}

impl NewFile {
    /// An empty regular file.
    pub fn regular(permissions: u32) -> NewFile {
        NewFile { kind: FileKind::Regular, permissions, content: Content::Empty }
    }

    /// An empty directory.
    pub fn directory(permissions: u32) -> NewFile {
        NewFile { kind: FileKind::Directory, permissions, content: Content::Empty }
    }

    /// A link.
    pub fn symlink(text: Arc<[u8]>) -> NewFile {
        NewFile { kind: FileKind::Symlink, permissions: 0o777, content: Content::Link(text) }
    }

    /// A fifo, device or socket, or a regular file: mknod(2).
    pub fn node(kind: FileKind, permissions: u32, device: DeviceNumber) -> NewFile {
        NewFile { kind, permissions, content: Content::Device(device) }
    }

    /// The kind of the file.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// What it is to hold.
    pub fn into_content(self) -> Content {
        self.content
    }
}

impl NewFile {
    /// Device nodes are for who has CAP_MKNOD (EPERM), except for a whiteout.
    fn check_privilege(&self, credentials: &Credentials) -> Result<(), Errno> {
        let is_device = self.kind.device_kind().is_some();
        let is_whiteout = self.kind == FileKind::CharacterDevice
            && matches!(self.content, Content::Device(number) if number == WHITEOUT);
        if is_device && !is_whiteout { credentials.require(capability::MKNOD) } else { Ok(()) }
    }
}

/// Makes `name` in a directory. EEXIST if it is there.
pub fn create(
    directory: &Location,
    name: &[u8],
    new: NewFile,
    credentials: &Credentials,
) -> Result<Arc<Dentry>, Errno> {
    create_as(directory, &Key::new(name), new, credentials)
}

/// As [`create`], for who has looked for the name already.
pub fn create_as(
    directory: &Location,
    key: &Key<'_>,
    new: NewFile,
    credentials: &Credentials,
) -> Result<Arc<Dentry>, Errno> {
    let parent = directory.dentry.inode();
    let Some(stored) = parent.changeable_directory() else {
        return Err(refusal(&directory.dentry, key.name, new.kind));
    };
    let writer = MountWriter::enter(&directory.mount);
    stored.refresh(&directory.dentry, key)?;
    let _changes = stored.lock_changes();
    if stored.find_to_change(&directory.dentry, key)?.is_some() {
        return Err(Errno::EEXIST);
    }
    let _writer = writer?;
    may_change(directory, credentials)?;
    new.check_privilege(credentials)?;
    let kind = new.kind;
    if kind == FileKind::Directory {
        parent.attributes.check_links()?;
    }
    let inode = new_inode(parent, stored, key.name, new, credentials)?;
    let label: Name = Arc::from(key.name);
    let dentry = Dentry::new(inode, directory.dentry.clone(), label.clone());
    enter(parent, stored, key, label, &dentry)?;
    if kind == FileKind::Directory {
        parent.add_link();
    }
    parent.watched.tell(Event::Created);
    Ok(dentry)
}

/// A whiteout, character device 0:0, that is to take the place of a name. Nobody can open one, so making it is not
/// making a device.
pub fn new_whiteout(
    directory: &Location,
    name: &Key<'_>,
    credentials: &Credentials,
) -> Result<Arc<Dentry>, Errno> {
    let new = NewFile::node(FileKind::CharacterDevice, 0, WHITEOUT);
    let parent = directory.dentry.inode();
    let stored = parent.changeable_directory().ok_or(Errno::EPERM)?;
    let inode = new_inode(parent, stored, name.name, new, credentials)?;
    Ok(Dentry::new(inode, directory.dentry.clone(), Arc::from(name.name)))
}

/// Makes a regular file that has a directory but no name in it: `O_TMPFILE`.
pub fn create_nameless(
    directory: &Location,
    permissions: u32,
    linkable: Linkable,
    credentials: &Credentials,
) -> Result<Arc<Dentry>, Errno> {
    let parent = directory.dentry.inode();
    let _writer = MountWriter::enter(&directory.mount)?;
    may_change(directory, credentials)?;
    let stored = parent.changeable_directory().ok_or(Errno::EOPNOTSUPP)?;
    let ownership = inherit(parent, FileKind::Regular, permissions, credentials);
    let inode = stored.operations.create_nameless(parent, ownership)?;
    inode.remove_link();
    let label = alloc::format!("#{}", inode.number);
    Ok(Dentry::new_nameless(inode, Some(directory.dentry.clone()), Arc::from(label.as_bytes()), linkable))
}

/// Gives an inode one more name: link(2).
pub fn link(
    target: &Location,
    directory: &Location,
    name: &[u8],
    credentials: &Credentials,
) -> Result<(), Errno> {
    let inode = target.dentry.inode();
    let parent = directory.dentry.inode();
    let Some(stored) = parent.changeable_directory() else {
        return Err(match refusal(&directory.dentry, name, inode.kind) {
            Errno::EACCES | Errno::EPERM => Errno::EXDEV,
            other => other,
        });
    };
    let writer = MountWriter::enter(&directory.mount);
    let key = Key::new(name);
    stored.refresh(&directory.dentry, &key)?;
    let _changes = stored.lock_changes();
    if stored.find_to_change(&directory.dentry, &key)?.is_some() {
        return Err(Errno::EEXIST);
    }
    let _writer = writer?;
    if !Arc::ptr_eq(&target.mount, &directory.mount) {
        return Err(Errno::EXDEV);
    }
    shared_folders::may_link(inode, credentials)?;
    may_change(directory, credentials)?;
    if inode.is_directory() {
        return Err(Errno::EPERM);
    }
    // Until the name counts: else the last other one could go meanwhile, and the file system would be asked to name
    // what it has just let go.
    let _links = inode.lock_attributes();
    if inode.attributes.links() == 0 && !target.dentry.is_linkable_without_name() {
        return Err(Errno::ENOENT);
    }
    inode.attributes.check_links()?;
    let room = inode.reserve_name()?;
    stored.operations.link(parent, name, inode)?;
    let label: Name = Arc::from(name);
    let dentry = Dentry::new(inode.clone(), directory.dentry.clone(), label.clone());
    enter(parent, stored, &key, label, &dentry)?;
    inode.add_name(room);
    target.dentry.forbid_linking();
    inode.touch_changed(clock::now());
    parent.watched.tell(Event::Created);
    Ok(())
}

/// EACCES unless the caller, who has entered the mount as a writer, may change the names of the directory.
pub fn may_change(directory: &Location, credentials: &Credentials) -> Result<(), Errno> {
    permission::check(directory.dentry.inode(), credentials, Access::WRITE.and(Access::EXECUTE))
}

/// Why no name can be made here at all. A name that is there is EEXIST.
pub fn refusal(parent: &Arc<Dentry>, name: &[u8], kind: FileKind) -> Errno {
    let Some(directory) = parent.inode().directory() else { return Errno::ENOTDIR };
    match super::walk::child(parent, name) {
        Ok(_) => Errno::EEXIST,
        Err(Errno::ENOENT) => directory.operations.refusal(kind),
        Err(errno) => errno,
    }
}

/// Puts the dentry among the directory's names.
#[inline(always)]
fn enter(
    parent: &Inode,
    stored: &Directory,
    key: &Key<'_>,
    name: Name,
    dentry: &Arc<Dentry>,
) -> Result<(), Errno> {
    stored.enter(key, name, dentry.clone())?;
    parent.touch_modified(clock::now());
    Ok(())
}

/// A new inode that belongs to the caller, or to the group of a set-group-id directory.
#[inline(always)]
fn new_inode(
    parent: &Inode,
    stored: &Directory,
    name: &[u8],
    new: NewFile,
    credentials: &Credentials,
) -> Result<Arc<Inode>, Errno> {
    let ownership = inherit(parent, new.kind, new.permissions, credentials);
    stored.operations.create(parent, name, new, ownership)
}

/// Owner, group and permissions of a new file: inode(7), "set-group-ID bit of a directory".
fn inherit(parent: &Inode, kind: FileKind, mut permissions: u32, credentials: &Credentials) -> Ownership {
    let mut group = credentials.group.file_system;
    if parent.attributes.permissions() & S_ISGID != 0 {
        group = parent.attributes.group();
        if kind == FileKind::Directory {
            permissions |= S_ISGID;
        } else if permissions & (S_ISGID | 0o010) == S_ISGID | 0o010
            && !credentials.in_group(group)
            && !credentials.has_capability(capability::FSETID)
        {
            permissions &= !S_ISGID;
        }
    }
    let kept = if kind == FileKind::Directory { 0o1777 | S_ISGID } else { 0o1777 | S_ISGID | S_ISUID };
    Ownership { permissions: permissions & kept, user: credentials.user.file_system, group }
}
