//! The ends of a pipe: opening, closing and readiness, for nameless pipes and fifos alike.
//!
//! The open file's access mode says which end it is; one opened for both is both.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::fs::{O_NONBLOCK, O_RDONLY, O_WRONLY};
use abi::ioctl::FIONREAD;
use libkernel::addr::UserAddr;

use super::Pipe;
use crate::fs::anonymous;
use crate::fs::file::{File, FileOperations, Handle, SpecialKind};
use crate::fs::inode::Body;
use crate::fs::mount::Location;
use crate::fs::poll::{PollEvents, Watcher};
use crate::process::Credentials;
use crate::sched::wait::Deadline;
use crate::syscall::{Caller, Failure};
use crate::user::{IoSink, IoSource, UserPtr};

/// How a pipe is opened: which ends.
#[derive(Clone, Copy)]
struct Ends {
    reads: bool,
    writes: bool,
}

impl FileOperations for Pipe {
    fn read(&self, file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        Pipe::read(self, file.is_nonblocking(), sink)
    }

    fn write(&self, file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let outcome = Pipe::write(self, file.is_nonblocking(), source);
        source.finish(outcome)
    }

    fn ioctl(
        &self,
        _file: &File,
        _caller: &mut Caller<'_>,
        request: u32,
        argument: u64,
    ) -> Result<u64, Failure> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY.into());
        }
        UserPtr::new(UserAddr::new(argument)).write(&(self.filled() as u32))?;
        Ok(0)
    }

    fn poll(&self, file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        let mut events = PollEvents::NONE;
        if file.is_readable() {
            watcher.watch(&self.readable)?;
            let hung_up = !self.has_writers() && self.writer_visits.load(Ordering::Relaxed) != 0;
            events = events
                .union(PollEvents::READABLE.when(self.filled() > 0))
                .union(PollEvents::HANG_UP.when(hung_up));
        }
        if file.is_writable() {
            watcher.watch(&self.writable)?;
            events = events
                .union(PollEvents::WRITABLE.when(self.room() >= abi::fs::PIPE_BUF as u64))
                .union(PollEvents::ERROR.when(!self.has_readers()));
        }
        Ok(events)
    }

    fn release(&self, file: &File) {
        self.leave(Ends { reads: file.is_readable(), writes: file.is_writable() });
    }

    fn kind(&self) -> SpecialKind<'_> {
        SpecialKind::Pipe(self)
    }
}

impl Pipe {
    fn visit(&self, ends: Ends) {
        if ends.reads {
            self.readers.fetch_add(1, Ordering::AcqRel);
            self.reader_visits.fetch_add(1, Ordering::AcqRel);
        }
        if ends.writes {
            self.writers.fetch_add(1, Ordering::AcqRel);
            self.writer_visits.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn leave(&self, ends: Ends) {
        if ends.reads && self.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.writable.wake_all();
        }
        if ends.writes && self.writers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.readable.wake_all();
        }
    }

    /// Waits for the other end, as fifo(7) has it; on failure the ends are closed again.
    fn meet_other_end(&self, ends: Ends, nonblocking: bool) -> Result<(), Failure> {
        // In this order: one that is there is seen, also if it goes as soon as it sees this end; one that comes later is counted.
        let (reader_visits, writer_visits) =
            (self.reader_visits.load(Ordering::Acquire), self.writer_visits.load(Ordering::Acquire));
        let (had_readers, had_writers) = (self.has_readers(), self.has_writers());
        self.visit(ends);
        self.readable.wake_all();
        self.writable.wake_all();
        let met = match ends {
            Ends { reads: true, writes: false } if !nonblocking && !had_writers => {
                let came = || self.writer_visits.load(Ordering::Acquire) != writer_visits;
                self.readable.wait_until(Deadline::NEVER, || came().then_some(()))
            }
            Ends { reads: false, writes: true } if !had_readers => {
                let came = || self.reader_visits.load(Ordering::Acquire) != reader_visits;
                self.writable.wait_until(Deadline::NEVER, || came().then_some(()))
            }
            _ => Ok(()),
        };
        met.map_err(|error| {
            self.leave(ends);
            error.into()
        })
    }
}

/// Opens a fifo, waiting for its other end. ENXIO for a writer that may not wait and has no reader.
pub fn open_fifo(pipe: &Arc<Pipe>, location: Location, flags: u32) -> Result<Arc<File>, Failure> {
    let ends = ends_of(flags);
    let nonblocking = flags & O_NONBLOCK != 0;
    if nonblocking && ends.writes && !ends.reads && !pipe.has_readers() {
        return Err(Errno::ENXIO.into());
    }
    pipe.meet_other_end(ends, nonblocking)?;
    Ok(File::new(location, Handle::Special(pipe.clone()), flags, None))
}

/// Makes a nameless pipe and opens both ends: the reader's, then the writer's.
pub fn open_pair(credentials: &Credentials, flags: u32) -> (Arc<File>, Arc<File>) {
    let pipe = Pipe::new();
    pipe.visit(Ends { reads: true, writes: true });
    let place = anonymous::pipe_location(Body::Fifo(pipe.clone()), credentials);
    let reader = File::new(place.clone(), Handle::Special(pipe.clone()), flags | O_RDONLY, None);
    let writer = File::new(place, Handle::Special(pipe), flags | O_WRONLY, None);
    (reader, writer)
}

fn ends_of(flags: u32) -> Ends {
    let mode = flags & abi::fs::O_ACCMODE;
    Ends { reads: mode != O_WRONLY, writes: mode != O_RDONLY }
}
