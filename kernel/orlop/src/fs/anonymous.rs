//! Files without a name in any directory: pipes, event files and their like.

use alloc::sync::Arc;

use abi::fs::{O_LARGEFILE, O_RDWR};
use hal::sync::Once;
use memory::Object;
use subject::Credentials;

use super::attributes::FileKind;
use super::clock;
use super::dentry::{Dentry, Linkable};
use super::directory::Name;
use super::file::{File, FileOperations, Handle};
use super::filesystem::{FileSystem, FileSystemKind};
use super::inode::{Body, Directory, Inode, Ownership};
use super::mount::{Location, Mount};
use super::writers::ContentWriter;

static PIPES: Once<Arc<Mount>> = Once::new();
static MEMORY: Once<Arc<Mount>> = Once::new();
static OTHERS: Once<Arc<Mount>> = Once::new();

/// The mount, attached nowhere, that nameless files of a kind belong to; made when first needed.
fn mount_of(slot: &'static Once<Arc<Mount>>, kind: FileSystemKind) -> Arc<Mount> {
    slot.get_or_init(|| new_mount(kind)).clone()
}

/// A mount of a new file system of this kind, attached nowhere.
pub(super) fn new_mount(kind: FileSystemKind) -> Arc<Mount> {
    let filesystem = FileSystem::new(kind, 0);
    let ownership = Ownership { permissions: 0o700, user: 0, group: 0 };
    let root = Inode::new(
        &filesystem,
        FileKind::Directory,
        ownership,
        Body::Directory(Directory::new()),
        clock::now(),
    );
    Mount::new(filesystem, Dentry::new_root(root), Arc::from(kind.name().as_bytes()), 0)
}

fn location(
    mount: Arc<Mount>,
    kind: FileKind,
    body: Body,
    label: Name,
    credentials: &Credentials,
) -> Location {
    let ownership = Ownership {
        permissions: 0o600,
        user: credentials.user.file_system,
        group: credentials.group.file_system,
    };
    let inode = Inode::new(&mount.filesystem, kind, ownership, body, clock::now());
    Location { mount, dentry: Dentry::new_nameless(inode, None, label, Linkable::No) }
}

/// The place of a new nameless pipe.
pub fn pipe_location(body: Body, credentials: &Credentials) -> Location {
    let mount = mount_of(&PIPES, FileSystemKind::PipeFs);
    location(mount, FileKind::Fifo, body, Name::default(), credentials)
}

/// Opens a new regular file over an object, which has no name; `label` is what `/proc/PID/fd` shows.
pub fn open_memory(object: Arc<Object>, label: Name, credentials: &Credentials) -> Arc<File> {
    let mount = mount_of(&MEMORY, FileSystemKind::TmpFs);
    let body = Body::Bytes(object);
    let place = location(mount, FileKind::Regular, body, label, credentials);
    place.dentry.inode().attributes.set_permissions(0o777);
    // Its mount is always writable.
    let writer = ContentWriter::of_nameless(&place.mount).ok();
    File::new(place, Handle::Bytes, O_RDWR | O_LARGEFILE, writer)
}

/// Opens a new file that exists only as `operations`; `label` is what `/proc/PID/fd` shows, such as `anon_inode:[eventfd]`.
pub fn open(
    operations: Arc<dyn FileOperations>,
    label: &'static str,
    flags: u32,
    credentials: &Credentials,
) -> Arc<File> {
    let mount = mount_of(&OTHERS, FileSystemKind::AnonymousInodes);
    let body = Body::Special(operations.clone());
    let place = location(mount, FileKind::Untyped, body, Arc::from(label.as_bytes()), credentials);
    File::new(place, Handle::Special(operations), flags, None)
}
