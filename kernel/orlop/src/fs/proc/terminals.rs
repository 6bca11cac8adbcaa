//! The texts of `/proc` about terminals and the numbers of devices: proc(5).

use alloc::format;
use alloc::vec::Vec;

use abi::Errno;
use abi::native::terminal::{SERIAL_DRIVER, SERIAL_MAJOR, SERIAL_MINOR, SERIAL_NAME, SERIAL_NAMES};

/// `consoles`: where the kernel's log goes. The letters are Linux's (`fs/proc/consoles.c`): it can be written; it is enabled, the one
/// behind `/dev/console`, prints what was logged before it came, and may be used on any CPU.
pub fn consoles() -> Result<Vec<u8>, Errno> {
    Ok(format!("{SERIAL_NAME:<21}-W- (EC p a) {SERIAL_MAJOR:4}:{SERIAL_MINOR}\n").into_bytes())
}

/// `devices`: the numbers of character and block devices.
pub fn devices() -> Result<Vec<u8>, Errno> {
    let mut rows = [(1, "mem"), (5, "/dev/tty"), (5, "/dev/console"), (SERIAL_MAJOR, SERIAL_NAMES)];
    rows.sort_by_key(|(major, _)| *major);
    let mut text = b"Character devices:\n".to_vec();
    rows.iter().for_each(|(major, name)| text.extend(format!("{major:3} {name}\n").into_bytes()));
    text.extend_from_slice(b"\nBlock devices:\n");
    Ok(text)
}

/// `tty/drivers`: driver, name, major number, minor numbers, type.
pub fn drivers() -> Result<Vec<u8>, Errno> {
    let rows = [
        ("/dev/tty", "tty", 5, 0, "system:/dev/tty"),
        ("/dev/console", "console", 5, 1, "system:console"),
        (SERIAL_DRIVER, SERIAL_NAMES, SERIAL_MAJOR, SERIAL_MINOR, "serial"),
    ];
    let line = |(driver, name, major, minor, kind)| {
        format!("{driver:<20} /dev/{name:<8} {major:3} {minor:7} {kind}\n").into_bytes()
    };
    Ok(rows.into_iter().flat_map(line).collect())
}

/// `tty/ldiscs`: line disciplines by number.
pub fn line_disciplines() -> Result<Vec<u8>, Errno> {
    Ok(b"n_tty       0\n".to_vec())
}
