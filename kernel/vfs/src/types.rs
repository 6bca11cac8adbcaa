//! The types of file system that mount(2) knows, and what options mean whatever the type.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{MS_MANDLOCK, MS_NODEV, MS_RDONLY, MS_SYNCHRONOUS};
use hal::sync::Once;
use subject::Credentials;

use super::attributes::FileKind;
use super::context::FsContext;
use super::filesystem::{FileSystemType, Source};
use super::inode::Body;
use super::mount::Mount;
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

/// Makes a mount of the type called `name`, not yet attached, for who asks for it and stands in `context`. ENODEV for a
/// type there is none of; what [`find_source`] says of its source.
pub fn create(
    name: &[u8],
    source: &[u8],
    flags: u64,
    options: &[u8],
    context: &FsContext,
    by: &Credentials,
) -> Result<Arc<Mount>, Errno> {
    let kind = all().iter().find(|kind| kind.name().as_bytes() == name).ok_or(Errno::ENODEV)?;
    let root = kind.mount(find_source(*kind, source, context, by)?, options, by)?;
    let source: &[u8] = if source.is_empty() { b"none" } else { source };
    Ok(Mount::new(root.inode().filesystem.clone(), root, Arc::from(source), flags))
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

/// `MS_*` flags of a file system that words among its options set, and such that they clear.
#[derive(Clone, Copy, Default)]
pub struct FlagWords {
    /// Set.
    pub set: u64,
    /// Cleared.
    pub clear: u64,
}

/// Takes the words out of the options that every type knows: mount(8), "Filesystem-independent mount options" (Linux:
/// `vfs_parse_sb_flag`). The last word about a flag counts.
pub fn take_flag_words(options: &mut Vec<u8>) -> FlagWords {
    let mut flags = FlagWords::default();
    let mut rest = Vec::new();
    for word in options.split(|&byte| byte == b',').filter(|word| !word.is_empty()) {
        let (flag, is_set) = match word {
            b"ro" => (MS_RDONLY, true),
            b"rw" => (MS_RDONLY, false),
            b"sync" => (MS_SYNCHRONOUS, true),
            b"async" => (MS_SYNCHRONOUS, false),
            b"mand" => (MS_MANDLOCK, true),
            b"nomand" => (MS_MANDLOCK, false),
            // Everything is memory: nothing is written late.
            b"dirsync" | b"lazytime" | b"nolazytime" => (0, true),
            other => {
                rest.extend_from_slice(other);
                rest.push(b',');
                continue;
            }
        };
        let (one, other) =
            if is_set { (&mut flags.set, &mut flags.clear) } else { (&mut flags.clear, &mut flags.set) };
        *one |= flag;
        *other &= !flag;
    }
    *options = rest;
    flags
}

/// Takes what is called the source out of the options, which counts where none is given otherwise; EINVAL for a second
/// one, and for one that has no text (Linux: `vfs_parse_fs_param_source`).
pub fn take_source(options: &mut Vec<u8>, given: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Errno> {
    let mut source = given;
    let mut rest = Vec::new();
    for word in options.split(|&byte| byte == b',').filter(|word| !word.is_empty()) {
        match word.strip_prefix(b"source=") {
            Some(text) if source.is_none() => source = Some(text.to_vec()),
            Some(_) => return Err(Errno::EINVAL),
            None if word == b"source" => return Err(Errno::EINVAL),
            None => {
                rest.extend_from_slice(word);
                rest.push(b',');
            }
        }
    }
    *options = rest;
    Ok(source)
}

/// The lines of `/proc/filesystems`.
pub fn listing() -> Vec<u8> {
    let line = |kind: &&dyn FileSystemType| {
        let device: &[u8] = if kind.needs_device() { b"" } else { b"nodev" };
        [device, b"\t", kind.name().as_bytes(), b"\n"].concat()
    };
    all().iter().flat_map(line).collect()
}
