//! The kernel itself as files of `/proc`: `kallsyms`, `kmsg`, `sysrq-trigger`.
//!
//! Source: Linux 6.1, `kernel/kallsyms.c`, `fs/proc/kmsg.c`, `drivers/tty/sysrq.c`.

use alloc::sync::Arc;
use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use abi::syslog::SYSLOG_ACTION_OPEN;
use libkernel::text::Text;
use memory::user::{IoSink, IoSource};
use outcome::Failure;
use subject::{Credentials, capability};
use vfs::file::{File, FileOperations};
use vfs::generated::Class;
use vfs::generated::content::{Content, SequenceFile};
use vfs::poll::{PollEvents, Watcher};

use crate::kmsg::syslog;
use crate::process::current;
use crate::tty::sysrq;

/// What the running thread may, if it is a program's.
fn ask<R>(question: impl FnOnce(&Credentials) -> R) -> Option<R> {
    current().map(|thread| thread.with_credentials(|credentials| question(credentials)))
}

/// `kallsyms`: the kernel's functions in ascending order. Only who has `CAP_SYSLOG` when it opens the file learns their
/// addresses.
pub fn open_symbols() -> Result<Arc<dyn FileOperations>, Errno> {
    let may = || ask(|credentials| credentials.has_capability(capability::SYSLOG)).unwrap_or(true);
    let shows_addresses = POINTERS_RESTRICTED.load(Ordering::Relaxed) < 2 && may();
    Ok(SequenceFile::open(Symbols { shows_addresses }, Class::System))
}

/// `kptr_restrict`: from 2 on nobody is shown addresses of the kernel.
pub static POINTERS_RESTRICTED: AtomicU32 = AtomicU32::new(0);

struct Symbols {
    shows_addresses: bool,
}

impl Content for Symbols {
    /// A cursor is an index in the table.
    fn fill(&self, cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        const AT_ONCE: u64 = 64;
        for index in cursor..cursor + AT_ONCE {
            let Some((address, name)) = hal::panic::symbol_at(index as usize) else { return Ok(None) };
            write!(text, "{:016x} t ", if self.shows_addresses { address } else { 0 });
            // A text keeps its failure for later.
            let _ = write!(OneWord(text), "{name}");
            text.put(b"\n");
        }
        Ok(Some(cursor + AT_ONCE))
    }
}

/// A name of Rust may contain blanks, which readers of the file take for its end.
struct OneWord<'a>(&'a mut Text);

impl fmt::Write for OneWord<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        part.bytes().for_each(|byte| self.0.put(&[if byte == b' ' { b'_' } else { byte }]));
        Ok(())
    }
}

/// `kmsg`: the log as `syslog(2)` reads it, with the one position of the whole system. Who may open it is settled here.
pub fn open_log() -> Result<Arc<dyn FileOperations>, Errno> {
    ask(|credentials| syslog::check(SYSLOG_ACTION_OPEN, credentials)).unwrap_or(Ok(()))?;
    Ok(Arc::new(Log))
}

struct Log;

impl FileOperations for Log {
    fn read(&self, file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        // Also for a read of nothing, as in Linux.
        if file.is_nonblocking() && syslog::is_read() {
            return Err(Errno::EAGAIN.into());
        }
        syslog::read(sink, file.is_nonblocking())
    }

    fn write(&self, _file: &File, _position: u64, _source: &mut IoSource<'_>) -> Result<usize, Failure> {
        Err(Class::System.refusal().into())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_pollable(&self) -> bool {
        true
    }

    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        syslog::poll(watcher)
    }
}

/// `sysrq-trigger`: the first byte of a write asks the kernel.
pub fn open_trigger() -> Result<Arc<dyn FileOperations>, Errno> {
    Ok(Arc::new(Trigger))
}

struct Trigger;

impl FileOperations for Trigger {
    fn read(&self, _file: &File, _position: u64, _sink: &mut IoSink<'_>) -> Result<(), Failure> {
        Err(Class::System.refusal().into())
    }

    fn write(&self, _file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let length = source.remaining();
        if length > 0 {
            let mut letter = [0];
            source.take_whole(&mut letter)?;
            sysrq::answer(letter[0]);
        }
        Ok(length)
    }

    fn accepts_any_position(&self) -> bool {
        true
    }

    fn is_pollable(&self) -> bool {
        true
    }
}
