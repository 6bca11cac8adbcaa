//! Event files: a counter that one side adds to and the other takes from. eventfd(2).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use memory::user::{IoSink, IoSource};
use outcome::Failure;
use sched::wait::{Deadline, WaitQueue};
use vfs::file::{File, FileOperations};
use vfs::poll::{PollEvents, Watcher};

/// What a read takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// All of the counter.
    All,
    /// One: `EFD_SEMAPHORE`.
    One,
}

/// An event file.
pub struct EventFile {
    count: AtomicU64,
    taking: Taking,
    /// One queue for both sides, of which one at most has reason to wait.
    changed: Arc<WaitQueue>,
}

/// The bytes that reads and writes move.
const SIZE: usize = size_of::<u64>();

impl EventFile {
    /// A counter that starts at `count`.
    pub fn new(count: u64, taking: Taking) -> Arc<EventFile> {
        Arc::new(EventFile { count: AtomicU64::new(count), taking, changed: Arc::new(WaitQueue::new()) })
    }

    fn try_take(&self) -> Option<u64> {
        let left = |count| match self.taking {
            Taking::One => u64::checked_sub(count, 1),
            Taking::All => (count > 0).then_some(0),
        };
        let count = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, left).ok()?;
        Some(if self.taking == Taking::One { 1 } else { count })
    }

    /// Adds, unless the sum would be the largest number, which is never reached.
    fn try_add(&self, value: u64) -> Option<()> {
        let sum = |count| u64::checked_add(count, value).filter(|&sum| sum < u64::MAX);
        self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, sum).ok().map(drop)
    }
}

impl FileOperations for EventFile {
    /// `lseek` succeeds and moves nothing, as with Linux's `noop_llseek`.
    fn seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64, Errno>> {
        Some(Ok(0))
    }

    fn read(&self, file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        if sink.remaining() < SIZE {
            return Err(Errno::EINVAL.into());
        }
        let taken = match self.try_take() {
            Some(taken) => taken,
            None if file.is_nonblocking() => return Err(Errno::EAGAIN.into()),
            None => self.changed.wait_until(Deadline::NEVER, || self.try_take())?,
        };
        self.changed.notify(PollEvents::WRITABLE);
        Ok(sink.put_whole(&taken.to_ne_bytes())?)
    }

    fn write(&self, file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let mut bytes = [0; SIZE];
        if source.remaining() < SIZE {
            return Err(Errno::EINVAL.into());
        }
        source.take_whole(&mut bytes)?;
        let value = u64::from_ne_bytes(bytes);
        if value == u64::MAX {
            return Err(Errno::EINVAL.into());
        }
        if self.try_add(value).is_none() {
            if file.is_nonblocking() {
                return Err(Errno::EAGAIN.into());
            }
            self.changed.wait_until(Deadline::NEVER, || self.try_add(value))?;
        }
        self.changed.notify(PollEvents::READABLE);
        Ok(SIZE)
    }

    fn is_pollable(&self) -> bool {
        true
    }

    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        watcher.watch(&self.changed)?;
        let count = self.count.load(Ordering::Acquire);
        let readable = PollEvents::READABLE.when(count > 0);
        Ok(readable.union(PollEvents::WRITABLE.when(count < u64::MAX - 1)))
    }
}
