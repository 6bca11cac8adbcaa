//! Making names: new files, directories, links.
//!
//! A change is begun by entering its mount as a writer, and holds its directory's `changes` lock from the look at the old name to the entry of the new one. Checks come in
//! Linux's order: an existing name is EEXIST before permissions are looked at.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{S_ISGID, S_ISUID};
use memory::Object;
use subject::{Credentials, capability};

use super::attributes::{DeviceNumber, FileKind};
use super::clock;
use super::dentry::{Dentry, Linkable};
use super::directory::{Key, Name};
use super::filesystem::FileSystemKind;
use super::inode::{Body, Directory, Inode, Ownership};
use super::mount::Location;
use super::notify::Event;
use super::permission::{self, Access};
use super::pipe::Pipe;
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

enum Content {
    Empty,
    Link(Arc<[u8]>),
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

    fn into_body(self, filesystem: &super::filesystem::FileSystem) -> Result<Body, Errno> {
        Ok(match (self.kind, self.content) {
            (FileKind::Regular, _) => Body::Bytes(Object::limited(0, filesystem.budget.clone())),
            (FileKind::Directory, _) => Body::Directory(Directory::new()),
            (FileKind::Symlink, Content::Link(text)) => Body::Symlink(text),
            (FileKind::Fifo, _) => Body::Fifo(Pipe::new()),
            (FileKind::CharacterDevice | FileKind::BlockDevice, Content::Device(number)) => {
                Body::Device(number)
            }
            (FileKind::Socket, _) => Body::Socket,
            _ => return Err(Errno::EINVAL),
        })
    }
}

impl NewFile {
    /// Device nodes are for who has CAP_MKNOD (EPERM), except for a whiteout.
    fn check_privilege(&self, credentials: &Credentials) -> Result<(), Errno> {
        let is_device = matches!(self.kind, FileKind::CharacterDevice | FileKind::BlockDevice);
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
    let Some(stored) = parent.directory() else { return Err(refusal(&directory.dentry, key.name, new.kind)) };
    let writer = MountWriter::enter(&directory.mount);
    let _changes = stored.changes.lock();
    if stored.names.read().find(key).is_some() {
        return Err(Errno::EEXIST);
    }
    let _writer = writer?;
    may_change(directory, credentials)?;
    new.check_privilege(credentials)?;
    let kind = new.kind;
    let inode = new_inode(parent, new, credentials)?;
    let label: Name = Arc::from(key.name);
    let dentry = Dentry::new(inode, directory.dentry.clone(), label.clone());
    enter(parent, stored, key, label, &dentry)?;
    if kind == FileKind::Directory {
        parent.add_link();
    }
    parent.watched.tell(Event::Created);
    Ok(dentry)
}

/// A whiteout, character device 0:0, that is to take the place of a name. Nobody can open one, so making it is not making a device.
pub fn new_whiteout(
    directory: &Location,
    name: &Key<'_>,
    credentials: &Credentials,
) -> Result<Arc<Dentry>, Errno> {
    let new = NewFile::node(FileKind::CharacterDevice, 0, WHITEOUT);
    let inode = new_inode(directory.dentry.inode(), new, credentials)?;
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
    if parent.directory().is_none() {
        return Err(Errno::EOPNOTSUPP);
    }
    may_change(directory, credentials)?;
    let inode = new_inode(parent, NewFile::regular(permissions), credentials)?;
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
    let Some(stored) = parent.directory() else {
        return Err(match refusal(&directory.dentry, name, inode.kind) {
            Errno::EACCES | Errno::EPERM => Errno::EXDEV,
            other => other,
        });
    };
    let writer = MountWriter::enter(&directory.mount);
    let key = Key::new(name);
    let _changes = stored.changes.lock();
    if stored.names.read().find(&key).is_some() {
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
    if inode.attributes.links() == 0 && !target.dentry.is_linkable_without_name() {
        return Err(Errno::ENOENT);
    }
    if inode.attributes.links() != 0 {
        inode.filesystem.check_room_for_inode()?;
    }
    let label: Name = Arc::from(name);
    let dentry = Dentry::new(inode.clone(), directory.dentry.clone(), label.clone());
    enter(parent, stored, &key, label, &dentry)?;
    inode.add_link();
    target.dentry.forbid_linking();
    inode.touch_changed(clock::now());
    parent.watched.tell(Event::Created);
    Ok(())
}

/// EACCES unless the caller, who has entered the mount as a writer, may change the names of the directory.
pub fn may_change(directory: &Location, credentials: &Credentials) -> Result<(), Errno> {
    permission::check(directory.dentry.inode(), credentials, Access::WRITE.and(Access::EXECUTE))
}

/// Why no name can be made here at all. A name that is there is EEXIST; of others `/proc` says that it cannot find them, while what
/// sysfs says depends on what is to be made: EACCES for a file, EPERM for all else.
pub fn refusal(parent: &Arc<Dentry>, name: &[u8], kind: FileKind) -> Errno {
    let inode = parent.inode();
    if !inode.is_directory() {
        return Errno::ENOTDIR;
    }
    match super::walk::child(parent, name) {
        Ok(_) => Errno::EEXIST,
        Err(Errno::ENOENT) if inode.filesystem.kind == FileSystemKind::Sysfs => match kind {
            FileKind::Regular => Errno::EACCES,
            _ => Errno::EPERM,
        },
        Err(errno) => errno,
    }
}

/// Puts the dentry among the directory's names. ENOENT when the directory has been removed.
fn enter(
    parent: &Inode,
    stored: &Directory,
    key: &Key<'_>,
    name: Name,
    dentry: &Arc<Dentry>,
) -> Result<(), Errno> {
    let mut names = stored.names.write();
    names.insert(key, name, dentry.clone())?;
    drop(names);
    parent.touch_modified(clock::now());
    Ok(())
}

/// A new inode that belongs to the caller, or to the group of a set-group-id directory. ENOSPC when only the kernel's reserve is
/// left: files without content take kernel memory too.
fn new_inode(parent: &Inode, new: NewFile, credentials: &Credentials) -> Result<Arc<Inode>, Errno> {
    if !hal::frame::may_allocate() {
        return Err(Errno::ENOSPC);
    }
    parent.filesystem.check_room_for_inode()?;
    let kind = new.kind;
    let ownership = inherit(parent, kind, new.permissions, credentials);
    let body = new.into_body(&parent.filesystem)?;
    Ok(Inode::new(&parent.filesystem, kind, ownership, body, clock::now()))
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
