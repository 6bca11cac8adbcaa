//! The first root: a tmpfs, filled from the initramfs.
//!
//! What an archive asks for is done as Linux does it: names are relative to the root, files without a parent directory
//! are passed over, later entries replace earlier ones, hard links are kept. A broken archive ends the unpacking with a
//! line on the console; what was unpacked stays. An archive that does not fit into memory ends the kernel. Archives and
//! parts that are compressed by gzip, xz or zstd may follow each other in any order; neither is ever in memory as a
//! whole but as files.

mod compressed;
mod gzip;
mod xz;
mod zstd;

use abi::Errno;
use abi::time::Timespec;
use alloc::sync::Arc;
use alloc::vec::Vec;
use filesystems::tmpfs::{self, Limits, ROOTFS, Shown};
use klog::Level;
use libkernel::cpio::{Entry, HardLinks, Input, Item, Problem, Reader};
use memory::user::IoSource;
use outcome::OrErrno;
use subject::{Credentials, UserNamespace};
use vfs::attribute_operations::Change;
use vfs::attributes::{DeviceNumber, FileKind, PERMISSION_BITS};
use vfs::change::{self, NewFile};
use vfs::context::FsContext;
use vfs::inode::Ownership;
use vfs::mount::{self, Location, Mount};
use vfs::remove::{self, Victim};
use vfs::walk::{Last, LastLink, Walk};

/// What is said of a file that has no room. The kernel ends then: programs would find files without their ends.
const NO_ROOM: Problem = "write error";

/// Mounts the root, makes what Linux's built-in archive holds, and unpacks `archive` over it.
pub fn unpack(archive: &[u8]) -> Arc<mount::Namespace> {
    let root = new_root();
    let context = FsContext::at(root.root_location());
    context.set_umask(0);
    let mut unpacker = Unpacker {
        context: &context,
        credentials: &Credentials::root(),
        links: HardLinks::default(),
        folders: Vec::new(),
    };
    unpacker.make_defaults();
    let outcome = unpacker.unpack(archive);
    unpacker.set_times_of_folders();
    match outcome {
        Ok(()) => {}
        Err(NO_ROOM) => {
            let pages = hal::frame::statistics().total;
            panic!("Initramfs unpacking failed: {NO_ROOM}: it does not fit into {} KiB of memory", pages * 4);
        }
        // As on Linux, what was unpacked may do.
        Err(problem) => {
            klog::line(Level::Emergency, format_args!("Initramfs unpacking failed: {problem}"));
        }
    }
    mount::Namespace::initial(root)
}

/// An empty tmpfs to be the root of everything. Half of memory is for its files, as in Linux.
#[inline(never)]
fn new_root() -> Arc<Mount> {
    let limits = Limits::usual(Shown::Limits);
    let root = tmpfs::new_instance(&ROOTFS, limits, Ownership::of_root(0o755)).expect("the first instance");
    let filesystem = root.inode().filesystem.clone();
    Mount::new(filesystem, root, Arc::from(&b"rootfs"[..]), 0)
}

struct Unpacker<'a> {
    context: &'a FsContext,
    credentials: &'a Credentials,
    links: HardLinks<Location>,
    /// Directories and when they were changed, which is set when no more names are made in them.
    folders: Vec<(Location, u32)>,
}

impl Unpacker<'_> {
    /// `/dev`, `/dev/console` and `/root`, which Linux has before any archive: `usr/default_cpio_list`.
    #[inline(never)]
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

    /// Unpacks archives and compressed parts, in any order.
    fn unpack(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let mut reader = Reader::new(bytes, 0);
        while self.unpack_archives(&mut reader)? == Item::Other {
            let (rest, position) = reader.into_parts();
            let mut part = compressed::open(rest)?;
            let mut inner = Reader::new(&mut *part, 0);
            if self.unpack_archives(&mut inner)? == Item::Other {
                return Err("junk within compressed archive");
            }
            let behind = part.rest();
            reader = Reader::new(behind, position + (rest.len() - behind.len()) as u64);
        }
        Ok(())
    }

    /// Unpacks archives up to the end, or to something else; which of the two it was.
    #[inline(never)]
    fn unpack_archives<I: Input>(&mut self, reader: &mut Reader<I>) -> Result<Item, Problem> {
        loop {
            match reader.next_item()? {
                Item::Trailer => self.links.clear(),
                Item::Entry(entry) => self.make_entry(&entry, reader)?,
                end => return Ok(end),
            }
        }
    }

    /// Makes one entry. What has no place in the tree is passed over.
    fn make_entry<I: Input>(&mut self, entry: &Entry, reader: &mut Reader<I>) -> Result<(), Problem> {
        let target = if FileKind::from_mode(entry.mode) == Some(FileKind::Symlink) {
            read_target(entry, reader)?
        } else {
            Vec::new()
        };
        match self.try_entry(entry, target) {
            Ok(Some(place)) => write_content(&place, reader)?,
            Err(Errno::ENOSPC | Errno::ENOMEM) => return Err(NO_ROOM),
            Ok(None) | Err(_) => return Ok(()),
        }
        Ok(())
    }

    /// Makes the file; of a regular one, where its content goes.
    fn try_entry(&mut self, entry: &Entry, target: Vec<u8>) -> Result<Option<Location>, Errno> {
        let kind = FileKind::from_mode(entry.mode).ok_or(Errno::EINVAL)?;
        let permissions = entry.mode & PERMISSION_BITS;
        let name = &entry.name;
        let place = match kind {
            FileKind::Directory => {
                self.folders.try_reserve(1).or_errno()?;
                let place = self.make_or_keep(name, NewFile::directory(permissions))?;
                self.folders.push((place.clone(), entry.modified));
                place
            }
            FileKind::Regular => {
                let place = self.make_regular(entry)?;
                self.finish(entry, &place);
                return Ok(Some(place));
            }
            FileKind::Symlink => self.make(name, NewFile::symlink(Arc::from(target)))?,
            _ => match self.links.find(entry).cloned() {
                Some(first) => {
                    self.link(&first, name)?;
                    return Ok(None);
                }
                None => {
                    let number = DeviceNumber::new(entry.node.0, entry.node.1);
                    self.make(name, NewFile::node(kind, permissions, number))?
                }
            },
        };
        self.finish(entry, &place);
        Ok(None)
    }

    fn make_regular(&mut self, entry: &Entry) -> Result<Location, Errno> {
        match self.links.find(entry).cloned() {
            Some(first) => {
                self.link(&first, &entry.name)?;
                Ok(first)
            }
            None => self.make(&entry.name, NewFile::regular(entry.mode)),
        }
    }

    /// Owner, times, and the memory of hard links.
    fn finish(&mut self, entry: &Entry, place: &Location) {
        let inode = place.dentry.inode();
        let permissions = (inode.kind != FileKind::Symlink).then_some(entry.mode & PERMISSION_BITS);
        let (names, attributes) = (UserNamespace::initial(), &inode.attributes);
        // The number that is nobody's leaves it as it is, as for chown(2).
        let user = names.user(entry.uid).unwrap_or_else(|| attributes.owner());
        let group = names.group(entry.gid).unwrap_or_else(|| attributes.group());
        let change = Change { permissions, owner: Some((user, group)), ..Change::NONE };
        // What is unpacked is kept in memory, where nothing has to be stored.
        let _ = inode.lock_attributes().make(&change);
        set_times(place, entry.modified);
        self.links.remember(entry, place.clone());
    }

    /// Gives the directories their times. In the order of the archives: the last entry of a name decides.
    fn set_times_of_folders(&mut self) {
        self.folders.drain(..).for_each(|(place, modified)| set_times(&place, modified));
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

/// Sets the times of a file, in seconds since 1970.
fn set_times(place: &Location, seconds: u32) {
    let modified = Timespec { tv_sec: i64::from(seconds), tv_nsec: 0 };
    place.dentry.inode().attributes.update_times(|times| {
        times.accessed = modified;
        times.modified = modified;
    });
}

/// The target of a symbolic link.
fn read_target<I: Input>(entry: &Entry, reader: &mut Reader<I>) -> Result<Vec<u8>, Problem> {
    /// The longest target (`PATH_MAX`).
    const MOST: u32 = 4096;
    let mut target = Vec::new();
    if entry.size <= MOST {
        while reader.data(&mut |piece| {
            target.extend_from_slice(piece);
            Ok(())
        })? {}
    }
    Ok(target)
}

/// Writes what follows in the archive into a regular file.
fn write_content<I: Input>(place: &Location, reader: &mut Reader<I>) -> Result<(), Problem> {
    let Some(object) = place.dentry.inode().object() else { return Ok(()) };
    let mut position = 0;
    while reader.data(&mut |piece| {
        object.write(position, &mut IoSource::kernel(piece)).map_err(|_| NO_ROOM)?;
        position += piece.len() as u64;
        Ok(())
    })? {}
    Ok(())
}
