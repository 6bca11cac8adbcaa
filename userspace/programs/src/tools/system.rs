//! Commands about the whole system.

use crate::call::{Call, display};
use abi::fs::{MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REMOUNT};
use abi::process::{LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_RESTART};
use alloc::string::String;
use alloc::vec::Vec;
use programs::calendar::Date;
use ulib::libsyscall::system;
use ulib::{Errno, c_string, fs, io, println, time};

/// A name of `uname` up to its NUL.
fn name(bytes: &[u8]) -> String {
    display(bytes.split(|&byte| byte == 0).next().unwrap_or_default())
}

/// `uname [-asnrvm]`
pub fn uname(call: &Call<'_>) -> u8 {
    let options = match call.options("asnrvm", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let names = match system::uname() {
        Ok(names) => names,
        Err(error) => return call.refuse(error.message()),
    };
    let all = [
        (b's', &names.sysname),
        (b'n', &names.nodename),
        (b'r', &names.release),
        (b'v', &names.version),
        (b'm', &names.machine),
    ];
    let mut shown: Vec<String> = Vec::new();
    for (flag, bytes) in all {
        if options.has(b'a') || options.has(flag) {
            shown.push(name(bytes));
        }
    }
    if shown.is_empty() {
        shown.push(name(&names.sysname));
    }
    println!("{}", shown.join(" "));
    0
}

/// `date`, `date +%s`
pub fn date(call: &Call<'_>) -> u8 {
    let seconds = time::since_epoch().as_secs();
    match call.arguments {
        [] => println!("{}", Date::from_seconds(seconds as i64).in_full()),
        [b"+%s"] => println!("{seconds}"),
        _ => return call.refuse("usage: date [+%s]"),
    }
    0
}

/// `free`: memory in KiB.
pub fn free(call: &Call<'_>) -> u8 {
    match system::sysinfo() {
        Ok(info) => {
            let kib = |units: u64| units * u64::from(info.mem_unit.max(1)) / 1024;
            let (total, free) = (kib(info.totalram), kib(info.freeram));
            println!("{:>16}{:>12}{:>12}", "total", "used", "free");
            println!("Mem:{total:12}{:12}{free:12}", total.saturating_sub(free));
            0
        }
        Err(error) => call.refuse(error.message()),
    }
}

/// `uptime`
pub fn uptime(call: &Call<'_>) -> u8 {
    match system::sysinfo() {
        Ok(info) => {
            let minutes = info.uptime / 60;
            println!(
                "up {}:{:02}:{:02}, {} processes",
                minutes / 60,
                minutes % 60,
                info.uptime % 60,
                info.procs
            );
            0
        }
        Err(error) => call.refuse(error.message()),
    }
}

/// `mount`, `mount [-t TYPE] [-o OPTIONS] SOURCE TARGET`
pub fn mount(call: &Call<'_>) -> u8 {
    let options = match call.options("r", "to") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let (source, target) = match options.operands.as_slice() {
        [] => return list_mounts(call),
        [source, target] => (*source, *target),
        _ => return call.refuse("source and target expected"),
    };
    let (mut flags, data) = parse_mount_options(options.value(b'o').unwrap_or_default());
    if options.has(b'r') {
        flags |= MS_RDONLY;
    }
    let kind = options.value(b't').unwrap_or_default();
    let mounted = (|| {
        let (source, target, kind) = (c_string(source)?, c_string(target)?, c_string(kind)?);
        system::mount(&source, &target, &kind, flags, Some(&c_string(data)?))
    })();
    let report = call.report();
    report.check(target, mounted);
    report.status()
}

/// The flags among mount options, and the others as one string for the file system.
fn parse_mount_options(text: &[u8]) -> (u64, Vec<u8>) {
    let mut flags = 0;
    let mut others: Vec<&[u8]> = Vec::new();
    for option in text.split(|&byte| byte == b',').filter(|option| !option.is_empty()) {
        match option {
            b"ro" => flags |= MS_RDONLY,
            b"rw" | b"defaults" => {}
            b"bind" => flags |= MS_BIND,
            b"remount" => flags |= MS_REMOUNT,
            b"nosuid" => flags |= MS_NOSUID,
            b"nodev" => flags |= MS_NODEV,
            b"noexec" => flags |= MS_NOEXEC,
            other => others.push(other),
        }
    }
    (flags, others.join(&b','))
}

fn list_mounts(call: &Call<'_>) -> u8 {
    match fs::read(b"/proc/mounts") {
        Ok(mounts) => {
            for line in mounts.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                let fields: Vec<String> = line.split(|&byte| byte == b' ').map(display).collect();
                match fields.as_slice() {
                    [source, target, kind, options, ..] => {
                        println!("{source} on {target} type {kind} ({options})")
                    }
                    _ => io::stdout().write(line),
                }
            }
            0
        }
        Err(error) => call.refuse(format_args!("/proc/mounts: {}", error.message())),
    }
}

/// `umount TARGETS…`
pub fn umount(call: &Call<'_>) -> u8 {
    let report = call.report();
    for target in call.arguments {
        report.check(target, c_string(*target).and_then(|target| system::umount2(&target, 0)));
    }
    report.status()
}

/// `sync`
pub fn sync(_call: &Call<'_>) -> u8 {
    system::sync();
    0
}

/// `reboot`: at once, after storing everything.
pub fn reboot(call: &Call<'_>) -> u8 {
    end(call, LINUX_REBOOT_CMD_RESTART)
}

/// `poweroff`: at once, after storing everything.
pub fn poweroff(call: &Call<'_>) -> u8 {
    end(call, LINUX_REBOOT_CMD_POWER_OFF)
}

fn end(call: &Call<'_>, command: u32) -> u8 {
    system::sync();
    let error = system::reboot(command).err().unwrap_or(Errno::EIO);
    call.refuse(error.message())
}
