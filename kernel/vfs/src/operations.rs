//! What a file does that is no stored content: the trait behind devices, pipes, terminals and files that the kernel
//! makes up.
//!
//! Each method has the answer of a file that cannot. [`File`] calls them; whatever lock a method takes comes after the
//! file's position.

use alloc::sync::Arc;
use core::any::Any;

use abi::Errno;
use memory::Object;
use memory::user::{IoSink, IoSource};
use outcome::Failure;

use super::asynchronous::AsyncFiles;
use super::file::File;
use super::poll::{PollEvents, Watcher};

/// What a file without a stored content can do. Every method has the answer of a file that cannot. A call that wants
/// one kind of file asks for its type ([`File::operations`]).
pub trait FileOperations: Any + Send + Sync {
    /// Reads at `position` into the sink, which counts the bytes; nothing moved means the end of the file.
    fn read(&self, file: &File, position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        let _ = (file, position, sink);
        Err(Errno::EINVAL.into())
    }

    /// Writes from the source at `position`; returns how many bytes the file has stored, which the source cannot know:
    /// it counts what was taken out of it. An error means that nothing was stored. Where every byte that is taken is
    /// stored at once, [`IoSource::finish`] makes the answer.
    fn write(&self, file: &File, position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let _ = (file, position, source);
        Err(Errno::EINVAL.into())
    }

    /// Whether the file has a position; the others fail `lseek` and `pread` with ESPIPE.
    fn is_seekable(&self) -> bool {
        false
    }

    /// Whether every position is the same to the file, as to `/dev/null`: `pread` works and `lseek` stays at 0.
    fn accepts_any_position(&self) -> bool {
        false
    }

    /// Whether positions can be counted from its end, and data be looked for in it.
    fn knows_its_end(&self) -> bool {
        true
    }

    /// Whether `splice` and `sendfile` read from it.
    fn can_be_spliced(&self) -> bool {
        false
    }

    /// Whether what comes out of a pipe or another file can go into it without passing through the program.
    fn takes_splices(&self) -> bool {
        false
    }

    /// `lseek` of a file that has positions of its own; `None` where it moves as other files do.
    fn seek(&self, offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        let _ = (offset, whence);
        None
    }

    /// A device-specific request of the running thread. ENOTTY for one the file does not know.
    fn ioctl(&self, file: &File, request: u32, argument: u64) -> Result<u64, Failure> {
        let _ = (file, request, argument);
        Err(Errno::ENOTTY.into())
    }

    /// What the file is ready for now; has `watcher` told of changes.
    fn poll(&self, file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        let _ = (file, watcher);
        Ok(PollEvents::ALWAYS_READY)
    }

    /// Whether readiness means anything to the file: whether Linux's code for it has a `poll`. The others are always
    /// ready, and `epoll_ctl` refuses them with EPERM. Without a default, so that no file forgets to say it.
    fn is_pollable(&self) -> bool;

    /// The memory that a mapping of the file shows, if it can be mapped.
    fn mapping(&self) -> Mapping {
        Mapping::None
    }

    /// Calls `change` with the lists of files that are sent a signal when there is news for this one, under a lock that
    /// orders it against the news. False for a file that sends none (Linux: whose code has no `fasync`).
    fn with_async_files(&self, file: &File, change: &mut dyn FnMut(&AsyncFiles)) -> bool {
        let _ = (file, change);
        false
    }

    /// The last reference to the open file is gone.
    fn release(&self, file: &File) {
        let _ = file;
    }
}

impl dyn FileOperations {
    /// The code itself, if it is of this type.
    #[inline]
    pub fn of_type<T: FileOperations>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// What `mmap` of a file maps.
pub enum Mapping {
    /// Nothing: ENODEV.
    None,
    /// These pages.
    Object(Arc<Object>),
    /// Fresh zeroes: `/dev/zero`.
    Zeroes,
}
