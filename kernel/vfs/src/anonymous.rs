//! Files without a name in any directory: pipes, event files and their like.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{ANON_INODE_FS_MAGIC, PIPEFS_MAGIC};
use hal::sync::Once;
use subject::Credentials;

use super::attributes::FileKind;
use super::clock;
use super::dentry::{Dentry, Linkable};
use super::directory::{Name, Unreachable};
use super::file::{File, FileOperations, Handle};
use super::filesystem::{FileSystem, FileSystemType, NoOperations};
use super::inode::{Body, Inode, Ownership};
use super::mount::{Location, Mount};

/// Pipes, which have no names.
struct PipeFs;

impl FileSystemType for PipeFs {
    fn name(&self) -> &'static str {
        "pipefs"
    }

    fn magic(&self) -> i64 {
        PIPEFS_MAGIC
    }

    fn description(&self, dentry: &Dentry) -> Option<Vec<u8>> {
        Some(alloc::format!("pipe:[{}]", dentry.inode().number).into_bytes())
    }
}

/// Event files and the like, which have no names.
struct AnonymousInodes;

impl FileSystemType for AnonymousInodes {
    fn name(&self) -> &'static str {
        "anon_inodefs"
    }

    fn magic(&self) -> i64 {
        ANON_INODE_FS_MAGIC
    }

    fn description(&self, dentry: &Dentry) -> Option<Vec<u8>> {
        Some(dentry.name().to_vec())
    }
}

/// The mounts, attached nowhere, that nameless files of a type belong to; made when first needed.
static PIPES: Once<Arc<Mount>> = Once::new();
static OTHERS: Once<Arc<Mount>> = Once::new();

/// The permissions of what only its maker has.
const PRIVATE: u32 = 0o600;

/// A mount of a new file system of this type, attached nowhere.
pub fn new_mount(kind: &'static dyn FileSystemType) -> Result<Arc<Mount>, Errno> {
    let filesystem = FileSystem::new(kind, Arc::new(NoOperations))?;
    let ownership = Ownership::of_root(0o700);
    let body = Body::directory(Box::new(Unreachable));
    let root = Inode::new(&filesystem, FileKind::Directory, ownership, body, clock::now());
    Ok(mount_of_root(Dentry::new_root(root)))
}

/// A mount with this root, attached nowhere.
pub fn mount_of_root(root: Arc<Dentry>) -> Arc<Mount> {
    let filesystem = root.inode().filesystem.clone();
    let source = Arc::from(filesystem.kind.name().as_bytes());
    Mount::new(filesystem, root, source, 0)
}

/// The place of a new file that has no name.
pub fn location(
    mount: Arc<Mount>,
    kind: FileKind,
    body: Body,
    label: Name,
    permissions: u32,
    credentials: &Credentials,
) -> Location {
    let ownership =
        Ownership { permissions, user: credentials.user.file_system, group: credentials.group.file_system };
    let inode = Inode::new(&mount.filesystem, kind, ownership, body, clock::now());
    Location { mount, dentry: Dentry::new_nameless(inode, None, label, Linkable::No) }
}

/// The place of a new nameless pipe.
pub fn pipe_location(body: Body, credentials: &Credentials) -> Result<Location, Errno> {
    let mount = PIPES.get_or_try_init(|| new_mount(&PipeFs))?.clone();
    Ok(location(mount, FileKind::Fifo, body, Name::default(), PRIVATE, credentials))
}

/// Opens a new file that exists only as `operations`; `label` is what `/proc/PID/fd` shows, such as
/// `anon_inode:[eventfd]`.
pub fn open(
    operations: Arc<dyn FileOperations>,
    label: &'static str,
    flags: u32,
    credentials: &Credentials,
) -> Result<Arc<File>, Errno> {
    let mount = OTHERS.get_or_try_init(|| new_mount(&AnonymousInodes))?.clone();
    let body = Body::Special(operations.clone());
    let place = location(mount, FileKind::Untyped, body, Arc::from(label.as_bytes()), PRIVATE, credentials);
    Ok(File::new(place, Handle::Special(operations), flags, None))
}
