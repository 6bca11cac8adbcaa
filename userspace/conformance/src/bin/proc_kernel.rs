//! The kernel itself in `/proc`: `kallsyms`, `kmsg`, `sysrq-trigger`, and the settings of the log and of SysRq.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::poll::{POLLIN, POLLPRI, POLLRDNORM, Pollfd};
use abi::syslog::*;
use abi::time::Timespec;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use conformance::{Failure, Outcome, check, check_eq, files, raw};
use libsyscall::file::*;
use libsyscall::process::{geteuid, getpid};

conformance::tests!(&[
    ("kmsg_is_what_syslog_takes", kmsg_is_what_syslog_takes),
    ("kmsg_waits_for_a_record", kmsg_waits_for_a_record),
    ("kmsg_takes_nothing", kmsg_takes_nothing),
    ("symbols_have_lines", symbols_have_lines),
    ("the_opener_sees_addresses", the_opener_sees_addresses),
    ("sysrq_answers_the_first_letter", sysrq_answers_the_first_letter),
    ("sysrq_sets_the_log_level", sysrq_sets_the_log_level),
    ("users_may_not_open_them", users_may_not_open_them),
    ("levels_of_the_log", levels_of_the_log),
    ("who_may_read_the_log", who_may_read_the_log),
    ("what_the_console_may_ask", what_the_console_may_ask),
]);

/// An open file of `/proc`, which is mounted first where it is not.
fn open_in_proc(name: &str, flags: u32) -> Result<i32, Failure> {
    files::mount_proc()?;
    Ok(open(&ulib::c_string(format!("/proc/{name}"))?, flags, 0)?)
}

/// A setting, which is as it was when this is dropped.
struct Setting {
    fd: i32,
    before: String,
}

impl Setting {
    fn open(name: &str) -> Result<Setting, Failure> {
        let fd = open_in_proc(&format!("sys/kernel/{name}"), O_RDWR)?;
        Ok(Setting { fd, before: text(fd)? })
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

/// What one read at the beginning gives.
fn text(fd: i32) -> Result<String, Failure> {
    let mut bytes = [0; 4000];
    let count = pread64(fd, &mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

/// Adds a record of a text that no other test writes, and returns that text.
fn add(start: &str) -> Result<String, Failure> {
    let text = format!("proc_kernel {} {}", getpid(), ulib::time::monotonic().as_nanos());
    let fd = open(c"/dev/kmsg", O_WRONLY, 0)?;
    let record = format!("{start}{text}\n");
    check_eq!(write(fd, record.as_bytes()), Ok(record.len()));
    close(fd)?;
    Ok(text)
}

/// Takes everything from `/proc/kmsg`.
fn drain(fd: i32) -> Result<String, Failure> {
    let (mut all, mut bytes) = (String::new(), vec![0; 1 << 16]);
    loop {
        match read(fd, &mut bytes) {
            Ok(count) => all += &String::from_utf8_lossy(&bytes[..count]),
            Err(Errno::EAGAIN) => return Ok(all),
            Err(error) => return Err(error.into()),
        }
    }
}

fn poll(fd: i32) -> Result<u16, Failure> {
    let mut fds = [Pollfd { fd, events: POLLIN | POLLPRI, revents: 0 }];
    ppoll(&mut fds, Some(Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents)
}

fn kmsg_is_what_syslog_takes() -> Outcome {
    let fd = open_in_proc("kmsg", O_RDONLY | O_NONBLOCK)?;
    drain(fd)?;
    check_eq!(poll(fd)?, 0);
    let first = add("<4>")?;
    check_eq!(poll(fd)? & !POLLRDNORM, POLLIN);
    // In pieces, by two openings.
    let mut piece = [0; 6];
    check_eq!(read(fd, &mut piece), Ok(6));
    check_eq!(&piece[..5], b"<12>[");
    let other = open_in_proc("kmsg", O_RDONLY | O_NONBLOCK)?;
    check!(drain(other)?.contains(&format!("] {first}\n")));
    check_eq!(read(fd, &mut piece), Err(Errno::EAGAIN));
    check_eq!(raw::call(nr::syslog, &[SYSLOG_ACTION_SIZE_UNREAD.into(), 0, 0]), Ok(0));
    check_eq!(read(fd, &mut []), Err(Errno::EAGAIN));
    close(other)?;
    Ok(close(fd)?)
}

fn kmsg_waits_for_a_record() -> Outcome {
    let fd = open_in_proc("kmsg", O_RDONLY | O_NONBLOCK)?;
    drain(fd)?;
    close(fd)?;
    let fd = open_in_proc("kmsg", O_RDONLY)?;
    let writer = ulib::thread::spawn(|| {
        ulib::time::sleep(core::time::Duration::from_millis(30));
        add("<6>").ok()
    })?;
    let mut bytes = [0; 2000];
    let count = read(fd, &mut bytes)?;
    let written = writer.join().ok_or_else(|| Failure::new("nothing was written"))?;
    let shown = String::from_utf8_lossy(&bytes[..count]).into_owned();
    check!(shown.contains(&written), "{shown}");
    Ok(close(fd)?)
}

fn kmsg_takes_nothing() -> Outcome {
    let fd = open_in_proc("kmsg", O_RDWR)?;
    check_eq!(write(fd, b"text"), Err(Errno::EIO));
    Ok(close(fd)?)
}

/// Address, letter and name of a line.
fn fields(line: &str) -> Option<(u64, char, &str)> {
    let (address, rest) = line.split_at_checked(16)?;
    let (letter, name) = rest.strip_prefix(' ')?.split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, letter.parse().ok()?, name))
}

fn symbols_have_lines() -> Outcome {
    let fd = open_in_proc("kallsyms", O_RDONLY)?;
    let (mut all, mut bytes) = (String::new(), [0; 999]);
    while all.len() < 100_000 {
        let count = read(fd, &mut bytes)?;
        check!(count > 0, "{} bytes", all.len());
        all += &String::from_utf8_lossy(&bytes[..count]);
    }
    let whole = all.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut is_shown = false;
    for line in whole.lines() {
        let (address, letter, name) = fields(line).ok_or_else(|| Failure::new(format!("line {line}")))?;
        check!(letter.is_ascii_alphabetic() && !name.is_empty() && !name.contains(' '), "{line}");
        is_shown |= address != 0;
    }
    check!(is_shown == (geteuid() == 0));
    check_eq!(write(fd, b"x"), Err(Errno::EBADF));
    Ok(close(fd)?)
}

fn the_opener_sees_addresses() -> Outcome {
    const PLACE: u64 = 50_000;
    let shown = |fd: i32| {
        let mut bytes = [0; 2000];
        let count = pread64(fd, &mut bytes, PLACE)?;
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        let line = text.lines().nth(1).and_then(fields);
        line.map(|(address, ..)| address != 0).ok_or_else(|| Failure::new(format!("text {text}")))
    };
    let fd = open_in_proc("kallsyms", O_RDONLY)?;
    files::as_user(|| {
        check_eq!(shown(fd)?, true);
        let own = open_in_proc("kallsyms", O_RDONLY)?;
        check_eq!(shown(own)?, false);
        Ok(())
    })?;
    Ok(close(fd)?)
}

fn sysrq_answers_the_first_letter() -> Outcome {
    let log = open(c"/dev/kmsg", O_RDONLY | O_NONBLOCK, 0)?;
    lseek(log, 0, SEEK_END)?;
    let fd = open_in_proc("sysrq-trigger", O_RDWR)?;
    check_eq!(read(fd, &mut [0; 8]), Err(Errno::EIO));
    check_eq!(write(fd, b""), Ok(0));
    check_eq!(raw::call(nr::write, &[fd as u64, 8, 1]), Err(Errno::EFAULT));
    check_eq!(write(fd, b"h\n"), Ok(2));
    check_eq!(pwrite64(fd, b"h", 100), Ok(1));
    let mut answers = 0;
    let mut bytes = [0; 2000];
    while let Ok(count) = read(log, &mut bytes) {
        answers += u32::from(String::from_utf8_lossy(&bytes[..count]).contains(";sysrq: HELP : "));
    }
    check_eq!(answers, 2);
    close(log)?;
    Ok(close(fd)?)
}

fn sysrq_sets_the_log_level() -> Outcome {
    let printk = Setting::open("printk")?;
    let fd = open_in_proc("sysrq-trigger", O_WRONLY)?;
    check_eq!(write(fd, b"3"), Ok(1));
    check!(text(printk.fd)?.starts_with("3\t"));
    Ok(close(fd)?)
}

fn users_may_not_open_them() -> Outcome {
    let kmsg = open_in_proc("kmsg", O_RDONLY | O_NONBLOCK)?;
    let text = add("")?;
    files::as_user(|| {
        check_eq!(open(c"/proc/kmsg", O_RDONLY, 0), Err(Errno::EACCES));
        check_eq!(open(c"/proc/sysrq-trigger", O_WRONLY, 0), Err(Errno::EACCES));
        check_eq!(open(c"/proc/sys/kernel/printk", O_WRONLY, 0), Err(Errno::EACCES));
        // Who has it open reads on.
        check!(drain(kmsg)?.contains(&text));
        Ok(())
    })?;
    close(kmsg)?;
    for (path, mode) in [(c"/proc/kmsg", 0o400), (c"/proc/sysrq-trigger", 0o200), (c"/proc/kallsyms", 0o444)]
    {
        check_eq!(files::mode_of(path)? & 0o7777, mode);
    }
    Ok(())
}

fn levels_of_the_log() -> Outcome {
    let printk = Setting::open("printk")?;
    check_eq!(printk.set("3 4 1 7\n"), Ok(8));
    check_eq!(text(printk.fd)?, "3\t4\t1\t7\n");
    check_eq!(printk.set("2\t6"), Ok(3));
    check_eq!(text(printk.fd)?, "2\t6\t1\t7\n");
    check_eq!(printk.set("x"), Err(Errno::EINVAL));
    // A record that names no level has the second one.
    let log = open(c"/dev/kmsg", O_RDONLY | O_NONBLOCK, 0)?;
    lseek(log, 0, SEEK_END)?;
    let unnamed = add("")?;
    let mut bytes = [0; 2000];
    let count = read(log, &mut bytes)?;
    let record = String::from_utf8_lossy(&bytes[..count]).into_owned();
    check!(record.starts_with("14,") && record.contains(&unnamed), "{record}");
    close(log)?;
    // The first is what syslog(2) sets, no lower than the third.
    let set = |level| raw::call(nr::syslog, &[SYSLOG_ACTION_CONSOLE_LEVEL.into(), 0, level]);
    check_eq!(set(4), Ok(0));
    check!(text(printk.fd)?.starts_with("4\t"));
    check_eq!(printk.set("7 4 3 7"), Ok(7));
    check_eq!(set(1), Ok(0));
    check!(text(printk.fd)?.starts_with("3\t"));
    Ok(())
}

fn who_may_read_the_log() -> Outcome {
    let restricted = Setting::open("dmesg_restrict")?;
    for value in ["2", "-1", "x"] {
        check_eq!(restricted.set(value), Err(Errno::EINVAL));
    }
    for (value, outcome) in [("0", Ok(())), ("1", Err(Errno::EPERM))] {
        check_eq!(restricted.set(value), Ok(1));
        files::as_user(|| {
            check_eq!(raw::call(nr::syslog, &[SYSLOG_ACTION_SIZE_BUFFER.into(), 0, 0]).map(drop), outcome);
            check_eq!(open(c"/dev/kmsg", O_RDONLY, 0).map(drop), outcome);
            // Who opened the setting as root is not root any more.
            check_eq!(restricted.set("0"), Err(Errno::EPERM));
            Ok(())
        })?;
    }
    Ok(())
}

fn what_the_console_may_ask() -> Outcome {
    let allowed = Setting::open("sysrq")?;
    for value in ["0", "438", "1"] {
        check_eq!(allowed.set(value), Ok(value.len()));
        check_eq!(text(allowed.fd)?, format!("{value}\n"));
    }
    check_eq!(allowed.set("yes"), Err(Errno::EINVAL));
    Ok(())
}
