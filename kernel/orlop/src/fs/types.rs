//! The types of file system that mount(2) knows, and what their options mean.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{MS_MANDLOCK, MS_RDONLY, MS_SYNCHRONOUS};
use hal::sync::Once;
use subject::Credentials;

use super::attributes::FileKind;
use super::change::{self, NewFile};
use super::dentry::Dentry;
use super::device::known_devices;
use super::filesystem::{FileSystem, FileSystemKind};
use super::initramfs::new_root_directory;
use super::mount::Mount;
use super::{proc, sysfs};

/// The types, as `/proc/filesystems` lists them; none of them needs a device.
pub const NAMES: &[&str] = &["sysfs", "tmpfs", "devtmpfs", "proc", "ramfs"];

/// Makes a mount of the type called `name`, not yet attached. ENODEV for a type there is none of.
pub fn create(name: &[u8], source: &[u8], flags: u64, options: &[u8]) -> Result<Arc<Mount>, Errno> {
    let source: Arc<[u8]> = Arc::from(if source.is_empty() { b"none" } else { source });
    match name {
        b"tmpfs" | b"ramfs" => {
            let options = Options::parse(options)?;
            let filesystem = FileSystem::limited(FileSystemKind::TmpFs, options.pages, options.inodes);
            let root = new_root_directory(&filesystem, options.permissions);
            root.inode().attributes.set_owner(options.user, options.group);
            filesystem.end_with_last_mount(&root);
            Ok(Mount::new(filesystem, root, source, flags))
        }
        b"devtmpfs" => {
            let root = device_root()?;
            Ok(Mount::new(root.inode().filesystem.clone(), root, source, flags))
        }
        b"proc" => {
            let root = proc::new_instance();
            let filesystem = root.inode().filesystem.clone();
            reconfigure(&filesystem, options)?;
            Ok(Mount::new(filesystem, root, source, flags))
        }
        b"sysfs" => {
            let root = sysfs::root();
            Ok(Mount::new(root.inode().filesystem.clone(), root, source, flags))
        }
        _ => Err(Errno::ENODEV),
    }
}

/// Other options for a file system that is mounted: `MS_REMOUNT`. EINVAL for what its type does not know, or cannot change.
pub fn reconfigure(filesystem: &FileSystem, options: &[u8]) -> Result<(), Errno> {
    match filesystem.kind {
        FileSystemKind::TmpFs | FileSystemKind::RootFs => {
            let asked = Options::parse(options)?;
            let names_size = |word: &[u8]| word.starts_with(b"size=") || word.starts_with(b"nr_blocks=");
            if options.split(|&byte| byte == b',').any(names_size) {
                filesystem.budget.set_limit(asked.pages)?;
            }
            Ok(())
        }
        FileSystemKind::Proc => filesystem.view.as_ref().map_or(Ok(()), |view| view.configure(options)),
        _ if options.is_empty() => Ok(()),
        _ => Err(Errno::EINVAL),
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

/// Takes what is called the source out of the options, which counts where none is given otherwise; EINVAL for a second one, and for one
/// that has no text (Linux: `vfs_parse_fs_param_source`).
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

static DEVICES: Once<Arc<Dentry>> = Once::new();

/// The root of devtmpfs, of which there is one, whatever it is mounted on.
fn device_root() -> Result<Arc<Dentry>, Errno> {
    DEVICES.get_or_try_init(make_devices).cloned()
}

fn make_devices() -> Result<Arc<Dentry>, Errno> {
    let filesystem = FileSystem::new(FileSystemKind::DevTmpFs, default_pages());
    let root = new_root_directory(&filesystem, 0o755);
    let mount = Mount::new(filesystem, root.clone(), Arc::from(&b"devtmpfs"[..]), 0);
    for known in known_devices() {
        let new = NewFile::node(FileKind::CharacterDevice, known.permissions, known.number);
        change::create(&mount.root_location(), known.name, new, &Credentials::root())?;
    }
    Ok(root)
}

/// Half of memory, as Linux's tmpfs has it where nothing else is said.
fn default_pages() -> u64 {
    hal::frame::statistics().total as u64 / 2
}

/// What tmpfs takes as options: tmpfs(5).
struct Options {
    pages: u64,
    inodes: u64,
    permissions: u32,
    user: u32,
    group: u32,
}

impl Options {
    /// Reads `size=64m,mode=1777,uid=0,gid=0,…`. EINVAL for anything that tmpfs does not know.
    fn parse(text: &[u8]) -> Result<Options, Errno> {
        let mut options =
            Options { pages: default_pages(), inodes: u64::MAX, permissions: 0o1777, user: 0, group: 0 };
        for word in text.split(|&byte| byte == b',').filter(|word| !word.is_empty()) {
            let mut halves = word.splitn(2, |&byte| byte == b'=');
            let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            match name {
                b"size" => options.pages = size_in_pages(value)?,
                b"nr_blocks" => options.pages = scaled(value)?,
                b"mode" => options.permissions = number(value, 8)? as u32,
                b"uid" => options.user = number(value, 10)? as u32,
                b"gid" => options.group = number(value, 10)? as u32,
                b"nr_inodes" => {
                    let limit = scaled(value)?;
                    options.inodes = if limit == 0 { u64::MAX } else { limit };
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

fn number(text: &[u8], radix: u32) -> Result<u64, Errno> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    u64::from_str_radix(text, radix).map_err(|_| Errno::EINVAL)
}

/// A number with an optional `k`, `m` or `g`.
fn scaled(text: &[u8]) -> Result<u64, Errno> {
    let (digits, shift) = match text.split_last() {
        Some((b'k' | b'K', digits)) => (digits, 10),
        Some((b'm' | b'M', digits)) => (digits, 20),
        Some((b'g' | b'G', digits)) => (digits, 30),
        _ => (text, 0),
    };
    number(digits, 10)?.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}

/// A size in bytes or percent of memory; nothing or zero is no limit.
fn size_in_pages(text: &[u8]) -> Result<u64, Errno> {
    const PAGE: u64 = 4096;
    let pages = match text.split_last() {
        Some((b'%', digits)) => {
            let percent = number(digits, 10)?.min(100);
            hal::frame::statistics().total as u64 * percent / 100
        }
        _ => scaled(text)?.div_ceil(PAGE),
    };
    Ok(if pages == 0 { u64::MAX } else { pages })
}

/// The lines of `/proc/filesystems`.
pub fn listing() -> Vec<u8> {
    NAMES.iter().flat_map(|name| [b"nodev\t", name.as_bytes(), b"\n"].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_are_read_as_linux_reads_them() {
        let options = Options::parse(b"size=64m,mode=700,uid=5").expect("valid");
        assert_eq!((options.pages, options.permissions, options.user), (16384, 0o700, 5));
        assert!(Options::parse(b"size=x").is_err());
        assert!(Options::parse(b"colour=red").is_err());
        assert_eq!(Options::parse(b"size=0").map(|options| options.pages).ok(), Some(u64::MAX));
    }
}
