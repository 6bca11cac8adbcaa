//! The reaper: what becomes of inodes that nobody holds any more.
//!
//! The last reference to an inode may go anywhere, under any lock. Where its file system has something left to do then (write back,
//! free its blocks), the inode's parts are handed over to a kernel task, which may sleep: [`Drop`] never does. The hand-over allocates
//! nothing, as each such inode brings along what it takes. The lock is a leaf.

use alloc::boxed::Box;
use alloc::sync::Arc;

use hal::sync::{Once, SpinLock};
use sched::wait::WaitQueue;

use super::attributes::{Attributes, FileKind};
use super::filesystem::FileSystem;
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

/// What an inode brings along for its end.
pub(super) struct Parting {
    remains: Option<Remains>,
    next: Option<Box<Parting>>,
}

impl Parting {
    pub(super) const fn new() -> Parting {
        Parting { remains: None, next: None }
    }
}

/// What has been handed over, the latest first.
static LEFT: SpinLock<Option<Box<Parting>>> = SpinLock::new(None);
static NEWS: WaitQueue = WaitQueue::new();

/// Hands over what is left of an inode.
pub(super) fn hand_over(mut parting: Box<Parting>, remains: Remains) {
    parting.remains = Some(remains);
    let mut left = LEFT.lock();
    parting.next = left.take();
    *left = Some(parting);
    drop(left);
    NEWS.wake_one();
}

/// Has file systems finish with all inodes that have been handed over. May sleep.
pub fn reap() {
    let mut left = LEFT.lock().take();
    let mut oldest_first = None;
    while let Some(mut parting) = left {
        left = parting.next.take();
        parting.next = oldest_first;
        oldest_first = Some(parting);
    }
    while let Some(mut parting) = oldest_first {
        oldest_first = parting.next.take();
        if let Some(remains) = parting.remains.take() {
            remains.finish();
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

/// Starts the task, once, when the first file system comes that needs it. ENOMEM without memory for it.
pub fn start() -> Result<(), abi::Errno> {
    static STARTED: Once<()> = Once::new();
    STARTED.get_or_try_init(|| sched::spawn(Box::new(run)).map(drop).map_err(|_| abi::Errno::ENOMEM)).copied()
}

fn run() {
    loop {
        NEWS.wait_uninterruptibly(|| LEFT.lock().is_some().then_some(()));
        reap();
    }
}
