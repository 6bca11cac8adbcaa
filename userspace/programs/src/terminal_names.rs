//! Names of terminals, by their device numbers (Linux, `admin-guide/devices.txt`).

use alloc::string::String;

/// The name of a terminal below `/dev`; `?` for none, as `ps` has it, and the numbers of one that is not known.
pub fn name(device: u64) -> String {
    match (abi::fs::device_major(device), abi::fs::device_minor(device)) {
        (0, 0) => String::from("?"),
        (4, minor @ 0..=63) => alloc::format!("tty{minor}"),
        (4, minor) => alloc::format!("ttyS{}", minor - 64),
        (5, 1) => String::from("console"),
        (136..=143, minor) => alloc::format!("pts/{minor}"),
        (204, minor @ 64..=191) => alloc::format!("ttyAMA{}", minor - 64),
        (major, minor) => alloc::format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::name;
    use abi::fs::make_device;

    #[test]
    fn terminals_are_named_as_in_dev() {
        let names = [(0, 0), (4, 1), (4, 64), (5, 1), (136, 3), (204, 64), (229, 0)]
            .map(|(major, minor)| name(make_device(major, minor)));
        assert_eq!(names, ["?", "tty1", "ttyS0", "console", "pts/3", "ttyAMA0", "229:0"]);
    }
}
