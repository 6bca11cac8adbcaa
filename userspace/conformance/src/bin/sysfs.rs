//! `/sys`, as far as programs count processors there.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::{AT_FDCWD, O_RDONLY, O_WRONLY, S_IFDIR, S_IFMT, SYSFS_MAGIC};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq};
use libsyscall::file::*;

conformance::tests!(&[
    ("processors_are_counted", processors_are_counted),
    ("processors_have_folders", processors_have_folders),
    ("nothing_is_made_there", nothing_is_made_there),
]);

const CPUS: &str = "/sys/devices/system/cpu";

/// `/sys` is there, or is mounted now, where this process may.
fn prepare() -> Outcome {
    if newfstatat(AT_FDCWD, c"/sys/devices/system/cpu", 0).is_err() {
        let _ = mkdirat(AT_FDCWD, c"/sys", 0o555);
        libsyscall::system::mount(c"sysfs", c"/sys", c"sysfs", 0, None)?;
    }
    Ok(())
}

fn page(name: &str) -> Result<String, Failure> {
    prepare()?;
    let fd = open(&ulib::c_string(format!("{CPUS}/{name}"))?, O_RDONLY, 0)?;
    let bytes = ulib::io::read_to_end(fd)?;
    close(fd)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The CPUs of a list such as `0-2,5`.
fn listed(list: &str) -> Vec<u32> {
    let ranges = list.trim_end().split(',').filter(|range| !range.is_empty());
    ranges
        .flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse().unwrap_or(u32::MAX)..=last.parse().unwrap_or(0)
        })
        .collect()
}

fn processors_are_counted() -> Outcome {
    let online = listed(&page("online")?);
    check!(online.contains(&0), "{online:?}");
    let allowed = libsyscall::thread::allowed_cpus()?;
    check!((0..64).filter(|cpu| allowed & 1 << cpu != 0).all(|cpu| online.contains(&cpu)), "{online:?}");
    for name in ["possible", "present"] {
        let cpus = listed(&page(name)?);
        check!(online.iter().all(|cpu| cpus.contains(cpu)), "{name}: {cpus:?}");
    }
    check!(listed(&page("offline")?).iter().all(|cpu| !online.contains(cpu)));
    let most: u32 = page("kernel_max")?.trim_end().parse().unwrap_or(0);
    check!(online.iter().all(|&cpu| cpu <= most), "{most}");
    Ok(())
}

fn processors_have_folders() -> Outcome {
    let present = listed(&page("present")?);
    let entries = ulib::fs::read_dir(CPUS.as_bytes())?;
    for cpu in present {
        let name = format!("cpu{cpu}");
        check!(entries.iter().any(|entry| entry.name == name.as_bytes()), "{name}");
        let stat = newfstatat(AT_FDCWD, &ulib::c_string(format!("{CPUS}/{name}"))?, 0)?;
        check_eq!(stat.st_mode & S_IFMT, S_IFDIR);
        check!(entries.iter().any(|entry| entry.name == name.as_bytes() && entry.inode == stat.st_ino));
    }
    for name in ["cpu", "cpu00", "cpu-1", "cpu99999"] {
        let path = ulib::c_string(format!("{CPUS}/{name}"))?;
        check_eq!(newfstatat(AT_FDCWD, &path, 0).map(drop), Err(Errno::ENOENT));
    }
    Ok(())
}

fn nothing_is_made_there() -> Outcome {
    prepare()?;
    check_eq!(statfs(c"/sys")?.f_type, SYSFS_MAGIC);
    let path = c"/sys/devices/system/cpu/new";
    check!(open(path, O_WRONLY | abi::fs::O_CREAT, 0o600).is_err());
    check!(mkdirat(AT_FDCWD, path, 0o700).is_err());
    check!(unlinkat(AT_FDCWD, c"/sys/devices/system/cpu/online", 0).is_err());
    Ok(())
}
