//! The devices of every system, by their numbers: memory and its like here, terminals and the log by who has them.

mod memory;

use alloc::sync::Arc;

use abi::Errno;
use vfs::attributes::{DeviceNumber, FileKind};
use vfs::device::{Devices, KnownDevice, serial};
use vfs::file::{File, FileOperations};

use crate::kmsg;
use crate::tty;

/// What devtmpfs shows but for the serial line: Linux's numbers (`admin-guide/devices.txt`) and permissions.
const KNOWN: [KnownDevice; 8] = [
    known(b"null", 1, 3, 0o666),
    known(b"zero", 1, 5, 0o666),
    known(b"full", 1, 7, 0o666),
    known(b"random", 1, 8, 0o666),
    known(b"urandom", 1, 9, 0o666),
    known(b"kmsg", 1, kmsg::MINOR, 0o644),
    known(b"tty", 5, 0, 0o666),
    known(b"console", 5, 1, 0o600),
];

const fn known(name: &'static [u8], major: u32, minor: u32, permissions: u32) -> KnownDevice {
    KnownDevice { name, number: DeviceNumber::new(major, minor), permissions }
}

/// They.
pub struct AllDevices;

impl Devices for AllDevices {
    fn each_known(&self, show: &mut dyn FnMut(KnownDevice) -> Result<(), Errno>) -> Result<(), Errno> {
        let line = serial();
        let line = known(line.name.as_bytes(), line.major, line.minor, 0o600);
        KNOWN.into_iter().chain([line]).try_for_each(show)
    }

    fn open(
        &self,
        kind: FileKind,
        number: DeviceNumber,
        flags: u32,
    ) -> Result<Arc<dyn FileOperations>, Errno> {
        if kind != FileKind::CharacterDevice {
            return Err(Errno::ENXIO);
        }
        match number.major {
            1 if number.minor == kmsg::MINOR => Ok(kmsg::Opening::new(flags)?),
            1 => memory::open(number.minor),
            _ => tty::open_device(number),
        }
    }

    fn opened(&self, file: &File, number: DeviceNumber, flags: u32) {
        tty::opened(file, number, flags);
    }
}
