//! The kernel's log: `/dev/kmsg`, and `syslog(2)`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::poll::{POLLERR, POLLIN, POLLPRI, POLLRDNORM, Pollfd};
use abi::syslog::*;
use abi::time::Timespec;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, files, raw};
use libsyscall::file::*;
use libsyscall::process::getpid;

conformance::tests!(&[
    ("what_is_written_is_read", what_is_written_is_read),
    ("records_are_one_line_of_printable_bytes", records_are_one_line_of_printable_bytes),
    ("records_have_a_greatest_length", records_have_a_greatest_length),
    ("a_buffer_that_is_too_small_is_refused", a_buffer_that_is_too_small_is_refused),
    ("who_reads_all_waits_or_is_told", who_reads_all_waits_or_is_told),
    ("a_new_record_wakes_who_polls", a_new_record_wakes_who_polls),
    ("positions_are_records", positions_are_records),
    ("old_records_give_way", old_records_give_way),
    ("an_opening_keeps_a_burst", an_opening_keeps_a_burst),
    ("who_writes_too_much_can_be_let", who_writes_too_much_can_be_let),
    ("deaths_are_told_in_bursts", deaths_are_told_in_bursts),
    ("syslog_copies_the_last_records", syslog_copies_the_last_records),
    ("syslog_takes_each_record_once", syslog_takes_each_record_once),
    ("what_the_console_shows_can_be_set", what_the_console_shows_can_be_set),
    ("syslog_refuses_nonsense", syslog_refuses_nonsense),
    ("users_may_not_read_it", users_may_not_read_it),
]);

fn kmsg(flags: u32) -> Result<i32, Failure> {
    Ok(open(c"/dev/kmsg", flags, 0)?)
}

/// A text that no other test writes.
fn unique(text: &str) -> String {
    format!("conformance {} {}: {text}", getpid(), ulib::time::monotonic().as_nanos())
}

/// Adds a record. Linux shows one without a newline only when the next one comes: it may be continued.
fn add(text: &str) -> Outcome {
    let fd = kmsg(O_WRONLY)?;
    let text = format!("{}\n", text.trim_end());
    check_eq!(write(fd, text.as_bytes()), Ok(text.len()));
    Ok(close(fd)?)
}

/// The next record that contains `part`; `None` at the end.
fn find(fd: i32, part: &str) -> Result<Option<String>, Failure> {
    let mut buffer = vec![0; 8192];
    loop {
        match read(fd, &mut buffer) {
            Ok(length) => {
                let record = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if record.contains(part) {
                    return Ok(Some(record));
                }
            }
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::EPIPE) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The fields before the text: priority, number, microseconds, flags.
fn fields(record: &str) -> Vec<&str> {
    record.split(';').next().unwrap_or_default().split(',').collect()
}

fn what_is_written_is_read() -> Outcome {
    for (start, priority) in [("<5>", "13"), ("<29>", "29"), ("", "12"), ("<x>", "12")] {
        let text = unique("written");
        add(&format!("{start}{text}\n"))?;
        let fd = kmsg(O_RDONLY | O_NONBLOCK)?;
        let record = find(fd, &text)?.ok_or_else(|| Failure::new("no record"))?;
        let fields = fields(&record);
        check_eq!(fields[0], priority);
        check!(fields[1].parse::<u64>().is_ok() && fields[2].parse::<u64>().is_ok(), "{record}");
        check_eq!(fields[3], "-");
        let shown = if start == "<x>" { format!("<x>{text}") } else { text };
        check_eq!(
            record.lines().next().and_then(|line| line.split_once(';')).map(|(_, text)| text),
            Some(&shown[..])
        );
        check!(record.ends_with('\n'));
        close(fd)?;
    }
    Ok(())
}

fn records_are_one_line_of_printable_bytes() -> Outcome {
    let text = unique("bytes");
    add(&format!("{text} a\\b\tc\nd\u{7f}\u{e9}"))?;
    let record = find(kmsg(O_RDONLY | O_NONBLOCK)?, &text)?;
    check!(
        record.as_ref().is_some_and(|record| record.contains(r"a\x5cb\x09c\x0ad\x7f\xc3\xa9")),
        "{record:?}"
    );
    Ok(())
}

fn records_have_a_greatest_length() -> Outcome {
    let fd = kmsg(O_WRONLY)?;
    check_eq!(write(fd, &[b'x'; 992]), Ok(992));
    check_eq!(write(fd, &[b'x'; 993]), Err(Errno::EINVAL));
    Ok(())
}

fn a_buffer_that_is_too_small_is_refused() -> Outcome {
    add(&unique("long"))?;
    let fd = kmsg(O_RDONLY | O_NONBLOCK)?;
    check_eq!(read(fd, &mut [0; 8]), Err(Errno::EINVAL));
    check_eq!(read(fd, &mut []), Err(Errno::EINVAL));
    Ok(())
}

fn poll(fd: i32, milliseconds: u64) -> Result<u16, Failure> {
    let mut fds = [Pollfd { fd, events: POLLIN | POLLPRI, revents: 0 }];
    let timeout = Timespec { tv_sec: 0, tv_nsec: milliseconds as i64 * 1_000_000 };
    ppoll(&mut fds, Some(timeout))?;
    Ok(fds[0].revents)
}

fn who_reads_all_waits_or_is_told() -> Outcome {
    let fd = kmsg(O_RDWR | O_NONBLOCK)?;
    check_eq!(lseek(fd, 0, SEEK_END), Ok(0));
    check_eq!(read(fd, &mut [0; 2048]), Err(Errno::EAGAIN));
    check_eq!(poll(fd, 0)?, 0);
    let text = unique("told");
    add(&text)?;
    check!(poll(fd, 900)? & POLLIN != 0);
    check!(find(fd, &text)?.is_some());
    Ok(())
}

fn a_new_record_wakes_who_polls() -> Outcome {
    let fd = kmsg(O_RDONLY)?;
    lseek(fd, 0, SEEK_END)?;
    let text = unique("wakes");
    let own = text.clone();
    let writer = ulib::thread::spawn(move || {
        ulib::time::sleep(core::time::Duration::from_millis(30));
        add(&own).is_ok()
    })?;
    let seen = poll(fd, 900)?;
    check!(writer.join());
    check_eq!(seen & !(POLLRDNORM), POLLIN);
    let mut buffer = [0; 2048];
    let length = read(fd, &mut buffer)?;
    check!(String::from_utf8_lossy(&buffer[..length]).contains(&text));
    Ok(())
}

fn positions_are_records() -> Outcome {
    let fd = kmsg(O_RDONLY | O_NONBLOCK)?;
    let text = unique("positions");
    add(&text)?;
    check!(find(fd, &text)?.is_some());
    check_eq!(lseek(fd, 0, SEEK_SET), Ok(0));
    check!(find(fd, &text)?.is_some());
    check_eq!(lseek(fd, 0, SEEK_END), Ok(0));
    check_eq!(find(fd, &text)?, None);
    check_eq!(lseek(fd, 0, SEEK_DATA), Ok(0));
    check!(find(fd, &text)?.is_some());
    check_eq!(lseek(fd, 0, SEEK_CUR), Err(Errno::EINVAL));
    check_eq!(lseek(fd, 1, SEEK_SET), Err(Errno::ESPIPE));
    Ok(())
}

/// How much of what is written to the log is kept, until this is dropped.
struct Writing;

impl Writing {
    const FILE: &str = "/proc/sys/kernel/printk_devkmsg";

    fn set(word: &str) -> Result<Writing, Failure> {
        files::mount_proc()?;
        files::store(Writing::FILE, &format!("{word}\n"))?;
        Ok(Writing)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let _ = files::store(Writing::FILE, "ratelimit\n");
    }
}

/// How many records contain `part`.
fn count(part: &str) -> Result<usize, Failure> {
    let fd = kmsg(O_RDONLY | O_NONBLOCK)?;
    let mut records = 0;
    while find(fd, part)?.is_some() {
        records += 1;
    }
    close(fd)?;
    Ok(records)
}

/// The most records that bursts of ten in five seconds let through since `start`.
fn most(start: Timespec) -> usize {
    let passed = ulib::time::monotonic().as_secs() - start.tv_sec.unsigned_abs();
    10 * (2 + passed as usize / 5)
}

fn now() -> Timespec {
    Timespec { tv_sec: ulib::time::monotonic().as_secs().cast_signed(), tv_nsec: 0 }
}

fn an_opening_keeps_a_burst() -> Outcome {
    const WRITTEN: usize = 100;
    let (start, text, writer) = (now(), unique("burst"), kmsg(O_WRONLY)?);
    for _ in 0..WRITTEN {
        check_eq!(write(writer, format!("<15>{text}\n").as_bytes()), Ok(5 + text.len()));
    }
    let kept = count(&text)?;
    check!((10..=most(start)).contains(&kept), "{kept} of {WRITTEN}");
    // Another opening has a burst of its own, and who left something out says so at its end.
    add(&unique("another"))?;
    close(writer)?;
    let told = format!("{} output lines suppressed due to ratelimiting", WRITTEN - kept);
    check!(count(&told)? > 0 || kept == WRITTEN, "{told}");
    Ok(())
}

fn who_writes_too_much_can_be_let() -> Outcome {
    let text = unique("all");
    let kept = Writing::set("on")?;
    check_eq!(files::page(Writing::FILE)?, "on\n");
    let writer = kmsg(O_WRONLY)?;
    for _ in 0..100 {
        write(writer, format!("<15>{text}\n").as_bytes())?;
    }
    check_eq!(count(&text)?, 100);
    for nonsense in ["on", "off", "sometimes\n", "on\n\n", "1\n", "\n"] {
        check_eq!((nonsense, files::store(Writing::FILE, nonsense)), (nonsense, Err(Errno::EINVAL)));
    }
    let none = Writing::set("off")?;
    for flags in [O_WRONLY, O_RDONLY] {
        check_eq!(open(c"/dev/kmsg", flags, 0), Err(Errno::EPERM));
    }
    check_eq!(write(writer, format!("<15>{text}\n").as_bytes()), Ok(5 + text.len()));
    drop((kept, none));
    check_eq!(count(&text)?, 100);
    check_eq!(files::page(Writing::FILE)?, "ratelimit\n");
    Ok(())
}

/// A program may die as often as it likes, and the log has room for other things.
fn deaths_are_told_in_bursts() -> Outcome {
    const DEATHS: usize = 100;
    let name = c"dies-of-fault";
    let start = now();
    for _ in 0..DEATHS {
        let ended = conformance::child::run(|| {
            let _ = raw::call(nr::prctl, &[abi::process::PR_SET_NAME.into(), name.as_ptr() as u64]);
            // SAFETY: nothing is there, and the signal that comes of it ends the process.
            unsafe { core::ptr::null_mut::<u32>().write_volatile(1) };
            0
        })?;
        check_eq!(ended.term_signal(), Some(abi::signal::SIGSEGV));
    }
    let told = count("dies-of-fault[")?;
    check!(told <= most(start), "{told} of {DEATHS}");
    Ok(())
}

fn old_records_give_way() -> Outcome {
    let _all = Writing::set("on")?;
    let fd = kmsg(O_RDONLY | O_NONBLOCK)?;
    let writer = kmsg(O_WRONLY)?;
    let text = unique(&"x".repeat(800));
    // More than a log of 256 KiB holds; level 7 is not shown on the console.
    for _ in 0..400 {
        write(writer, format!("<15>{text}").as_bytes())?;
    }
    if poll(fd, 0)? & POLLERR == 0 {
        // A larger log.
        return Ok(());
    }
    check!(poll(fd, 0)? & POLLPRI != 0);
    check_eq!(read(fd, &mut [0; 8192]), Err(Errno::EPIPE));
    check!(read(fd, &mut [0; 8192]).is_ok());
    Ok(())
}

fn syslog(action: u32, buffer: &mut [u8]) -> Result<usize, Errno> {
    let arguments = [action.into(), buffer.as_mut_ptr() as u64, buffer.len() as u64];
    raw::call(nr::syslog, &arguments).map(|length| length as usize)
}

fn command(action: u32, number: u64) -> Result<u64, Errno> {
    raw::call(nr::syslog, &[action.into(), 0, number])
}

fn syslog_copies_the_last_records() -> Outcome {
    let (first, second) = (unique("first"), unique("second"));
    add(&format!("<4>{first}"))?;
    add(&format!("<28>{second}"))?;
    let size = command(SYSLOG_ACTION_SIZE_BUFFER, 0)? as usize;
    let mut buffer = vec![0; size];
    let length = syslog(SYSLOG_ACTION_READ_ALL, &mut buffer)?;
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let line = |part: &str| text.lines().find(|line| line.contains(part)).map(String::from);
    let shown = line(&first).ok_or_else(|| Failure::new("the first record is missing"))?;
    check!(shown.starts_with("<12>[") && shown.ends_with(&format!("] {first}")), "{shown}");
    check!(line(&second).is_some_and(|line| line.starts_with("<28>[")));
    // Where there is little room, the last whole records are what is copied.
    let last = line(&second).map_or(0, |line| line.len() + 1);
    let mut little = vec![0; last + 20];
    let length = syslog(SYSLOG_ACTION_READ_ALL, &mut little)?;
    check_eq!(String::from_utf8_lossy(&little[..length]).trim_end(), line(&second).unwrap_or_default());
    // A clear log still has its records, for who reads them one by one.
    command(SYSLOG_ACTION_CLEAR, 0)?;
    let length = syslog(SYSLOG_ACTION_READ_ALL, &mut buffer)?;
    check!(!String::from_utf8_lossy(&buffer[..length]).contains(&second));
    check!(find(kmsg(O_RDONLY | O_NONBLOCK)?, &second)?.is_some());
    Ok(())
}

fn syslog_takes_each_record_once() -> Outcome {
    let mut buffer = vec![0; 1 << 16];
    while command(SYSLOG_ACTION_SIZE_UNREAD, 0)? > 0 {
        syslog(SYSLOG_ACTION_READ, &mut buffer)?;
    }
    let text = unique("once");
    add(&text)?;
    let unread = command(SYSLOG_ACTION_SIZE_UNREAD, 0)? as usize;
    check!(unread > text.len());
    // In pieces.
    let start = syslog(SYSLOG_ACTION_READ, &mut buffer[..10])?;
    check_eq!(start, 10);
    let rest = syslog(SYSLOG_ACTION_READ, &mut buffer[10..])?;
    let taken = String::from_utf8_lossy(&buffer[..10 + rest]).into_owned();
    check!(taken.contains(&text) && taken.starts_with("<12>["), "{taken}");
    Ok(())
}

fn what_the_console_shows_can_be_set() -> Outcome {
    for level in [0, 9, 100] {
        check_eq!(command(SYSLOG_ACTION_CONSOLE_LEVEL, level), Err(Errno::EINVAL));
    }
    check_eq!(command(SYSLOG_ACTION_CONSOLE_OFF, 0), Ok(0));
    check_eq!(command(SYSLOG_ACTION_CONSOLE_OFF, 0), Ok(0));
    check_eq!(command(SYSLOG_ACTION_CONSOLE_ON, 0), Ok(0));
    Ok(())
}

fn syslog_refuses_nonsense() -> Outcome {
    check_eq!(command(11, 0), Err(Errno::EINVAL));
    check_eq!(command(u32::MAX, 0), Err(Errno::EINVAL));
    check_eq!(command(SYSLOG_ACTION_READ_ALL, 100), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::syslog, &[3, 4096, u64::MAX]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::syslog, &[2, 4096, 0]), Ok(0));
    check_eq!(raw::call(nr::syslog, &[3, 8, 100]), Err(Errno::EFAULT));
    Ok(())
}

fn users_may_not_read_it() -> Outcome {
    files::as_user(|| {
        for action in 0..11 {
            if !matches!(action, SYSLOG_ACTION_READ_ALL | SYSLOG_ACTION_SIZE_BUFFER) {
                check_eq!(command(action, 0), Err(Errno::EPERM));
            }
        }
        check!(matches!(open(c"/dev/kmsg", O_WRONLY, 0), Err(Errno::EACCES)));
        // Whether they may read all of it is a setting.
        let may_read = command(SYSLOG_ACTION_SIZE_BUFFER, 0).is_ok();
        check_eq!(open(c"/dev/kmsg", O_RDONLY, 0).is_ok(), may_read);
        Ok(())
    })
}
