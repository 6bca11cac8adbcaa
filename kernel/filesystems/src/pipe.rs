//! Pipes: slots of bytes between writers and readers.
//!
//! Bytes live in page frames that are allocated as slots fill and given back as they drain, but for one. A writer or
//! reader holds the ring's sleeping lock while it copies to or from user memory that is present, a slot's bytes at once
//! or not at all. Where pages are absent it leaves the lock, brings them in and tries again. So writes of up to
//! `PIPE_BUF` bytes, which take one slot at most, are whole. How much is there, how many slots are in use, and how many
//! ends are open, is readable without the lock: wait conditions and `poll` look at that.
//!
//! With its last end a pipe loses its bytes and its size: a fifo begins anew when it is opened again.
//!
//! Lock order: the ring's lock, then the leaf of `account`.

pub mod account;
mod end;
mod pages;
mod ring;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use abi::Errno;
use libkernel::addr::PAGE_SIZE;
use libkernel::signal_set::Signal;
use memory::user::{Halt, IoSink, IoSource};
use outcome::Failure;
use sched::Mutex;
use sched::wait::{Deadline, WaitQueue};
use subject::Credentials;
use vfs::asynchronous::AsyncFiles;
use vfs::owner::News;
use vfs::poll::PollEvents;
use vfs::running;

use account::{DEFAULT_SLOTS, Slots};
pub use end::{close_and_wait, open_pair};
pub use pages::{Kept, Waiting};
pub use ring::Piece;
use ring::{Reading, Ring, Writing};

const PAGE: usize = PAGE_SIZE as usize;

/// A pipe.
pub struct Pipe {
    content: Mutex<Content>,
    /// How many bytes are in the ring; written under its lock, as all that follows.
    filled: AtomicU64,
    /// How many slots are in use.
    used: AtomicUsize,
    /// How many slots there are.
    slots: AtomicUsize,
    readers: AtomicU64,
    writers: AtomicU64,
    /// How often an end was opened, so that one waiting for the other end notices even a short visit.
    reader_visits: AtomicU64,
    writer_visits: AtomicU64,
    readable: Arc<WaitQueue>,
    writable: Arc<WaitQueue>,
    /// Ends that are sent a signal when there may be something to read, and room to write.
    async_readers: AsyncFiles,
    async_writers: AsyncFiles,
}

struct Content {
    ring: Ring,
    /// Whose slots these are, as long as an end is open.
    account: Option<Slots>,
}

impl Pipe {
    /// An empty pipe without ends.
    pub fn new() -> Arc<Pipe> {
        Arc::new(Pipe {
            content: Mutex::new(Content { ring: Ring::new(DEFAULT_SLOTS), account: None }),
            filled: AtomicU64::new(0),
            used: AtomicUsize::new(0),
            slots: AtomicUsize::new(DEFAULT_SLOTS),
            readers: AtomicU64::new(0),
            writers: AtomicU64::new(0),
            reader_visits: AtomicU64::new(0),
            writer_visits: AtomicU64::new(0),
            readable: Arc::new(WaitQueue::new()),
            writable: Arc::new(WaitQueue::new()),
            async_readers: AsyncFiles::new(),
            async_writers: AsyncFiles::new(),
        })
    }

    /// How many bytes wait to be read: `FIONREAD`.
    pub fn filled(&self) -> u64 {
        self.filled.load(Ordering::Acquire)
    }

    /// How many bytes fit where every slot is filled: `F_GETPIPE_SZ`.
    pub fn capacity(&self) -> u64 {
        self.slots.load(Ordering::Acquire) as u64 * PAGE as u64
    }

    /// How many bytes fit into free slots.
    pub fn room(&self) -> usize {
        self.slots.load(Ordering::Acquire).saturating_sub(self.used.load(Ordering::Acquire)) * PAGE
    }

    fn is_empty(&self) -> bool {
        self.used.load(Ordering::Acquire) == 0
    }

    fn is_full(&self) -> bool {
        self.room() == 0
    }

    fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Acquire) != 0
    }

    fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) != 0
    }

    /// Lets those without the lock see what changed.
    fn publish(&self, ring: &Ring) {
        self.filled.store(ring.filled() as u64, Ordering::Release);
        self.used.store(ring.used(), Ordering::Release);
    }

    /// `F_SETPIPE_SZ`: at least `wanted` bytes, rounded up to a power of two of pages; returns how many. EPERM beyond
    /// the limits of an unprivileged caller, EBUSY when more slots are in use.
    pub fn set_capacity(&self, wanted: u64, credentials: &Credentials) -> Result<u64, Errno> {
        /// The largest size that can be asked for.
        const MOST: u64 = 1 << 31;
        /// The most slots that Linux has memory for in one piece (4 MiB, at 40 bytes each).
        const MOST_SLOTS: usize = 1 << 16;
        if wanted > MOST {
            return Err(Errno::EINVAL);
        }
        let slots = (wanted.max(PAGE_SIZE).next_power_of_two() / PAGE_SIZE) as usize;
        let mut content = self.content.lock();
        let Content { ring, account } = &mut *content;
        if account.as_ref().is_some_and(|account| !account.may_become(slots, credentials)) {
            return Err(Errno::EPERM);
        }
        if slots > MOST_SLOTS {
            return Err(Errno::ENOMEM);
        }
        ring.set_most(slots)?;
        if let Some(account) = account {
            account.set_count(slots);
        }
        self.slots.store(slots, Ordering::Release);
        drop(content);
        self.writable.notify(PollEvents::WRITABLE);
        Ok(self.capacity())
    }

    /// Reads what is there, at least one byte; waits for it while there are writers.
    fn read(&self, nonblocking: bool, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        if sink.remaining() == 0 {
            return Ok(());
        }
        let outcome = self.read_or_wait(nonblocking, sink);
        // Whatever came of it, as on Linux; likewise in `write`.
        self.async_writers.tell(News::Output);
        outcome
    }

    fn read_or_wait(&self, nonblocking: bool, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        let mut has_waited = false;
        loop {
            if !self.is_empty() && self.read_some(sink, Reading::Packets, has_waited)? {
                return Ok(());
            }
            if !self.has_writers() && self.is_empty() {
                return Ok(());
            }
            if nonblocking {
                return Err(Errno::EAGAIN.into());
            }
            self.async_writers.tell(News::Output);
            let ready = || (!self.is_empty() || !self.has_writers()).then_some(());
            self.readable.wait_until(Deadline::NEVER, ready)?;
            has_waited = true;
        }
    }

    /// Moves what is in the ring; `false` when another reader was faster. Who has waited took the only wake-up that
    /// there was, and passes it on.
    #[inline]
    fn read_some(&self, sink: &mut IoSink<'_>, reading: Reading, has_waited: bool) -> Result<bool, Errno> {
        loop {
            match self.read_present(sink, reading, has_waited) {
                Ok(was_first) => return Ok(was_first),
                Err(halt) => sink.bring_in(halt, self.filled() as usize)?,
            }
        }
    }

    /// The same, as far as there are pages to put it into.
    #[inline]
    fn read_present(&self, sink: &mut IoSink<'_>, reading: Reading, has_waited: bool) -> Result<bool, Halt> {
        let mut content = self.content.lock();
        let ring = &mut content.ring;
        if ring.is_empty() {
            // After some bytes and an absent page, another reader may have taken the rest.
            return Ok(sink.moved() > 0);
        }
        let was_full = ring.is_full();
        let outcome = ring.read(sink, reading);
        self.publish(ring);
        let is_empty = ring.is_empty();
        drop(content);
        if was_full {
            self.writable.notify_one(PollEvents::WRITABLE);
        }
        if has_waited && !is_empty {
            self.readable.pass_on();
        }
        outcome.map(|()| true)
    }

    /// Writes all of the source, or what fits without waiting; up to `PIPE_BUF` bytes go in whole or not at all.
    fn write(&self, nonblocking: bool, writing: Writing, source: &mut IoSource<'_>) -> Result<(), Failure> {
        if source.remaining() == 0 {
            return Ok(());
        }
        let outcome = self.write_or_wait(nonblocking, writing, source);
        self.async_readers.tell(News::Input);
        outcome
    }

    fn write_or_wait(
        &self,
        nonblocking: bool,
        writing: Writing,
        source: &mut IoSource<'_>,
    ) -> Result<(), Failure> {
        let mut has_waited = false;
        loop {
            if !self.has_readers() {
                running::send_signal(Signal::PIPE);
                return Err(Errno::EPIPE.into());
            }
            // What fits goes before anything is said of the rest: EAGAIN and a signal are told as a count if there is
            // one.
            self.write_some(writing, has_waited, source)?;
            if source.remaining() == 0 {
                return Ok(());
            }
            if nonblocking {
                return Err(Errno::EAGAIN.into());
            }
            self.async_readers.tell(News::Input);
            let ready = || (!self.is_full() || !self.has_readers()).then_some(());
            self.writable.wait_until(Deadline::NEVER, ready)?;
            has_waited = true;
        }
    }

    /// Moves what fits into the ring, at first by merging. Who has waited passes the wake-up on if it leaves room.
    #[inline]
    fn write_some(&self, writing: Writing, has_waited: bool, source: &mut IoSource<'_>) -> Result<(), Errno> {
        loop {
            match self.write_present(writing, has_waited, source) {
                Ok(()) => return Ok(()),
                Err(halt) => source.bring_in(halt, self.room())?,
            }
        }
    }

    /// The same, up to the first slot whose bytes lie in absent pages.
    #[inline]
    fn write_present(
        &self,
        writing: Writing,
        has_waited: bool,
        source: &mut IoSource<'_>,
    ) -> Result<(), Halt> {
        let mut content = self.content.lock();
        let (ring, before) = (&mut content.ring, source.moved());
        let merges = !has_waited && writing != Writing::Apart;
        let mut outcome = if merges { ring.merge(source) } else { Ok(()) };
        if outcome.is_ok() {
            outcome = ring.write(source, writing);
        }
        self.publish(ring);
        let is_full = ring.is_full();
        drop(content);
        // Also where nothing fitted: on Linux a write that is refused is an edge for who watches. One that is about to
        // be tried again is none.
        if !matches!(outcome, Err(Halt::Absent(_))) || source.moved() > before {
            self.readable.notify_one(PollEvents::READABLE);
        }
        if has_waited && !is_full {
            self.writable.pass_on();
        }
        outcome
    }

    /// Takes back what was read and found no taker.
    pub fn unread(&self, bytes: &[u8]) {
        let mut content = self.content.lock();
        // Without memory for them they are lost, as there is nobody left to give them to.
        let _ = content.ring.unread(bytes);
        self.publish(&content.ring);
        drop(content);
        self.readable.notify_one(PollEvents::READABLE);
    }
}
