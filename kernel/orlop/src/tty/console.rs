//! The console: the terminal on the machine's serial line.
//!
//! Bytes arrive in interrupt context and go into a ring. A kernel task takes them out and runs the line discipline, so
//! that echo and Ctrl-C work whether or not a program reads. A BREAK and the byte behind it are for the kernel: see
//! [`sysrq`].

use alloc::sync::Arc;

use abi::fs::O_RDWR;
use hal::console::Received;
use hal::sync::{IrqLock, Once};
use outcome::Failure;
use sched::wait::WaitQueue;
use subject::Credentials;
use vfs::fd_table::OnExec;
use vfs::open::{How, open};
use vfs::walk::Walk;
use vfs::{FdTable, FsContext};

use super::sysrq;
use super::terminal::{Terminal, Wire};

/// Bytes that wait for the line discipline; more wait in the line itself.
const RING_SIZE: usize = 1024;

struct Ring {
    bytes: [Received; RING_SIZE],
    start: usize,
    length: usize,
    /// Whether the line has been told to wait. Changed, like the line's own state, under the ring's lock.
    is_line_paused: bool,
}

impl Ring {
    fn push(&mut self, received: Received) {
        if self.length < RING_SIZE {
            let end = (self.start + self.length) % RING_SIZE;
            if let Some(slot) = self.bytes.get_mut(end) {
                *slot = received;
                self.length += 1;
            }
        }
        if self.length == RING_SIZE {
            self.is_line_paused = true;
            hal::console::pause_input();
        }
    }

    fn pop(&mut self) -> Option<Received> {
        if self.length == 0 {
            return None;
        }
        let received = self.bytes.get(self.start).copied();
        self.start = (self.start + 1) % RING_SIZE;
        self.length -= 1;
        if self.is_line_paused && self.length <= RING_SIZE / 2 {
            self.is_line_paused = false;
            hal::console::resume_input();
        }
        received
    }
}

static RECEIVED: IrqLock<Ring> =
    IrqLock::new(Ring { bytes: [Received::Byte(0); RING_SIZE], start: 0, length: 0, is_line_paused: false });
static ARRIVAL: WaitQueue = WaitQueue::new();
static TERMINAL: Once<Arc<Terminal>> = Once::new();

/// The serial line as the place where a terminal's output goes.
struct SerialLine;

impl Wire for SerialLine {
    fn send(&self, bytes: &[u8]) {
        hal::console::write(bytes);
    }
}

/// The console's terminal.
pub fn terminal() -> Arc<Terminal> {
    TERMINAL.get_or_init(|| Terminal::new(super::serial_number(), Arc::new(SerialLine))).clone()
}

/// Something came from the serial line. Interrupt context. False if the line has to wait.
pub fn receive(received: Received) -> bool {
    let mut ring = RECEIVED.lock();
    ring.push(received);
    let goes_on = !ring.is_line_paused;
    drop(ring);
    ARRIVAL.wake_one();
    goes_on
}

/// Gives what arrives to the terminal, for ever: the body of the console's kernel task.
pub fn serve() {
    let terminal = terminal();
    let mut is_for_kernel = false;
    loop {
        let received = ARRIVAL.wait_uninterruptibly(|| RECEIVED.lock().pop());
        match received {
            Received::Break => is_for_kernel = sysrq::is_on(),
            Received::Byte(byte) if core::mem::take(&mut is_for_kernel) => sysrq::answer_console(byte),
            Received::Byte(byte) => {
                terminal.wait_for_room();
                terminal.receive(byte);
            }
        }
    }
}

/// Opens `/dev/console` as descriptors 0, 1 and 2 of the first process.
pub fn open_standard(context: &FsContext, credentials: &Credentials, files: &FdTable) -> Result<(), Failure> {
    let how = How::new(O_RDWR, 0)?;
    let file = open(&mut Walk::new(context, credentials), None, b"/dev/console", how)?;
    for _ in 0..3 {
        files.insert(file.clone(), OnExec::Keep, u64::MAX)?;
    }
    Ok(())
}
