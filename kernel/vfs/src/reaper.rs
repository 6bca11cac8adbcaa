//! The reaper: what becomes of inodes that nobody holds any more, and of instances of file systems.
//!
//! The last reference to an inode or a mount may go anywhere, under any lock. What is left to do then (write back, free
//! blocks, take a tree apart) is handed over to a kernel task, which may sleep: [`Drop`] never does. The hand-over
//! allocates nothing, as whatever may be handed over brings along what that takes. The lock is a leaf.
//!
//! An instance ends in three steps: with its last mount its tree is handed over and taken apart, so that its inodes go;
//! those whose file system has something to do are handed over and evicted; the last of them lets the instance itself
//! go, which is handed over and unmounted. Each step holds what the next one needs, so none comes too early, whoever
//! else still holds an inode.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::Errno;
use hal::frame::OutOfMemory;
use hal::sync::SpinLock;
use sched::wait::WaitQueue;

use super::attributes::{Attributes, FileKind};
use super::dentry::Dentry;
use super::directory::cache::take_apart;
use super::filesystem::{FileSystem, FileSystemOperations};
use super::inode::Body;

/// What is left of an inode that nobody holds.
pub struct Remains {
    /// Where it lived.
    pub filesystem: Arc<FileSystem>,
    /// Its number.
    pub number: u64,
    /// Its type.
    pub kind: FileKind,
    /// Mode, owner, times, and how many names it has: of one without, what it holds is to be freed.
    pub attributes: Attributes,
    /// Its content.
    pub body: Body,
}

/// What is handed over.
#[expect(clippy::large_enum_variant, reason = "it lies in room that every inode brings along")]
pub(super) enum Left {
    /// Of an inode.
    Inode(Remains),
    /// The tree of an instance whose last mount is gone.
    Tree(Arc<Dentry>),
    /// The instance itself.
    Instance(Arc<dyn FileSystemOperations>, Arc<Ending>),
}

/// What something brings along for its end.
pub(super) struct Parting {
    left: Option<Left>,
    next: Option<Box<Parting>>,
}

impl Parting {
    pub(super) const fn new() -> Parting {
        Parting { left: None, next: None }
    }
}

/// The end of an instance, for who waits for it.
pub struct Ending {
    has_begun: AtomicBool,
    is_over: AtomicBool,
    over: WaitQueue,
}

impl Ending {
    pub(super) const fn new() -> Ending {
        let (has_begun, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        Ending { has_begun, is_over, over: WaitQueue::new() }
    }

    pub(super) fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
    }

    fn finish(&self) {
        self.is_over.store(true, Ordering::Release);
        self.over.wake_all();
    }

    /// Waits until the instance is unmounted, if its last mount is gone; whoever waits holds nothing of it. EINTR for a
    /// thread that is to end.
    pub fn wait(&self) -> Result<(), Errno> {
        if !self.has_begun.load(Ordering::Acquire) {
            return Ok(());
        }
        let is_over = || self.is_over.load(Ordering::Acquire).then_some(());
        self.over.wait_until_killed(is_over).map_err(|_| Errno::EINTR)
    }
}

/// All that has been handed over, the latest first.
static LEFT: SpinLock<Option<Box<Parting>>> = SpinLock::new(None);
static NEWS: WaitQueue = WaitQueue::new();

/// Hands over what is left of something.
pub(super) fn hand_over(mut parting: Box<Parting>, what: Left) {
    parting.left = Some(what);
    let mut left = LEFT.lock();
    parting.next = left.take();
    *left = Some(parting);
    drop(left);
    NEWS.wake_one();
}

/// Finishes with all that has been handed over, and with what comes of that. May sleep.
pub fn reap() {
    while let Some(all) = take_all() {
        let mut oldest_first = Some(all);
        while let Some(mut parting) = oldest_first {
            oldest_first = parting.next.take();
            if let Some(left) = parting.left.take() {
                left.finish();
            }
        }
    }
}

/// All that has been handed over, the oldest first.
fn take_all() -> Option<Box<Parting>> {
    let mut latest_first = LEFT.lock().take();
    let mut oldest_first = None;
    while let Some(mut parting) = latest_first {
        latest_first = parting.next.take();
        parting.next = oldest_first;
        oldest_first = Some(parting);
    }
    oldest_first
}

impl Left {
    fn finish(self) {
        match self {
            Left::Inode(remains) => remains.finish(),
            // Nobody changes names in it, or holds its look-ups, without holding a mount.
            Left::Tree(root) => take_apart(root),
            Left::Instance(operations, ending) => {
                operations.unmount();
                drop(operations);
                ending.finish();
            }
        }
    }
}

impl Remains {
    fn finish(self) {
        let (filesystem, number) = (self.filesystem.clone(), self.number);
        filesystem.evict(self);
        // Only now does who waits for the number read it anew.
        if let Some(inodes) = filesystem.inodes() {
            inodes.leave(number);
        }
    }
}

/// Starts the task. Once, at boot; what is handed over before that waits for it.
pub fn start() -> Result<(), OutOfMemory> {
    sched::spawn(Box::new(run))
}

fn run() {
    loop {
        NEWS.wait_uninterruptibly(|| LEFT.lock().is_some().then_some(()));
        reap();
    }
}
