//! tmpfs: files, directories and all else in memory alone, under limits.
//!
//! The first of its instances is the root of everything, called rootfs as on Linux; devtmpfs is one, too.

mod folder;
mod memory_file;
mod options;

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::TMPFS_MAGIC;
use libkernel::addr::PAGE_SIZE;
use libkernel::text::Text;
use subject::Credentials;

use memory::object::PageBudget;
use options::Options;
use vfs::attribute_operations::AttributeOperations;
use vfs::attributes::FileKind;
use vfs::clock;
use vfs::dentry::Dentry;
use vfs::filesystem::{FileSystem, FileSystemOperations, FileSystemType, Source, Statistics};
use vfs::inode::{Inode, Ownership};

pub use memory_file::open_memory;

/// A type of file system that is kept in memory.
pub struct InMemory {
    /// What it is called.
    pub name: &'static str,
    /// Whether it knows flags of inodes.
    pub knows_inode_flags: bool,
    /// How programs mount it, by its options.
    pub mount: fn(&[u8], &Credentials) -> Result<Arc<Dentry>, Errno>,
}

/// Files in memory.
pub static TMPFS: InMemory = InMemory { name: "tmpfs", knows_inode_flags: true, mount: mount_new };
/// What old programs call it.
pub static RAMFS: InMemory = InMemory { name: "ramfs", ..TMPFS };
/// The first tmpfs, filled from the initramfs.
pub static ROOTFS: InMemory =
    InMemory { name: "rootfs", knows_inode_flags: true, mount: |_, _| Err(Errno::ENODEV) };

impl FileSystemType for InMemory {
    fn name(&self) -> &'static str {
        self.name
    }

    fn magic(&self) -> i64 {
        TMPFS_MAGIC
    }

    fn mount(&self, _source: Source<'_>, options: &[u8], by: &Credentials) -> Result<Arc<Dentry>, Errno> {
        (self.mount)(options, by)
    }

    fn keeps_attributes(&self) -> bool {
        true
    }

    fn knows_inode_flags(&self) -> bool {
        self.knows_inode_flags
    }
}

/// An instance of its own, which ends with its last mount.
fn mount_new(options: &[u8], by: &Credentials) -> Result<Arc<Dentry>, Errno> {
    let options = Options::parse(options)?;
    let limits = Limits { pages: options.pages, inodes: options.inodes, shown: Shown::Nothing };
    let ownership = Ownership {
        permissions: options.permissions,
        user: options.user.unwrap_or(by.user.file_system),
        group: options.group.unwrap_or(by.group.file_system),
    };
    let root = new_instance(&TMPFS, limits, ownership);
    root.inode().filesystem.end_with_last_mount(&root);
    Ok(root)
}

/// How much an instance may hold.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Pages of content.
    pub pages: u64,
    /// Inodes.
    pub inodes: u64,
    /// What the table of mounts shows of them.
    pub shown: Shown,
}

/// What the table of mounts shows of the limits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// The pages, and as many inodes.
    Limits,
}

impl Limits {
    /// So many pages, and no limit on inodes.
    pub fn of_pages(pages: u64) -> Limits {
        Limits { pages, inodes: u64::MAX, shown: Shown::Nothing }
    }
}

/// What an instance keeps.
struct TmpFs {
    budget: Arc<PageBudget>,
    inode_limit: u64,
    shown: Shown,
}

/// The root directory of a new instance, empty.
pub fn new_instance(kind: &'static InMemory, limits: Limits, ownership: Ownership) -> Arc<Dentry> {
    let instance = TmpFs {
        budget: Arc::new(PageBudget::new(limits.pages)),
        inode_limit: limits.inodes,
        shown: limits.shown,
    };
    let filesystem = FileSystem::new(kind, Arc::new(instance));
    let body = folder::body();
    Dentry::new_root(Inode::new(&filesystem, FileKind::Directory, ownership, body, clock::now()))
}

/// Half of memory, as Linux's tmpfs has it where nothing else is said; in pages.
pub fn default_pages() -> u64 {
    hal::frame::statistics().total as u64 / 2
}

impl AttributeOperations for TmpFs {}

impl FileSystemOperations for TmpFs {
    /// As many inodes as pages, as Linux's tmpfs has it, unless there is another limit.
    fn statistics(&self, filesystem: &FileSystem) -> Statistics {
        let blocks = self.budget.limit();
        let inodes = blocks.min(self.inode_limit);
        Statistics {
            blocks,
            free_blocks: blocks.saturating_sub(self.budget.used()),
            inodes,
            free_inodes: inodes.saturating_sub(filesystem.inode_count()),
        }
    }

    /// The limit on pages alone can change.
    fn reconfigure(&self, options: &[u8]) -> Result<(), Errno> {
        let asked = Options::parse(options)?;
        let names_size = |word: &[u8]| word.starts_with(b"size=") || word.starts_with(b"nr_blocks=");
        if options.split(|&byte| byte == b',').any(names_size) {
            self.budget.set_limit(asked.pages)?;
        }
        Ok(())
    }

    fn show_options(&self, text: &mut Text) {
        if self.shown == Shown::Limits {
            let pages = self.budget.limit();
            write!(text, ",size={}k,nr_inodes={pages}", pages * (PAGE_SIZE / 1024));
        }
    }
}

impl TmpFs {
    fn of(directory: &Inode) -> Result<&TmpFs, Errno> {
        directory.filesystem.operations().ok_or(Errno::EPERM)
    }

    /// ENOSPC where there may be no more inodes, or names that count as such.
    fn check_room(&self, filesystem: &FileSystem) -> Result<(), Errno> {
        if filesystem.inode_count() < self.inode_limit { Ok(()) } else { Err(Errno::ENOSPC) }
    }
}
