//! One terminal: what programs read and write.
//!
//! The line discipline sits under a sleeping lock: threads and the console's kernel task use it, interrupts never do. User memory is
//! copied outside the lock, through a buffer.
//!
//! Lock order: the discipline, then whatever the wire needs; the job's spin lock is a leaf.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::Errno;
use abi::terminal::{TOSTOP, Winsize};
use hal::sync::SpinLock;
use libkernel::line_discipline::{LineDiscipline, ReadOutcome};

use super::job::Job;
use crate::fs::attributes::DeviceNumber;
use crate::fs::file::{File, FileOperations, SpecialKind};
use crate::fs::poll::{PollEvents, Watcher};
use crate::sched::Mutex;
use crate::sched::wait::{Deadline, WaitError, WaitQueue};
use crate::syscall::{Caller, Failure};
use crate::user::{IoSink, IoSource};

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
        }
        if reaction.output_resumed {
            self.writable.wake_all();
        }
    }

    /// Sends a control character over the wire, if it is enabled.
    pub(super) fn send_control(&self, index: usize) {
        let byte = self.discipline.lock().modes().c_cc.get(index).copied();
        if let Some(byte) = byte.filter(|&byte| byte != 0) {
            self.wire.send(&[byte]);
        }
    }

    /// Wakes whoever waits to read: modes changed or input appeared otherwise.
    pub(super) fn wake_readers(&self) {
        self.readable.wake_all();
    }

    /// Wakes whoever waits to write: output resumed.
    pub(super) fn wake_writers(&self) {
        self.writable.wake_all();
    }

    /// Reads into `bytes`, which is not empty: a line in canonical mode, else what `VMIN` and `VTIME` ask for.
    fn read_bytes(&self, bytes: &mut [u8], nonblocking: bool) -> Result<usize, Failure> {
        let mut done = 0;
        let mut deadline = None;
        loop {
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
            let enough = if canonical { 1 } else { usize::from(minimum).clamp(1, bytes.len()) };
            if done >= enough {
                return Ok(done);
            }
            let waits_for_first = minimum > 0 && done == 0;
            let timed = !canonical && time > 0 && !waits_for_first;
            if !canonical && minimum == 0 && time == 0 {
                return Ok(done);
            }
            if nonblocking {
                return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN.into()) };
            }
            let until = if timed {
                *deadline.get_or_insert_with(|| Deadline::after(u64::from(time) * NS_PER_DECISECOND))
            } else {
                Deadline::NEVER
            };
            match self.readable.wait_until(until, || self.has_input().then_some(())) {
                Ok(()) => {}
                Err(WaitError::TimedOut) => return Ok(done),
                Err(WaitError::Interrupted) if done > 0 => return Ok(done),
                Err(WaitError::Interrupted) => return Err(WaitError::Interrupted.into()),
            }
        }
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

    /// Sends bytes through output processing, waiting while output is stopped.
    fn write_bytes(&self, bytes: &[u8], nonblocking: bool) -> Result<(), Failure> {
        loop {
            let mut discipline = self.discipline.lock();
            if !discipline.is_output_stopped() {
                discipline.transmit(bytes, &mut |sent| self.wire.send(sent));
                return Ok(());
            }
            drop(discipline);
            if nonblocking {
                return Err(Errno::EAGAIN.into());
            }
            let resumed = || (!self.discipline.lock().is_output_stopped()).then_some(());
            self.writable.wait_until(Deadline::NEVER, resumed)?;
        }
    }
}

impl FileOperations for Terminal {
    fn read(&self, file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        /// The longest line, and so the most that one read gives.
        const MOST: usize = 4096;
        self.check_background_read()?;
        let wanted = sink.remaining().min(MOST);
        if wanted == 0 {
            return Ok(());
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(wanted)?;
        bytes.resize(wanted, 0);
        let count = self.read_bytes(&mut bytes, file.is_nonblocking())?;
        sink.put(bytes.get(..count).unwrap_or_default())?;
        Ok(())
    }

    fn write(&self, file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        const STEP: usize = 256;
        if self.discipline.lock().modes().c_lflag & TOSTOP != 0 {
            self.check_background_change()?;
        }
        let mut bytes = [0; STEP];
        let mut sent = 0;
        while source.remaining() > 0 {
            let step = source.take(&mut bytes).map_err(Failure::from).and_then(|count| {
                self.write_bytes(bytes.get(..count).unwrap_or_default(), file.is_nonblocking())?;
                Ok(count)
            });
            match step {
                Ok(count) => sent += count,
                Err(failure) if sent == 0 => return Err(failure),
                // What was taken last is not sent: it stays with the program.
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    fn ioctl(
        &self,
        _file: &File,
        caller: &mut Caller<'_>,
        request: u32,
        argument: u64,
    ) -> Result<u64, Failure> {
        super::request::handle(self, caller, request, argument)
    }

    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        watcher.watch(&self.readable)?;
        watcher.watch(&self.writable)?;
        let stopped = self.discipline.lock().is_output_stopped();
        let readable = PollEvents::READABLE.when(self.is_ready_to_read());
        Ok(readable.union(PollEvents::WRITABLE.when(!stopped)))
    }

    fn kind(&self) -> SpecialKind<'_> {
        SpecialKind::Terminal(self)
    }
}
