//! Pipes: a ring of pages between writers and readers.
//!
//! Bytes live in page frames that are allocated as the ring fills and given back as it drains, but for one. A writer or reader
//! holds the ring's sleeping lock while it copies to or from user memory, so writes of up to `PIPE_BUF` bytes are whole.
//! How full the ring is, and how many ends are open, is readable without the lock: wait conditions and `poll` look at that.
//!
//! Lock order: the ring's lock, then nothing.

mod end;
mod ring;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use abi::fs::PIPE_BUF;
use libkernel::signal_set::Signal;

use super::running;
use crate::sched::Mutex;
use crate::sched::wait::{Deadline, WaitQueue};
use crate::syscall::Failure;
use crate::user::{IoSink, IoSource};

pub use end::{open_fifo, open_pair};
use ring::Ring;

/// The capacity that a pipe starts with: pipe(7).
pub const DEFAULT_CAPACITY: usize = 65536;

/// The largest capacity without privilege: `/proc/sys/fs/pipe-max-size`.
pub const MAX_CAPACITY: usize = 1 << 20;

/// A pipe.
pub struct Pipe {
    ring: Mutex<Ring>,
    /// How many bytes are in the ring; written under its lock.
    filled: AtomicU64,
    /// How many bytes the ring can hold; written under its lock.
    capacity: AtomicU64,
    readers: AtomicU32,
    writers: AtomicU32,
    /// How often an end was opened, so that one waiting for the other end notices even a short visit.
    reader_visits: AtomicU32,
    writer_visits: AtomicU32,
    readable: Arc<WaitQueue>,
    writable: Arc<WaitQueue>,
}

impl Pipe {
    /// An empty pipe without ends.
    pub fn new() -> Arc<Pipe> {
        Arc::new(Pipe {
            ring: Mutex::new(Ring::new(DEFAULT_CAPACITY)),
            filled: AtomicU64::new(0),
            capacity: AtomicU64::new(DEFAULT_CAPACITY as u64),
            readers: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            reader_visits: AtomicU32::new(0),
            writer_visits: AtomicU32::new(0),
            readable: Arc::new(WaitQueue::new()),
            writable: Arc::new(WaitQueue::new()),
        })
    }

    /// How many bytes wait to be read: `FIONREAD`.
    pub fn filled(&self) -> u64 {
        self.filled.load(Ordering::Acquire)
    }

    /// How many bytes fit: `F_GETPIPE_SZ`.
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Acquire)
    }

    /// Whether a read would have to wait.
    pub fn is_waiting_for_writers(&self) -> bool {
        self.filled() == 0 && self.has_writers()
    }

    fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Acquire) != 0
    }

    fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) != 0
    }

    fn room(&self) -> u64 {
        self.capacity().saturating_sub(self.filled())
    }

    /// `F_SETPIPE_SZ`: at least `wanted` bytes, rounded up to a power of two of pages. EBUSY when more than that is in the pipe.
    pub fn set_capacity(&self, wanted: usize) -> Result<u64, Errno> {
        let capacity = wanted.max(PIPE_BUF).checked_next_power_of_two().ok_or(Errno::EINVAL)?;
        let mut ring = self.ring.lock();
        ring.set_capacity(capacity)?;
        self.capacity.store(capacity as u64, Ordering::Release);
        drop(ring);
        self.writable.wake_all();
        Ok(capacity as u64)
    }

    /// Reads what is there, at least one byte; waits for it while there are writers.
    fn read(&self, nonblocking: bool, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        if sink.remaining() == 0 {
            return Ok(());
        }
        loop {
            if self.filled() > 0 && self.read_some(sink)? {
                return Ok(());
            }
            if !self.has_writers() && self.filled() == 0 {
                return Ok(());
            }
            if nonblocking {
                return Err(Errno::EAGAIN.into());
            }
            let ready = || (self.filled() > 0 || !self.has_writers()).then_some(());
            self.readable.wait_until(Deadline::NEVER, ready)?;
        }
    }

    /// Moves what is in the ring; `false` when another reader was faster.
    fn read_some(&self, sink: &mut IoSink<'_>) -> Result<bool, Errno> {
        let mut ring = self.ring.lock();
        if ring.filled() == 0 {
            return Ok(false);
        }
        let outcome = ring.read(sink);
        let left = ring.filled();
        self.filled.store(left, Ordering::Release);
        drop(ring);
        self.writable.wake_one();
        if left > 0 {
            self.readable.wake_one();
        }
        outcome.map(|()| true)
    }

    /// Writes all of the source, or what fits without waiting; up to `PIPE_BUF` bytes go in whole or not at all.
    fn write(&self, nonblocking: bool, source: &mut IoSource<'_>) -> Result<(), Failure> {
        let whole = source.remaining() <= PIPE_BUF;
        while source.remaining() > 0 {
            if !self.has_readers() {
                running::send_signal(Signal::PIPE);
                return Err(Errno::EPIPE.into());
            }
            let needed = if whole { source.remaining() as u64 } else { 1 };
            if self.room() >= needed && self.write_some(needed, source)? {
                continue;
            }
            if nonblocking {
                return Err(Errno::EAGAIN.into());
            }
            let ready = || (self.room() >= needed || !self.has_readers()).then_some(());
            self.writable.wait_until(Deadline::NEVER, ready)?;
        }
        Ok(())
    }

    /// Moves what fits into the ring, if at least `needed` bytes do; `false` when another writer was faster.
    fn write_some(&self, needed: u64, source: &mut IoSource<'_>) -> Result<bool, Errno> {
        let mut ring = self.ring.lock();
        if ring.room() < needed {
            return Ok(false);
        }
        let outcome = ring.write(source);
        self.filled.store(ring.filled(), Ordering::Release);
        let room = ring.room();
        drop(ring);
        self.readable.wake_one();
        if room > 0 {
            self.writable.wake_one();
        }
        outcome.map(|()| true)
    }
}
