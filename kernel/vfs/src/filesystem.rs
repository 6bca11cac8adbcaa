//! Types of file system, and instances of them: what there is to plug in, and what all instances have.
//!
//! A type ([`FileSystemType`]) is found by its name ([`types`](super::types)) and makes instances, each a
//! [`FileSystem`] with [`FileSystemOperations`] of its own: its device number, who writes to it, how many inodes it
//! has.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use abi::fs::MS_RDONLY;
use hal::sync::SpinLock;
use libkernel::addr::PAGE_SIZE;
use libkernel::text::Text;
use subject::Credentials;

use super::attribute_operations::AttributeOperations;
use super::attributes::DeviceNumber;
use super::dentry::Dentry;
use super::inode_cache::InodeCache;
use super::parameter::{Value, Verdict};
use super::reaper::{self, Ending, Left, Parting, Remains};
use super::unnamed_device::UnnamedDevice;
use super::writers::Writers;

/// What is to be mounted, found for who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source<'a> {
    /// What it is called, which need not be anything.
    Name(&'a [u8]),
    /// A block device.
    Device(DeviceNumber),
}

/// A type of file system: what mount(2) and `/proc/filesystems` know by a name. Small answers have the default of a
/// type that keeps nothing.
pub trait FileSystemType: Send + Sync {
    /// The name that `mount` and `/proc/mounts` know it by.
    fn name(&self) -> &'static str;

    /// The `f_type` of statfs(2).
    fn magic(&self) -> i64;

    /// Whether an instance lies on a block device: no `nodev` in `/proc/filesystems`.
    fn needs_device(&self) -> bool {
        false
    }

    /// The root of an instance for `source`: a new one, or the one that there is. A type that needs a device gets
    /// [`Source::Device`], any other [`Source::Name`]. `options` are what its own words are, without those that every
    /// type knows; `by` asks for it. ENODEV for a type that only the kernel mounts, EINVAL for options that are none.
    fn mount(&self, source: Source<'_>, options: &[u8], by: &Credentials) -> Result<Arc<Dentry>, Errno> {
        let _ = (source, options, by);
        Err(Errno::ENODEV)
    }

    /// What it says of a parameter of an instance. Of those that it takes the options are made, of each name the last.
    fn parameter(&self, name: &[u8], value: Value<'_>) -> Verdict {
        let _ = (name, value);
        Verdict::Unknown
    }

    /// Whether there is one instance, which each mount changes by options that are looked at together then.
    fn is_configured_whole(&self) -> bool {
        false
    }

    /// Whether its inodes keep what somebody stored, birth times among it, rather than being a view of the kernel.
    fn keeps_attributes(&self) -> bool {
        false
    }

    /// Whether it knows flags of inodes (`FS_IOC_GETFLAGS`).
    fn knows_inode_flags(&self) -> bool {
        false
    }

    /// The unit of its files' blocks, in bytes (Linux: `s_blocksize`).
    fn block_size(&self) -> u32 {
        PAGE_SIZE as u32
    }

    /// What stands for the path of a file that has none (Linux: `d_dname`).
    fn description(&self, dentry: &Dentry) -> Option<Vec<u8>> {
        let _ = dentry;
        None
    }
}

/// What an instance of a file system does by itself. Every method has the answer of one that keeps nothing. An instance
/// that a caller wants to know more of is asked for what it is: [`FileSystem::operations`].
pub trait FileSystemOperations: AttributeOperations + Any {
    /// How much there is and how much is free.
    fn statistics(&self, filesystem: &FileSystem) -> Statistics {
        let _ = filesystem;
        Statistics::default()
    }

    /// Other options, of a remount. EINVAL for what the type does not know, or cannot change.
    fn reconfigure(&self, filesystem: &FileSystem, options: &[u8]) -> Result<(), Errno> {
        let _ = filesystem;
        if options.is_empty() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Writes the options that the table of mounts shows, each after a comma.
    fn show_options(&self, filesystem: &FileSystem, text: &mut Text) {
        let _ = (filesystem, text);
    }

    /// Its inodes by number, where they are stored elsewhere: [`FileSystemOperations::evict`] is called for each of
    /// them then.
    fn inodes(&self) -> Option<&InodeCache> {
        None
    }

    /// Nobody holds an inode any more: what has to be stored of it is to be stored now, and what one without names
    /// holds is to be freed. The inode is not looked up again before this returns. May sleep.
    fn evict(&self, remains: Remains) {
        drop(remains);
    }

    /// The instance is at its end: nobody holds an inode of it any more, and all have been evicted. Called once, by the
    /// reaper, which has nothing to do with the instance afterwards; umount(2) returns then. May sleep.
    fn unmount(&self) {}
}

/// What statfs(2) tells of an instance; all zero where nothing is stored.
#[derive(Clone, Copy, Default)]
pub struct Statistics {
    /// Blocks of a page in all.
    pub blocks: u64,
    /// Those that are free.
    pub free_blocks: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Those that are free.
    pub free_inodes: u64,
}

/// The operations of an instance that has none of its own.
pub struct NoOperations;

impl AttributeOperations for NoOperations {}

impl FileSystemOperations for NoOperations {}

/// One file system, mounted or not.
pub struct FileSystem {
    /// Its type.
    pub kind: &'static dyn FileSystemType,
    /// What `st_dev` says: an unnamed device of its own.
    pub device: DeviceNumber,
    _device: UnnamedDevice,
    /// Who writes to it, through any mount.
    pub(crate) writers: Writers,
    /// What it does by itself, and what it keeps for that.
    operations: Arc<dyn FileSystemOperations>,
    /// The `MS_*` flags of the file system itself.
    flags: AtomicU64,
    /// Whether it has something to do when nobody holds an inode any more.
    evicts: bool,
    next_inode: AtomicU64,
    /// Inodes, and names that count as such.
    inodes: AtomicU64,
    /// How many of them there may be.
    inode_limit: AtomicU64,
    /// Inodes without a name that somebody still has open: they are to go, so the file system is not done with writing.
    nameless: AtomicU64,
    mounts: AtomicU64,
    /// The root of a tree that ends with its last mount. Names and dentries hold each other, so the end must take them
    /// apart.
    temporary_root: SpinLock<Option<(Arc<Dentry>, Box<Parting>)>>,
    /// How it ends, and what it needs for that.
    ending: Arc<Ending>,
    parting: Option<Box<Parting>>,
}

impl FileSystem {
    /// A new instance without inodes. EMFILE where there are too many.
    pub fn new(
        kind: &'static dyn FileSystemType,
        operations: Arc<dyn FileSystemOperations>,
    ) -> Result<Arc<FileSystem>, Errno> {
        let device = UnnamedDevice::take()?;
        Ok(Arc::new(FileSystem {
            kind,
            device: device.number(),
            _device: device,
            writers: Writers::new(),
            evicts: operations.inodes().is_some(),
            operations,
            flags: AtomicU64::new(0),
            next_inode: AtomicU64::new(1),
            inodes: AtomicU64::new(0),
            inode_limit: AtomicU64::new(u64::MAX),
            nameless: AtomicU64::new(0),
            mounts: AtomicU64::new(0),
            temporary_root: SpinLock::new(None),
            ending: Arc::new(Ending::new()),
            parting: Some(Box::new(Parting::new())),
        }))
    }

    /// What it is, if it is a `T`.
    pub fn operations<T: FileSystemOperations>(&self) -> Option<&T> {
        let operations: &dyn Any = &*self.operations;
        operations.downcast_ref()
    }

    /// The tree below `root` ends with the last mount of the file system.
    pub fn end_with_last_mount(&self, root: &Arc<Dentry>) {
        *self.temporary_root.lock() = Some((root.clone(), Box::new(Parting::new())));
    }

    /// How it ends, for who waits for that.
    pub fn ending(&self) -> Arc<Ending> {
        self.ending.clone()
    }

    pub(crate) fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it has a mount, attached or not.
    pub fn is_mounted(&self) -> bool {
        self.mounts.load(Ordering::Relaxed) != 0
    }

    /// A mount, and with it everything that was reached through it, is gone. Its last reference may go anywhere, so
    /// what is to be done at the end of the last mount is the reaper's.
    pub(crate) fn remove_mount(&self) {
        if self.mounts.fetch_sub(1, Ordering::AcqRel) == 1 {
            let root = self.temporary_root.lock().take();
            if let Some((root, parting)) = root {
                self.ending.begin();
                reaper::hand_over(parting, Left::Tree(root));
            }
        }
    }

    /// The `MS_*` flags of the file system itself.
    #[inline]
    pub fn flags(&self) -> u64 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Replaces the flags. EBUSY if it would become read-only while somebody writes to it, or has a file open that lost
    /// its name.
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

    /// What it does with attributes.
    pub(super) fn attributes(&self) -> &dyn AttributeOperations {
        &*self.operations
    }

    /// Its inodes by number, where they are stored elsewhere.
    pub(super) fn inodes(&self) -> Option<&InodeCache> {
        self.operations.inodes()
    }

    /// Has it finish with an inode that nobody holds.
    pub(super) fn evict(&self, remains: Remains) {
        self.operations.evict(remains);
    }

    /// What an inode needs for its end, if that is more than to be dropped.
    pub(super) fn parting(&self) -> Option<Box<Parting>> {
        self.evicts.then(|| Box::new(Parting::new()))
    }

    /// How much there is and how much is free.
    pub fn statistics(&self) -> Statistics {
        self.operations.statistics(self)
    }

    /// Other options: `MS_REMOUNT`. EINVAL for what the type does not know, or cannot change.
    pub fn reconfigure(&self, options: &[u8]) -> Result<(), Errno> {
        self.operations.reconfigure(self, options)
    }

    /// Writes the options that the table of mounts shows, each after a comma.
    pub fn show_options(&self, text: &mut Text) {
        self.operations.show_options(self, text);
    }

    /// An inode has lost its last name.
    pub(crate) fn note_nameless(&self) {
        self.nameless.fetch_add(1, Ordering::Relaxed);
    }

    /// An inode without a name has got one, or is gone.
    pub(crate) fn forget_nameless(&self) {
        self.nameless.fetch_sub(1, Ordering::Relaxed);
    }

    /// Room for one inode more, or for a name that counts as one. ENOSPC where there may be no more.
    pub fn reserve_inode(self: &Arc<FileSystem>) -> Result<InodeRoom, Errno> {
        let one_more = |inodes: u64| (inodes < self.inode_limit()).then_some(inodes + 1);
        let before = self.inodes.fetch_update(Ordering::SeqCst, Ordering::Relaxed, one_more);
        let before = before.map_err(|_| Errno::ENOSPC)?;
        let room = InodeRoom(Some(self.clone()));
        if before < self.inode_limit.load(Ordering::SeqCst) { Ok(room) } else { Err(Errno::ENOSPC) }
    }

    /// How many inodes there may be; `u64::MAX` for any number.
    pub fn inode_limit(&self) -> u64 {
        self.inode_limit.load(Ordering::Relaxed)
    }

    /// Sets how many inodes there may be. EINVAL below what there is.
    pub fn limit_inodes(&self, limit: u64) -> Result<(), Errno> {
        // First the limit: who makes an inode meanwhile is counted here, or sees it.
        let before = self.inode_limit.swap(limit, Ordering::SeqCst);
        if self.inodes.load(Ordering::SeqCst) > limit {
            self.inode_limit.store(before, Ordering::SeqCst);
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// A number no other inode of this file system has; counts the inode.
    pub(crate) fn allocate_inode_number(&self) -> u64 {
        self.count_inode();
        self.next_number()
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.next_inode.fetch_add(1, Ordering::Relaxed)
    }

    /// An inode is made, or something that counts as one.
    pub(crate) fn count_inode(&self) {
        self.inodes.fetch_add(1, Ordering::Relaxed);
    }

    /// An inode is gone.
    pub(crate) fn forget_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many inodes there are.
    pub fn inode_count(&self) -> u64 {
        self.inodes.load(Ordering::Relaxed)
    }
}

impl Drop for FileSystem {
    /// Every inode holds it, and so does what the reaper has of one: the end of the instance comes after that of the
    /// last of them.
    fn drop(&mut self) {
        if let Some(parting) = self.parting.take() {
            reaper::hand_over(parting, Left::Instance(self.operations.clone(), self.ending.clone()));
        }
    }
}

/// Room for an inode, or a name that counts as one, given back unless it is taken.
pub struct InodeRoom(Option<Arc<FileSystem>>);

impl InodeRoom {
    /// Takes it: it is given back where the inode or the name goes.
    #[inline]
    pub(crate) fn take(mut self) -> Option<Arc<FileSystem>> {
        self.0.take()
    }
}

impl Drop for InodeRoom {
    fn drop(&mut self) {
        if let Some(filesystem) = &self.0 {
            filesystem.forget_inode();
        }
    }
}
