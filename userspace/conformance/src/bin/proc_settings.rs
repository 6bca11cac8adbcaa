//! `/proc/sys`: what is stored, what is refused, what acts.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::memory::*;
use abi::native::nr;
use abi::poll::*;
use abi::resource::Rlimit;
use abi::time::Timespec;
use abi::utsname::UTSNAME_LENGTH;
use alloc::format;
use alloc::string::String;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use libsyscall::file::*;
use libsyscall::process::{geteuid, getpid};
use libsyscall::system::{mount, umount2};

conformance::tests!(&[
    ("numbers_are_stored_or_refused", numbers_are_stored_or_refused),
    ("a_number_is_one_piece", a_number_is_one_piece),
    ("words_are_stored", words_are_stored),
    ("words_have_positions", words_have_positions),
    ("what_is_fixed_cannot_be_written", what_is_fixed_cannot_be_written),
    ("attributes_are_fixed", attributes_are_fixed),
    ("users_may_read", users_may_read),
    ("texts_that_take_nothing", texts_that_take_nothing),
    ("numbers_of_processes_stay_below_pid_max", numbers_of_processes_stay_below_pid_max),
    ("descriptors_stay_below_nr_open", descriptors_stay_below_nr_open),
    ("mounts_stay_below_mount_max", mounts_stay_below_mount_max),
    ("areas_stay_below_max_map_count", areas_stay_below_max_map_count),
    ("the_size_of_pipes", the_size_of_pipes),
    ("what_is_promised", what_is_promised),
    ("how_far_mappings_are_moved", how_far_mappings_are_moved),
    ("addresses_of_the_kernel", addresses_of_the_kernel),
    ("switches_of_the_watchdog", switches_of_the_watchdog),
    ("poll_tells_of_the_host_name", poll_tells_of_the_host_name),
    ("what_programs_look_for", what_programs_look_for),
]);

/// An open setting, which is as it was when this is dropped.
struct Setting {
    fd: i32,
    before: String,
}

impl Setting {
    fn open(name: &str) -> Result<Setting, Failure> {
        files::mount_proc()?;
        let fd = open(&ulib::c_string(format!("/proc/sys/{name}"))?, O_RDWR, 0)?;
        let mut setting = Setting { fd, before: String::new() };
        setting.before = setting.text()?;
        Ok(setting)
    }

    fn text(&self) -> Result<String, Failure> {
        let mut bytes = [0; 256];
        let count = pread64(self.fd, &mut bytes, 0)?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    fn set(&self, value: &str) -> Result<usize, Errno> {
        pwrite64(self.fd, value.as_bytes(), 0)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = self.set(&self.before);
        let _ = close(self.fd);
    }
}

fn numbers_are_stored_or_refused() -> Outcome {
    let setting = Setting::open("kernel/pid_max")?;
    for (value, shown) in [
        ("40000", "40000\n"),
        ("\t 050000\n", "20480\n"),
        ("0x10000 ", "65536\n"),
        ("4194304\n", "4194304\n"),
    ] {
        check_eq!(setting.set(value), Ok(value.len()));
        check_eq!(setting.text()?, shown);
    }
    let bad = [
        "abc",
        "\n",
        " ",
        "-1",
        "300",
        "4194305",
        "12a",
        "4000000000000000000000",
        "99999999999",
        "+1",
        "0x",
    ];
    for value in bad {
        check_eq!(setting.set(value), Err(Errno::EINVAL));
    }
    check_eq!(setting.text()?, "4194304\n");
    // What follows the number is not used, and not looked at.
    check_eq!(setting.set("50000 rest"), Ok(6));
    check_eq!(setting.set("50001\n60000"), Ok(6));
    check_eq!(setting.text()?, "50001\n");
    check_eq!(setting.set(""), Ok(0));
    check_eq!(raw::call(nr::pwrite64, &[setting.fd as u64, 8, 4, 0]), Err(Errno::EFAULT));
    check_eq!(setting.text()?, "50001\n");
    Ok(())
}

/// Only the first position counts, to read and to write.
fn a_number_is_one_piece() -> Outcome {
    let setting = Setting::open("kernel/pid_max")?;
    let mut byte = [0; 3];
    check_eq!((read(setting.fd, &mut byte)?, read(setting.fd, &mut byte)?), (3, 0));
    check_eq!((pread64(setting.fd, &mut byte, 1)?, pread64(setting.fd, &mut byte, 100)?), (0, 0));
    check_eq!(pwrite64(setting.fd, b"40000", 1), Ok(5));
    check_eq!(pwrite64(setting.fd, b"abc", 7), Ok(3));
    check_eq!(setting.text()?, setting.before);
    check_eq!(lseek(setting.fd, 0, SEEK_END), Ok(0));
    check_eq!((write(setting.fd, b"40000\n"), write(setting.fd, b"50000\n")), (Ok(6), Ok(6)));
    check_eq!(setting.text()?, "40000\n");
    Ok(())
}

fn words_are_stored() -> Outcome {
    let setting = Setting::open("kernel/hostname")?;
    check_eq!(setting.set("some host\nother\n"), Ok(16));
    check_eq!(setting.text()?, "some host\n");
    let mut names = [0; 6 * UTSNAME_LENGTH];
    raw::call(nr::uname, &[names.as_mut_ptr() as u64])?;
    check!(names[UTSNAME_LENGTH..].starts_with(b"some host\0"));
    check_eq!(setting.set(&"x".repeat(200)), Ok(200));
    check_eq!(setting.text()?, "x".repeat(64) + "\n");
    libsyscall::system::sethostname(b"by call")?;
    check_eq!(setting.text()?, "by call\n");
    check_eq!(setting.set("\n"), Ok(1));
    check_eq!(setting.text()?, "\n");
    let pattern = Setting::open("kernel/core_pattern")?;
    check_eq!(pattern.set("/tmp/core.%p\n"), Ok(13));
    check_eq!(pattern.text()?, "/tmp/core.%p\n");
    Ok(())
}

fn words_have_positions() -> Outcome {
    let setting = Setting::open("kernel/domainname")?;
    check_eq!(setting.set("abcdef"), Ok(6));
    check_eq!(pwrite64(setting.fd, b"XY", 3), Ok(2));
    check_eq!(setting.text()?, "abcXY\n");
    // Behind the end nothing changes.
    check_eq!(pwrite64(setting.fd, b"Z", 6), Ok(1));
    check_eq!(setting.text()?, "abcXY\n");
    let mut bytes = [0; 4];
    check_eq!((pread64(setting.fd, &mut bytes, 4)?, &bytes[..2]), (2, &b"Y\n"[..]));
    Ok(())
}

fn what_is_fixed_cannot_be_written() -> Outcome {
    files::mount_proc()?;
    for name in ["kernel/osrelease", "kernel/cap_last_cap", "kernel/random/uuid", "kernel/ngroups_max"] {
        let path = ulib::c_string(format!("/proc/sys/{name}"))?;
        for flags in [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC] {
            check_eq!(open(&path, flags, 0).map(drop), Err(Errno::EACCES));
        }
        check_eq!(raw::call(nr::truncate, &[path.as_ptr() as u64, 0]), Err(Errno::EACCES));
    }
    check_eq!(open(c"/proc/sys/vm/drop_caches", O_RDONLY, 0).map(drop), Err(Errno::EACCES));
    check_eq!(open(c"/proc/sys/kernel/nothing", O_WRONLY | O_CREAT, 0o644).map(drop), Err(Errno::ENOENT));
    Ok(())
}

fn attributes_are_fixed() -> Outcome {
    files::mount_proc()?;
    for path in [c"/proc/sys/kernel/pid_max", c"/proc/self/stat", c"/proc/self", c"/proc/sys/kernel"] {
        check_eq!(fchmodat(AT_FDCWD, path, 0o666), Err(Errno::EPERM));
    }
    check_eq!(fchownat(AT_FDCWD, c"/proc/sys/kernel/pid_max", 1, 1, 0), Err(Errno::EPERM));
    check_eq!(files::mode_of(c"/proc/sys/kernel/pid_max")?, S_IFREG | 0o644);
    check_eq!(raw::call(nr::truncate, &[c"/proc/sys/kernel/pid_max".as_ptr() as u64, 0]), Ok(0));
    Ok(())
}

fn users_may_read() -> Outcome {
    files::mount_proc()?;
    files::as_user(|| {
        check!(files::content(c"/proc/sys/kernel/pid_max")?.ends_with(b"\n"));
        check_eq!(open(c"/proc/sys/kernel/pid_max", O_WRONLY, 0).map(drop), Err(Errno::EACCES));
        Ok(())
    })
}

/// Root may open these for writing.
fn texts_that_take_nothing() -> Outcome {
    files::mount_proc()?;
    for (path, errno) in [
        (c"/proc/meminfo", Errno::EIO),
        (c"/proc/uptime", Errno::EIO),
        (c"/proc/self/status", Errno::EINVAL),
        (c"/proc/self/maps", Errno::EINVAL),
        (c"/proc/self/mounts", Errno::EINVAL),
    ] {
        let fd = open(path, O_WRONLY | O_TRUNC, 0)?;
        check_eq!(write(fd, b"x"), Err(errno));
        close(fd)?;
    }
    Ok(())
}

fn numbers_of_processes_stay_below_pid_max() -> Outcome {
    let setting = Setting::open("kernel/pid_max")?;
    let limit = (getpid() as u32 + 20).max(301);
    check!(setting.set(&format!("{limit}")).is_ok());
    for _ in 0..60 {
        let pid = child::start(|| 0)?;
        child::wait(pid)?;
        check!((pid as u32) < limit, "{pid}");
    }
    Ok(())
}

fn limit_descriptors(most: u64) -> Result<u64, Errno> {
    const OPEN_FILES: u64 = 7;
    let limit = Rlimit { rlim_cur: 64, rlim_max: most };
    raw::call(nr::prlimit64, &[0, OPEN_FILES, (&raw const limit) as u64, 0])
}

fn descriptors_stay_below_nr_open() -> Outcome {
    let setting = Setting::open("fs/nr_open")?;
    check_eq!(
        limit_descriptors(setting.before.trim_end().parse::<u64>().unwrap_or(0) + 1),
        Err(Errno::EPERM)
    );
    check_eq!(limit_descriptors(u64::MAX), Err(Errno::EPERM));
    check_eq!(setting.set("5000"), Ok(4));
    check_eq!((limit_descriptors(5001), limit_descriptors(5000)), (Err(Errno::EPERM), Ok(0)));
    Ok(())
}

fn mounts_stay_below_mount_max() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"at", 0o755)?;
    let setting = Setting::open("fs/mount-max")?;
    check_eq!(setting.set("1"), Ok(1));
    check_eq!(mount(c"none", c"at", c"tmpfs", 0, None), Err(Errno::ENOSPC));
    check!(setting.set("0").is_err());
    check_eq!(setting.set(&setting.before), Ok(setting.before.len()));
    mount(c"none", c"at", c"tmpfs", 0, None)?;
    umount2(c"at", 0)?;
    Ok(())
}

fn areas_stay_below_max_map_count() -> Outcome {
    const PAGE: usize = 4096;
    let setting = Setting::open("vm/max_map_count")?;
    check_eq!((setting.set("-1"), setting.set("x")), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    let start = libsyscall::memory::map_anonymous(200 * PAGE)?;
    check_eq!(setting.set("100"), Ok(3));
    let made = (0..200).step_by(2).take_while(|index| {
        // SAFETY: nothing refers to these pages.
        unsafe { libsyscall::memory::mprotect(start.wrapping_add(index * PAGE), PAGE, 0) }.is_ok()
    });
    check!((30..100).contains(&made.count()));
    Ok(())
}

fn the_size_of_pipes() -> Outcome {
    const F_SETPIPE_SZ: u32 = 1031;
    let setting = Setting::open("fs/pipe-max-size")?;
    for (value, shown) in [("100000", "131072\n"), ("1", "4096\n"), ("65536\n", "65536\n")] {
        check_eq!(setting.set(value), Ok(value.len()));
        check_eq!(setting.text()?, shown);
    }
    for value in ["-1", "2147483649", "99999999999"] {
        check_eq!(setting.set(value), Err(Errno::EINVAL));
    }
    files::as_user(|| {
        let (reader, _) = pipe2(0)?;
        let resize = |size: u64| raw::call(nr::fcntl, &[reader as u64, F_SETPIPE_SZ.into(), size]);
        check_eq!((resize(65536), resize(65537)), (Ok(65536), Err(Errno::EPERM)));
        Ok(())
    })
}

/// `overcommit_memory`: more than there could ever be is promised, or not.
fn what_is_promised() -> Outcome {
    let setting = Setting::open("vm/overcommit_memory")?;
    check_eq!(setting.text()?, "0\n");
    let map = || {
        let (rights, flags) = (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
        raw::call(nr::mmap, &[0, 1 << 40, rights.into(), flags.into(), u64::MAX, 0])
    };
    check_eq!(map(), Err(Errno::ENOMEM));
    check_eq!(
        (setting.set("1"), setting.set("3"), setting.set("-1")),
        (Ok(1), Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    let start = map()?;
    raw::call(nr::munmap, &[start, 1 << 40])?;
    check_eq!(setting.set("0"), Ok(1));
    check_eq!(map(), Err(Errno::ENOMEM));
    Ok(())
}

fn how_far_mappings_are_moved() -> Outcome {
    let setting = Setting::open("vm/mmap_rnd_bits")?;
    check_eq!(files::mode_of(c"/proc/sys/vm/mmap_rnd_bits")?, S_IFREG | 0o600);
    let bits: u32 = setting.text()?.trim().parse().map_err(|_| Failure::new("no number"))?;
    check!((18..=33).contains(&bits), "{bits}");
    check_eq!((setting.set("17"), setting.set("34")), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    check_eq!(setting.set("32"), Ok(2));
    check_eq!(setting.text()?, "32\n");
    Ok(())
}

/// `kptr_restrict`: from 2 on nobody sees addresses, whatever it may.
fn addresses_of_the_kernel() -> Outcome {
    let setting = Setting::open("kernel/kptr_restrict")?;
    let are_shown = || {
        let fd = open(c"/proc/kallsyms", O_RDONLY, 0)?;
        let mut bytes = [0; 2048];
        let count = read(fd, &mut bytes)?;
        close(fd)?;
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        // The last line may be cut.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok::<_, Failure>(whole.lines().skip(4).any(|line| !line.starts_with("0000000000000000 ")))
    };
    check_eq!((setting.set("2"), are_shown()?), (Ok(1), false));
    check_eq!((setting.set("1"), are_shown()?), (Ok(1), true));
    check_eq!(setting.set("3"), Err(Errno::EINVAL));
    Ok(())
}

fn switches_of_the_watchdog() -> Outcome {
    for (name, good, bad) in [
        ("kernel/watchdog_thresh", &["20", "10"][..], &["61", "-1"][..]),
        ("kernel/softlockup_panic", &["1", "0"], &["2"]),
        ("kernel/soft_watchdog", &["0", "1"], &["2"]),
        ("debug/exception-trace", &["0", "1"], &["x"]),
    ] {
        let setting = Setting::open(name)?;
        for value in good {
            check!(
                setting.set(value) == Ok(value.len()) && setting.text()?.trim_end() == *value,
                "{name} {value}"
            );
        }
        for value in bad {
            check!(setting.set(value) == Err(Errno::EINVAL), "{name} {value}");
        }
    }
    Ok(())
}

fn poll_tells_of_the_host_name() -> Outcome {
    let setting = Setting::open("kernel/hostname")?;
    let ready = || {
        let mut polled = [Pollfd { fd: setting.fd, events: POLLIN | POLLOUT | POLLPRI, revents: 0 }];
        ppoll(&mut polled, Some(Timespec { tv_sec: 0, tv_nsec: 0 })).map(|_| polled[0].revents)
    };
    check_eq!(ready(), Ok(POLLIN | POLLOUT));
    libsyscall::system::sethostname(b"changed")?;
    check_eq!((ready(), ready()), (Ok(POLLIN | POLLPRI | POLLERR), Ok(POLLIN | POLLOUT)));
    setting.set("again")?;
    check_eq!(ready(), Ok(POLLIN | POLLPRI | POLLERR));
    Ok(())
}

fn what_programs_look_for() -> Outcome {
    check_eq!(geteuid(), 0);
    for (name, text) in [
        ("kernel/cap_last_cap", "40\n"),
        ("kernel/overflowuid", "65534\n"),
        ("kernel/overflowgid", "65534\n"),
        ("fs/overflowuid", "65534\n"),
        ("kernel/ngroups_max", "65536\n"),
        ("kernel/ostype", "Linux\n"),
        ("kernel/random/poolsize", "256\n"),
        ("kernel/core_uses_pid", "0\n"),
        ("fs/suid_dumpable", "0\n"),
        ("fs/nr_open", "1048576\n"),
        ("fs/mount-max", "100000\n"),
        ("vm/max_map_count", "65530\n"),
        ("kernel/randomize_va_space", "2\n"),
        ("kernel/sysctl_writes_strict", "1\n"),
    ] {
        files::mount_proc()?;
        let found = files::content(&ulib::c_string(format!("/proc/sys/{name}"))?)?;
        check!(found == text.as_bytes(), "{name}: {found:?}");
    }
    // What these say depends on the kernel's build, and on what the tests before have done to it.
    for name in ["kernel/tainted", "vm/mmap_min_addr"] {
        let found = files::content(&ulib::c_string(format!("/proc/sys/{name}"))?)?;
        let digits = found.strip_suffix(b"\n").unwrap_or_default();
        check!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit), "{name}: {found:?}");
    }
    Ok(())
}
