//! The kernel log: records in memory, and lines on the console with the time since boot.
//!
//! Every record goes into a ring, from which programs read it. It goes to the console, too, if it matters
//! enough: the boot words `loglevel=`, `quiet`, `debug` and `ignore_loglevel`, later `syslog(2)` and
//! `/proc/sys/kernel/printk`, say how much that is. The numbers are Linux's: of `include/linux/kern_levels.h` and
//! `printk.h`.
//!
//! Lock order: the ring's lock is a leaf, and taken with interrupts masked; the console's comes after it has been left.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt::{self, Write};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64};

use hal::sync::{IrqLock, Once};
use libkernel::clock::SECOND_NS;
use libkernel::command_line::CommandLine;
use libkernel::log_ring::{Found, Header, LONGEST, LogRing};

mod limited;

pub use limited::{LIMIT_BURST, LIMIT_INTERVAL_S, Limited};

/// How much a record matters: the less, the more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The system is unusable.
    Emergency = 0,
    /// Something went wrong. Shown with `quiet`, too.
    Error = 3,
    /// Something may go wrong.
    Warning = 4,
    /// What goes on. `quiet` keeps it off the console.
    Information = 6,
    /// What helps who looks for a fault. Not shown on the console.
    Debug = 7,
}

/// Levels below this one are shown on the console: the first number of `/proc/sys/kernel/printk`.
pub static CONSOLE_LEVEL: AtomicI32 = AtomicI32::new(7);
/// The level of a record that names none: the second number.
pub static MESSAGE_LEVEL: AtomicI32 = AtomicI32::new(4);
/// The least that `syslog(2)` lets the console show: the third number.
pub static MINIMUM_CONSOLE_LEVEL: AtomicI32 = AtomicI32::new(1);
/// What the console shows where nothing else is said: the fourth number, which is only shown, as in Linux.
pub static DEFAULT_CONSOLE_LEVEL: AtomicI32 = AtomicI32::new(7);
/// Whether all are: `ignore_loglevel`.
static SHOWS_ALL: AtomicBool = AtomicBool::new(false);

/// What the console shows with `quiet`, and with `debug`.
const QUIET: i32 = 4;
const DEBUG: i32 = 10;

/// Records that are kept.
const RECORDS: usize = 1024;
/// Bytes of text that are kept.
pub const BYTES: usize = 1 << 16;

static RING: IrqLock<LogRing<RECORDS, BYTES>> = IrqLock::new(LogRing::new());
/// Who is told of a new record.
static LISTENER: Once<fn()> = Once::new();
/// The first record that was made after the log was last cleared.
pub static CLEARED: AtomicU64 = AtomicU64::new(0);

/// Reads the boot words, in their order.
pub fn configure(command_line: CommandLine<'_>) {
    for word in command_line.words() {
        let number = || core::str::from_utf8(word.value?).ok()?.parse().ok();
        match word.name {
            b"quiet" => CONSOLE_LEVEL.store(QUIET, Relaxed),
            b"debug" => CONSOLE_LEVEL.store(DEBUG, Relaxed),
            b"loglevel" => number().into_iter().for_each(|level| CONSOLE_LEVEL.store(level, Relaxed)),
            b"ignore_loglevel" => SHOWS_ALL.store(true, Relaxed),
            _ => {}
        }
    }
}

/// Lets `listener` be told of each new record. It is called in any context, interrupts included; the first one stays.
///
/// Whoever calls this and then looks at [`bounds`] misses no record: the ring's lock orders both against who adds one.
pub fn listen(listener: fn()) {
    let _ = LISTENER.set(listener);
}

/// A record while it is written.
struct Text {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Text {
    /// The text; what does not fit is cut.
    fn of(text: fmt::Arguments<'_>) -> Text {
        let mut whole = Text { bytes: [0; LONGEST], length: 0 };
        // A record never fails.
        let _ = whole.write_fmt(text);
        whole
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        for (place, byte) in room.iter_mut().zip(text.bytes()) {
            *place = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Adds a record of this facility and level, and tells who waits for it.
pub fn add(priority: u32, text: &[u8]) {
    let header = Header { priority, ns: hal::time::now_ns() };
    RING.lock().push(header, text);
    if let Some(listener) = LISTENER.get() {
        listener();
    }
    if SHOWS_ALL.load(Relaxed) || (priority & LEVEL_BITS).cast_signed() < CONSOLE_LEVEL.load(Relaxed) {
        show(&mut hal::console::lock(), header.ns, text);
    }
}

/// A priority's bits for the level; above them is the facility.
pub const LEVEL_BITS: u32 = 7;

/// Writes one record. Used through [`log!`](crate::log!) and [`notice!`](crate::notice!).
// The record is on the stack while it is written: not on that of whoever logs now and then.
#[inline(never)]
pub fn line(level: Level, text: fmt::Arguments<'_>) {
    add(level as u32, Text::of(text).bytes());
}

/// Writes one record although whoever has the ring or the console may be stuck: what a watchdog has to say. Who waits
/// for records hears of it with the next one.
#[inline(never)]
pub fn urgent(text: fmt::Arguments<'_>) {
    const PATIENCE_NS: u64 = 100_000_000;
    let (now, text) = (hal::time::now_ns(), Text::of(text));
    if let Some(mut ring) = RING.try_lock() {
        ring.push(Header { priority: Level::Emergency as u32, ns: now }, text.bytes());
    }
    show(&mut hal::console::lock_or_go_on(PATIENCE_NS), now, text.bytes());
}

/// Seconds and microseconds.
pub fn split(ns: u64) -> (u64, u64) {
    (ns / SECOND_NS, ns / 1_000 % 1_000_000)
}

fn show(console: &mut hal::console::Output, ns: u64, text: &[u8]) {
    for line in text.split(|&byte| byte == b'\n') {
        let (seconds, microseconds) = split(ns);
        // The console never fails.
        let _ = write!(ToConsole(console), "[{seconds:5}.{microseconds:06}] ");
        console.write(line);
        console.write(b"\r\n");
    }
}

struct ToConsole<'a>(&'a mut hal::console::Output);

impl Write for ToConsole<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Copies the text of record `number`.
pub fn copy(number: u64, into: &mut [u8; LONGEST]) -> Found {
    RING.lock().copy(number, into)
}

/// The oldest record, and the next one to come.
pub fn bounds() -> (u64, u64) {
    let ring = RING.lock();
    (ring.first(), ring.next())
}

/// Logs a line that `quiet` does not hide: `log!("pid {} died", 7)`.
#[macro_export]
macro_rules! log {
    ($($text:tt)*) => { $crate::line($crate::Level::Error, format_args!($($text)*)) };
}

/// Logs a line that `quiet` hides: `notice!("{} KiB free", 7)`.
#[macro_export]
macro_rules! notice {
    ($($text:tt)*) => { $crate::line($crate::Level::Information, format_args!($($text)*)) };
}
