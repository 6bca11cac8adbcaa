//! The ends of a pipe: opening, closing and readiness, for nameless pipes and fifos alike.
//!
//! The open file's access mode says which end it is; one opened for both is both.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::{O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY};
use abi::ioctl::FIONREAD;
use libkernel::addr::UserAddr;
use memory::user::{IoSink, IoSource, UserPtr};
use outcome::Failure;
use sched::wait::Deadline;
use subject::Credentials;
use vfs::anonymous;
use vfs::asynchronous::AsyncFiles;
use vfs::file::{File, FileOperations, Handle};
use vfs::inode::{Body, Fifo};
use vfs::mount::Location;
use vfs::owner::News;
use vfs::poll::{PollEvents, Watcher};

use super::account::{DEFAULT_SLOTS, Slots};
use super::ring::{Ring, Writing};
use super::{Content, Pipe};

/// How a pipe is opened: which ends.
#[derive(Clone, Copy)]
struct Ends {
    reads: bool,
    writes: bool,
}

impl FileOperations for Pipe {
    fn takes_splices(&self) -> bool {
        true
    }

    fn read(&self, file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        Pipe::read(self, file.is_nonblocking(), sink)
    }

    fn write(&self, file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let writing = if file.flags() & O_DIRECT != 0 { Writing::Packets } else { Writing::Stream };
        let outcome = Pipe::write(self, file.is_nonblocking(), writing, source);
        source.finish(outcome)
    }

    fn ioctl(&self, _file: &File, request: u32, argument: u64) -> Result<u64, Failure> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY.into());
        }
        UserPtr::new(UserAddr::new(argument)).write(&(self.filled() as u32))?;
        Ok(0)
    }

    fn is_pollable(&self) -> bool {
        true
    }

    fn poll(&self, file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        let mut events = PollEvents::NONE;
        if file.is_readable() {
            watcher.watch(&self.readable)?;
            let hung_up =
                !self.has_writers() && self.writer_visits.load(Ordering::Relaxed) != file.opening_note();
            events = events
                .union(PollEvents::READABLE.when(!self.is_empty()))
                .union(PollEvents::HANG_UP.when(hung_up));
        }
        if file.is_writable() {
            watcher.watch(&self.writable)?;
            events = events
                .union(PollEvents::WRITABLE.when(!self.is_full()))
                .union(PollEvents::ERROR.when(!self.has_readers()));
        }
        Ok(events)
    }

    fn release(&self, file: &File) {
        self.leave(Ends { reads: file.is_readable(), writes: file.is_writable() });
    }

    fn with_async_files(&self, file: &File, change: &mut dyn FnMut(&AsyncFiles)) -> bool {
        let _content = self.content.lock();
        if file.is_readable() {
            change(&self.async_readers);
        }
        if file.is_writable() {
            change(&self.async_writers);
        }
        true
    }
}

impl Fifo for Pipe {
    fn open(
        self: Arc<Self>,
        place: Location,
        flags: u32,
        credentials: &Credentials,
    ) -> Result<Arc<File>, Failure> {
        open_fifo(&self, place, flags, credentials)
    }
}

impl Pipe {
    /// Opens ends. The first one brings the slots, on its user's account. ENFILE beyond the user's limit.
    fn visit(&self, ends: Ends, credentials: &Credentials) -> Result<(), Errno> {
        let mut content = self.content.lock();
        if content.account.is_none() {
            let account = Slots::for_new_pipe(credentials).ok_or(Errno::ENFILE)?;
            let count = account.count();
            *content = Content { ring: Ring::new(count), account: Some(account) };
            self.slots.store(count, Ordering::Release);
        }
        if ends.reads {
            self.readers.fetch_add(1, Ordering::AcqRel);
            self.reader_visits.fetch_add(1, Ordering::AcqRel);
        }
        if ends.writes {
            self.writers.fetch_add(1, Ordering::AcqRel);
            self.writer_visits.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Closes ends. With the last of all the bytes go, too.
    fn leave(&self, ends: Ends) {
        // Counted under the lock, so that of two ends which close at once one sees that it was the last of all, and
        // takes the bytes away.
        let mut content = self.content.lock();
        let last_reader = ends.reads && self.readers.fetch_sub(1, Ordering::AcqRel) == 1;
        let last_writer = ends.writes && self.writers.fetch_sub(1, Ordering::AcqRel) == 1;
        if !self.has_readers() && !self.has_writers() {
            *content = Content { ring: Ring::new(DEFAULT_SLOTS), account: None };
            self.publish(&content.ring);
        }
        let is_cut_off = self.has_readers() != self.has_writers();
        // The counts have changed by now, which is what those who wake up look at; and the lock is free for them.
        drop(content);
        if last_reader {
            self.writable.wake_all();
        }
        if last_writer {
            self.readable.wake_all();
        }
        if is_cut_off {
            self.async_readers.tell(News::Input);
            self.async_writers.tell(News::Output);
        }
    }

    /// Opens ends of a fifo and waits for the other one, as fifo(7) has it; on failure they are closed again. Returns
    /// how often writers had come, for a reader that did not wait for one: their end is not its hang-up.
    fn meet_other_end(
        &self,
        ends: Ends,
        nonblocking: bool,
        credentials: &Credentials,
    ) -> Result<u64, Failure> {
        // In this order: one that is there is seen, also if it goes as soon as it sees this end; one that comes later
        // is counted.
        let (reader_visits, writer_visits) =
            (self.reader_visits.load(Ordering::Acquire), self.writer_visits.load(Ordering::Acquire));
        let (had_readers, had_writers) = (self.has_readers(), self.has_writers());
        self.visit(ends, credentials)?;
        self.readable.wake_all();
        self.writable.wake_all();
        let met = match ends {
            Ends { reads: true, writes: false } if !had_writers => {
                if nonblocking {
                    return Ok(writer_visits);
                }
                let came = || self.writer_visits.load(Ordering::Acquire) != writer_visits;
                self.readable.wait_until(Deadline::NEVER, || came().then_some(()))
            }
            Ends { reads: false, writes: true } if !had_readers => {
                let came = || self.reader_visits.load(Ordering::Acquire) != reader_visits;
                self.writable.wait_until(Deadline::NEVER, || came().then_some(()))
            }
            _ => Ok(()),
        };
        if let Err(error) = met {
            self.leave(ends);
            return Err(error.into());
        }
        Ok(0)
    }
}

/// Opens a pipe that has a place: a fifo, waiting for its other end, or a nameless pipe by `/proc/PID/fd`, which waits
/// for nobody. ENXIO for the writer of a fifo that may not wait and has no reader.
fn open_fifo(
    pipe: &Arc<Pipe>,
    location: Location,
    flags: u32,
    credentials: &Credentials,
) -> Result<Arc<File>, Failure> {
    if flags & O_DIRECT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let ends = ends_of(flags);
    let nonblocking = flags & O_NONBLOCK != 0;
    let mut note = 0;
    if location.dentry.is_nameless() {
        pipe.visit(ends, credentials)?;
    } else if nonblocking && ends.writes && !ends.reads && !pipe.has_readers() {
        return Err(Errno::ENXIO.into());
    } else {
        note = pipe.meet_other_end(ends, nonblocking, credentials)?;
    }
    let file = File::new(location, Handle::Special(pipe.clone()), flags, None);
    file.set_opening_note(note);
    Ok(file)
}

/// Makes a nameless pipe and opens both ends: the reader's, then the writer's. `O_DIRECT` is a matter of the writer's
/// alone. ENFILE beyond the user's limit.
pub fn open_pair(credentials: &Credentials, flags: u32) -> Result<(Arc<File>, Arc<File>), Errno> {
    let pipe = Pipe::new();
    pipe.visit(Ends { reads: true, writes: true }, credentials)?;
    let place = anonymous::pipe_location(Body::Fifo(pipe.clone()), credentials)?;
    let reader = File::new(place.clone(), Handle::Special(pipe.clone()), flags & O_NONBLOCK | O_RDONLY, None);
    let writer = File::new(place, Handle::Special(pipe), flags | O_WRONLY, None);
    Ok((reader, writer))
}

/// Closes the only writer of a nameless pipe, and waits until it has no reader either, or the running thread is to end.
pub fn close_and_wait(writer: Arc<File>) {
    let operations = writer.special().cloned();
    drop(writer);
    if let Some(pipe) = operations.as_deref().and_then(|operations| operations.of_type::<Pipe>()) {
        // Killed, there is nothing left to wait for.
        let _ = pipe.writable.wait_until_killed(|| (!pipe.has_readers()).then_some(()));
    }
}

fn ends_of(flags: u32) -> Ends {
    let mode = flags & abi::fs::O_ACCMODE;
    Ends { reads: mode != O_WRONLY, writes: mode != O_RDONLY }
}
