//! Devices: from a number to the code behind it, which whoever drives the device brings.
//!
//! The floors above say once, at boot, which devices there are.

use alloc::sync::Arc;

use abi::Errno;
use abi::terminal::{PL011, SerialLine, UART_8250};
use hal::console::Model;
use hal::sync::Once;

use super::attributes::{DeviceKind, DeviceNumber};
use super::file::{File, FileOperations};

/// `/dev/tty`: whichever terminal controls the process that opens it.
pub const CONTROLLING: DeviceNumber = DeviceNumber::new(5, 0);

/// `/dev/console`.
pub const CONSOLE: DeviceNumber = DeviceNumber::new(5, 1);

/// The machine's serial line, which `/dev/console` leads to.
pub fn serial() -> &'static SerialLine {
    match hal::console::model() {
        Model::Pl011 => &PL011,
        Model::Uart16550 => &UART_8250,
    }
}

/// Its number.
pub fn serial_number() -> DeviceNumber {
    DeviceNumber::new(serial().major, serial().minor)
}

/// A device that every system has.
pub struct KnownDevice {
    /// Its path below `/dev`.
    pub name: &'static [u8],
    /// Its kind.
    pub kind: DeviceKind,
    /// Its number among those of its kind.
    pub number: DeviceNumber,
    /// Its permissions in a fresh devtmpfs.
    pub permissions: u32,
}

/// The devices there are.
pub trait Devices: Sync {
    /// Shows those that devtmpfs has nodes for, in the order in which they are made.
    fn each_known(&self, show: &mut dyn FnMut(KnownDevice) -> Result<(), Errno>) -> Result<(), Errno>;

    /// The code behind a device, for one opening of it. ENXIO where there is none.
    fn open(
        &self,
        kind: DeviceKind,
        number: DeviceNumber,
        flags: u32,
    ) -> Result<Arc<dyn FileOperations>, Errno>;

    /// The device is open: what only an open file can do, such as becoming a controlling terminal.
    fn opened(&self, file: &File, kind: DeviceKind, number: DeviceNumber, flags: u32);
}

static DEVICES: Once<&'static dyn Devices> = Once::new();

/// Says which devices there are. Once, at boot.
pub fn provide(devices: &'static dyn Devices) {
    let _ = DEVICES.set(devices);
}

/// The devices there are. ENXIO before anybody has said.
pub fn devices() -> Result<&'static dyn Devices, Errno> {
    DEVICES.get().copied().ok_or(Errno::ENXIO)
}
