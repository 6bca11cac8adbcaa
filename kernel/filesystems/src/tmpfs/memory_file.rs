//! Regular files in memory that have no name: memfd_create(2).

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{O_LARGEFILE, O_RDWR};
use hal::sync::Once;
use subject::Credentials;

use super::{Limits, TMPFS, new_instance};
use memory::Object;
use vfs::File;
use vfs::anonymous;
use vfs::attributes::FileKind;
use vfs::directory::Name;
use vfs::file::Handle;
use vfs::inode::{Body, Ownership};
use vfs::mount::Mount;
use vfs::writers::ContentWriter;

/// The mount, attached nowhere, that they are on.
static MOUNT: Once<Arc<Mount>> = Once::new();

fn make_mount() -> Result<Arc<Mount>, Errno> {
    new_instance(&TMPFS, Limits::of_pages(0), Ownership::of_root(0o700)).map(anonymous::mount_of_root)
}

/// Opens a new regular file over an object, which has no name; `label` is what `/proc/PID/fd` shows.
pub fn open_memory(object: Arc<Object>, label: Name, credentials: &Credentials) -> Result<Arc<File>, Errno> {
    let mount = MOUNT.get_or_try_init(make_mount)?.clone();
    let place = anonymous::location(mount, FileKind::Regular, Body::Bytes(object), label, 0o777, credentials);
    // Its mount is always writable.
    let writer = ContentWriter::of_nameless(&place.mount).ok();
    Ok(File::new(place, Handle::Bytes, O_RDWR | O_LARGEFILE, writer))
}
