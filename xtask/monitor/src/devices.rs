//! What answers at I/O ports: the transmitter of a 16550, a keyboard controller that resets, and a port for the kernel's status.

use std::io::Write;

use anyhow::Result;

/// Whether the machine goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It does.
    NotYet,
    /// The kernel has ended it, with this status.
    Status(u8),
}

const SERIAL: u16 = 0x3f8;
/// What is kept of the serial port's registers: interrupts, FIFO, line, modem, scratch.
const INTERRUPTS: usize = 1;
const FIFO: usize = 2;
const LINE: usize = 3;
const LINE_STATUS: usize = 5;
const KEYBOARD: u16 = 0x64;
const RESET: u8 = 0xfe;
const STATUS: u16 = 0xf4;

/// The devices.
#[derive(Default)]
pub struct Devices {
    serial: [u8; 8],
}

impl Devices {
    /// The kernel writes to a port.
    pub fn write(&mut self, port: u16, bytes: &[u8]) -> Result<End> {
        let Some(&value) = bytes.first() else { return Ok(End::NotYet) };
        match port {
            SERIAL if self.shows_divisor() => {}
            SERIAL => {
                let mut out = std::io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()?;
            }
            port if port > SERIAL && port < SERIAL + 8 => self.serial[usize::from(port - SERIAL)] = value,
            KEYBOARD if value == RESET => return Ok(End::Status(0)),
            // As QEMU ends by its port of that number.
            STATUS => return Ok(End::Status(value << 1 | 1)),
            _ => {}
        }
        Ok(End::NotYet)
    }

    /// The kernel reads from a port; a port without a device reads as ones.
    pub fn read(&self, port: u16, bytes: &mut [u8]) {
        bytes.fill(0xff);
        if let (Some(number @ 0..8), Some(first)) =
            (port.checked_sub(SERIAL).map(usize::from), bytes.first_mut())
        {
            *first = match number {
                // Nothing was received.
                0 => 0,
                INTERRUPTS if self.shows_divisor() => 0,
                // No interrupt; the FIFOs work where they are on.
                FIFO => 1 | if self.serial[FIFO] & 1 != 0 { 0xc0 } else { 0 },
                // Everything was sent.
                LINE_STATUS => 0x60,
                number => self.serial[number],
            };
        } else if port == KEYBOARD {
            // Nothing to read, ready for a command.
            bytes.fill(0);
        }
    }

    fn shows_divisor(&self) -> bool {
        self.serial[LINE] & 0x80 != 0
    }
}
