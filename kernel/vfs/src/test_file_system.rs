//! A file system for tests, whose names and inodes are elsewhere: slow, failing, full, forgetful, changed behind the
//! kernel's back.
//!
//! What is stored is a [`Disk`], which outlives every instance of the file system on it. Its gates make look-ups and
//! evictions sleep until a test lets them go on.

mod attribute_tests;
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use abi::Errno;
use abi::time::Timespec;
use memory::Object;
use sched::Mutex;
use sched::wait::WaitQueue;

use super::attribute_operations::{AttributeChanges, AttributeOperations, Change};
use super::attributes::{DeviceNumber, FileKind};
use super::change::NewFile;
use super::dentry::Dentry;
use super::directory::{DirectoryOperations, Emit, Exposure, LeftBehind, Listing, Renaming, Store};
use super::filesystem::{FileSystem, FileSystemOperations, FileSystemType};
use super::inode::{Body, Inode, Ownership};
use super::inode_cache::InodeCache;
use super::mount::Mount;
use super::reaper::Remains;

/// What is stored of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    kind: FileKind,
    permissions: u32,
    links: u32,
    /// Of a directory.
    names: BTreeMap<Vec<u8>, u64>,
    /// Extended attributes.
    extended: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Stored {
    /// A new file, or an empty directory.
    fn new(kind: FileKind, permissions: u32) -> Stored {
        let links = if kind == FileKind::Directory { 2 } else { 1 };
        Stored { kind, permissions, links, names: BTreeMap::new(), extended: BTreeMap::new() }
    }
}

/// Where those wait that a test holds up.
pub struct Gate {
    is_closed: AtomicBool,
    waiting: AtomicUsize,
    opened: WaitQueue,
}

impl Gate {
    fn new() -> Gate {
        Gate { is_closed: AtomicBool::new(false), waiting: AtomicUsize::new(0), opened: WaitQueue::new() }
    }

    fn close(&self) {
        self.is_closed.store(true, SeqCst);
    }

    fn open(&self) {
        self.is_closed.store(false, SeqCst);
        self.opened.wake_all();
    }

    fn pass(&self) {
        self.waiting.fetch_add(1, SeqCst);
        self.opened.wait_uninterruptibly(|| (!self.is_closed.load(SeqCst)).then_some(()));
        self.waiting.fetch_sub(1, SeqCst);
    }

    /// Waits until so many wait here.
    fn wait_for(&self, number: usize) {
        while self.waiting.load(SeqCst) < number {
            sched::yield_now();
        }
    }
}

/// What is stored, and how it behaves.
pub struct Disk {
    files: Mutex<BTreeMap<u64, Stored>>,
    next: AtomicU64,
    store: Store,
    inodes: InodeCache,
    /// Look-ups of names that begin with `slow` wait here.
    look_up_gate: Gate,
    eviction_gate: Gate,
    /// Changes of names that begin with `slow` wait here before they are made,
    change_gate: Gate,
    /// and here before whoever asked for them learns of it.
    answer_gate: Gate,
    /// Changes of attributes wait here, stored already.
    store_gate: Gate,
    look_ups: AtomicUsize,
    reads: AtomicUsize,
    evictions: AtomicUsize,
    unmounts: AtomicUsize,
    /// What every change says.
    failure: Mutex<Option<Errno>>,
}

const ROOT: u64 = 1;

/// The number of all its devices.
const DISK: DeviceNumber = DeviceNumber::new(8, 1);

impl Disk {
    /// An empty one whose names are as `store` says.
    pub fn new(store: Store) -> Arc<Disk> {
        let root = Stored::new(FileKind::Directory, 0o755);
        Arc::new(Disk {
            files: Mutex::new(BTreeMap::from([(ROOT, root)])),
            next: AtomicU64::new(ROOT + 1),
            store,
            inodes: InodeCache::new(),
            look_up_gate: Gate::new(),
            eviction_gate: Gate::new(),
            change_gate: Gate::new(),
            answer_gate: Gate::new(),
            store_gate: Gate::new(),
            look_ups: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            evictions: AtomicUsize::new(0),
            unmounts: AtomicUsize::new(0),
            failure: Mutex::new(None),
        })
    }

    /// A mount of it.
    pub fn mount(self: &Arc<Disk>) -> Arc<Mount> {
        let filesystem = FileSystem::new(&Type, Arc::new(Instance(self.clone()))).expect("a device");
        let root = Dentry::new_root(self.inode(&filesystem, ROOT).expect("the root is stored"));
        filesystem.end_with_last_mount(&root);
        Mount::new(filesystem, root, Arc::from(&b"test"[..]), 0)
    }

    fn inode(self: &Arc<Disk>, filesystem: &Arc<FileSystem>, number: u64) -> Result<Arc<Inode>, Errno> {
        self.inodes.get(number, || {
            self.reads.fetch_add(1, SeqCst);
            let stored = self.files.lock().get(&number).cloned().ok_or(Errno::EIO)?;
            let body = match stored.kind {
                FileKind::Directory => Body::directory(Box::new(Folder { disk: self.clone(), number })),
                kind if kind.device_kind().is_some() => Body::Device(DISK),
                _ => Body::Bytes(Object::new(0)),
            };
            let ownership = Ownership::of_root(stored.permissions);
            let now = Timespec::default();
            let inode = Inode::with_number(filesystem, number, stored.kind, ownership, body, now);
            (1..stored.links)
                .filter(|_| stored.kind != FileKind::Directory)
                .for_each(|_| inode.add_name(None));
            inode.extended.note_capabilities(stored.extended.contains_key(&b"security.capability"[..]));
            Ok(inode)
        })
    }

    fn pass(&self, gate: &Gate, name: &[u8]) {
        if name.starts_with(b"slow") {
            gate.pass();
        }
    }

    fn check(&self) -> Result<(), Errno> {
        self.failure.lock().map_or(Ok(()), Err)
    }

    fn change<T>(&self, number: u64, change: impl FnOnce(&mut Stored) -> T) -> T {
        change(self.files.lock().get_mut(&number).expect("a stored file"))
    }

    /// The number that a name leads to.
    pub fn find(&self, directory: u64, name: &[u8]) -> Option<u64> {
        self.files.lock().get(&directory)?.names.get(name).copied()
    }

    /// Stores a file behind the kernel's back.
    pub fn make(&self, directory: u64, name: &[u8], kind: FileKind) -> u64 {
        let number = self.next.fetch_add(1, SeqCst);
        let stored = Stored::new(kind, 0o644);
        let mut files = self.files.lock();
        files.insert(number, stored);
        files.get_mut(&directory).expect("a directory").names.insert(name.to_vec(), number);
        number
    }

    /// Takes a name away behind the kernel's back.
    pub fn take(&self, directory: u64, name: &[u8]) {
        self.change(directory, |stored| stored.names.remove(name));
    }
}

struct Type;

impl FileSystemType for Type {
    fn name(&self) -> &'static str {
        "test"
    }

    fn magic(&self) -> i64 {
        0x7465_7374
    }

    fn needs_device(&self) -> bool {
        true
    }

    fn keeps_attributes(&self) -> bool {
        true
    }
}

struct Instance(Arc<Disk>);

impl AttributeOperations for Instance {
    fn store(&self, inode: &Inode, change: &Change) -> Result<(), Errno> {
        self.0.check()?;
        if let Some(permissions) = change.permissions {
            self.0.change(inode.number, |stored| stored.permissions = permissions);
        }
        self.0.store_gate.pass();
        Ok(())
    }

    fn extended(&self, inode: &Inode, name: &[u8]) -> Result<Arc<Vec<u8>>, Errno> {
        let bytes = self.0.change(inode.number, |stored| stored.extended.get(name).cloned());
        bytes.map(Arc::new).ok_or(Errno::ENODATA)
    }

    fn set_extended(
        &self,
        changes: &AttributeChanges<'_>,
        name: Vec<u8>,
        bytes: Vec<u8>,
        _flags: u32,
    ) -> Result<(), Errno> {
        self.0.check()?;
        self.0.change(changes.inode().number, |stored| stored.extended.insert(name, bytes));
        Ok(())
    }

    fn remove_extended(&self, changes: &AttributeChanges<'_>, name: &[u8]) -> Result<(), Errno> {
        self.0.check()?;
        let removed = self.0.change(changes.inode().number, |stored| stored.extended.remove(name));
        removed.map(drop).ok_or(Errno::ENODATA)
    }

    fn list_extended(
        &self,
        inode: &Inode,
        emit: &mut dyn FnMut(&[u8]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let names = self.0.change(inode.number, |stored| stored.extended.clone());
        names.into_keys().try_for_each(|name| emit(&name))
    }
}

impl FileSystemOperations for Instance {
    fn inodes(&self) -> Option<&InodeCache> {
        Some(&self.0.inodes)
    }

    fn evict(&self, remains: Remains) {
        self.0.eviction_gate.pass();
        self.0.evictions.fetch_add(1, SeqCst);
        if remains.attributes.links() == 0 {
            self.0.files.lock().remove(&remains.number);
        }
    }

    fn unmount(&self) {
        self.0.unmounts.fetch_add(1, SeqCst);
        // Of every inode that was read it knows the end.
        assert_eq!(self.0.evictions.load(SeqCst), self.0.reads.load(SeqCst));
    }
}

struct Folder {
    disk: Arc<Disk>,
    number: u64,
}

impl Exposure for Folder {}

impl DirectoryOperations for Folder {
    fn store(&self) -> Store {
        self.disk.store
    }

    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        self.disk.look_ups.fetch_add(1, SeqCst);
        self.disk.pass(&self.disk.look_up_gate, name);
        self.disk.check()?;
        let number = self.disk.find(self.number, name).ok_or(Errno::ENOENT)?;
        self.disk.inode(&directory.filesystem, number)
    }

    fn revalidate(&self, _directory: &Inode, name: &[u8], known: Option<&Inode>) -> Result<bool, Errno> {
        Ok(self.disk.find(self.number, name) == known.map(|inode| inode.number))
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        let names = self.disk.change(self.number, |stored| stored.names.clone());
        for (place, (name, &number)) in (0..).zip(&names).skip(position as usize) {
            let kind = self.disk.change(number, |stored| stored.kind);
            if !emit(place + 1, Listing { name, number, kind }) {
                break;
            }
        }
        Ok(())
    }

    fn create(
        &self,
        directory: &Inode,
        name: &[u8],
        new: NewFile,
        ownership: Ownership,
    ) -> Result<Arc<Inode>, Errno> {
        self.disk.check()?;
        let number = self.disk.make(self.number, name, new.kind());
        self.disk.change(number, |stored| stored.permissions = ownership.permissions);
        self.disk.pass(&self.disk.answer_gate, name);
        self.disk.inode(&directory.filesystem, number)
    }

    fn link(&self, _directory: &Inode, name: &[u8], inode: &Inode) -> Result<(), Errno> {
        self.disk.pass(&self.disk.change_gate, name);
        self.disk.check()?;
        if self.disk.change(inode.number, |stored| stored.links) == 0 {
            // What has no name any more is as good as gone.
            return Err(Errno::EIO);
        }
        self.disk.change(inode.number, |stored| stored.links += 1);
        self.disk.change(self.number, |stored| stored.names.insert(name.to_vec(), inode.number));
        Ok(())
    }

    fn remove(&self, _directory: &Inode, name: &[u8], inode: &Inode) -> Result<(), Errno> {
        self.disk.pass(&self.disk.change_gate, name);
        self.disk.check()?;
        if self.disk.change(inode.number, |stored| !stored.names.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        self.disk.change(inode.number, |stored| stored.links -= 1);
        self.disk.take(self.number, name);
        self.disk.pass(&self.disk.answer_gate, name);
        Ok(())
    }

    fn rename(&self, plan: &Renaming<'_>) -> Result<(), Errno> {
        self.disk.check()?;
        let ((from, old, moved), (to, new)) = (plan.from, plan.to);
        match (plan.behind, plan.existing) {
            (LeftBehind::Whiteout, _) => return Err(Errno::EINVAL),
            (LeftBehind::Other, Some(other)) => {
                self.disk.change(from.number, |stored| stored.names.insert(old.to_vec(), other.number));
            }
            (_, Some(replaced)) => {
                self.disk.take(from.number, old);
                self.disk.change(replaced.number, |stored| stored.links -= 1);
            }
            _ => self.disk.take(from.number, old),
        }
        self.disk.change(to.number, |stored| stored.names.insert(new.to_vec(), moved.number));
        self.disk.pass(&self.disk.answer_gate, old);
        Ok(())
    }
}
