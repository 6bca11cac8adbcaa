//! `/dev/kmsg`: the log record by record, and a way for programs to add to it.
//!
//! Source: Linux 6.1, `Documentation/ABI/testing/dev-kmsg`.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use abi::Errno;
use abi::fs::{O_ACCMODE, O_WRONLY, SEEK_DATA, SEEK_END, SEEK_SET};
use abi::poll::{POLLERR, POLLPRI};
use abi::syslog::SYSLOG_ACTION_READ_ALL;
use hal::sync::Once;
use klog::{CLEARED, LEVEL_BITS, Level, Limited, MESSAGE_LEVEL, add, bounds, copy};
use libkernel::command_line::CommandLine;
use libkernel::log_ring::{Found, Header, LONGEST};
use memory::user::{IoSink, IoSource};
use outcome::{Failure, OrErrno};
use sched::wait::{Deadline, WaitQueue};
use vfs::file::{File, FileOperations};
use vfs::generated::setting::Choice;
use vfs::poll::{PollEvents, Watcher};

pub mod syslog;

use crate::process::current;

/// Who waits for the next record.
static ARRIVAL: Once<Arc<WaitQueue>> = Once::new();

/// The queue of those who wait for the next record.
fn arrival() -> &'static Arc<WaitQueue> {
    let arrival = ARRIVAL.get_or_init(|| Arc::new(WaitQueue::new()));
    klog::listen(|| ARRIVAL.get().into_iter().for_each(|arrival| arrival.wake_all()));
    arrival
}

/// Its minor number, below major 1.
pub const MINOR: u32 = 11;

/// What becomes of records that programs write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// All are kept.
    On,
    /// None is.
    Off,
    /// A burst of each opening is.
    Limited,
}

impl Writing {
    /// The names, as `printk.devkmsg=` and `/proc/sys/kernel/printk_devkmsg` have them; each at its variant's number.
    const NAMES: [&str; 3] = ["on", "off", "ratelimit"];

    fn now() -> Writing {
        match WRITING.chosen() {
            0 => Writing::On,
            1 => Writing::Off,
            _ => Writing::Limited,
        }
    }
}

/// What becomes of records that programs write.
pub static WRITING: Choice = Choice::new(&Writing::NAMES, Writing::Limited as u32);

/// Reads the boot words, in their order. What they say about writing stays (Linux: `DEVKMSG_LOG_MASK_LOCK`).
pub fn configure(command_line: CommandLine<'_>) {
    for word in command_line.words().filter(|word| word.name == b"printk.devkmsg") {
        word.value.into_iter().for_each(|name| WRITING.fix(name));
    }
}

/// One opening of the device.
pub struct Opening {
    /// The number of the record that is read next.
    next: AtomicU64,
    limit: Limited,
    /// How many records that were written were left out.
    left_out: AtomicU64,
}

impl Opening {
    /// At the oldest record. EPERM for who may not read the log, unless it is opened for writing alone; and for
    /// everybody while nothing that is written is kept.
    pub fn new(flags: u32) -> Result<Arc<Opening>, Errno> {
        if Writing::now() == Writing::Off {
            return Err(Errno::EPERM);
        }
        if flags & O_ACCMODE != O_WRONLY
            && let Some(thread) = current()
        {
            thread.with_credentials(|credentials| syslog::check(SYSLOG_ACTION_READ_ALL, credentials))?;
        }
        let next = AtomicU64::new(bounds().0);
        Ok(Arc::new(Opening { next, limit: Limited::new(), left_out: AtomicU64::new(0) }))
    }

    /// Whether there is a record to read, or to be told that it is lost.
    fn has_next(&self) -> bool {
        self.next.load(Relaxed) < bounds().1
    }
}

impl FileOperations for Opening {
    fn is_pollable(&self) -> bool {
        true
    }

    fn read(&self, file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        let mut text = [0; LONGEST];
        loop {
            let number = self.next.load(Relaxed);
            match copy(number, &mut text) {
                Found::NotYet if file.is_nonblocking() => return Err(Errno::EAGAIN.into()),
                Found::NotYet => {
                    arrival().wait_until(Deadline::NEVER, || self.has_next().then_some(()))?;
                }
                Found::Lost(first) => {
                    self.next.store(first, Relaxed);
                    return Err(Errno::EPIPE.into());
                }
                Found::Record(header, length) => {
                    let record = shown(number, header, text.get(..length).unwrap_or_default())?;
                    // A thread that reads through the same opening may have been faster.
                    if self.next.compare_exchange(number, number + 1, Relaxed, Relaxed).is_err() {
                        continue;
                    }
                    if sink.remaining() < record.len() {
                        return Err(Errno::EINVAL.into());
                    }
                    return Ok(sink.put_whole(&record)?);
                }
            }
        }
    }

    /// One record: a priority in angle brackets and a text.
    fn write(&self, _file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let length = source.remaining();
        let mut bytes = [0; LONGEST];
        let text = bytes.get_mut(..length).ok_or(Errno::EINVAL)?;
        source.take_whole(text)?;
        let is_kept = match Writing::now() {
            Writing::On => true,
            Writing::Off => false,
            Writing::Limited => self.limit.permits_by_default(),
        };
        if !is_kept {
            // Who writes is not told, but who reads the log is, at the end.
            self.left_out.fetch_add(1, Relaxed);
            return Ok(length);
        }
        let (priority, text) = split_priority(text);
        add(priority, text.strip_suffix(b"\n").unwrap_or(text));
        Ok(length)
    }

    fn accepts_any_position(&self) -> bool {
        true
    }

    /// The oldest record, the first one since the log was cleared, or the next one to come.
    fn seek(&self, offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        let number = match whence {
            _ if offset != 0 => return Some(Err(Errno::ESPIPE)),
            SEEK_SET => bounds().0,
            SEEK_DATA => CLEARED.load(Relaxed),
            SEEK_END => bounds().1,
            _ => return Some(Err(Errno::EINVAL)),
        };
        self.next.store(number, Relaxed);
        Some(Ok(0))
    }

    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        watcher.watch(arrival())?;
        let number = self.next.load(Relaxed);
        let (first, next) = bounds();
        let lost = PollEvents(u32::from(POLLERR | POLLPRI)).when(number < first);
        Ok(PollEvents::READABLE.when(number < next).union(lost))
    }

    fn release(&self, _file: &File) {
        let left_out = self.left_out.load(Relaxed);
        if left_out != 0 && Writing::now() == Writing::Limited {
            let name = current().map(|thread| thread.shown_name());
            let name = name.as_ref().map_or(&"?" as &dyn core::fmt::Display, |name| name);
            klog::line(
                Level::Warning,
                format_args!("{name}: {left_out} output lines suppressed due to ratelimiting"),
            );
        }
    }
}

/// A record as programs read it: facility and level, number, microseconds, no flags; then the text, in one line of
/// printable bytes.
fn shown(number: u64, header: Header, text: &[u8]) -> Result<Vec<u8>, Errno> {
    let start = format!("{},{number},{},-;", header.priority, header.ns / 1000);
    let mut record = Vec::new();
    record.try_reserve(start.len() + 4 * text.len() + 1).or_errno()?;
    record.extend_from_slice(start.as_bytes());
    for &byte in text {
        match byte {
            b'\\' | ..b' ' | 127.. => record.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ => record.push(byte),
        }
    }
    record.push(b'\n');
    Ok(record)
}

/// The priority of a text that begins `<N>`, and what follows. Programs are of facility 1 unless they say otherwise:
/// facility 0 is the kernel's.
fn split_priority(text: &[u8]) -> (u32, &[u8]) {
    const USER: u32 = 1 << 3;
    let named = || {
        let (digits, rest) =
            text.strip_prefix(b"<")?.split_at_checked(text.iter().position(|&byte| byte == b'>')? - 1)?;
        let number: u32 = core::str::from_utf8(digits).ok()?.parse().ok()?;
        Some((number, rest.get(1..)?))
    };
    match named() {
        Some((number, rest)) if number > LEVEL_BITS => (number, rest),
        Some((number, rest)) => (number | USER, rest),
        None => (MESSAGE_LEVEL.load(Relaxed).cast_unsigned() & LEVEL_BITS | USER, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_read_as_linux_reads_them() {
        assert_eq!(split_priority(b"<3>bad"), (3 | 8, &b"bad"[..]));
        assert_eq!(split_priority(b"<30>daemon"), (30, &b"daemon"[..]));
        assert_eq!(split_priority(b"plain"), (4 | 8, &b"plain"[..]));
        assert_eq!(split_priority(b"<x>plain"), (4 | 8, &b"<x>plain"[..]));
        assert_eq!(split_priority(b"<3"), (4 | 8, &b"<3"[..]));
        assert_eq!(split_priority(b">3<"), (4 | 8, &b">3<"[..]));
    }

    #[test]
    fn records_are_one_line() {
        let header = Header { priority: 6, ns: 1_234_567 };
        assert_eq!(shown(7, header, b"a\\b\nc\x7f").as_deref(), Ok(&b"6,7,1234,-;a\\x5cb\\x0ac\\x7f\n"[..]));
    }
}
