//! The PL011 serial port (PrimeCell UART, DDI 0183): polled output, received bytes by interrupt.
//!
//! Lock order: `OUTPUT` is taken last, by anybody, with interrupts masked; nothing is called under it.
use super::paging::DeviceRegisters;
use super::platform::semihosting;
use crate::console::Received;
use crate::sync::{IrqLock, Once};
use crate::upcalls::upcalls;
use core::sync::atomic::{AtomicBool, Ordering};

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const INTERRUPT_MASK: usize = 0x38;
const INTERRUPT_CLEAR: usize = 0x44;

/// Beside a received byte, which is zero then: a BREAK (3.3.1).
const DATA_BREAK: u32 = 1 << 10;
const FLAG_RECEIVE_EMPTY: u32 = 1 << 4;
const FLAG_TRANSMIT_FULL: u32 = 1 << 5;
/// Receive and receive-timeout interrupts.
const INTERRUPT_RECEIVE: u32 = (1 << 4) | (1 << 6);

/// The port and the interrupt that it raises.
pub(super) struct Port {
    registers: DeviceRegisters,
    /// Its number at the interrupt controller.
    pub interrupt: u32,
}

static PORT: Once<Port> = Once::new();

/// Keeps the lines of two CPUs apart.
static OUTPUT: IrqLock<()> = IrqLock::new(());

/// Whether the machine's port is known, or known to be absent.
static SEARCHED: AtomicBool = AtomicBool::new(false);

/// Names the port, if there is one, and its interrupt. Firmware has set baud rate and format.
pub(super) fn initialise(port: Option<(DeviceRegisters, u32)>) {
    if let Some((registers, interrupt)) = port {
        let _ = PORT.set(Port { registers, interrupt });
    }
    SEARCHED.store(true, Ordering::Relaxed);
}

/// The port, once it is known.
pub(super) fn port() -> Option<&'static Port> {
    PORT.get()
}

/// Writes bytes, waiting for room in the transmit buffer. Before the device tree has been read they go to the emulator, if
/// that listens: only a kernel that fails writes so early.
pub(super) fn write(bytes: &[u8]) {
    let Some(port) = port() else {
        if !SEARCHED.load(Ordering::Relaxed) {
            semihosting::write(bytes);
        }
        return;
    };
    // At the end of the kernel a CPU that was stopped may have the lock.
    let _guard = (!crate::panic::is_ending()).then(|| OUTPUT.lock());
    for &byte in bytes {
        while port.registers.read32(FLAGS) & FLAG_TRANSMIT_FULL != 0 {
            core::hint::spin_loop();
        }
        port.registers.write32(DATA, byte.into());
    }
}

/// Lets received bytes interrupt.
pub(super) fn enable_input() {
    let Some(port) = port() else { return };
    port.registers.write32(INTERRUPT_CLEAR, INTERRUPT_RECEIVE);
    resume_input();
    super::platform::gic::enable(port.interrupt);
}

/// Lets received bytes interrupt no more: they stay in the FIFO.
pub(super) fn pause_input() {
    if let Some(port) = port() {
        port.registers.write32(INTERRUPT_MASK, 0);
    }
}

/// Lets them interrupt again, those that are there already included.
pub(super) fn resume_input() {
    if let Some(port) = port() {
        port.registers.write32(INTERRUPT_MASK, INTERRUPT_RECEIVE);
    }
}

impl Port {
    /// The port's interrupt: hands up all that waits, until that is too much. Reading the last one takes the interrupt back.
    pub fn handle_interrupt(&self) {
        while self.registers.read32(FLAGS) & FLAG_RECEIVE_EMPTY == 0 {
            let data = self.registers.read32(DATA);
            let is_break = data & DATA_BREAK != 0;
            if !upcalls().console_input(if is_break { Received::Break } else { Received::Byte(data as u8) }) {
                break;
            }
        }
    }
}
