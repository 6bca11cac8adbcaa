//! The first serial line of an ARM machine, as Linux numbers and names it.
//!
//! Source: Linux 6.1, `Documentation/admin-guide/devices.txt` and `drivers/tty/serial/amba-pl011.c` (`amba_reg`).

/// Its device number's major part.
pub const SERIAL_MAJOR: u32 = 204;
/// Its device number's minor part.
pub const SERIAL_MINOR: u32 = 64;
/// Its name: in `/dev`, and behind `console=`.
pub const SERIAL_NAME: &str = "ttyAMA0";
/// Its number as text.
pub const SERIAL_NUMBER: &str = "204:64";
/// What lines of its sort are called, without a number.
pub const SERIAL_NAMES: &str = "ttyAMA";
/// What Linux's driver calls itself.
pub const SERIAL_DRIVER: &str = "ttyAMA";
/// What else `console=` may call it: the drivers' own names, which an address may follow.
pub const SERIAL_SYNONYMS: &[&str] = &["pl011"];
