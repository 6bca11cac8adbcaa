//! Open files: what descriptors refer to.
//!
//! A [`File`] is Linux's open file description: one opening of an inode, with its position and status flags, shared by
//! `dup` and `fork`. Regular files and directories are handled here; everything else brings a [`FileOperations`].
//!
//! A file's position is used in turns: reads and writes there come one after the other, however long they copy (Linux:
//! `f_pos_lock`).
//!
//! Lock order: the position before the turns and locks of the file's inode.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use abi::fs::{O_ACCMODE, O_APPEND, O_ASYNC, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_WRONLY};
use hal::sync::Once;
use memory::Object;
use memory::user::{IoSink, IoSource};
use outcome::Failure;
use sched::turns::Turns;

use super::clock;
use super::epoll::{Epoll, Watchers};
use super::fd_table::FdTable;
use super::inode::{Body, Inode};
use super::mount::Location;
use super::notify::{self, Event, Opening};
pub use super::operations::{FileOperations, Mapping};
use super::owner::Owner;
use super::poll::{PollEvents, Watcher};
use super::writers::ContentWriter;

/// How an open file reaches its content.
pub enum Handle {
    /// Opened with `O_PATH`: not at all. Something may be kept until it is closed, such as a tree of mounts that is
    /// attached nowhere.
    Path(Option<Arc<dyn Any + Send + Sync>>),
    /// The inode's page cache.
    Bytes,
    /// The names of the inode's directory.
    Directory,
    /// By code.
    Special(Arc<dyn FileOperations>),
}

/// An open file description.
pub struct File {
    location: Location,
    handle: Handle,
    /// Access mode and the flags that `F_GETFL` shows.
    flags: AtomicU32,
    /// Where the next `read` or `write` begins; also orders them.
    position: Turns<u64>,
    /// Keeps the file from being executed and its mount from becoming read-only while it is open for writing.
    writer: Option<ContentWriter>,
    owner: Once<Arc<Owner>>,
    /// What the code behind it noted when it was opened.
    opening_note: AtomicU64,
    /// The epoll items that watch it, unless it is an epoll instance, which knows its own.
    watchers: Watchers,
}

/// The flags that `F_SETFL` can change by itself; `O_ASYNC` follows what the file can do.
pub const SETTABLE_FLAGS: u32 = O_APPEND | O_NONBLOCK | abi::fs::O_DIRECT | abi::fs::O_NOATIME;

/// EINVAL where a transfer would end beyond the last position that there is (Linux: `rw_verify_area`).
#[inline]
fn check_range(position: u64, count: usize) -> Result<(), Errno> {
    match position.checked_add(count as u64) {
        Some(end) if end <= i64::MAX as u64 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

impl File {
    /// Opens a place, which whoever asks may do. `writer` is the leave to write to its content, where it has some.
    pub fn new(location: Location, handle: Handle, flags: u32, writer: Option<ContentWriter>) -> Arc<File> {
        if is_counted(&handle, flags)
            && let Some(object) = location.dentry.inode().object()
        {
            object.count_reader(true);
        }
        Arc::new(File {
            location,
            handle,
            flags: AtomicU32::new(flags),
            position: Turns::new(0),
            writer,
            owner: Once::new(),
            opening_note: AtomicU64::new(0),
            watchers: Watchers::new(),
        })
    }

    /// The place that was opened.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The inode that was opened.
    #[inline]
    pub fn inode(&self) -> &Arc<Inode> {
        self.location.dentry.inode()
    }

    /// Access mode and status flags, as `F_GETFL` shows them.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// `F_SETFL`: changes the flags of [`SETTABLE_FLAGS`].
    pub fn set_flags(&self, flags: u32) {
        let change = |old: u32| Some(old & !SETTABLE_FLAGS | flags & SETTABLE_FLAGS);
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Sets or clears one status flag: `FIONBIO`, `FIOASYNC`.
    pub fn set_flag(&self, flag: u32, value: bool) {
        if value {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    /// Whether it was opened for reading.
    #[inline]
    pub fn is_readable(&self) -> bool {
        matches!(self.flags() & (O_ACCMODE | O_PATH), O_RDONLY | O_RDWR)
    }

    /// Whether it was opened for writing.
    #[inline]
    pub fn is_writable(&self) -> bool {
        matches!(self.flags() & (O_ACCMODE | O_PATH), O_WRONLY | O_RDWR)
    }

    /// Whether a call on it must not wait.
    pub fn is_nonblocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    /// Whether it is only a place: `O_PATH`.
    pub fn is_path_only(&self) -> bool {
        matches!(self.handle, Handle::Path(_))
    }

    /// Whether it is a directory opened for listing.
    pub fn is_directory(&self) -> bool {
        matches!(self.handle, Handle::Directory)
    }

    /// The code behind it, if it is of that sort.
    pub fn special(&self) -> Option<&Arc<dyn FileOperations>> {
        match &self.handle {
            Handle::Special(operations) => Some(operations),
            _ => None,
        }
    }

    /// The code behind it, if it is of this type: for the calls that want one kind of file.
    #[inline]
    pub fn operations<T: FileOperations>(&self) -> Option<&T> {
        self.special()?.of_type()
    }

    /// The page cache of a regular file that is open for more than its place.
    #[inline]
    pub fn object(&self) -> Option<&Arc<Object>> {
        match &self.handle {
            Handle::Bytes => self.inode().object(),
            _ => None,
        }
    }

    /// Leave to write to a regular file, where it is open for that.
    pub fn writer(&self) -> Option<&ContentWriter> {
        self.writer.as_ref()
    }

    /// What `mmap` of it maps.
    pub fn mapping(&self) -> Mapping {
        match &self.handle {
            Handle::Bytes => {
                self.inode().object().map_or(Mapping::None, |object| Mapping::Object(object.clone()))
            }
            Handle::Special(operations) => operations.mapping(),
            Handle::Path(_) | Handle::Directory => Mapping::None,
        }
    }

    /// Whether it has a position.
    pub fn is_seekable(&self) -> bool {
        match &self.handle {
            Handle::Bytes | Handle::Directory => true,
            Handle::Special(operations) => operations.is_seekable(),
            Handle::Path(_) => false,
        }
    }

    /// Whether positions can be counted from its end, and data be looked for in it.
    pub fn knows_its_end(&self) -> bool {
        match &self.handle {
            Handle::Special(operations) => operations.knows_its_end(),
            Handle::Directory => false,
            Handle::Bytes | Handle::Path(_) => true,
        }
    }

    /// Whether its content can go into a pipe or another file without passing through the program.
    pub fn can_be_spliced(&self) -> bool {
        self.object().is_some() || self.special().is_some_and(|operations| operations.can_be_spliced())
    }

    /// Whether what comes from a pipe or another file can go into it in the same way.
    pub fn takes_splices(&self) -> bool {
        self.object().is_some() || self.special().is_some_and(|operations| operations.takes_splices())
    }

    /// Whether `pread` and its like work on it.
    pub fn accepts_positions(&self) -> bool {
        self.is_seekable() || self.special().is_some_and(|operations| operations.accepts_any_position())
    }

    /// The position.
    pub fn position(&self) -> &Turns<u64> {
        &self.position
    }

    /// Whom its signals are meant for.
    pub fn owner(&self) -> &Arc<Owner> {
        self.owner.get_or_init(|| Arc::new(Owner::new()))
    }

    /// Has signals sent for it (`O_ASYNC`), with the descriptor `fd` in them, or no more. False for a file that sends
    /// none; its flag does not change then.
    pub fn set_asynchronous(&self, fd: i32, is_wanted: bool) -> bool {
        let Some(operations) = self.special() else { return false };
        operations.with_async_files(self, &mut |files| {
            if is_wanted {
                files.enter(self, fd);
                self.set_flag(O_ASYNC, true);
            } else if files.leave(self) {
                // One that has the flag from `open` alone is in no list and, as on Linux, keeps it.
                self.set_flag(O_ASYNC, false);
            }
        })
    }

    /// What the code behind it noted when it was opened; 0 where it did not.
    pub fn opening_note(&self) -> u64 {
        self.opening_note.load(Ordering::Relaxed)
    }

    /// Notes something of this opening, for the code behind it.
    pub fn set_opening_note(&self, note: u64) {
        self.opening_note.store(note, Ordering::Relaxed);
    }

    /// Reads at the file's own position and moves it. EBADF unless open for reading.
    #[inline]
    pub fn read(&self, sink: &mut IoSink<'_>) -> Result<usize, Failure> {
        if !self.is_seekable() {
            return self.read_at(0, sink);
        }
        let mut position = self.position.take()?;
        let moved = self.read_at(*position, sink)?;
        *position += moved as u64;
        Ok(moved)
    }

    /// Reads at a position of the caller's choice.
    pub fn read_at(&self, position: u64, sink: &mut IoSink<'_>) -> Result<usize, Failure> {
        if !self.is_readable() {
            return Err(Errno::EBADF.into());
        }
        check_range(position, sink.remaining())?;
        let outcome = match &self.handle {
            Handle::Bytes => self.read_bytes(position, sink).map_err(Failure::from),
            Handle::Special(operations) => operations.read(self, position, sink),
            Handle::Directory => Err(Errno::EISDIR.into()),
            Handle::Path(_) => Err(Errno::EBADF.into()),
        };
        sink.finish(outcome)
    }

    /// Writes at the file's own position, or at its end with `O_APPEND`, and moves the position. EBADF unless open for
    /// writing.
    #[inline]
    pub fn write(&self, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        if !self.is_seekable() {
            return self.write_at(0, source);
        }
        let mut position = self.position.take()?;
        if self.flags() & O_APPEND != 0 && matches!(self.handle, Handle::Bytes) {
            let (start, moved) = self.append(source)?;
            *position = start + moved as u64;
            return Ok(moved);
        }
        let moved = self.write_at(*position, source)?;
        *position += moved as u64;
        Ok(moved)
    }

    /// Writes at a position of the caller's choice.
    pub fn write_at(&self, position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        if !self.is_writable() {
            return Err(Errno::EBADF.into());
        }
        check_range(position, source.remaining())?;
        match &self.handle {
            Handle::Bytes => self.write_bytes(position, source),
            Handle::Special(operations) => operations.write(self, position, source),
            Handle::Directory | Handle::Path(_) => Err(Errno::EBADF.into()),
        }
    }

    /// Writes at the end of a regular file, wherever that is when its turn comes; returns where it was and how much was
    /// written.
    pub fn append(&self, source: &mut IoSource<'_>) -> Result<(u64, usize), Failure> {
        let object = self.object().filter(|_| self.is_writable()).ok_or(Errno::EBADF)?;
        let prepare = |end, source: &mut IoSource<'_>| {
            super::limits::limit_growth(end, source)?;
            Ok(self.note_writing(source)?)
        };
        let (start, outcome): (_, Result<(), Failure>) = object.append(source, prepare)?;
        self.note_written(source.moved());
        self.drop_new_privileges(source);
        Ok((start, source.finish(outcome)?))
    }

    fn read_bytes(&self, position: u64, sink: &mut IoSink<'_>) -> Result<(), Errno> {
        let object = self.inode().object().ok_or(Errno::EINVAL)?;
        object.read(position, sink)?;
        self.note_read();
        Ok(())
    }

    fn write_bytes(&self, position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let object = self.inode().object().ok_or(Errno::EINVAL)?;
        super::limits::limit_growth(position, source)?;
        self.note_writing(source)?;
        let outcome = object.write(position, source);
        self.note_written(source.moved());
        self.drop_new_privileges(source);
        Ok(source.finish(outcome)?)
    }

    /// Tells who watches the file's directory that bytes moved, if any did. To be asked only where `notify::is_any`: a
    /// call hands its outcome on where it came.
    #[cold]
    #[inline(never)]
    pub fn tell_of_bytes(&self, event: Event, outcome: Result<usize, Failure>) -> Result<usize, Failure> {
        if matches!(outcome, Ok(1..)) {
            self.location.dentry.tell(event);
        }
        outcome
    }

    /// By what a directory is watched that was opened and is used by a descriptor table.
    fn opening(&self, table: *const FdTable) -> Opening {
        (core::ptr::from_ref(self).addr(), table.addr())
    }

    /// Has its owner signalled of changes in the directory that it is: see [`notify::Watched::add`].
    pub fn watch(&self, table: *const FdTable, fd: i32, mask: u32) -> Result<(), Errno> {
        self.inode().watched.add(self.opening(table), self.owner(), fd, mask)
    }

    /// A descriptor of the directory is closed by the user of a table, or its watch is given up.
    #[inline]
    pub fn end_watch(&self, table: *const FdTable) {
        if notify::is_any() {
            self.inode().watched.end(self.opening(table));
        }
    }

    /// The content was read: the access time follows, unless flags of file or mount say not.
    pub fn note_read(&self) {
        if self.flags() & abi::fs::O_NOATIME == 0 {
            clock::touch_accessed(&self.location);
        }
    }

    /// Whether nothing of it may be executed: it was opened through a mount that says so (`MS_NOEXEC`).
    pub fn forbids_execution(&self) -> bool {
        self.location.mount.flags() & abi::fs::MS_NOEXEC != 0
    }

    /// The content is about to be written: what it gives to who executes it goes first (Linux: `file_remove_privs`).
    #[inline(always)]
    fn note_writing(&self, source: &IoSource<'_>) -> Result<(), Errno> {
        if source.remaining() > 0 && super::limits::drop_privileges(self.inode())? {
            self.location.dentry.tell(Event::Attributes);
        }
        Ok(())
    }

    /// The content was written: times follow.
    /// What the file gives to who executes it since this write has begun goes, too: some of the bytes came after that.
    #[inline(always)]
    fn drop_new_privileges(&self, source: &IoSource<'_>) {
        if super::limits::has_privileges(self.inode()) && source.moved() > 0 {
            // Bytes are written, and that is what the call says.
            let _ = super::limits::drop_privileges(self.inode());
        }
    }

    fn note_written(&self, moved: usize) {
        if moved > 0 {
            self.inode().touch_modified(clock::now());
        }
    }

    /// The epoll items that watch it.
    pub fn watchers(&self) -> &Watchers {
        self.operations().map_or(&self.watchers, Epoll::watchers)
    }

    /// What the file is ready for; has `watcher` told of changes.
    pub fn poll(&self, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        match &self.handle {
            Handle::Special(operations) => operations.poll(self, watcher),
            Handle::Bytes | Handle::Directory => Ok(PollEvents::ALWAYS_READY),
            Handle::Path(_) => Ok(PollEvents::INVALID),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Handle::Special(operations) = &self.handle {
            self.watchers().end();
            if self.flags() & O_ASYNC != 0 {
                self.set_asynchronous(0, false);
            }
            operations.release(self);
        }
        let inode = self.location.dentry.inode();
        inode.locks.release_file(self);
        if is_counted(&self.handle, self.flags())
            && let Some(object) = inode.object()
        {
            object.count_reader(false);
        }
    }
}

/// Whether it is one of those that have a stored file open for reading alone.
#[inline]
fn is_counted(handle: &Handle, flags: u32) -> bool {
    matches!(handle, Handle::Bytes) && flags & O_ACCMODE == O_RDONLY
}

/// Makes the handle for an inode that is opened; the kinds that need more come with their own code.
pub(crate) fn plain_handle(inode: &Inode) -> Option<Handle> {
    match &inode.body {
        Body::Bytes(_) => Some(Handle::Bytes),
        Body::Directory(_) => Some(Handle::Directory),
        Body::Special(operations) => Some(Handle::Special(operations.clone())),
        _ => None,
    }
}
