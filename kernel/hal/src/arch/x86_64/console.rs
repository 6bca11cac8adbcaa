//! The first serial port (16550 UART): polled output, input by interrupt. And the other places where a kernel that fails can be
//! heard: the other serial ports of a PC, and the debug port of emulators.
use super::platform::{ioapic, port};
use crate::console::Received;
use core::sync::atomic::{AtomicBool, Ordering};

const BASE: u16 = 0x3f8;
/// Its line at the I/O APIC.
pub const LINE: u32 = 4;
/// The second to fourth serial port of a PC.
const OTHERS: [u16; 3] = [0x2f8, 0x3e8, 0x2e8];
/// Bochs' and QEMU's port for text; it reads as its own number where it is.
const DEBUG_PORT: u16 = 0xe9;

/// Registers, by their distance from a port's first.
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const RECEIVED: u8 = 1 << 0;
const BREAK: u8 = 1 << 4;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// A transmitter that stays full this long is not there.
const PATIENCE: u32 = 100_000;

/// The first of a serial port's registers.
#[derive(Clone, Copy)]
struct Serial(u16);

impl Serial {
    fn read(self, register: u16) -> u8 {
        // SAFETY: the ports belong to this module.
        unsafe { port::read_u8(self.0 + register) }
    }

    fn write_register(self, register: u16, value: u8) {
        // SAFETY: the ports belong to this module.
        unsafe { port::write_u8(self.0 + register, value) };
    }

    /// Whether there is one: what is written to its scratch register stays.
    fn is_there(self) -> bool {
        [0x5a, 0xa5].into_iter().all(|value| {
            self.write_register(SCRATCH, value);
            self.read(SCRATCH) == value
        })
    }

    /// 115,200 baud, 8 bits, no parity, FIFOs on, interrupts off.
    fn initialise(self) {
        let words = [
            (INTERRUPT_ENABLE, 0x00),
            (LINE_CONTROL, 0x80),
            (DATA, 0x01),
            (INTERRUPT_ENABLE, 0x00),
            (LINE_CONTROL, 0x03),
            (FIFO_CONTROL, 0xc7),
            (MODEM_CONTROL, 0x0b),
        ];
        for (register, value) in words {
            self.write_register(register, value);
        }
    }

    /// Writes bytes, waiting for the transmitter each time.
    fn write(self, bytes: &[u8]) {
        for &byte in bytes {
            let mut patience = PATIENCE;
            while self.read(LINE_STATUS) & TRANSMITTER_EMPTY == 0 && patience > 0 {
                patience -= 1;
            }
            self.write_register(DATA, byte);
        }
    }
}

const FIRST: Serial = Serial(BASE);

/// Makes the first port ready.
pub fn initialise() {
    FIRST.initialise();
}

/// Writes bytes to the first port.
pub fn write(bytes: &[u8]) {
    FIRST.write(bytes);
}

/// Writes bytes wherever somebody may listen.
pub fn write_last(bytes: &[u8]) {
    static READY: AtomicBool = AtomicBool::new(false);
    write(bytes);
    let is_first = !READY.swap(true, Ordering::Relaxed);
    for other in OTHERS.map(Serial).into_iter().filter(|other| other.is_there()) {
        if is_first {
            other.initialise();
        }
        other.write(bytes);
    }
    // SAFETY: the port is the emulator's, or nobody's.
    unsafe {
        if port::read_u8(DEBUG_PORT) == DEBUG_PORT as u8 {
            bytes.iter().for_each(|&byte| port::write_u8(DEBUG_PORT, byte));
        }
    }
}

/// Makes received bytes interrupt.
pub fn enable_input() {
    FIRST.write_register(FIFO_CONTROL, 0x07);
    resume_input();
    ioapic::enable(LINE);
}

/// Makes received bytes interrupt no more: they stay in the FIFO.
pub fn pause_input() {
    FIRST.write_register(INTERRUPT_ENABLE, 0x00);
}

/// Makes them interrupt again, those that are there already included.
pub fn resume_input() {
    FIRST.write_register(INTERRUPT_ENABLE, 0x01);
}

/// Takes all that was received, until `take` wants no more. At most one FIFO's worth and some, so that a flood cannot hold the CPU.
pub fn receive(mut take: impl FnMut(Received) -> bool) {
    for _ in 0..64 {
        // A machine without the port reads all ones.
        let status = FIRST.read(LINE_STATUS);
        if status & RECEIVED == 0 || status == 0xff {
            break;
        }
        // A BREAK comes with a byte of zero.
        let byte = FIRST.read(DATA);
        if !take(if status & BREAK != 0 { Received::Break } else { Received::Byte(byte) }) {
            break;
        }
    }
}
