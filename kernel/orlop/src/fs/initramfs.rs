//! The first root: a tmpfs, filled from the initramfs.
//!
//! What an archive asks for is done as Linux does it: names are relative to the root, files without a parent directory are passed
//! over, later entries replace earlier ones, hard links are kept. A broken archive ends the unpacking with a line on the console;
//! what was unpacked stays.

mod gzip;

use abi::Errno;
use alloc::sync::Arc;
use libkernel::cpio::{CpioError, Entry, HardLinks, Item, Reader};

use super::attributes::{DeviceNumber, FileKind, PERMISSION_BITS};
use super::change::{self, NewFile};
use super::clock;
use super::context::FsContext;
use super::dentry::Dentry;
use super::filesystem::{FileSystem, FileSystemKind};
use super::inode::{Body, Directory, Inode, Ownership};
use super::mount::{self, Location, Mount};
use super::remove::{self, Victim};
use super::walk::{Last, LastLink, Walk};
use crate::log;
use crate::process::Credentials;
use crate::user::IoSource;

/// How deep compressed parts may lie in each other.
const MAX_NESTING: u32 = 2;

/// Mounts the root, makes what Linux's built-in archive holds, and unpacks `archive` over it.
pub fn unpack(archive: &[u8]) {
    let root = mount_root();
    let context = FsContext::at(root);
    context.set_umask(0);
    let mut unpacker =
        Unpacker { context: &context, credentials: &Credentials::root(), links: HardLinks::default() };
    unpacker.make_defaults();
    if let Err(problem) = unpacker.unpack(archive, 0) {
        log!("Initramfs unpacking failed: {problem}");
    }
}

/// Mounts an empty tmpfs as the root of everything. Half of memory is for its files, as in Linux.
fn mount_root() -> Location {
    let pages = hal::frame::statistics().total / 2;
    let filesystem = FileSystem::new(FileSystemKind::RootFs, pages as u64);
    let root = new_root_directory(&filesystem, 0o755);
    let mount = Mount::new(filesystem, root, Arc::from(&b"rootfs"[..]), 0);
    let place = mount.root_location();
    mount::attach_root(mount);
    place
}

/// The root directory of a file system whose names are kept in memory.
pub fn new_root_directory(filesystem: &Arc<FileSystem>, permissions: u32) -> Arc<Dentry> {
    let ownership = Ownership { permissions, user: 0, group: 0 };
    let body = Body::Directory(Directory::new());
    Dentry::new_root(Inode::new(filesystem, FileKind::Directory, ownership, body, clock::now()))
}

struct Unpacker<'a> {
    context: &'a FsContext,
    credentials: &'a Credentials,
    links: HardLinks<Location>,
}

impl Unpacker<'_> {
    /// `/dev`, `/dev/console` and `/root`, which Linux has before any archive: `usr/default_cpio_list`.
    fn make_defaults(&self) {
        let console = NewFile::node(FileKind::CharacterDevice, 0o600, DeviceNumber::new(5, 1));
        for (path, new) in [
            (&b"dev"[..], NewFile::directory(0o755)),
            (b"dev/console", console),
            (b"root", NewFile::directory(0o700)),
        ] {
            // In a file system that was empty a moment ago these fail only for want of memory, which init will report.
            let _ = self.make(path, new);
        }
    }

    fn unpack(&mut self, bytes: &[u8], nesting: u32) -> Result<(), &'static str> {
        let mut reader = Reader::new(bytes);
        loop {
            match reader.next() {
                None => return Ok(()),
                Some(Err(error)) => return Err(describe(error)),
                Some(Ok(Item::Trailer)) => self.links.clear(),
                Some(Ok(Item::Entry(entry))) => self.make_entry(&entry).map_err(|_| "write error")?,
                Some(Ok(Item::Compressed(part))) if nesting < MAX_NESTING => {
                    let (inner, consumed) = gzip::decompress(part)?;
                    self.unpack(&inner, nesting + 1)?;
                    reader.skip_compressed(consumed);
                }
                Some(Ok(Item::Compressed(_))) => return Err("compressed too often"),
            }
        }
    }

    /// Makes one entry. Only a full file system is an error; what has no place in the tree is passed over.
    fn make_entry(&mut self, entry: &Entry<'_>) -> Result<(), Errno> {
        match self.try_entry(entry) {
            Err(errno @ (Errno::ENOSPC | Errno::ENOMEM)) => Err(errno),
            _ => Ok(()),
        }
    }

    fn try_entry(&mut self, entry: &Entry<'_>) -> Result<(), Errno> {
        let kind = FileKind::from_mode(entry.mode).ok_or(Errno::EINVAL)?;
        let permissions = entry.mode & PERMISSION_BITS;
        let place = match kind {
            FileKind::Directory => self.make_or_keep(entry.name, NewFile::directory(permissions))?,
            FileKind::Regular => return self.make_regular(entry),
            FileKind::Symlink => self.make(entry.name, NewFile::symlink(Arc::from(entry.data)))?,
            _ => match self.links.find(entry).cloned() {
                Some(first) => return self.link(&first, entry.name),
                None => {
                    let number = DeviceNumber::new(entry.node.0, entry.node.1);
                    self.make(entry.name, NewFile::node(kind, permissions, number))?
                }
            },
        };
        self.finish(entry, &place);
        Ok(())
    }

    fn make_regular(&mut self, entry: &Entry<'_>) -> Result<(), Errno> {
        let place = match self.links.find(entry).cloned() {
            Some(first) => {
                self.link(&first, entry.name)?;
                first
            }
            None => self.make(entry.name, NewFile::regular(entry.mode))?,
        };
        if !entry.data.is_empty() {
            let object = place.dentry.inode().object().ok_or(Errno::EIO)?;
            object.write(0, &mut IoSource::kernel(entry.data))?;
        }
        self.finish(entry, &place);
        Ok(())
    }

    /// Owner, times, and the memory of hard links.
    fn finish(&mut self, entry: &Entry<'_>, place: &Location) {
        let inode = place.dentry.inode();
        inode.attributes.set_owner(entry.uid, entry.gid);
        if inode.kind != FileKind::Symlink {
            inode.attributes.set_permissions(entry.mode & PERMISSION_BITS);
        }
        let modified = abi::time::Timespec { tv_sec: i64::from(entry.modified), tv_nsec: 0 };
        inode.attributes.update_times(|times| {
            times.accessed = modified;
            times.modified = modified;
        });
        self.links.remember(entry, place.clone());
    }

    fn walk(&self) -> Walk<'_> {
        Walk::new(self.context, self.credentials)
    }

    /// Makes a file, in place of whatever non-directory has its name.
    fn make(&self, path: &[u8], new: NewFile) -> Result<Location, Errno> {
        let tail = self.walk().to_parent(Some(self.context.root()), path)?;
        let Last::Name(name) = &tail.last else { return Err(Errno::EEXIST) };
        let removed = remove::remove(&tail.directory, name, Victim::File, self.credentials);
        if removed == Err(Errno::EISDIR) {
            remove::remove(&tail.directory, name, Victim::Directory, self.credentials)?;
        }
        let dentry = change::create(&tail.directory, name, new, self.credentials)?;
        Ok(Location { mount: tail.directory.mount, dentry })
    }

    /// Makes a directory, or takes the one that is there.
    fn make_or_keep(&self, path: &[u8], new: NewFile) -> Result<Location, Errno> {
        match self.walk().resolve(Some(self.context.root()), path, LastLink::Keep) {
            Ok(place) if place.dentry.inode().is_directory() => Ok(place),
            _ => self.make(path, new),
        }
    }

    fn link(&self, first: &Location, path: &[u8]) -> Result<(), Errno> {
        let tail = self.walk().to_parent(Some(self.context.root()), path)?;
        let Last::Name(name) = &tail.last else { return Err(Errno::EEXIST) };
        // Whatever has the name gives way; if it cannot, the link says so.
        let _ = remove::remove(&tail.directory, name, Victim::File, self.credentials);
        change::link(first, &tail.directory, name, self.credentials)
    }
}

fn describe(error: CpioError) -> &'static str {
    match error {
        CpioError::BadMagic => "no cpio magic",
        CpioError::BadNumber => "bad number in a header",
        CpioError::BadName => "bad name",
        CpioError::Truncated => "broken padding or truncated archive",
    }
}
