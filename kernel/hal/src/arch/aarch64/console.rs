//! The serial port that the device tree names: a PL011 (PrimeCell UART, DDI 0183), or a 16550 in memory. Polled output, received
//! bytes by interrupt.
//!
//! Lock order: `OUTPUT` is taken last, by anybody, with interrupts masked; nothing is called under it.
use super::paging::DeviceRegisters;
use super::platform::{gic, semihosting};
use crate::console::Received;
use crate::sync::{IrqLock, Once};
use crate::uart::{Uart, UartRegisters};
use crate::upcalls::upcalls;
use core::sync::atomic::{AtomicBool, Ordering};
use libkernel::device_tree::SerialModel;

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

/// The registers of a 16550, at a distance of `1 << shift` bytes.
struct InMemory {
    registers: DeviceRegisters,
    shift: u32,
    /// Whether they are words rather than bytes.
    wide: bool,
}

impl UartRegisters for InMemory {
    fn read(&self, number: u16) -> u8 {
        let offset = usize::from(number) << self.shift;
        if self.wide { self.registers.read32(offset) as u8 } else { self.registers.read8(offset) }
    }

    fn write(&self, number: u16, value: u8) {
        let offset = usize::from(number) << self.shift;
        if self.wide {
            self.registers.write32(offset, value.into());
        } else {
            self.registers.write8(offset, value);
        }
    }
}

enum Model {
    Pl011(DeviceRegisters),
    Ns16550(Uart<InMemory>),
}

/// The port and the interrupt that it raises.
pub(super) struct Port {
    model: Model,
    /// Its number at the interrupt controller.
    pub interrupt: u32,
    is_edge: bool,
}

static PORT: Once<Port> = Once::new();

/// Keeps the lines of two CPUs apart.
static OUTPUT: IrqLock<()> = IrqLock::new(());

/// Whether the machine's port is known, or known to be absent.
static SEARCHED: AtomicBool = AtomicBool::new(false);

/// Says that the tree has been read, and names the port, if there is one. Firmware has set baud rate and format.
pub(super) fn initialise(port: Option<Port>) {
    if let Some(port) = port {
        let _ = PORT.set(port);
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
    match &port.model {
        Model::Pl011(registers) => {
            for &byte in bytes {
                while registers.read32(FLAGS) & FLAG_TRANSMIT_FULL != 0 {
                    core::hint::spin_loop();
                }
                registers.write32(DATA, byte.into());
            }
        }
        Model::Ns16550(uart) => uart.write(bytes),
    }
}

/// Lets received bytes interrupt.
pub(super) fn enable_input() {
    let Some(port) = port() else { return };
    match &port.model {
        Model::Pl011(registers) => registers.write32(INTERRUPT_CLEAR, INTERRUPT_RECEIVE),
        Model::Ns16550(uart) => uart.enable_input(),
    }
    resume_input();
    gic::set_edge(port.interrupt, port.is_edge);
    gic::enable(port.interrupt);
}

/// Lets received bytes interrupt no more: they stay in the FIFO.
pub(super) fn pause_input() {
    match port().map(|port| &port.model) {
        Some(Model::Pl011(registers)) => registers.write32(INTERRUPT_MASK, 0),
        Some(Model::Ns16550(uart)) => uart.pause_input(),
        None => {}
    }
}

/// Lets them interrupt again, those that are there already included.
pub(super) fn resume_input() {
    match port().map(|port| &port.model) {
        Some(Model::Pl011(registers)) => registers.write32(INTERRUPT_MASK, INTERRUPT_RECEIVE),
        Some(Model::Ns16550(uart)) => uart.resume_input(),
        None => {}
    }
}

impl Port {
    /// The port of this model behind `registers`.
    pub fn new(model: SerialModel, registers: DeviceRegisters, interrupt: u32, is_edge: bool) -> Self {
        let model = match model {
            SerialModel::Pl011 => Model::Pl011(registers),
            SerialModel::Ns16550 { shift, wide } => {
                let uart = Uart(InMemory { registers, shift, wide });
                uart.initialise();
                Model::Ns16550(uart)
            }
        };
        Self { model, interrupt, is_edge }
    }

    /// The port's interrupt: hands up all that waits, until that is too much. Reading the last one takes the interrupt back.
    pub fn handle_interrupt(&self) {
        let registers = match &self.model {
            Model::Pl011(registers) => registers,
            Model::Ns16550(uart) => return uart.receive(|received| upcalls().console_input(received)),
        };
        while registers.read32(FLAGS) & FLAG_RECEIVE_EMPTY == 0 {
            let data = registers.read32(DATA);
            let is_break = data & DATA_BREAK != 0;
            if !upcalls().console_input(if is_break { Received::Break } else { Received::Byte(data as u8) }) {
                break;
            }
        }
    }
}
