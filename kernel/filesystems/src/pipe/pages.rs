//! Pages that go into pipes and between them: what `tee`, `splice` and `vmsplice` do.
//!
//! Each waits until something can be moved, and then moves what is there and what fits. Two pipes' locks are taken in
//! the order of their addresses.

use abi::Errno;
use libkernel::signal_set::Signal;
use memory::user::{IoSink, IoSource};
use outcome::Failure;
use sched::wait::Deadline;
use vfs::owner::News;
use vfs::poll::PollEvents;
use vfs::running;

use super::ring::{Piece, Reading, Writing};
use super::{Content, Pipe};

/// Whether a call waits for bytes or for room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// It does.
    Waits,
    /// EAGAIN.
    Refuses,
}

/// Whether what goes into another pipe stays in the first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It does: `tee`.
    Stays,
    /// It does not: `splice`.
    Leaves,
}

impl Pipe {
    /// Waits until there are bytes; whether there are any. There are none without writers.
    pub fn await_bytes(&self, waiting: Waiting) -> Result<bool, Failure> {
        if self.is_empty() && self.has_writers() {
            if waiting == Waiting::Refuses {
                return Err(Errno::EAGAIN.into());
            }
            let ready = || (!self.is_empty() || !self.has_writers()).then_some(());
            self.readable.wait_until(Deadline::NEVER, ready)?;
            // The wake-up was perhaps the only one, and nothing is taken yet.
            self.readable.pass_on();
        }
        Ok(!self.is_empty())
    }

    /// Waits until a slot is free. EPIPE, with its signal, without readers.
    pub fn await_room(&self, waiting: Waiting) -> Result<(), Failure> {
        self.check_readers()?;
        if self.is_full() {
            if waiting == Waiting::Refuses {
                return Err(Errno::EAGAIN.into());
            }
            let ready = || (!self.is_full() || !self.has_readers()).then_some(());
            self.writable.wait_until(Deadline::NEVER, ready)?;
            self.writable.pass_on();
            self.check_readers()?;
        }
        Ok(())
    }

    fn check_readers(&self) -> Result<(), Errno> {
        if self.has_readers() {
            return Ok(());
        }
        running::send_signal(Signal::PIPE);
        Err(Errno::EPIPE)
    }

    /// Brings up to `count` bytes from one pipe into another one, by page: how many. None where no more will come.
    pub fn pass(
        from: &Pipe,
        to: &Pipe,
        count: usize,
        kept: Kept,
        waiting: Waiting,
    ) -> Result<usize, Failure> {
        loop {
            // Who has nothing to read is still told of a pipe that nobody reads.
            let has_bytes = from.await_bytes(waiting)?;
            to.await_room(waiting)?;
            if !has_bytes {
                return Ok(0);
            }
            let moved = match kept {
                Kept::Stays => from.copy_into(to, count)?,
                Kept::Leaves => from.move_into(to, count)?,
            };
            if moved > 0 {
                to.tell_of_bytes();
                return Ok(moved);
            }
            // Somebody else was faster.
        }
    }

    /// Runs `change` with both contents, locked.
    fn with_both<R>(&self, to: &Pipe, change: impl FnOnce(&mut Content, &mut Content) -> R) -> R {
        if core::ptr::from_ref(self) < core::ptr::from_ref(to) {
            let mut from_content = self.content.lock();
            let mut to_content = to.content.lock();
            change(&mut from_content, &mut to_content)
        } else {
            let mut to_content = to.content.lock();
            let mut from_content = self.content.lock();
            change(&mut from_content, &mut to_content)
        }
    }

    fn copy_into(&self, to: &Pipe, count: usize) -> Result<usize, Errno> {
        self.with_both(to, |from_content, to_content| {
            let moved = to_content.ring.copy_slots(&from_content.ring, count);
            to.publish(&to_content.ring);
            moved
        })
    }

    fn move_into(&self, to: &Pipe, count: usize) -> Result<usize, Errno> {
        let (moved, made_room) = self.with_both(to, |from_content, to_content| {
            let used = from_content.ring.used();
            let moved = to_content.ring.take_slots(&mut from_content.ring, count);
            self.publish(&from_content.ring);
            to.publish(&to_content.ring);
            (moved, from_content.ring.used() < used)
        });
        if made_room {
            self.tell_of_room();
        }
        moved
    }

    /// Fills slots with the pieces that `next` gives, as long as it gives any and there is room: how many bytes. An
    /// error of `next` counts where nothing came before it. `next` is called under the lock of the pipe.
    pub fn add_pieces(&self, mut next: impl FnMut() -> Result<Option<Piece>, Errno>) -> Result<usize, Errno> {
        let mut content = self.content.lock();
        let ring = &mut content.ring;
        let before = ring.filled();
        let mut add_all = || {
            while !ring.is_full()
                && let Some(piece) = next()?
            {
                ring.add(piece)?;
            }
            Ok(())
        };
        let outcome = add_all();
        let moved = ring.filled() - before;
        self.publish(ring);
        drop(content);
        if moved > 0 {
            self.tell_of_bytes();
            return Ok(moved);
        }
        outcome.map(|()| 0)
    }

    /// Reads what is there, if anything, as one stream, whatever packets it came in.
    pub fn read_stream(&self, sink: &mut IoSink<'_>) -> Result<(), Errno> {
        self.read_some(sink, Reading::Stream, false)?;
        self.async_writers.tell(News::Output);
        Ok(())
    }

    /// Writes what fits at once, into slots of its own.
    pub fn write_apart(&self, source: &mut IoSource<'_>) -> Result<(), Errno> {
        self.check_readers()?;
        self.write_some(Writing::Apart, false, source)?;
        self.async_readers.tell(News::Input);
        Ok(())
    }

    fn tell_of_bytes(&self) {
        self.readable.notify_one(PollEvents::READABLE);
        self.async_readers.tell(News::Input);
    }

    fn tell_of_room(&self) {
        self.writable.notify_one(PollEvents::WRITABLE);
        self.async_writers.tell(News::Output);
    }
}
