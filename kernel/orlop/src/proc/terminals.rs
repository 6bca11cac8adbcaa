//! The texts of `/proc` about terminals and the numbers of devices: proc(5).

use abi::Errno;
use abi::terminal::SerialLine;
use libkernel::text::Text;
use vfs::device::serial;

/// `consoles`: where the kernel's log goes. The letters are Linux's (`fs/proc/consoles.c`): it can be written; it is
/// enabled, the one behind `/dev/console`, prints what was logged before it came, and may be used on any CPU.
pub fn consoles(text: &mut Text) -> Result<(), Errno> {
    let SerialLine { name, major, minor, .. } = serial();
    writeln!(text, "{name:<21}-W- (EC p a) {major:4}:{minor}");
    Ok(())
}

/// `devices`: the numbers of character and block devices.
pub fn devices(text: &mut Text) -> Result<(), Errno> {
    let mut rows = [(1, "mem"), (5, "/dev/tty"), (5, "/dev/console"), (serial().major, serial().names)];
    rows.sort_by_key(|(major, _)| *major);
    text.put(b"Character devices:\n");
    for (major, name) in rows {
        writeln!(text, "{major:3} {name}");
    }
    text.put(b"\nBlock devices:\n");
    Ok(())
}

/// `tty/drivers`: driver, name, major number, minor numbers, type.
pub fn drivers(text: &mut Text) -> Result<(), Errno> {
    let line = serial();
    let rows = [
        ("/dev/tty", "tty", 5, 0, "system:/dev/tty"),
        ("/dev/console", "console", 5, 1, "system:console"),
        (line.driver, line.names, line.major, line.minor, "serial"),
    ];
    for (driver, name, major, minor, kind) in rows {
        writeln!(text, "{driver:<20} /dev/{name:<8} {major:3} {minor:7} {kind}");
    }
    Ok(())
}

/// `tty/ldiscs`: line disciplines by number.
pub fn line_disciplines(text: &mut Text) -> Result<(), Errno> {
    text.put(b"n_tty       0\n");
    Ok(())
}
