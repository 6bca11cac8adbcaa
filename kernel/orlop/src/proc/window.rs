//! Files of `/proc/PID` that show a piece of the process's memory as it is: `cmdline`, `environ`, `auxv`, `mem`:
//! proc(5).
//!
//! Nothing is kept between reads: each one looks at the memory that its position means.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::Errno;
use libkernel::addr::{PAGE_SIZE, UserAddr};
use memory::AddressSpace;
use memory::layout::Layout;
use memory::user::IoSink;
use outcome::Failure;
use vfs::file::{File, FileOperations};

use super::subject::Subject;

/// Bytes that are copied at once.
const STEP: usize = PAGE_SIZE as usize;

/// Hands `length` bytes of memory from `start` on to the sink, as far as `read` finds them and it takes them.
fn show(
    read: impl Fn(UserAddr, &mut [u8]) -> usize,
    start: UserAddr,
    length: u64,
    sink: &mut IoSink<'_>,
) -> Result<(), Failure> {
    let mut left = usize::try_from(length).unwrap_or(usize::MAX).min(sink.remaining());
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(STEP.min(left))?;
    buffer.resize(STEP.min(left), 0);
    let mut from = start;
    while left > 0 {
        let wanted = STEP.min(left);
        let read = read(from, buffer.get_mut(..wanted).unwrap_or_default());
        let moved = sink.put(buffer.get(..read).unwrap_or_default())?;
        left -= moved;
        match from.checked_add(moved as u64) {
            Some(next) if moved == wanted => from = next,
            _ => break,
        }
    }
    Ok(())
}

/// `cmdline`: the arguments, or what the program made of them.
struct CommandLine {
    subject: Subject,
}

/// Opens `cmdline`.
pub fn command_line(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    Ok(Arc::new(CommandLine { subject }))
}

impl FileOperations for CommandLine {
    fn is_pollable(&self) -> bool {
        false
    }

    /// A program that writes a title over its arguments may run on into its environment. It is told by the byte that
    /// ended the last argument: where that is no longer zero, the text up to the first zero is the title, of a page at
    /// most (Linux: `get_mm_cmdline`).
    fn read(&self, _file: &File, position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        self.subject.check()?;
        let Ok(space) = self.subject.address_space() else { return Ok(()) };
        let Layout { arguments, environment, .. } = space.layout();
        if arguments.length() == 0 {
            return Ok(());
        }
        let mut last = [0];
        if let Some(at) = arguments.start().checked_add(arguments.length() - 1) {
            space.read_remote_anonymous(at, &mut last);
        }
        let is_title = last != [0];
        let runs_on = is_title && environment.start() == arguments.end();
        let length = arguments.length() + if runs_on { environment.length() } else { 0 };
        let length = if is_title { title_length(&space, arguments.start(), length)? } else { length };
        if position < length
            && let Some(start) = arguments.start().checked_add(position)
        {
            show(|at, bytes| space.read_remote_anonymous(at, bytes), start, length - position, sink)?;
        }
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        true
    }
}

/// How much of `most` bytes is the title: up to the first zero, and with it.
fn title_length(space: &AddressSpace, start: UserAddr, most: u64) -> Result<u64, Failure> {
    let mut title = Vec::new();
    title.try_reserve_exact(STEP)?;
    title.resize(STEP, 0);
    let there = space.read_remote_anonymous(start, &mut title);
    let text = title.get(..there).unwrap_or_default();
    let length = text.iter().position(|&byte| byte == 0).map_or(text.len(), |zero| zero + 1);
    Ok((length as u64).min(most))
}

/// A part of the memory that the process had when the file was opened.
struct Window {
    space: Weak<AddressSpace>,
    part: Part,
}

enum Part {
    Environment,
    AuxiliaryVector,
    All,
}

fn window(subject: &Subject, part: Part) -> Result<Arc<dyn FileOperations>, Errno> {
    Ok(Arc::new(Window { space: subject.memory()?, part }))
}

/// Opens `environ`.
pub fn environment(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    window(&subject, Part::Environment)
}

/// Opens `auxv`.
pub fn auxiliary_vector(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    window(&subject, Part::AuxiliaryVector)
}

/// Opens `mem`, where positions are addresses. It can be read only.
pub fn memory(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    window(&subject, Part::All)
}

impl FileOperations for Window {
    fn is_pollable(&self) -> bool {
        false
    }

    fn read(&self, _file: &File, position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        let Some(space) = self.space.upgrade() else { return Ok(()) };
        match self.part {
            Part::Environment => {
                let range = space.layout().environment;
                let read = |at, bytes: &mut [u8]| space.read_remote_anonymous(at, bytes);
                match range.start().checked_add(position) {
                    Some(start) if position < range.length() => {
                        show(read, start, range.length() - position, sink)
                    }
                    _ => Ok(()),
                }
            }
            Part::AuxiliaryVector => {
                let vector = space.auxiliary_vector()?;
                let from = usize::try_from(position).unwrap_or(usize::MAX);
                sink.put(vector.get(from..).unwrap_or_default())?;
                Ok(())
            }
            Part::All => {
                let before = sink.moved();
                show(|at, bytes| space.read_remote(at, bytes), UserAddr::new(position), u64::MAX, sink)?;
                // Linux: EIO where not even one byte can be read.
                let nothing = sink.moved() == before && sink.remaining() > 0;
                if nothing { Err(Errno::EIO.into()) } else { Ok(()) }
            }
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn knows_its_end(&self) -> bool {
        !matches!(self.part, Part::All)
    }
}
