//! One opening of a terminal: what a descriptor leads to.
//!
//! When the leader of the session that a terminal controls ends, the terminal is hung up: what was opened before reads
//! nothing more and writes nowhere, and only who opens it again may use it. Who opened it as `/dev/console` keeps it
//! (Linux: `__tty_hangup`).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::poll::{POLLERR, POLLHUP};
use abi::terminal::{TIOCSPGRP, TOSTOP};
use memory::user::{IoSink, IoSource};
use outcome::Failure;
use vfs::asynchronous::AsyncFiles;
use vfs::file::{File, FileOperations};
use vfs::poll::{PollEvents, Watcher};

use super::terminal::Terminal;
use crate::process::current;

/// An open terminal.
pub struct Opened {
    terminal: Arc<Terminal>,
    by: By,
}

/// By which name it was opened.
#[derive(Clone, Copy)]
enum By {
    /// `/dev/console`: it is never hung up, and who uses it uses it from the background, too (Linux's `n_tty.c` looks
    /// at how the file was opened before its `job_control` and `TOSTOP` checks; requests are checked all the same).
    Console,
    /// Its own or `/dev/tty`, when it had been hung up so often.
    Terminal(u64),
}

impl Opened {
    /// Opens a terminal as `/dev/console`.
    pub fn console(terminal: Arc<Terminal>) -> Opened {
        Opened { terminal, by: By::Console }
    }

    /// Opens a terminal by another name.
    pub fn terminal(terminal: Arc<Terminal>) -> Opened {
        let by = By::Terminal(terminal.hang_ups.load(Ordering::Acquire));
        Opened { terminal, by }
    }

    /// Which it is.
    pub fn terminal_behind(&self) -> &Terminal {
        &self.terminal
    }

    fn is_console(&self) -> bool {
        matches!(self.by, By::Console)
    }

    fn is_hung_up(&self) -> bool {
        matches!(self.by, By::Terminal(before) if before != self.terminal.hang_ups.load(Ordering::Acquire))
    }
}

impl FileOperations for Opened {
    fn can_be_spliced(&self) -> bool {
        true
    }

    fn takes_splices(&self) -> bool {
        true
    }

    fn read(&self, file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        /// The longest line, and so the most that one read gives.
        const MOST: usize = 4096;
        if self.is_hung_up() {
            return Ok(());
        }
        if !self.is_console() {
            self.terminal.check_background_read()?;
        }
        let wanted = sink.remaining().min(MOST);
        if wanted == 0 {
            return Ok(());
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(wanted)?;
        bytes.resize(wanted, 0);
        let is_gone = || self.is_hung_up();
        let count = self.terminal.read_bytes(&mut bytes, file.is_nonblocking(), &is_gone)?;
        sink.put(bytes.get(..count).unwrap_or_default())?;
        Ok(())
    }

    fn write(&self, file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        if self.is_hung_up() {
            return Err(Errno::EIO.into());
        }
        if self.terminal.discipline().lock().modes().c_lflag & TOSTOP != 0 && !self.is_console() {
            self.terminal.check_background_change()?;
        }
        self.terminal.write_all(source, file.is_nonblocking(), &|| self.is_hung_up())
    }

    fn ioctl(&self, _file: &File, request: u32, argument: u64) -> Result<u64, Failure> {
        if self.is_hung_up() {
            let error = if request == TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO };
            return Err(error.into());
        }
        let thread = current().ok_or(Errno::ENOTTY)?;
        super::request::handle(&self.terminal, &thread, request, argument)
    }

    fn is_pollable(&self) -> bool {
        true
    }

    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        let ready = self.terminal.poll(watcher)?;
        let hung_up = PollEvents::ALWAYS_READY.union(PollEvents((POLLERR | POLLHUP) as u32));
        Ok(if self.is_hung_up() { hung_up } else { ready })
    }

    fn with_async_files(&self, _file: &File, change: &mut dyn FnMut(&AsyncFiles)) -> bool {
        if self.is_hung_up() {
            return false;
        }
        self.terminal.with_async_files(change);
        true
    }
}
