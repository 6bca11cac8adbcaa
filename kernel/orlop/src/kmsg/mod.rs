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
use klog::{CLEARED, LEVEL_BITS, MESSAGE_LEVEL, add, bounds, copy};
use libkernel::log_ring::{Found, Header, LONGEST};
use memory::user::{IoSink, IoSource};
use outcome::Failure;
use sched::wait::{Deadline, WaitQueue};

pub mod syslog;

use crate::fs::file::{File, FileOperations};
use crate::fs::poll::{PollEvents, Watcher};
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

/// One opening of the device: the record that is read next.
pub struct Reader(AtomicU64);

impl Reader {
    /// At the oldest record. EPERM for who may not read the log, unless it is opened for writing alone.
    pub fn open(flags: u32) -> Result<Arc<Reader>, Errno> {
        if flags & O_ACCMODE != O_WRONLY
            && let Some(thread) = current()
        {
            thread.with_credentials(|credentials| syslog::check(SYSLOG_ACTION_READ_ALL, credentials))?;
        }
        Ok(Arc::new(Reader(AtomicU64::new(bounds().0))))
    }

    /// Whether there is a record to read, or to be told that it is lost.
    fn has_next(&self) -> bool {
        self.0.load(Relaxed) < bounds().1
    }
}

impl FileOperations for Reader {
    fn is_pollable(&self) -> bool {
        true
    }

    fn read(&self, file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        let mut text = [0; LONGEST];
        loop {
            let number = self.0.load(Relaxed);
            match copy(number, &mut text) {
                Found::NotYet if file.is_nonblocking() => return Err(Errno::EAGAIN.into()),
                Found::NotYet => {
                    arrival().wait_until(Deadline::NEVER, || self.has_next().then_some(()))?;
                }
                Found::Lost(first) => {
                    self.0.store(first, Relaxed);
                    return Err(Errno::EPIPE.into());
                }
                Found::Record(header, length) => {
                    let record = shown(number, header, text.get(..length).unwrap_or_default())?;
                    // A thread that reads through the same opening may have been faster.
                    if self.0.compare_exchange(number, number + 1, Relaxed, Relaxed).is_err() {
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
        self.0.store(number, Relaxed);
        Some(Ok(0))
    }

    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        watcher.watch(arrival())?;
        let number = self.0.load(Relaxed);
        let (first, next) = bounds();
        let lost = PollEvents(u32::from(POLLERR | POLLPRI)).when(number < first);
        Ok(PollEvents::READABLE.when(number < next).union(lost))
    }
}

/// A record as programs read it: facility and level, number, microseconds, no flags; then the text, in one line of printable bytes.
fn shown(number: u64, header: Header, text: &[u8]) -> Result<Vec<u8>, Errno> {
    let start = format!("{},{number},{},-;", header.priority, header.ns / 1000);
    let mut record = Vec::new();
    record.try_reserve(start.len() + 4 * text.len() + 1).map_err(|_| Errno::ENOMEM)?;
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

/// The priority of a text that begins `<N>`, and what follows. Programs are of facility 1 unless they say otherwise: facility 0 is
/// the kernel's.
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
