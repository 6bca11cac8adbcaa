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
    ("processors_have_places", processors_have_places),
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

/// The CPUs of a mask such as `00000001,0000000f`.
fn masked(mask: &str) -> Vec<u32> {
    let digits = mask.trim_end().replace(',', "");
    let value = u128::from_str_radix(&digits, 16).unwrap_or(u128::MAX);
    (0..128).filter(|cpu| value & 1 << cpu != 0).collect()
}

fn processors_have_places() -> Outcome {
    let (online, possible) = (listed(&page("online")?), listed(&page("possible")?));
    let number = |cpu: u32, name: &str| -> Result<i32, Failure> {
        page(&format!("cpu{cpu}/topology/{name}"))?.trim_end().parse().map_err(|_| Failure::new(name))
    };
    let place = |cpu: u32| Ok::<_, Failure>((number(cpu, "physical_package_id")?, number(cpu, "core_id")?));
    for &cpu in &online {
        let together = |name: &str| -> Result<Vec<u32>, Failure> {
            let cpus = listed(&page(&format!("cpu{cpu}/topology/{name}_list"))?);
            let mask = page(&format!("cpu{cpu}/topology/{name}"))?;
            check_eq!(masked(&mask), cpus);
            check_eq!(mask.trim_end().replace(',', "").len(), possible.len().div_ceil(4));
            check!(cpus.contains(&cpu), "{cpu} is not among its {name}");
            Ok(cpus)
        };
        let (package, core) = (together("package_cpus")?, together("core_cpus")?);
        check_eq!(
            (together("core_siblings")?, together("thread_siblings")?),
            (package.clone(), core.clone())
        );
        check!(core.iter().all(|other| package.contains(other)), "{core:?}, {package:?}");
        for &other in &online {
            check_eq!(package.contains(&other), place(other)?.0 == place(cpu)?.0);
            check!(!core.contains(&other) || place(other)? == place(cpu)?);
        }
    }
    let names: Vec<_> = ulib::fs::read_dir(format!("{CPUS}/cpu0/topology").as_bytes())?;
    for name in ["core_id", "physical_package_id", "core_cpus_list", "thread_siblings"] {
        check!(names.iter().any(|entry| entry.name == name.as_bytes()), "{name}");
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
