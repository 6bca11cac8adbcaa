//! The first serial port of a PC. And the other places where a kernel that fails can be heard: the other serial ports,
//! a screen in text mode, and the debug port of emulators.
use super::platform::{ioapic, port, vga};
use crate::console::Received;
use crate::uart::{Uart, UartRegisters};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Its line at the I/O APIC.
pub const LINE: u32 = 4;
/// Bochs' and QEMU's port for text; it reads as its own number where it is.
const DEBUG_PORT: u16 = 0xe9;

/// Registers behind I/O ports, the first of which this is.
#[derive(Clone, Copy)]
struct Ports(u16);

impl UartRegisters for Ports {
    fn read(&self, number: u16) -> u8 {
        // SAFETY: the ports belong to this module.
        unsafe { port::read_u8(self.0 + number) }
    }

    fn write(&self, number: u16, value: u8) {
        // SAFETY: the ports belong to this module.
        unsafe { port::write_u8(self.0 + number, value) };
    }
}

const FIRST: Uart<Ports> = Uart(Ports(0x3f8));
/// The second to fourth serial port of a PC.
const OTHERS: [Uart<Ports>; 3] = [Uart(Ports(0x2f8)), Uart(Ports(0x3e8)), Uart(Ports(0x2e8))];

/// Bytes that the first port takes at a time.
static BURST: AtomicUsize = AtomicUsize::new(1);

/// Makes the first port ready.
pub fn initialise() {
    FIRST.set_format();
    BURST.store(FIRST.initialise(), Ordering::Relaxed);
}

/// Writes bytes to the first port.
pub fn write(bytes: &[u8]) {
    FIRST.write(bytes, BURST.load(Ordering::Relaxed));
}

/// Waits until the first port has sent all.
pub fn drain() {
    FIRST.drain();
}

/// Writes bytes wherever somebody may listen.
pub fn write_last(bytes: &[u8]) {
    static READY: AtomicBool = AtomicBool::new(false);
    write(bytes);
    let is_first = !READY.swap(true, Ordering::Relaxed);
    for other in OTHERS.iter().filter(|other| other.is_there()) {
        if is_first {
            other.set_format();
            other.initialise();
        }
        other.write(bytes, 1);
    }
    vga::write(bytes);
    // SAFETY: the port is the emulator's, or nobody's.
    unsafe {
        if port::read_u8(DEBUG_PORT) == DEBUG_PORT as u8 {
            bytes.iter().for_each(|&byte| port::write_u8(DEBUG_PORT, byte));
        }
    }
}

/// Makes received bytes interrupt.
pub fn enable_input() {
    FIRST.enable_input();
    ioapic::enable(LINE);
}

/// Makes received bytes interrupt no more.
pub fn pause_input() {
    FIRST.pause_input();
}

/// Makes them interrupt again.
pub fn resume_input() {
    FIRST.resume_input();
}

/// Takes what was received, until `take` wants no more.
pub fn receive(take: impl FnMut(Received) -> bool) {
    FIRST.receive(take);
}
