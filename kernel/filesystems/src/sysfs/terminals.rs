//! Terminals in sysfs: their devices, and links to these by class and by number.

use alloc::format;
use alloc::sync::Arc;

use abi::Errno;
use abi::terminal::{PL011, SerialLine, UART_8250};
use libkernel::text::Text;
use vfs::attributes::DeviceNumber;
use vfs::device::{CONSOLE, CONTROLLING, serial, serial_number};
use vfs::generated::{Fixed, directory, file, link};

/// `class/tty`, `dev/char` and `devices/virtual/tty` where the serial line is of this sort.
struct Names {
    class: [Fixed; 3],
    numbers: [Fixed; 3],
    devices: [Fixed; 3],
}

static OF_16550: Names = Names::of(&UART_8250);
static OF_PL011: Names = Names::of(&PL011);

impl Names {
    const fn of(line: &'static SerialLine) -> Names {
        Names {
            class: [
                link("console", || to("../../devices/virtual/tty/console")),
                link("tty", || to("../../devices/virtual/tty/tty")),
                link(line.name, to_serial),
            ],
            numbers: [
                link("5:0", || to("../../devices/virtual/tty/tty")),
                link("5:1", || to("../../devices/virtual/tty/console")),
                link(line.number, to_serial),
            ],
            // Linux has the serial line below the bus that it sits on.
            devices: [
                directory("console", CONSOLE_FILES),
                directory("tty", CONTROLLING_FILES),
                directory(line.name, SERIAL_FILES),
            ],
        }
    }

    fn here() -> &'static Names {
        if *serial() == PL011 { &OF_PL011 } else { &OF_16550 }
    }
}

/// `class/tty`.
pub fn class() -> &'static [Fixed] {
    &Names::here().class
}

/// `dev/char`: from numbers to devices.
pub fn numbers() -> &'static [Fixed] {
    &Names::here().numbers
}

/// `devices/virtual/tty`.
pub fn devices() -> &'static [Fixed] {
    &Names::here().devices
}

fn to_serial() -> Result<Arc<[u8]>, Errno> {
    Ok(format!("../../devices/virtual/tty/{}", serial().name).into_bytes().into())
}

static CONSOLE_FILES: &[Fixed] = &[
    file("active", |text| {
        writeln!(text, "{}", serial().name);
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
    file("dev", |text| number(text, serial_number())),
    subsystem(),
    file("uevent", |text| event(text, serial_number(), serial().name, "")),
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
