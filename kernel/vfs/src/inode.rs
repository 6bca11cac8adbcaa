//! A file itself: its attributes and its content, whatever names it has.
//!
//! What every file shares (attributes, number, locks) is in [`Inode`]; what differs by kind is [`Body`]. Stored files
//! are plain data here; directories bring [`directory::DirectoryOperations`](super::directory::DirectoryOperations),
//! files that the kernel makes up when they are looked at (`/proc`) code behind two traits.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::AtomicU8;

use abi::Errno;
use abi::time::Timespec;
use memory::Object;
use outcome::Failure;
use subject::{Credentials, GroupId, UserId};

use super::attributes::{Attributes, DeviceNumber, FileKind};
use super::directory::{Directory, DirectoryOperations, Store};
use super::extended::Extended;
use super::file::{File, FileOperations};
use super::filesystem::{FileSystem, InodeRoom};
use super::generated::Class;
use super::lock::FileLocks;
use super::mount::Location;
use super::notify::Watched;
use super::reaper::{self, Left, Parting, Remains};

/// A file, directory, link, pipe or device.
pub struct Inode {
    /// Unique in its file system.
    pub number: u64,
    /// Its type.
    pub kind: FileKind,
    /// Mode, owner, links, times.
    pub attributes: Attributes,
    /// Where it lives.
    pub filesystem: Arc<FileSystem>,
    /// Its content.
    pub body: Body,
    /// The advisory locks on it.
    pub locks: FileLocks,
    /// Its extended attributes.
    pub extended: Extended,
    /// `F_SET_RW_HINT`.
    pub lifetime_hint: AtomicU8,
    /// Who is told of changes of the directory.
    pub watched: Watched,
    /// What it needs for its end, where its file system has something to do then.
    parting: Option<Box<Parting>>,
}

/// The content of an inode.
pub enum Body {
    /// A regular file: its page cache is all there is.
    Bytes(Arc<Object>),
    /// A directory.
    Directory(Box<Directory>),
    /// A file whose content is made up on demand.
    Made(Box<dyn GeneratedFile>),
    /// A link with a fixed text.
    Symlink(Arc<[u8]>),
    /// A link whose target is found when it is followed.
    Magic(Box<dyn MagicLink>),
    /// A named pipe.
    Fifo(Arc<dyn Fifo>),
    /// A device: which one.
    Device(DeviceNumber),
    /// Something with its own code that has no name.
    Special(Arc<dyn FileOperations>),
    /// A socket's name.
    Socket,
}

/// A file that the kernel makes up.
pub trait GeneratedFile: Send + Sync {
    /// A fresh opening, by the running thread: what it may see is settled here.
    fn open(&self) -> Result<Arc<dyn FileOperations>, Errno>;

    /// What it belongs to.
    fn class(&self) -> Class;

    /// Whether nothing of it can be changed.
    fn is_immutable(&self) -> bool {
        false
    }
}

/// A pipe that has a place, as the inode knows it.
pub trait Fifo: Send + Sync {
    /// Opens the ends that the flags say. What there is to wait for is the pipe's matter.
    fn open(
        self: Arc<Self>,
        place: Location,
        flags: u32,
        credentials: &Credentials,
    ) -> Result<Arc<File>, Failure>;
}

/// Where a magic link leads.
pub enum LinkTarget {
    /// To a path, as with an ordinary link.
    Path(Arc<[u8]>),
    /// Straight to a place, past all names: `/proc/PID/fd/N`.
    Place(Location),
}

/// A link that is computed when it is read or followed.
pub trait MagicLink: Send + Sync {
    /// Where it leads when followed.
    fn follow(&self) -> Result<LinkTarget, Errno>;
    /// The text that readlink(2) shows.
    fn text(&self) -> Result<Arc<[u8]>, Errno>;

    /// What it belongs to.
    fn class(&self) -> Class {
        Class::System
    }
}

impl Body {
    /// A directory, none of whose names is in memory yet.
    pub fn directory(operations: Box<dyn DirectoryOperations>) -> Body {
        Body::Directory(Box::new(Directory::new(operations)))
    }
}

/// Who owns a new inode and what its mode is.
#[derive(Clone, Copy)]
pub struct Ownership {
    /// Permission bits, umask applied.
    pub permissions: u32,
    /// The owner.
    pub user: UserId,
    /// The owning group.
    pub group: GroupId,
}

impl Ownership {
    /// Root's.
    pub const fn of_root(permissions: u32) -> Ownership {
        Ownership { permissions, user: UserId::ROOT, group: GroupId::ROOT }
    }
}

impl Inode {
    /// A new inode with a number of its own. A directory starts with two links, anything else with one.
    pub fn new(
        filesystem: &Arc<FileSystem>,
        kind: FileKind,
        ownership: Ownership,
        body: Body,
        now: Timespec,
    ) -> Arc<Inode> {
        let number = filesystem.allocate_inode_number();
        Inode::with_number(filesystem, number, kind, ownership, body, now)
    }

    /// A new inode with a number of its own, in room that was reserved for it.
    pub fn in_room(
        room: InodeRoom,
        filesystem: &Arc<FileSystem>,
        kind: FileKind,
        ownership: Ownership,
        body: Body,
        now: Timespec,
    ) -> Arc<Inode> {
        let filesystem = room.take().unwrap_or_else(|| filesystem.clone());
        let number = filesystem.next_number();
        Inode::of(filesystem, number, kind, ownership, body, now)
    }

    /// A new inode whose number is derived from what it stands for.
    pub fn with_number(
        filesystem: &Arc<FileSystem>,
        number: u64,
        kind: FileKind,
        ownership: Ownership,
        body: Body,
        now: Timespec,
    ) -> Arc<Inode> {
        Inode::of(filesystem.clone(), number, kind, ownership, body, now)
    }

    #[inline(always)]
    fn of(
        filesystem: Arc<FileSystem>,
        number: u64,
        kind: FileKind,
        ownership: Ownership,
        body: Body,
        now: Timespec,
    ) -> Arc<Inode> {
        let links = if kind == FileKind::Directory { 2 } else { 1 };
        let parting = filesystem.parting();
        let Ownership { permissions, user, group } = ownership;
        Arc::new(Inode {
            number,
            kind,
            attributes: Attributes::new(permissions, user, group, links, now),
            filesystem,
            body,
            locks: FileLocks::new(),
            extended: Extended::new(),
            lifetime_hint: AtomicU8::new(0),
            watched: Watched::new(),
            parting,
        })
    }

    /// Type and permission bits together: `st_mode`.
    pub fn mode(&self) -> u32 {
        self.kind.mode_bits() | self.attributes.permissions()
    }

    /// The page cache of a regular file.
    pub fn object(&self) -> Option<&Arc<Object>> {
        match &self.body {
            Body::Bytes(object) => Some(object),
            _ => None,
        }
    }

    /// What a file that is made up belongs to.
    pub fn generated_class(&self) -> Option<Class> {
        match &self.body {
            Body::Made(file) => Some(file.class()),
            Body::Directory(directory) if directory.store == Store::MadeUp => {
                Some(directory.operations.class())
            }
            Body::Magic(link) => Some(link.class()),
            _ => None,
        }
    }

    /// Whether nothing of it can be changed, nor any name in it.
    pub fn is_immutable(&self) -> bool {
        match &self.body {
            Body::Directory(directory) => directory.operations.is_immutable(),
            Body::Made(file) => file.is_immutable(),
            _ => false,
        }
    }

    /// Whether the kernel makes it up when it is looked at, be it a file or a directory.
    pub fn is_made_up(&self) -> bool {
        match &self.body {
            Body::Made(_) => true,
            Body::Directory(directory) => directory.store == Store::MadeUp,
            _ => false,
        }
    }

    /// ENOENT for what the running thread may not know of, though it holds it.
    #[inline]
    pub fn check_shown(&self) -> Result<(), Errno> {
        match &self.body {
            Body::Directory(directory) if directory.store == Store::MadeUp => {
                let shown = directory.operations.is_shown(&self.filesystem);
                if shown { Ok(()) } else { Err(Errno::ENOENT) }
            }
            _ => Ok(()),
        }
    }

    /// The names of a directory.
    pub fn directory(&self) -> Option<&Directory> {
        match &self.body {
            Body::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// The names of a directory where programs can make and remove some.
    #[inline]
    pub fn changeable_directory(&self) -> Option<&Directory> {
        self.directory().filter(|directory| directory.is_changeable())
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// Whether it is a link of either sort.
    pub fn is_symlink(&self) -> bool {
        self.kind == FileKind::Symlink
    }

    /// `st_size`: of a directory twenty bytes per entry, as Linux's tmpfs counts.
    pub fn size(&self) -> u64 {
        const ENTRY_SIZE: u64 = 20;
        match &self.body {
            Body::Bytes(object) => object.size(),
            Body::Directory(directory) if directory.store == Store::Memory => {
                (directory.names.read().len() as u64 + 2) * ENTRY_SIZE
            }
            Body::Symlink(text) => text.len() as u64,
            Body::Made(file) => file.class().shown_size(),
            _ => 0,
        }
    }

    /// `st_blocks`: units of 512 bytes that the content takes.
    pub fn blocks(&self) -> u64 {
        const BLOCKS_PER_PAGE: u64 = 8;
        /// Longer link texts take a page of their own in Linux's tmpfs.
        const SHORT_LINK: usize = 128;
        match &self.body {
            Body::Bytes(object) => object.resident_pages() * BLOCKS_PER_PAGE,
            Body::Symlink(text) if text.len() >= SHORT_LINK => BLOCKS_PER_PAGE,
            _ => 0,
        }
    }

    /// Nobody holds it any more, and its file system has something to do.
    #[cold]
    fn hand_over(&mut self, parting: Box<Parting>) {
        let now = self.attributes.born();
        let remains = Remains {
            filesystem: self.filesystem.clone(),
            number: self.number,
            kind: self.kind,
            attributes: core::mem::replace(
                &mut self.attributes,
                Attributes::new(0, UserId::ROOT, GroupId::ROOT, 0, now),
            ),
            body: core::mem::replace(&mut self.body, Body::Socket),
        };
        reaper::hand_over(parting, Left::Inode(remains));
    }

    /// What one more name of a file takes. Each name but the first counts as an inode, as on Linux's tmpfs: names take
    /// memory too. ENOSPC where there may be no more.
    pub fn reserve_name(&self) -> Result<Option<InodeRoom>, Errno> {
        if self.attributes.links() == 0 { Ok(None) } else { self.filesystem.reserve_inode().map(Some) }
    }

    /// One more name of a file.
    pub fn add_name(&self, room: Option<InodeRoom>) {
        if self.attributes.add_link() == 0 {
            self.filesystem.forget_nameless();
        } else if room.and_then(InodeRoom::take).is_none() {
            // Two gave a nameless file its name at once.
            self.filesystem.count_inode();
        }
    }

    /// One more directory in this one, whose `..` is a link.
    pub fn add_link(&self) {
        if self.attributes.add_link() == 0 {
            self.filesystem.forget_nameless();
        }
    }

    /// One name less. An inode is nameless from the step on that takes its last one away, and from no other.
    pub fn remove_link(&self) {
        match self.attributes.remove_link() {
            0 => {}
            1 => self.filesystem.note_nameless(),
            _ if self.kind != FileKind::Directory => self.filesystem.forget_inode(),
            _ => {}
        }
    }

    /// A directory is gone: neither its name nor its `.` counts any more.
    pub fn remove_all_links(&self) {
        if self.attributes.remove_all_links() != 0 {
            self.filesystem.note_nameless();
        }
    }

    /// The content changed: modification and change time become `now`.
    pub fn touch_modified(&self, now: Timespec) {
        self.attributes.update_times(|times| {
            times.modified = now;
            times.changed = now;
        });
    }

    /// The attributes changed: the change time becomes `now`.
    pub fn touch_changed(&self, now: Timespec) {
        self.attributes.update_times(|times| times.changed = now);
    }

    /// The content was read: the access time becomes `now`.
    pub fn touch_accessed(&self, now: Timespec) {
        self.attributes.update_times(|times| times.accessed = now);
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        if self.attributes.links() == 0 {
            self.filesystem.forget_nameless();
        }
        self.filesystem.forget_inode();
        if let Some(parting) = self.parting.take() {
            self.hand_over(parting);
        }
    }
}
