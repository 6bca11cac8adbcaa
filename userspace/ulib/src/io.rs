//! Standard input, output and error.
//!
//! Standard output is buffered: by line on a terminal, by block elsewhere, and flushed when the program ends through
//! [`entry::exit`](crate::entry::exit) or panics. Standard error is not buffered, but each [`eprintln!`] is one write.

use crate::sync::{Guard, Mutex};
use abi::Errno;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use libsyscall::file::{self, RawFd};

/// Descriptor of standard input.
pub const STDIN: RawFd = 0;
/// Descriptor of standard output.
pub const STDOUT: RawFd = 1;
/// Descriptor of standard error.
pub const STDERR: RawFd = 2;

/// Prints to standard output.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::io::stdout().print(format_args!($($argument)*)) };
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::io::stdout().write(b"\n") };
    ($($argument:tt)*) => { $crate::io::stdout().print_line(format_args!($($argument)*)) };
}

/// Prints to standard error.
#[macro_export]
macro_rules! eprint {
    ($($argument:tt)*) => { $crate::io::print_error(format_args!($($argument)*), "") };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::io::print_error(format_args!(""), "\n") };
    ($($argument:tt)*) => { $crate::io::print_error(format_args!($($argument)*), "\n") };
}

/// Writes all of `bytes`, as many calls as it takes.
pub fn write_all(fd: RawFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match file::write(fd, bytes) {
            Ok(0) => return Err(Errno::EIO),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads what is there, again when a signal interrupts; 0 is the end.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match file::read(fd, buffer) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Reads to the end.
pub fn read_to_end(fd: RawFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let mut buffer = [0; BUFFER_SIZE];
    loop {
        match read(fd, &mut buffer)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

const BUFFER_SIZE: usize = 4096;

/// When a buffer is written out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Buffering {
    /// Not known yet: decided at the first write.
    Undecided,
    Line,
    Block,
}

/// Bytes on their way to standard output.
struct Buffer {
    bytes: [u8; BUFFER_SIZE],
    used: usize,
    buffering: Buffering,
    /// The first write that failed; reported at the end.
    error: Option<Errno>,
}

static STDOUT_BUFFER: Mutex<Buffer> =
    Mutex::new(Buffer { bytes: [0; BUFFER_SIZE], used: 0, buffering: Buffering::Undecided, error: None });

impl Buffer {
    fn flush(&mut self) {
        if let Err(error) = write_all(STDOUT, &self.bytes[..self.used]) {
            self.error.get_or_insert(error);
        }
        self.used = 0;
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = bytes.len().min(BUFFER_SIZE - self.used);
            self.bytes[self.used..self.used + count].copy_from_slice(&bytes[..count]);
            self.used += count;
            bytes = &bytes[count..];
            if self.used == BUFFER_SIZE {
                self.flush();
            }
        }
    }

    /// Takes bytes and flushes them if they end a line on a terminal.
    fn write(&mut self, bytes: &[u8]) {
        if self.buffering == Buffering::Undecided {
            let terminal = file::terminal_modes(STDOUT).is_ok();
            self.buffering = if terminal { Buffering::Line } else { Buffering::Block };
        }
        self.push(bytes);
        if self.buffering == Buffering::Line && bytes.contains(&b'\n') {
            self.flush();
        }
    }
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

/// Standard output.
pub fn stdout() -> Stdout {
    Stdout(())
}

/// A handle of standard output.
pub struct Stdout(());

impl Stdout {
    fn buffer(&self) -> Guard<'static, Buffer> {
        STDOUT_BUFFER.lock()
    }

    /// Takes bytes into the buffer.
    pub fn write(&self, bytes: &[u8]) {
        self.buffer().write(bytes);
    }

    /// Takes formatted text into the buffer.
    pub fn print(&self, text: fmt::Arguments<'_>) {
        // Errors are kept in the buffer: only a `Display` of the program's own can fail here.
        let _ = self.buffer().write_fmt(text);
    }

    /// Takes a line of formatted text into the buffer.
    pub fn print_line(&self, text: fmt::Arguments<'_>) {
        let mut buffer = self.buffer();
        let _ = buffer.write_fmt(text);
        buffer.write(b"\n");
    }

    /// Writes the buffer out; the first error since the start comes back.
    pub fn finish(&self) -> Result<(), Errno> {
        let mut buffer = self.buffer();
        buffer.flush();
        buffer.error.map_or(Ok(()), Err)
    }

    /// Writes the buffer out unless somebody is using it: for a thread that panicked while it printed.
    pub fn finish_if_free(&self) {
        if let Some(mut buffer) = STDOUT_BUFFER.try_lock() {
            buffer.flush();
        }
    }
}

/// Text on its way to standard error: written in one piece while it is short, so that lines of processes do not mix.
struct ErrorLine {
    bytes: [u8; 256],
    used: usize,
}

impl ErrorLine {
    fn flush(&mut self) {
        // There is nowhere to report that standard error cannot be written.
        let _ = write_all(STDERR, &self.bytes[..self.used]);
        self.used = 0;
    }
}

impl Write for ErrorLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.used == self.bytes.len() {
                self.flush();
            }
            self.bytes[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}

/// Writes formatted text and `end` to standard error.
pub fn print_error(text: fmt::Arguments<'_>, end: &str) {
    let mut line = ErrorLine { bytes: [0; 256], used: 0 };
    let _ = line.write_fmt(text);
    let _ = line.write_str(end);
    line.flush();
}

/// Lines of a descriptor.
pub struct Lines {
    fd: RawFd,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
}

impl Lines {
    /// The lines of `fd` from where it stands. Reads ahead.
    pub fn new(fd: RawFd) -> Lines {
        Lines { fd, buffer: Vec::new(), start: 0, ended: false }
    }

    /// The next line with its newline (the last may lack it); `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, Errno> {
        loop {
            let rest = &self.buffer[self.start..];
            if let Some(length) = rest.iter().position(|&byte| byte == b'\n') {
                let line = rest[..=length].to_vec();
                self.start += length + 1;
                return Ok(Some(line));
            }
            if self.ended {
                let line = rest.to_vec();
                self.start = self.buffer.len();
                return Ok(if line.is_empty() { None } else { Some(line) });
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Errno> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let used = self.buffer.len();
        self.buffer.resize(used + BUFFER_SIZE, 0);
        let count = read(self.fd, &mut self.buffer[used..]);
        self.buffer.truncate(used + *count.as_ref().unwrap_or(&0));
        self.ended = count? == 0;
        Ok(())
    }
}
