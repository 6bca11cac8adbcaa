//! The devices of every system, by their numbers: memory and its like here, terminals and the log by who has them.

mod memory;

use alloc::sync::Arc;

use abi::Errno;
use vfs::attributes::{DeviceKind, DeviceNumber};
use vfs::device::{Devices, KnownDevice, serial};
use vfs::file::{File, FileOperations};

use crate::kmsg;
use crate::tty;

/// What devtmpfs shows but for the serial line: Linux's numbers (`admin-guide/devices.txt`) and permissions.
const KNOWN: [KnownDevice; 8] = [
    character(b"null", 1, 3, 0o666),
    character(b"zero", 1, 5, 0o666),
    character(b"full", 1, 7, 0o666),
    character(b"random", 1, 8, 0o666),
    character(b"urandom", 1, 9, 0o666),
    character(b"kmsg", 1, kmsg::MINOR, 0o644),
    character(b"tty", 5, 0, 0o666),
    character(b"console", 5, 1, 0o600),
];

const fn character(name: &'static [u8], major: u32, minor: u32, permissions: u32) -> KnownDevice {
    KnownDevice { name, kind: DeviceKind::Character, number: DeviceNumber::new(major, minor), permissions }
}

/// They.
pub struct AllDevices;

impl Devices for AllDevices {
    fn each_known(&self, show: &mut dyn FnMut(KnownDevice) -> Result<(), Errno>) -> Result<(), Errno> {
        let line = serial();
        let line = character(line.name.as_bytes(), line.major, line.minor, 0o600);
        KNOWN.into_iter().chain([line]).try_for_each(show)
    }

    fn open(
        &self,
        kind: DeviceKind,
        number: DeviceNumber,
        flags: u32,
    ) -> Result<Arc<dyn FileOperations>, Errno> {
        match (kind, number.major) {
            (DeviceKind::Character, 1) if number.minor == kmsg::MINOR => Ok(kmsg::Opening::new(flags)?),
            (DeviceKind::Character, 1) => memory::open(number.minor),
            (DeviceKind::Character, _) => tty::open_device(number),
            // No driver has blocks yet.
            (DeviceKind::Block, _) => Err(Errno::ENXIO),
        }
    }

    fn opened(&self, file: &File, kind: DeviceKind, number: DeviceNumber, flags: u32) {
        if kind == DeviceKind::Character {
            tty::opened(file, number, flags);
        }
    }
}
