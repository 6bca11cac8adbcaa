//! Terminals, with line discipline and job control: so far one, on the machine's serial line. Pseudo-terminals are
//! absent.
//!
//! [`terminal`] is one terminal as programs see it; libkernel's line discipline does the editing. [`console`] brings
//! bytes from the machine's serial line. [`job`] says who may use a terminal: sessions, foreground groups, and the
//! signals that keep the others away. [`opened`] is what a descriptor leads to. [`request`] is the `ioctl` side.

pub mod console;
mod job;
mod modes;
mod opened;
mod request;
pub mod sysrq;
mod terminal;

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::O_NOCTTY;
use vfs::attributes::DeviceNumber;
use vfs::device::{CONSOLE, CONTROLLING, serial_number};
use vfs::file::{File, FileOperations};

pub use opened::Opened;

pub use job::{controlling_terminal, terminal_of};
pub use terminal::Terminal;

/// The code behind a terminal device, for one opening of it. ENXIO where there is none.
pub fn open_device(number: DeviceNumber) -> Result<Arc<dyn FileOperations>, Errno> {
    match number {
        CONTROLLING => Ok(Arc::new(Opened::terminal(controlling_terminal().ok_or(Errno::ENXIO)?))),
        CONSOLE => Ok(Arc::new(Opened::console(console::terminal()))),
        line if line == serial_number() => Ok(Arc::new(Opened::terminal(console::terminal()))),
        _ => Err(Errno::ENXIO),
    }
}

/// A device is open: a terminal becomes the controlling one of a session leader that has none, unless it is opened as
/// `/dev/console`, for writing only, or with `O_NOCTTY`.
pub fn opened(file: &File, number: DeviceNumber, flags: u32) {
    let may_control = flags & O_NOCTTY == 0 && number != CONSOLE && file.is_readable();
    if may_control && let Some(opened) = file.operations::<Opened>() {
        opened.terminal_behind().adopt_leader();
    }
}
