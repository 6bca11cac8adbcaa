//! The types of file system that mount(2) knows, and what is mounted as each.

use alloc::vec::Vec;

use abi::Errno;
use abi::fs::MS_NODEV;
use hal::sync::Once;
use subject::Credentials;

use super::attributes::FileKind;
use super::context::FsContext;
use super::filesystem::{FileSystemType, Source};
use super::inode::Body;
use super::walk::{LastLink, Walk};

static TYPES: Once<&'static [&'static dyn FileSystemType]> = Once::new();

/// Says once, at boot, which types there are, in the order of `/proc/filesystems`.
pub fn provide(types: &'static [&'static dyn FileSystemType]) {
    // Whoever comes second brings the same ones.
    let _ = TYPES.set(types);
}

fn all() -> &'static [&'static dyn FileSystemType] {
    TYPES.get().copied().unwrap_or_default()
}

/// The type of this name. ENODEV where there is none.
pub fn find(name: &[u8]) -> Result<&'static dyn FileSystemType, Errno> {
    all().iter().find(|kind| kind.name().as_bytes() == name).copied().ok_or(Errno::ENODEV)
}

/// What a text says that is to be mounted as this type. ENOTBLK for what is no block device where one is needed, EACCES
/// for one that lies on a mount without devices, EINVAL for no text (Linux: `lookup_bdev`).
pub fn find_source<'a>(
    kind: &dyn FileSystemType,
    text: &'a [u8],
    context: &FsContext,
    by: &Credentials,
) -> Result<Source<'a>, Errno> {
    if !kind.needs_device() {
        return Ok(Source::Name(text));
    }
    if text.is_empty() {
        return Err(Errno::EINVAL);
    }
    let place = Walk::new(context, by).resolve(Some(context.working_directory()), text, LastLink::Follow)?;
    let inode = place.dentry.inode();
    match inode.body {
        Body::Device(_) if inode.kind != FileKind::BlockDevice => Err(Errno::ENOTBLK),
        Body::Device(_) if place.mount.flags() & MS_NODEV != 0 => Err(Errno::EACCES),
        Body::Device(number) => Ok(Source::Device(number)),
        _ => Err(Errno::ENOTBLK),
    }
}

/// The lines of `/proc/filesystems`.
pub fn listing() -> Vec<u8> {
    let line = |kind: &&dyn FileSystemType| {
        let device: &[u8] = if kind.needs_device() { b"" } else { b"nodev" };
        [device, b"\t", kind.name().as_bytes(), b"\n"].concat()
    };
    all().iter().flat_map(line).collect()
}
