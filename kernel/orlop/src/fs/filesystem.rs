//! One instance of a file system: its type, its device number and what it may use.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use abi::fs::{
    ANON_INODE_FS_MAGIC, MS_RDONLY, NSFS_MAGIC, PIPEFS_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, TMPFS_MAGIC,
};
use hal::sync::SpinLock;
use memory::object::PageBudget;

use super::attributes::DeviceNumber;
use super::dentry::Dentry;
use super::proc::View;
use super::writers::Writers;

/// The types of file system there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileSystemKind {
    /// The first tmpfs, filled from the initramfs.
    RootFs,
    /// Files in memory.
    TmpFs,
    /// Device nodes.
    DevTmpFs,
    /// Processes and kernel settings as files.
    Proc,
    /// The machine as files.
    Sysfs,
    /// Pipes, which have no names.
    PipeFs,
    /// Event files and the like, which have no names.
    AnonymousInodes,
    /// Namespaces, which have no names.
    NsFs,
}

impl FileSystemKind {
    /// Whether its inodes are what somebody stored, rather than a view of the kernel.
    pub fn is_stored(self) -> bool {
        matches!(self, FileSystemKind::RootFs | FileSystemKind::TmpFs | FileSystemKind::DevTmpFs)
    }

    /// The name that `mount` and `/proc/mounts` know it by.
    pub fn name(self) -> &'static str {
        match self {
            FileSystemKind::RootFs => "rootfs",
            FileSystemKind::TmpFs => "tmpfs",
            FileSystemKind::DevTmpFs => "devtmpfs",
            FileSystemKind::Proc => "proc",
            FileSystemKind::Sysfs => "sysfs",
            FileSystemKind::PipeFs => "pipefs",
            FileSystemKind::AnonymousInodes => "anon_inodefs",
            FileSystemKind::NsFs => "nsfs",
        }
    }

    /// The `f_type` of statfs(2).
    pub fn magic(self) -> i64 {
        match self {
            FileSystemKind::RootFs | FileSystemKind::TmpFs | FileSystemKind::DevTmpFs => TMPFS_MAGIC,
            FileSystemKind::Proc => PROC_SUPER_MAGIC,
            FileSystemKind::Sysfs => SYSFS_MAGIC,
            FileSystemKind::PipeFs => PIPEFS_MAGIC,
            FileSystemKind::AnonymousInodes => ANON_INODE_FS_MAGIC,
            FileSystemKind::NsFs => NSFS_MAGIC,
        }
    }

    /// Whether its files are kept in memory by name, with a limit on their pages.
    pub fn stores_files(self) -> bool {
        matches!(self, FileSystemKind::RootFs | FileSystemKind::TmpFs | FileSystemKind::DevTmpFs)
    }
}

/// One file system, mounted or not.
pub struct FileSystem {
    /// Its type.
    pub kind: FileSystemKind,
    /// What `st_dev` says: an unnamed device of its own.
    pub device: DeviceNumber,
    /// The pages that its files may hold, and how many they do.
    pub budget: Arc<PageBudget>,
    /// Who writes to it, through any mount.
    pub(super) writers: Writers,
    /// Of procfs: what it shows to whom.
    pub(super) view: Option<Arc<View>>,
    /// The `MS_*` flags of the file system itself.
    flags: AtomicU64,
    /// How many inodes there may be.
    inode_limit: u64,
    next_inode: AtomicU64,
    inodes: AtomicU64,
    /// Inodes without a name that somebody still has open: they are to go, so the file system is not done with writing.
    nameless: AtomicU64,
    mounts: AtomicU32,
    /// The root of a tree that ends with its last mount. Names and dentries hold each other, so the end must take them apart.
    temporary_root: SpinLock<Option<Arc<Dentry>>>,
}

/// Minors of the unnamed devices (major 0); the first goes to the root.
static NEXT_UNNAMED_DEVICE: AtomicU32 = AtomicU32::new(1);

impl FileSystem {
    /// A new, empty instance whose files may hold `page_limit` pages, with as many inodes.
    pub fn new(kind: FileSystemKind, page_limit: u64) -> Arc<FileSystem> {
        FileSystem::limited(kind, page_limit, u64::MAX)
    }

    /// As [`FileSystem::new`], with a limit on inodes.
    pub fn limited(kind: FileSystemKind, page_limit: u64, inode_limit: u64) -> Arc<FileSystem> {
        let minor = NEXT_UNNAMED_DEVICE.fetch_add(1, Ordering::Relaxed);
        Arc::new(FileSystem {
            kind,
            device: DeviceNumber::new(0, minor),
            budget: Arc::new(PageBudget::new(page_limit)),
            writers: Writers::new(),
            view: (kind == FileSystemKind::Proc).then(|| Arc::new(View::new())),
            flags: AtomicU64::new(0),
            inode_limit,
            next_inode: AtomicU64::new(1),
            inodes: AtomicU64::new(0),
            nameless: AtomicU64::new(0),
            mounts: AtomicU32::new(0),
            temporary_root: SpinLock::new(None),
        })
    }

    /// The tree below `root` ends with the last mount of the file system.
    pub fn end_with_last_mount(&self, root: &Arc<Dentry>) {
        *self.temporary_root.lock() = Some(root.clone());
    }

    pub(super) fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::Relaxed);
    }

    /// A mount, and with it everything that was reached through it, is gone.
    pub(super) fn remove_mount(&self) {
        if self.mounts.fetch_sub(1, Ordering::AcqRel) == 1 {
            let root = self.temporary_root.lock().take();
            take_apart(root);
        }
    }

    /// The `MS_*` flags of the file system itself.
    #[inline]
    pub fn flags(&self) -> u64 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Replaces the flags. EBUSY if it would become read-only while somebody writes to it, or has a file open that lost its name.
    pub fn set_flags(&self, flags: u64) -> Result<(), Errno> {
        if flags & MS_RDONLY == 0 {
            self.writers.allow();
        } else {
            let was_forbidden = self.writers.is_forbidden();
            self.writers.forbid()?;
            if !was_forbidden && self.nameless.load(Ordering::Relaxed) != 0 {
                self.writers.allow();
                return Err(Errno::EBUSY);
            }
        }
        self.flags.store(flags, Ordering::Relaxed);
        Ok(())
    }

    /// ENOSPC where there are as many inodes as there may be.
    pub fn check_room_for_inode(&self) -> Result<(), Errno> {
        if self.inode_count() < self.inode_limit { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    /// An inode has lost its last name.
    pub(super) fn note_nameless(&self) {
        self.nameless.fetch_add(1, Ordering::Relaxed);
    }

    /// An inode without a name has got one, or is gone.
    pub(super) fn forget_nameless(&self) {
        self.nameless.fetch_sub(1, Ordering::Relaxed);
    }

    /// A number no other inode of this file system has; counts the inode.
    pub fn allocate_inode_number(&self) -> u64 {
        self.count_inode();
        self.next_inode.fetch_add(1, Ordering::Relaxed)
    }

    /// An inode is made, or something that counts as one.
    pub(super) fn count_inode(&self) {
        self.inodes.fetch_add(1, Ordering::Relaxed);
    }

    /// An inode is gone.
    pub(super) fn forget_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many inodes there are.
    pub fn inode_count(&self) -> u64 {
        self.inodes.load(Ordering::Relaxed)
    }

    /// Pages in all and pages that are free: what `df` shows. Zero where nothing is stored.
    pub fn space(&self) -> (u64, u64) {
        let limit = self.budget.limit();
        (limit, limit.saturating_sub(self.budget.used()))
    }

    /// Inodes in all and inodes that are free: as many as pages, as Linux's tmpfs has it, unless there is another limit.
    pub fn inode_space(&self) -> (u64, u64) {
        let limit = self.budget.limit().min(self.inode_limit);
        (limit, limit.saturating_sub(self.inode_count()))
    }
}

/// Empties the directories of a tree, one after the other, so that nothing in it holds itself.
fn take_apart(root: Option<Arc<Dentry>>) {
    let mut left: Vec<Arc<Dentry>> = root.into_iter().collect();
    while let Some(dentry) = left.pop() {
        if let Some(directory) = dentry.inode().directory() {
            let names = directory.names.write().take_all();
            left.extend(names.map(|entry| entry.dentry).filter(|child| child.inode().is_directory()));
        }
    }
}
