//! Terminals.

use alloc::sync::Arc;

use abi::Errno;

use crate::fs::attributes::DeviceNumber;
use crate::fs::file::{File, FileOperations};

/// The code behind a terminal device.
pub fn open_device(number: DeviceNumber, flags: u32) -> Result<Arc<dyn FileOperations>, Errno> {
    let _ = (number, flags);
    Err(Errno::ENXIO)
}

/// The terminal is open.
pub fn opened(file: &Arc<File>, flags: u32) {
    let _ = (file, flags);
}
