//! The 16550 UART, wherever its registers are: I/O ports of a PC, memory elsewhere. Polled output, input by interrupt.
//!
//! Source: National Semiconductor PC16550D data sheet, chapter 8.
use crate::console::Received;

/// Access to the eight registers, by their numbers.
pub trait UartRegisters {
    /// Reads register `number`.
    fn read(&self, number: u16) -> u8;
    /// Writes register `number`.
    fn write(&self, number: u16, value: u8);
}

const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
/// Read: which interrupt, and whether there are FIFOs.
const INTERRUPT_IDENTIFICATION: u16 = 2;
/// Written.
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const RECEIVED: u8 = 1 << 0;
const BREAK: u8 = 1 << 4;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Besides, nothing is on its way any more (TEMT).
const ALL_SENT: u8 = 1 << 6;
/// Both bits say that the FIFOs work; a 16550 without A has one and broken FIFOs, an 8250 none (PC16550D, 8.6.4).
const HAS_FIFOS: u8 = 3 << 6;
/// Bytes that the transmitter's FIFO holds.
const FIFO_BYTES: usize = 16;
/// A transmitter that stays full this long is not there.
const PATIENCE: u32 = 100_000;
/// A machine is switched off after that many looks, whatever its port still has.
const LAST_PATIENCE: u32 = 1_000_000;

/// A port.
#[derive(Clone, Copy)]
pub struct Uart<R>(pub R);

impl<R: UartRegisters> Uart<R> {
    /// Whether there is one: what is written to its scratch register stays.
    #[allow(dead_code, reason = "a device tree says what there is")]
    pub fn is_there(&self) -> bool {
        [0x5a, 0xa5].into_iter().all(|value| {
            self.0.write(SCRATCH, value);
            self.0.read(SCRATCH) == value
        })
    }

    /// 115,200 baud of a PC's clock, 8 bits, no parity.
    #[allow(dead_code, reason = "elsewhere firmware knows the clock")]
    pub fn set_format(&self) {
        self.0.write(INTERRUPT_ENABLE, 0x00);
        for (number, value) in
            [(LINE_CONTROL, 0x80), (DATA, 0x01), (INTERRUPT_ENABLE, 0x00), (LINE_CONTROL, 0x03)]
        {
            self.0.write(number, value);
        }
    }

    /// FIFOs on and empty, interrupts off but let through to the line (OUT2, which a PC's line hangs on). Returns how
    /// many bytes the transmitter takes at a time.
    pub fn initialise(&self) -> usize {
        for (number, value) in [(INTERRUPT_ENABLE, 0x00), (FIFO_CONTROL, 0xc7), (MODEM_CONTROL, 0x0b)] {
            self.0.write(number, value);
        }
        let identification = self.0.read(INTERRUPT_IDENTIFICATION);
        // A machine without the port reads all ones.
        if identification != 0xff && identification & HAS_FIFOS == HAS_FIFOS { FIFO_BYTES } else { 1 }
    }

    /// Writes bytes, waiting for an empty transmitter before each `burst` of them: each look at it is an exit from a
    /// virtual machine.
    pub fn write(&self, bytes: &[u8], burst: usize) {
        for bytes in bytes.chunks(burst.max(1)) {
            let mut patience = PATIENCE;
            while self.0.read(LINE_STATUS) & TRANSMITTER_EMPTY == 0 && patience > 0 {
                patience -= 1;
            }
            bytes.iter().for_each(|&byte| self.0.write(DATA, byte));
        }
    }

    /// Waits until the last byte has left: a machine that goes off takes with it what is in the FIFO.
    pub fn drain(&self) {
        let mut looks = 0..LAST_PATIENCE;
        while self.0.read(LINE_STATUS) & ALL_SENT == 0 && looks.next().is_some() {}
    }

    /// Makes every received byte interrupt at once. What is in the FIFOs stays.
    pub fn enable_input(&self) {
        self.0.write(FIFO_CONTROL, 0x01);
        self.resume_input();
    }

    /// Makes received bytes interrupt no more: they stay in the FIFO.
    pub fn pause_input(&self) {
        self.0.write(INTERRUPT_ENABLE, 0x00);
    }

    /// Makes them interrupt again, those that are there already included.
    pub fn resume_input(&self) {
        self.0.write(INTERRUPT_ENABLE, 0x01);
    }

    /// Takes all that was received, until `take` wants no more. At most one FIFO's worth and some, so that a flood
    /// cannot hold the CPU.
    pub fn receive(&self, mut take: impl FnMut(Received) -> bool) {
        for _ in 0..64 {
            // A machine without the port reads all ones.
            let status = self.0.read(LINE_STATUS);
            if status & RECEIVED == 0 || status == 0xff {
                break;
            }
            // A BREAK comes with a byte of zero.
            let byte = self.0.read(DATA);
            if !take(if status & BREAK != 0 { Received::Break } else { Received::Byte(byte) }) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::vec::Vec;

    /// A port that has received `input` and keeps what is written.
    struct Fake {
        input: RefCell<Vec<(u8, u8)>>,
        written: RefCell<Vec<u8>>,
        identification: u8,
        /// How often somebody looked at the transmitter.
        looks: Cell<u32>,
        /// After how many looks the last byte has left.
        sends: u32,
    }

    impl UartRegisters for Fake {
        fn read(&self, number: u16) -> u8 {
            match number {
                INTERRUPT_IDENTIFICATION => self.identification,
                LINE_STATUS => {
                    self.looks.set(self.looks.get() + 1);
                    let sent = if self.looks.get() > self.sends { ALL_SENT } else { 0 };
                    self.input.borrow().last().map_or(TRANSMITTER_EMPTY | sent, |(status, _)| *status)
                }
                DATA => self.input.borrow_mut().pop().map_or(0, |(_, byte)| byte),
                _ => 0xff,
            }
        }

        fn write(&self, number: u16, value: u8) {
            if number == DATA {
                self.written.borrow_mut().push(value);
            }
        }
    }

    fn port(input: &[(u8, u8)]) -> Uart<Fake> {
        let input = input.iter().rev().copied().collect();
        let (written, looks) = (RefCell::default(), Cell::new(0));
        Uart(Fake { input: RefCell::new(input), written, identification: 0xc1, looks, sends: 0 })
    }

    #[test]
    fn breaks_and_bytes_come_in_their_order() {
        let mut heard = Vec::new();
        port(&[(RECEIVED, b'a'), (RECEIVED | BREAK, 0), (RECEIVED, b'b')]).receive(|received| {
            heard.push(received);
            true
        });
        assert_eq!(heard, [Received::Byte(b'a'), Received::Break, Received::Byte(b'b')]);
    }

    #[test]
    fn what_is_not_wanted_stays_and_a_missing_port_gives_nothing() {
        let port = port(&[(RECEIVED, b'a'), (RECEIVED, b'b')]);
        port.receive(|_| false);
        assert_eq!(port.0.input.borrow().len(), 1);
        assert!(!port.is_there());
        port.write(b"xy", 1);
        assert_eq!(*port.0.written.borrow(), b"xy");
    }

    #[test]
    fn a_fifo_is_filled_at_each_look() {
        for (identification, burst, looks) in [(0xc1, 16, 3), (0x81, 1, 40), (0x01, 1, 40), (0xff, 1, 40)] {
            let port = Uart(Fake { identification, ..port(&[]).0 });
            assert_eq!(port.initialise(), burst, "{identification:#x}");
            let text: Vec<u8> = (0..40).collect();
            port.write(&text, burst);
            assert_eq!(*port.0.written.borrow(), text);
            assert_eq!(port.0.looks.get(), looks, "{identification:#x}");
        }
    }

    #[test]
    fn the_last_byte_is_waited_for_but_not_for_ever() {
        for (sends, looks) in [(0, 1), (100, 101), (u32::MAX, LAST_PATIENCE + 1)] {
            let port = Uart(Fake { sends, ..port(&[]).0 });
            port.drain();
            assert_eq!(port.0.looks.get(), looks);
        }
    }
}
