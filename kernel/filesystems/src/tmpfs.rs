//! tmpfs: files, directories and all else in memory alone, under limits.
//!
//! The first of its instances is the root of everything, called rootfs as on Linux; devtmpfs is one, too.

mod folder;
mod memory_file;
mod options;

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::TMPFS_MAGIC;
use libkernel::addr::PAGE_SIZE;
use libkernel::text::Text;
use subject::Credentials;

use memory::object::PageBudget;
use options::Options;
use vfs::attribute_operations::{AttributeChanges, AttributeOperations};
use vfs::attributes::FileKind;
use vfs::clock;
use vfs::dentry::Dentry;
use vfs::extended::in_memory;
use vfs::filesystem::{FileSystem, FileSystemOperations, FileSystemType, Source, Statistics};
use vfs::inode::{Inode, Ownership};
use vfs::parameter::{Value, Verdict};

pub use memory_file::open_memory;

/// A type of file system that is kept in memory.
pub struct InMemory {
    /// What it is called.
    pub name: &'static str,
    /// Whether it knows flags of inodes.
    pub knows_inode_flags: bool,
    /// Whether there is one instance, which each mount changes.
    pub is_configured_whole: bool,
    /// What it says of a parameter.
    pub parameter: fn(&[u8], Value<'_>) -> Verdict,
    /// How programs mount it, by its options.
    pub mount: fn(&[u8], &Credentials) -> Result<Arc<Dentry>, Errno>,
}

/// Files in memory.
pub static TMPFS: InMemory = InMemory {
    name: "tmpfs",
    knows_inode_flags: true,
    is_configured_whole: false,
    parameter: options::parameter,
    mount: mount_new,
};
/// What old programs call it.
pub static RAMFS: InMemory = InMemory { name: "ramfs", parameter: options::ramfs_parameter, ..TMPFS };
/// The first tmpfs, filled from the initramfs.
pub static ROOTFS: InMemory = InMemory { name: "rootfs", mount: |_, _| Err(Errno::ENODEV), ..TMPFS };

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

    fn parameter(&self, name: &[u8], value: Value<'_>) -> Verdict {
        (self.parameter)(name, value)
    }

    fn is_configured_whole(&self) -> bool {
        self.is_configured_whole
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
    let usual = Limits::usual(Shown::Nothing);
    let limits = Limits {
        pages: options.pages.map_or(usual.pages, unlimited_if_zero),
        inodes: options.inodes.map_or(usual.inodes, unlimited_if_zero),
        ..usual
    };
    let named = &by.user_namespace;
    let user = options.user.map(|user| named.user(user).ok_or(Errno::EINVAL)).transpose()?;
    let group = options.group.map(|group| named.group(group).ok_or(Errno::EINVAL)).transpose()?;
    let ownership = Ownership {
        permissions: options.permissions,
        user: user.unwrap_or(by.user.file_system),
        group: group.unwrap_or(by.group.file_system),
    };
    let root = new_instance(&TMPFS, limits, ownership)?;
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
    /// All of them.
    Limits,
}

impl Limits {
    /// Half of memory.
    pub fn usual(shown: Shown) -> Limits {
        Limits { pages: default_pages(), inodes: default_pages(), shown }
    }

    /// So many pages, and no limit on inodes.
    pub fn of_pages(pages: u64) -> Limits {
        Limits { pages, inodes: u64::MAX, shown: Shown::Nothing }
    }
}

/// What an instance keeps.
struct TmpFs {
    budget: Arc<PageBudget>,
    shown: Shown,
}

/// The root directory of a new instance, empty. EMFILE where there are too many.
pub fn new_instance(
    kind: &'static InMemory,
    limits: Limits,
    ownership: Ownership,
) -> Result<Arc<Dentry>, Errno> {
    let instance = TmpFs { budget: Arc::new(PageBudget::new(limits.pages)), shown: limits.shown };
    let filesystem = FileSystem::new(kind, Arc::new(instance))?;
    // There is none yet, so every limit will do.
    let _ = filesystem.limit_inodes(limits.inodes);
    let body = folder::body();
    Ok(Dentry::new_root(Inode::new(&filesystem, FileKind::Directory, ownership, body, clock::now())))
}

/// A limit as options have it: none is zero there.
fn unlimited_if_zero(limit: u64) -> u64 {
    if limit == 0 { u64::MAX } else { limit }
}

/// Half of memory, as Linux's tmpfs has it where nothing else is said: in pages, and in inodes.
fn default_pages() -> u64 {
    hal::frame::statistics().total as u64 / 2
}

impl AttributeOperations for TmpFs {
    fn extended(&self, inode: &Inode, name: &[u8]) -> Result<Arc<Vec<u8>>, Errno> {
        in_memory::get(inode, name)
    }

    fn set_extended(
        &self,
        changes: &AttributeChanges<'_>,
        name: Vec<u8>,
        bytes: Vec<u8>,
        flags: u32,
    ) -> Result<(), Errno> {
        in_memory::set(changes, name, bytes, flags)
    }

    fn remove_extended(&self, changes: &AttributeChanges<'_>, name: &[u8]) -> Result<(), Errno> {
        in_memory::remove(changes, name)
    }

    fn list_extended(
        &self,
        inode: &Inode,
        emit: &mut dyn FnMut(&[u8]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        in_memory::list(inode, emit)
    }
}

impl FileSystemOperations for TmpFs {
    /// What has no limit is shown as nothing at all (Linux: `shmem_statfs`).
    fn statistics(&self, filesystem: &FileSystem) -> Statistics {
        let shown = |limit: u64, used: u64| match limit {
            u64::MAX => (0, 0),
            limit => (limit, limit.saturating_sub(used)),
        };
        let (blocks, free_blocks) = shown(self.budget.limit(), self.budget.used());
        let (inodes, free_inodes) = shown(filesystem.inode_limit(), filesystem.inode_count());
        Statistics { blocks, free_blocks, inodes, free_inodes }
    }

    /// The limits can change, though not below what is used, nor from none to one: all that are asked for, or none
    /// (Linux: `shmem_reconfigure`).
    fn reconfigure(&self, filesystem: &FileSystem, options: &[u8]) -> Result<(), Errno> {
        let asked = Options::parse(options)?;
        let check = |asked: Option<u64>, limit: u64, used: u64| match asked {
            Some(wanted) if wanted != 0 && (limit == u64::MAX || wanted < used) => Err(Errno::EINVAL),
            _ => Ok(()),
        };
        check(asked.pages, self.budget.limit(), self.budget.used())?;
        let inodes_before = filesystem.inode_limit();
        check(asked.inodes, inodes_before, filesystem.inode_count())?;
        // What is made meanwhile may still be in the way.
        if let Some(inodes) = asked.inodes {
            filesystem.limit_inodes(unlimited_if_zero(inodes))?;
        }
        let Some(pages) = asked.pages else { return Ok(()) };
        self.budget.set_limit(unlimited_if_zero(pages)).inspect_err(|_| {
            let _ = filesystem.limit_inodes(inodes_before);
        })
    }

    fn show_options(&self, filesystem: &FileSystem, text: &mut Text) {
        if self.shown == Shown::Limits {
            let Statistics { blocks, inodes, .. } = self.statistics(filesystem);
            write!(text, ",size={}k,nr_inodes={inodes}", blocks * (PAGE_SIZE / 1024));
        }
    }
}

impl TmpFs {
    fn of(directory: &Inode) -> Result<&TmpFs, Errno> {
        directory.filesystem.operations().ok_or(Errno::EPERM)
    }
}
