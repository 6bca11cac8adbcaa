//! Terminals in sysfs: their devices, and links to these by class and by number.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::native::terminal::{SERIAL_NAME, SERIAL_NUMBER};

use crate::fs::attributes::DeviceNumber;
use crate::fs::generated::{Fixed, directory, file, link};
use crate::tty::{CONSOLE, CONTROLLING, SERIAL};

/// `class/tty`.
pub static CLASS: &[Fixed] = &[
    link("console", || to("../../devices/virtual/tty/console")),
    link("tty", || to("../../devices/virtual/tty/tty")),
    link(SERIAL_NAME, || Ok(format!("../../devices/virtual/tty/{SERIAL_NAME}").into_bytes().into())),
];

/// `dev/char`: from numbers to devices.
pub static NUMBERS: &[Fixed] = &[
    link("5:0", || to("../../devices/virtual/tty/tty")),
    link("5:1", || to("../../devices/virtual/tty/console")),
    link(SERIAL_NUMBER, || Ok(format!("../../devices/virtual/tty/{SERIAL_NAME}").into_bytes().into())),
];

/// `devices/virtual/tty`. Linux has the serial line below the bus that it sits on.
pub static DEVICES: &[Fixed] = &[
    directory("console", CONSOLE_FILES),
    directory("tty", CONTROLLING_FILES),
    directory(SERIAL_NAME, SERIAL_FILES),
];

static CONSOLE_FILES: &[Fixed] = &[
    file("active", || Ok(format!("{SERIAL_NAME}\n").into_bytes())),
    file("dev", || number(CONSOLE)),
    subsystem(),
    file("uevent", || event(CONSOLE, "console", "")),
];

static CONTROLLING_FILES: &[Fixed] = &[
    file("dev", || number(CONTROLLING)),
    subsystem(),
    file("uevent", || event(CONTROLLING, "tty", "DEVMODE=0666\n")),
];

static SERIAL_FILES: &[Fixed] =
    &[file("dev", || number(SERIAL)), subsystem(), file("uevent", || event(SERIAL, SERIAL_NAME, ""))];

const fn subsystem() -> Fixed {
    link("subsystem", || to("../../../../class/tty"))
}

fn to(path: &str) -> Result<Arc<[u8]>, Errno> {
    Ok(Arc::from(path.as_bytes()))
}

fn number(device: DeviceNumber) -> Result<Vec<u8>, Errno> {
    Ok(format!("{}:{}\n", device.major, device.minor).into_bytes())
}

/// What udev is told of a device.
fn event(device: DeviceNumber, name: &str, mode: &str) -> Result<Vec<u8>, Errno> {
    let DeviceNumber { major, minor } = device;
    Ok(format!("MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\n{mode}").into_bytes())
}
