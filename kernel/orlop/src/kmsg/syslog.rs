//! The log as text for `syslog(2)` and `/proc/kmsg`: a level and a time before each line.
//!
//! There is one reader's position for the whole system: what one takes, the others do not see (syslog(2)).

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use abi::Errno;
use abi::syslog::{SYSLOG_ACTION_READ_ALL, SYSLOG_ACTION_SIZE_BUFFER};
use hal::sync::IrqLock;
use klog::{CLEARED, CONSOLE_LEVEL, MINIMUM_CONSOLE_LEVEL, bounds, copy, split};
use libkernel::log_ring::{Found, Header, LONGEST};
use memory::user::IoSink;
use outcome::{Failure, OrErrno};
use sched::Mutex;
use sched::wait::Deadline;
use subject::{Credentials, capability};
use vfs::poll::{PollEvents, Watcher};

use super::arrival;

/// `/proc/sys/kernel/dmesg_restrict`: whether only the privileged may read the log. Debian's default.
pub static RESTRICTED: AtomicU32 = AtomicU32::new(1);

/// Bytes of the log's memory.
pub const SIZE: usize = klog::BYTES;

/// EPERM unless somebody with these credentials may do `action`: anybody may read all, and ask for the size, where that
/// is not restricted.
pub fn check(action: u32, credentials: &Credentials) -> Result<(), Errno> {
    let is_open = matches!(action, SYSLOG_ACTION_READ_ALL | SYSLOG_ACTION_SIZE_BUFFER);
    let may = is_open && RESTRICTED.load(Relaxed) == 0
        || credentials.has_capability(capability::SYSLOG)
        || credentials.has_capability(capability::SYS_ADMIN);
    if may { Ok(()) } else { Err(Errno::EPERM) }
}

/// The reader's position: a record, and how much of its text has been taken.
#[derive(Clone, Copy)]
struct Position {
    record: u64,
    taken: usize,
}

static READER: Mutex<Position> = Mutex::new(Position { record: 0, taken: 0 });

/// A record as text.
fn lines(header: Header, text: &[u8], into: &mut Vec<u8>) -> Result<(), Errno> {
    let (seconds, microseconds) = split(header.ns);
    let start = format!("<{}>[{seconds:5}.{microseconds:06}] ", header.priority);
    for line in text.split(|&byte| byte == b'\n') {
        into.try_reserve(start.len() + line.len() + 1).or_errno()?;
        into.extend_from_slice(start.as_bytes());
        into.extend_from_slice(line);
        into.push(b'\n');
    }
    Ok(())
}

/// The record at `position` or the next one that is left, as text behind what is there; `None`: it is still to come.
fn next_lines(position: &mut Position, into: &mut Vec<u8>) -> Result<Option<()>, Errno> {
    let mut text = [0; LONGEST];
    loop {
        match copy(position.record, &mut text) {
            Found::Record(header, length) => {
                return lines(header, text.get(..length).unwrap_or_default(), into).map(Some);
            }
            Found::Lost(first) => *position = Position { record: first, taken: 0 },
            Found::NotYet => return Ok(None),
        }
    }
}

/// Whether the reader would have to wait.
pub fn is_read() -> bool {
    READER.lock().record >= bounds().1
}

/// Readable if something was not taken yet.
pub fn poll(watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
    watcher.watch(arrival())?;
    Ok(PollEvents::READABLE.when(!is_read()))
}

/// Takes what was not taken before, as much as there is room for; waits for a record first, or fails with EAGAIN.
pub fn read(sink: &mut IoSink<'_>, is_nonblocking: bool) -> Result<(), Failure> {
    while sink.remaining() > 0 {
        if is_read() {
            if sink.moved() > 0 {
                break;
            }
            if is_nonblocking {
                return Err(Errno::EAGAIN.into());
            }
            arrival().wait_until(Deadline::NEVER, || (!is_read()).then_some(()))?;
        }
        let mut text = Vec::new();
        let Some(piece) = take_piece(sink.remaining(), &mut text)? else { continue };
        // It is taken whatever comes of the copy, on Linux too.
        sink.put(text.get(piece).unwrap_or_default())?;
    }
    Ok(())
}

/// Takes up to `most` bytes of the next record: which of `text`, where that is put. `None` if it is still to come.
fn take_piece(most: usize, text: &mut Vec<u8>) -> Result<Option<Range<usize>>, Errno> {
    let mut position = READER.lock();
    if next_lines(&mut position, text)?.is_none() {
        return Ok(None);
    }
    let start = position.taken.min(text.len());
    let end = text.len().min(start + most);
    position.taken = end;
    if end == text.len() {
        *position = Position { record: position.record + 1, taken: 0 };
    }
    Ok(Some(start..end))
}

/// Copies the last records since the log was cleared, as many whole ones as there is room for.
pub fn read_all(sink: &mut IoSink<'_>) -> Result<(), Failure> {
    let (first, end) = bounds();
    let mut position = Position { record: CLEARED.load(Relaxed).max(first), taken: 0 };
    let (mut text, mut starts) = (Vec::new(), Vec::new());
    while position.record < end {
        starts.try_reserve(1).or_errno()?;
        starts.push(text.len());
        if next_lines(&mut position, &mut text)?.is_none() {
            break;
        }
        position.record += 1;
    }
    let fits = |start: &&usize| text.len() - **start <= sink.remaining();
    let start = starts.iter().find(fits).copied().unwrap_or(text.len());
    sink.put(text.get(start..).unwrap_or_default())?;
    Ok(())
}

/// Hides what was logged until now from [`read_all`].
pub fn clear() {
    CLEARED.store(bounds().1, Relaxed);
}

/// Bytes that [`read`] would take.
pub fn unread() -> Result<usize, Errno> {
    let mut position = *READER.lock();
    let (end, mut text, mut sum) = (bounds().1, Vec::new(), 0);
    while position.record < end && next_lines(&mut position, &mut text)?.is_some() {
        sum += text.len() - position.taken.min(text.len());
        text.clear();
        position = Position { record: position.record + 1, taken: 0 };
    }
    Ok(sum)
}

/// What the console showed before it was turned off.
static SAVED: IrqLock<Option<i32>> = IrqLock::new(None);

/// Lets the console show the least there is.
pub fn turn_console_off() {
    SAVED.lock().get_or_insert(CONSOLE_LEVEL.load(Relaxed));
    CONSOLE_LEVEL.store(MINIMUM_CONSOLE_LEVEL.load(Relaxed), Relaxed);
}

/// Lets the console show what it did before it was turned off.
pub fn turn_console_on() {
    if let Some(level) = SAVED.lock().take() {
        CONSOLE_LEVEL.store(level, Relaxed);
    }
}

/// Sets what the console shows. EINVAL unless that is 1 to 8.
pub fn set_console_level(level: i32) -> Result<(), Errno> {
    if !(1..=8).contains(&level) {
        return Err(Errno::EINVAL);
    }
    *SAVED.lock() = None;
    CONSOLE_LEVEL.store(level.max(MINIMUM_CONSOLE_LEVEL.load(Relaxed)), Relaxed);
    Ok(())
}
