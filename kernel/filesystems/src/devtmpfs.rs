//! devtmpfs: a tmpfs with a node for each device that the kernel knows. There is one, whatever it is mounted on.

use alloc::sync::Arc;

use abi::Errno;
use hal::sync::Once;
use subject::Credentials;
use vfs::change::{self, NewFile};
use vfs::dentry::Dentry;
use vfs::device;
use vfs::inode::Ownership;
use vfs::mount::Mount;

use crate::tmpfs::{self, InMemory, Limits, Shown, TMPFS};

/// Device nodes.
pub static DEVTMPFS: InMemory = InMemory {
    name: "devtmpfs",
    knows_inode_flags: false,
    is_configured_whole: true,
    mount: |_options, _by| root(),
    ..TMPFS
};

static ROOT: Once<Arc<Dentry>> = Once::new();

fn root() -> Result<Arc<Dentry>, Errno> {
    ROOT.get_or_try_init(make).cloned()
}

fn make() -> Result<Arc<Dentry>, Errno> {
    let limits = Limits::usual(Shown::Limits);
    let root = tmpfs::new_instance(&DEVTMPFS, limits, Ownership::of_root(0o755))?;
    let mount = Mount::new(root.inode().filesystem.clone(), root.clone(), Arc::from(&b"devtmpfs"[..]), 0);
    device::devices()?.each_known(&mut |known| {
        let new = NewFile::node(known.kind.file_kind(), known.permissions, known.number);
        change::create(&mount.root_location(), known.name, new, &Credentials::root()).map(drop)
    })?;
    Ok(root)
}
