//! The kernel log: lines on the console with the time since boot.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

/// Whether notices are kept off the console: the boot word `quiet`.
static QUIET: AtomicBool = AtomicBool::new(false);

/// How much a line matters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Always shown.
    Warning,
    /// Shown unless the boot line says `quiet`.
    Notice,
}

/// Keeps notices off the console from now on.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

struct Line(hal::console::Output);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            match part.strip_suffix('\n') {
                Some(line) => {
                    self.0.write(line.as_bytes());
                    self.0.write(b"\r\n");
                }
                None => self.0.write(part.as_bytes()),
            }
        }
        Ok(())
    }
}

/// Writes one line. Used through [`crate::log!`] and [`crate::notice!`].
pub fn line(level: Level, text: fmt::Arguments<'_>) {
    if level == Level::Notice && QUIET.load(Ordering::Relaxed) {
        return;
    }
    write_line(Line(hal::console::lock()), text);
}

/// Writes one line although whoever has the console may be stuck: what a watchdog has to say.
pub fn urgent(text: fmt::Arguments<'_>) {
    const PATIENCE_NS: u64 = 100_000_000;
    write_line(Line(hal::console::lock_or_go_on(PATIENCE_NS)), text);
}

fn write_line(mut line: Line, text: fmt::Arguments<'_>) {
    let now = hal::time::now_ns();
    let (seconds, microseconds) = (now / 1_000_000_000, now / 1_000 % 1_000_000);
    // The console never fails.
    let _ = writeln!(line, "[{seconds:5}.{microseconds:06}] {text}");
}

/// Logs a line that is always shown: `log!("pid {} died", 7)`.
#[macro_export]
macro_rules! log {
    ($($text:tt)*) => { $crate::log::line($crate::log::Level::Warning, format_args!($($text)*)) };
}

/// Logs a line that `quiet` hides: `notice!("{} KiB free", 7)`.
#[macro_export]
macro_rules! notice {
    ($($text:tt)*) => { $crate::log::line($crate::log::Level::Notice, format_args!($($text)*)) };
}
