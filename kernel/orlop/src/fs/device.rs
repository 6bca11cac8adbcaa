//! Device files: from a device number to the code behind it.

mod memory;

use alloc::sync::Arc;

use abi::Errno;

use super::attributes::{DeviceNumber, FileKind};
use super::file::{File, FileOperations};
use crate::kmsg;
use crate::tty;

/// A device that every system has: its name in `/dev`, number and permissions.
pub struct KnownDevice {
    /// Its path below `/dev`.
    pub name: &'static [u8],
    /// Its number.
    pub number: DeviceNumber,
    /// Its permissions in a fresh devtmpfs.
    pub permissions: u32,
}

const fn known(name: &'static [u8], major: u32, minor: u32, permissions: u32) -> KnownDevice {
    KnownDevice { name, number: DeviceNumber::new(major, minor), permissions }
}

/// What devtmpfs shows: Linux's numbers (`admin-guide/devices.txt`) and permissions.
pub fn known_devices() -> [KnownDevice; 9] {
    let line = tty::serial();
    [
        known(b"null", 1, 3, 0o666),
        known(b"zero", 1, 5, 0o666),
        known(b"full", 1, 7, 0o666),
        known(b"random", 1, 8, 0o666),
        known(b"urandom", 1, 9, 0o666),
        known(b"kmsg", 1, kmsg::MINOR, 0o644),
        known(b"tty", 5, 0, 0o666),
        known(b"console", 5, 1, 0o600),
        known(line.name.as_bytes(), line.major, line.minor, 0o600),
    ]
}

/// The code behind a device, for one opening of it. ENXIO where there is none.
pub fn open(kind: FileKind, number: DeviceNumber, flags: u32) -> Result<Arc<dyn FileOperations>, Errno> {
    if kind != FileKind::CharacterDevice {
        return Err(Errno::ENXIO);
    }
    match number.major {
        1 if number.minor == kmsg::MINOR => Ok(kmsg::Opening::new(flags)?),
        1 => memory::open(number.minor),
        _ => tty::open_device(number),
    }
}

/// The device is open: what only an open file can do, such as becoming a controlling terminal.
pub fn opened(file: &File, number: DeviceNumber, flags: u32) {
    tty::opened(file, number, flags);
}
