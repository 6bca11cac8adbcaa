//! One terminal: what programs read and write.
//!
//! The line discipline sits under a sleeping lock: threads and the console's kernel task use it, interrupts never do.
//! User memory is copied outside the lock, through a buffer.
//!
//! Lock order: the discipline, then whatever the wire needs; the job's spin lock is a leaf.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Errno;
use abi::terminal::Winsize;
use hal::sync::SpinLock;
use libkernel::line_discipline::{LineDiscipline, ReadOutcome};
use memory::user::IoSource;
use outcome::Failure;
use sched::Mutex;
use sched::wait::{Deadline, WaitError, WaitQueue};
use vfs::asynchronous::AsyncFiles;
use vfs::attributes::DeviceNumber;
use vfs::owner::News;
use vfs::poll::{PollEvents, Watcher};

use super::job::Job;

/// Where a terminal's output goes.
pub trait Wire: Send + Sync {
    /// Sends bytes that have been through output processing.
    fn send(&self, bytes: &[u8]);
}

/// A terminal.
pub struct Terminal {
    /// Its device number.
    pub number: DeviceNumber,
    this: Weak<Terminal>,
    wire: Arc<dyn Wire>,
    discipline: Mutex<LineDiscipline>,
    readable: Arc<WaitQueue>,
    writable: Arc<WaitQueue>,
    /// Where the wire waits while what it has brought is not read.
    room: WaitQueue,
    /// Files that are sent a signal when there is input, and when there is room again after a write that was cut short.
    async_files: AsyncFiles,
    was_cut_short: AtomicBool,
    /// How often it was hung up.
    pub(super) hang_ups: AtomicU64,
    pub(super) job: SpinLock<Job>,
    window: SpinLock<Winsize>,
}

/// The nanoseconds of `VTIME`'s unit.
const NS_PER_DECISECOND: u64 = 100_000_000;

impl Terminal {
    /// A terminal with the modes that Linux starts with.
    pub fn new(number: DeviceNumber, wire: Arc<dyn Wire>) -> Arc<Terminal> {
        Arc::new_cyclic(|this| Terminal {
            number,
            this: this.clone(),
            wire,
            discipline: Mutex::new(LineDiscipline::new()),
            readable: Arc::new(WaitQueue::new()),
            writable: Arc::new(WaitQueue::new()),
            room: WaitQueue::new(),
            async_files: AsyncFiles::new(),
            was_cut_short: AtomicBool::new(false),
            hang_ups: AtomicU64::new(0),
            job: SpinLock::new(Job::default()),
            window: SpinLock::new(Winsize::default()),
        })
    }

    /// A counted reference to the terminal.
    pub(super) fn to_ref(&self) -> Option<Arc<Terminal>> {
        self.this.upgrade()
    }

    /// The line discipline, locked.
    pub(super) fn discipline(&self) -> &Mutex<LineDiscipline> {
        &self.discipline
    }

    /// The window's size.
    pub(super) fn window(&self) -> &SpinLock<Winsize> {
        &self.window
    }

    /// Waits until a byte from the wire is not lost for want of a reader, as Linux holds its flip buffers back.
    pub fn wait_for_room(&self) {
        self.room.wait_uninterruptibly(|| self.discipline.lock().has_room().then_some(()));
    }

    /// A byte came from the wire: edits, echoes, signals, wakes.
    pub fn receive(&self, byte: u8) {
        let mut discipline = self.discipline.lock();
        let reaction = discipline.receive(byte, &mut |echo| self.wire.send(echo));
        drop(discipline);
        if let Some(signal) = reaction.signal {
            self.signal_foreground(signal);
        }
        if reaction.became_readable {
            self.readable.wake_all();
            self.async_files.tell(News::Input);
        }
        if reaction.output_resumed {
            self.wake_writers();
        }
    }

    /// Sends a control character over the wire, if it is enabled.
    pub(super) fn send_control(&self, index: usize) {
        let byte = self.discipline.lock().modes().c_cc.get(index).copied();
        if let Some(byte) = byte.filter(|&byte| byte != 0) {
            self.wire.send(&[byte]);
        }
    }

    /// Wakes whoever waits to read, and the wire: modes changed, or input was dropped.
    pub(super) fn wake_readers(&self) {
        self.readable.wake_all();
        self.room.wake_all();
    }

    /// Wakes whoever waits to write: output resumed.
    pub(super) fn wake_writers(&self) {
        self.writable.wake_all();
        if self.was_cut_short.swap(false, Ordering::Relaxed) {
            self.async_files.tell(News::Output);
        }
    }

    /// Reads into `bytes`, which is not empty: a line in canonical mode, else what `VMIN` and `VTIME` ask for. Nothing
    /// more once the terminal is gone for the reader.
    pub(super) fn read_bytes(
        &self,
        bytes: &mut [u8],
        nonblocking: bool,
        is_gone: &dyn Fn() -> bool,
    ) -> Result<usize, Failure> {
        let mut done = 0;
        let mut deadline = None;
        while !is_gone() {
            let mut discipline = self.discipline.lock();
            let canonical = discipline.is_canonical();
            let (minimum, time) = discipline.read_limits();
            match discipline.read(bytes.get_mut(done..).unwrap_or_default()) {
                ReadOutcome::Bytes(count) => {
                    done += count;
                    // Between bytes the clock starts anew.
                    deadline = None;
                }
                ReadOutcome::EndOfFile => return Ok(done),
                ReadOutcome::Nothing => {}
            }
            drop(discipline);
            self.room.wake_all();
            let enough = if canonical { 1 } else { usize::from(minimum).clamp(1, bytes.len()) };
            if done >= enough {
                return Ok(done);
            }
            let waits_for_first = minimum > 0 && done == 0;
            let timed = !canonical && time > 0 && !waits_for_first;
            if !canonical && minimum == 0 && time == 0 {
                return Ok(done);
            }
            if nonblocking && !is_gone() {
                return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN.into()) };
            }
            let until = if timed {
                *deadline.get_or_insert_with(|| Deadline::after(u64::from(time) * NS_PER_DECISECOND))
            } else {
                Deadline::NEVER
            };
            match self.readable.wait_until(until, || (self.has_input() || is_gone()).then_some(())) {
                Ok(()) => {}
                Err(WaitError::TimedOut) => return Ok(done),
                Err(WaitError::Interrupted) if done > 0 => return Ok(done),
                Err(WaitError::Interrupted) => return Err(WaitError::Interrupted.into()),
            }
        }
        Ok(done)
    }

    fn has_input(&self) -> bool {
        self.discipline.lock().is_readable()
    }

    /// Whether a read would return at once: enough bytes for `VMIN`, or one if `VTIME` counts from there.
    fn is_ready_to_read(&self) -> bool {
        let discipline = self.discipline.lock();
        if discipline.is_canonical() {
            return discipline.is_readable();
        }
        let enough = match discipline.read_limits() {
            (minimum, 0) => usize::from(minimum).max(1),
            _ => 1,
        };
        discipline.available() >= enough
    }

    /// Sends `source` through output processing, waiting while output is stopped; returns how much was sent.
    /// EIO once the terminal is gone for the writer.
    pub(super) fn write_all(
        &self,
        source: &mut IoSource<'_>,
        nonblocking: bool,
        is_gone: &dyn Fn() -> bool,
    ) -> Result<usize, Failure> {
        const STEP: usize = 256;
        let mut bytes = [0; STEP];
        let mut sent = 0;
        while source.remaining() > 0 {
            // Taken once it can be sent, and then sent whatever comes in between, like bytes that are in a serial
            // line's queue when it is stopped.
            let taken = self.wait_to_write(nonblocking, is_gone).and_then(|()| Ok(source.take(&mut bytes)?));
            match taken {
                Ok(count) => {
                    let taken = bytes.get(..count).unwrap_or_default();
                    self.discipline.lock().transmit(taken, &mut |sent| self.wire.send(sent));
                    sent += count;
                }
                Err(failure) => {
                    self.note_cut_short();
                    return if sent == 0 { Err(failure) } else { Ok(sent) };
                }
            }
        }
        Ok(sent)
    }

    /// A write was cut short: files with `O_ASYNC` hear when output goes on, be it already.
    fn note_cut_short(&self) {
        self.was_cut_short.store(true, Ordering::Relaxed);
        if !self.discipline.lock().is_output_stopped() {
            self.wake_writers();
        }
    }

    /// What it is ready for now; has `watcher` told of changes.
    pub(super) fn poll(&self, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        watcher.watch(&self.readable)?;
        watcher.watch(&self.writable)?;
        let stopped = self.discipline.lock().is_output_stopped();
        let readable = PollEvents::READABLE.when(self.is_ready_to_read());
        Ok(readable.union(PollEvents::WRITABLE.when(!stopped)))
    }

    /// Calls `change` with the files that hear of news, ordered against these.
    pub(super) fn with_async_files(&self, change: &mut dyn FnMut(&AsyncFiles)) {
        let _discipline = self.discipline.lock();
        change(&self.async_files);
    }

    /// Hangs up: whoever has it open by its own name has it no more, and what was typed is nobody's.
    pub(super) fn hang_up(&self) {
        self.hang_ups.fetch_add(1, Ordering::Release);
        self.discipline.lock().flush_input();
        self.wake_readers();
        self.wake_writers();
    }

    /// Waits while output is stopped; EAGAIN in place of that for who does not wait.
    fn wait_to_write(&self, nonblocking: bool, is_gone: &dyn Fn() -> bool) -> Result<(), Failure> {
        let is_stopped = || self.discipline.lock().is_output_stopped();
        let resumed = || {
            if is_gone() { Some(Err(Errno::EIO.into())) } else { (!is_stopped()).then_some(Ok(())) }
        };
        if nonblocking {
            return resumed().unwrap_or(Err(Errno::EAGAIN.into()));
        }
        self.writable.wait_until(Deadline::NEVER, resumed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// A wire that remembers.
    struct Record(SpinLock<Vec<u8>>);

    impl Wire for Record {
        fn send(&self, bytes: &[u8]) {
            self.0.lock().extend_from_slice(bytes);
        }
    }

    #[test]
    fn a_stopped_terminal_takes_nothing_and_loses_nothing() {
        hal::cpu::id();
        let wire = Arc::new(Record(SpinLock::new(Vec::new())));
        let terminal = Terminal::new(super::super::CONSOLE, wire.clone());
        let text = [b'x'; 300];
        let mut source = IoSource::kernel(&text);
        terminal.discipline().lock().set_output_stopped(true);
        assert!(terminal.write_all(&mut source, true, &|| false).is_err());
        assert_eq!((source.moved(), wire.0.lock().len()), (0, 0));
        terminal.discipline().lock().set_output_stopped(false);
        assert!(terminal.write_all(&mut source, true, &|| false).is_ok());
        assert_eq!((source.moved(), wire.0.lock().len()), (300, 300));
        let mut source = IoSource::kernel(&text);
        assert!(terminal.write_all(&mut source, true, &|| true).is_err());
        assert_eq!((source.moved(), wire.0.lock().len()), (0, 300));
    }
}
