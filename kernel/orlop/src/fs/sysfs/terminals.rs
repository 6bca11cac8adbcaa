//! Terminals in sysfs: their devices, and links to these by class and by number.

use alloc::format;
use alloc::sync::Arc;

use abi::Errno;
use abi::native::terminal::{SERIAL_NAME, SERIAL_NUMBER};
use libkernel::text::Text;

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
    file("active", |text| {
        writeln!(text, "{SERIAL_NAME}");
        Ok(())
    }),
    file("dev", |text| number(text, CONSOLE)),
    subsystem(),
    file("uevent", |text| event(text, CONSOLE, "console", "")),
];

static CONTROLLING_FILES: &[Fixed] = &[
    file("dev", |text| number(text, CONTROLLING)),
    subsystem(),
    file("uevent", |text| event(text, CONTROLLING, "tty", "DEVMODE=0666\n")),
];

static SERIAL_FILES: &[Fixed] = &[
    file("dev", |text| number(text, SERIAL)),
    subsystem(),
    file("uevent", |text| event(text, SERIAL, SERIAL_NAME, "")),
];

const fn subsystem() -> Fixed {
    link("subsystem", || to("../../../../class/tty"))
}

fn to(path: &str) -> Result<Arc<[u8]>, Errno> {
    Ok(Arc::from(path.as_bytes()))
}

fn number(text: &mut Text, device: DeviceNumber) -> Result<(), Errno> {
    writeln!(text, "{}:{}", device.major, device.minor);
    Ok(())
}

/// What udev is told of a device.
fn event(text: &mut Text, device: DeviceNumber, name: &str, mode: &str) -> Result<(), Errno> {
    let DeviceNumber { major, minor } = device;
    write!(text, "MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\n{mode}");
    Ok(())
}
