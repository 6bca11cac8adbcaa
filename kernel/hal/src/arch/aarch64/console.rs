//! The serial port that the device tree names: a PL011 (PrimeCell UART, DDI 0183), or a 16550 in memory. Polled output,
//! received bytes by interrupt.
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
const LINE_CONTROL: usize = 0x2c;
const CONTROL: usize = 0x30;
const INTERRUPT_MASK: usize = 0x38;
const INTERRUPT_CLEAR: usize = 0x44;

/// Beside a received byte, which is zero then: a BREAK (3.3.1).
const DATA_BREAK: u32 = 1 << 10;
const FLAG_RECEIVE_EMPTY: u32 = 1 << 4;
const FLAG_TRANSMIT_FULL: u32 = 1 << 5;
const FLAG_BUSY: u32 = 1 << 3;
const FLAG_TRANSMIT_EMPTY: u32 = 1 << 7;
/// Eight bits, FIFOs on (3.3.7).
const FORMAT: u32 = 3 << 5 | 1 << 4;
/// Bytes that the FIFO of the oldest PL011 holds (1.2).
const FIFO_BYTES: usize = 16;
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
    /// And how many bytes it takes at a time.
    Ns16550(Uart<InMemory>, usize),
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

/// What the port is.
pub(super) fn model() -> crate::console::Model {
    match port().map(|port| &port.model) {
        Some(Model::Ns16550(..)) => crate::console::Model::Uart16550,
        _ => crate::console::Model::Pl011,
    }
}

/// Writes bytes, waiting for room in the transmit buffer. Before the device tree has been read they go to the emulator,
/// if that listens: only a kernel that fails writes so early.
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
        Model::Pl011(registers) => write_pl011(registers, bytes),
        Model::Ns16550(uart, burst) => uart.write(bytes, *burst),
    }
}

/// Waits until the port has sent all, or a while.
pub(super) fn drain() {
    const PATIENCE: u32 = 1_000_000;
    let Some(port) = port() else { return };
    match &port.model {
        Model::Pl011(registers) => {
            let mut looks = 0..PATIENCE;
            while registers.read32(FLAGS) & FLAG_BUSY != 0 && looks.next().is_some() {}
        }
        Model::Ns16550(uart, _) => uart.drain(),
    }
}

/// A FIFO that is empty takes all that it holds after one look, which is an exit from a virtual machine.
fn write_pl011(registers: &DeviceRegisters, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let room = match registers.read32(FLAGS) {
            flags if flags & FLAG_TRANSMIT_EMPTY != 0 => FIFO_BYTES.min(bytes.len()),
            flags if flags & FLAG_TRANSMIT_FULL == 0 => 1,
            _ => {
                core::hint::spin_loop();
                continue;
            }
        };
        let (now, later) = bytes.split_at(room);
        now.iter().for_each(|&byte| registers.write32(DATA, byte.into()));
        bytes = later;
    }
}

/// Turns the FIFOs on, as far as firmware has not: while the port is off, as the manual wants it (3.3.7), and with
/// nothing under way.
fn use_fifos(registers: &DeviceRegisters) {
    if registers.read32(LINE_CONTROL) & FORMAT == FORMAT {
        return;
    }
    while registers.read32(FLAGS) & FLAG_BUSY != 0 {
        core::hint::spin_loop();
    }
    let control = registers.read32(CONTROL);
    registers.write32(CONTROL, 0);
    registers.write32(LINE_CONTROL, registers.read32(LINE_CONTROL) | FORMAT);
    registers.write32(CONTROL, control);
}

/// Lets received bytes interrupt.
pub(super) fn enable_input() {
    let Some(port) = port() else { return };
    match &port.model {
        Model::Pl011(registers) => registers.write32(INTERRUPT_CLEAR, INTERRUPT_RECEIVE),
        Model::Ns16550(uart, _) => uart.enable_input(),
    }
    resume_input();
    gic::set_edge(port.interrupt, port.is_edge);
    gic::enable(port.interrupt);
}

/// Lets received bytes interrupt no more: they stay in the FIFO.
pub(super) fn pause_input() {
    match port().map(|port| &port.model) {
        Some(Model::Pl011(registers)) => registers.write32(INTERRUPT_MASK, 0),
        Some(Model::Ns16550(uart, _)) => uart.pause_input(),
        None => {}
    }
}

/// Lets them interrupt again, those that are there already included.
pub(super) fn resume_input() {
    match port().map(|port| &port.model) {
        Some(Model::Pl011(registers)) => registers.write32(INTERRUPT_MASK, INTERRUPT_RECEIVE),
        Some(Model::Ns16550(uart, _)) => uart.resume_input(),
        None => {}
    }
}

impl Port {
    /// The port of this model behind `registers`.
    pub fn new(model: SerialModel, registers: DeviceRegisters, interrupt: u32, is_edge: bool) -> Self {
        let model = match model {
            SerialModel::Pl011 => {
                use_fifos(&registers);
                Model::Pl011(registers)
            }
            SerialModel::Ns16550 { shift, wide } => {
                let uart = Uart(InMemory { registers, shift, wide });
                let burst = uart.initialise();
                Model::Ns16550(uart, burst)
            }
        };
        Self { model, interrupt, is_edge }
    }

    /// The port's interrupt: hands up all that waits, until that is too much. Reading the last one takes the interrupt
    /// back.
    pub fn handle_interrupt(&self) {
        let registers = match &self.model {
            Model::Pl011(registers) => registers,
            Model::Ns16550(uart, _) => return uart.receive(|received| upcalls().console_input(received)),
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
