//! What answers at I/O ports: the transmitter of a 16550, a keyboard controller that resets, a port for the kernel's
//! status, and, where there is ACPI, its sleep register and timer; and an I/O APIC that interrupts nobody.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

/// Whether the machine goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It does.
    NotYet,
    /// The kernel has ended it, with this status.
    Status(u8),
    /// The kernel has switched it off by ACPI.
    Off,
    /// The kernel has reset it by ACPI.
    Reset,
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
/// cloud-hypervisor's sleep control, sleep status and reset register.
pub const SLEEP: u16 = 0x3c0;
/// "Sleep enable", and the type of "soft off" in its place.
const SLEEP_OFF: u8 = 1 << 5 | 5 << 2;
const SLEEP_RESET: u8 = 1;
/// cloud-hypervisor's power-management timer.
pub const PM_TIMER: u16 = 0xb008;
const PM_TIMER_HERTZ: u128 = 3_579_545;
/// The I/O APIC's two registers, and those that are behind them.
const IO_APIC: u64 = 0xfec0_0000;
const IO_APIC_WINDOW: u64 = IO_APIC + 0x10;
const IO_APIC_VERSION: usize = 1;
const IO_APIC_LINES: usize = 24;
const IO_APIC_FIRST_LINE: usize = 0x10;

/// The devices.
pub struct Devices {
    has_acpi: bool,
    start: Instant,
    serial: [u8; 8],
    io_apic_selected: u8,
    io_apic: [u32; IO_APIC_FIRST_LINE + 2 * IO_APIC_LINES],
}

impl Devices {
    /// As after a reset.
    pub fn new(has_acpi: bool) -> Self {
        let mut io_apic = [0; _];
        io_apic[IO_APIC_VERSION] = 0x11 | (IO_APIC_LINES as u32 - 1) << 16;
        Self { has_acpi, start: Instant::now(), serial: [0; 8], io_apic_selected: 0, io_apic }
    }

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
            SLEEP if self.has_acpi && bytes == [SLEEP_OFF] => return Ok(End::Off),
            SLEEP if self.has_acpi && bytes == [SLEEP_RESET] => return Ok(End::Reset),
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
        } else if self.has_acpi && port == SLEEP {
            bytes.fill(0);
        } else if self.has_acpi && port == PM_TIMER && bytes.len() == 4 {
            let counts = self.start.elapsed().as_nanos() * PM_TIMER_HERTZ / 1_000_000_000;
            bytes.copy_from_slice(&(counts as u32).to_le_bytes());
        }
    }

    /// The kernel writes to memory that is none.
    pub fn write_memory(&mut self, address: u64, bytes: &[u8]) {
        match (address, bytes) {
            (IO_APIC, [selected, ..]) => self.io_apic_selected = *selected,
            (IO_APIC_WINDOW, bytes) => {
                let selected = usize::from(self.io_apic_selected);
                if let (Ok(value), Some(register)) =
                    (bytes.try_into(), self.io_apic.get_mut(selected).filter(|_| selected != IO_APIC_VERSION))
                {
                    *register = u32::from_le_bytes(value);
                }
            }
            _ => {}
        }
    }

    /// The kernel reads from memory that is none: an empty bus reads as ones.
    pub fn read_memory(&self, address: u64, bytes: &mut [u8]) {
        let value = match address {
            IO_APIC => self.io_apic_selected.into(),
            IO_APIC_WINDOW => self.io_apic.get(usize::from(self.io_apic_selected)).copied().unwrap_or(0),
            _ => u32::MAX,
        };
        bytes.fill(if value == u32::MAX { 0xff } else { 0 });
        for (byte, part) in bytes.iter_mut().zip(value.to_le_bytes()) {
            *byte = part;
        }
    }

    fn shows_divisor(&self) -> bool {
        self.serial[LINE] & 0x80 != 0
    }
}
