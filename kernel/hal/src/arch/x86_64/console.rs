//! The first serial port (16550 UART): polled output, input by interrupt.
use super::platform::{ioapic, port};
use crate::console::Received;

const BASE: u16 = 0x3f8;
/// Its line at the I/O APIC.
pub const LINE: u32 = 4;

const DATA: u16 = BASE;
const INTERRUPT_ENABLE: u16 = BASE + 1;
const FIFO_CONTROL: u16 = BASE + 2;
const LINE_CONTROL: u16 = BASE + 3;
const MODEM_CONTROL: u16 = BASE + 4;
const LINE_STATUS: u16 = BASE + 5;

const RECEIVED: u8 = 1 << 0;
const BREAK: u8 = 1 << 4;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// A transmitter that stays full this long is not there.
const PATIENCE: u32 = 100_000;

fn read(register: u16) -> u8 {
    // SAFETY: the port belongs to this module.
    unsafe { port::read_u8(register) }
}

fn write_register(register: u16, value: u8) {
    // SAFETY: the port belongs to this module.
    unsafe { port::write_u8(register, value) };
}

/// 115,200 baud, 8 bits, no parity, FIFOs on, interrupts off.
pub fn initialise() {
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
        write_register(register, value);
    }
}

/// Writes bytes, waiting for the transmitter each time.
pub fn write(bytes: &[u8]) {
    for &byte in bytes {
        let mut patience = PATIENCE;
        while read(LINE_STATUS) & TRANSMITTER_EMPTY == 0 && patience > 0 {
            patience -= 1;
        }
        write_register(DATA, byte);
    }
}

/// Makes received bytes interrupt.
pub fn enable_input() {
    write_register(FIFO_CONTROL, 0x07);
    resume_input();
    ioapic::enable(LINE);
}

/// Makes received bytes interrupt no more: they stay in the FIFO.
pub fn pause_input() {
    write_register(INTERRUPT_ENABLE, 0x00);
}

/// Makes them interrupt again, those that are there already included.
pub fn resume_input() {
    write_register(INTERRUPT_ENABLE, 0x01);
}

/// Takes all that was received, until `take` wants no more. At most one FIFO's worth and some, so that a flood cannot hold the CPU.
pub fn receive(mut take: impl FnMut(Received) -> bool) {
    for _ in 0..64 {
        // A machine without the port reads all ones.
        let status = read(LINE_STATUS);
        if status & RECEIVED == 0 || status == 0xff {
            break;
        }
        // A BREAK comes with a byte of zero.
        let byte = read(DATA);
        if !take(if status & BREAK != 0 { Received::Break } else { Received::Byte(byte) }) {
            break;
        }
    }
}
