//! What a thread has of its own or shares: descriptors, directories, memory.
//!
//! The thread itself alone changes them; others look under each field's lock, and find nothing once it has ended.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use memory::{AddressSpace, OwnReference};
use vfs::context::OwnContext;
use vfs::{FdTable, FsContext};

use super::Thread;

impl Thread {
    /// The descriptor table of the running thread.
    pub fn files(&self) -> Arc<FdTable> {
        self.try_files().expect("a running thread has descriptors")
    }

    /// The descriptor table, unless the thread has ended.
    pub fn try_files(&self) -> Option<Arc<FdTable>> {
        self.files.lock().clone()
    }

    /// Looks at the running thread's descriptor table without counting a reference. `look` must not sleep.
    #[inline]
    pub fn with_files<R>(&self, look: impl FnOnce(&Arc<FdTable>) -> R) -> R {
        look(self.files.lock().as_ref().expect("a running thread has descriptors"))
    }

    /// Gives the thread another descriptor table, or none at its end.
    pub fn set_files(&self, files: Option<Arc<FdTable>>) {
        let old = core::mem::replace(&mut *self.files.lock(), files);
        drop(old);
    }

    /// Root, working directory and umask of the running thread.
    pub fn fs(&self) -> Arc<FsContext> {
        self.try_fs().expect("a running thread has a root directory")
    }

    /// Root, working directory and umask, unless the thread has ended.
    pub fn try_fs(&self) -> Option<Arc<FsContext>> {
        self.fs.lock().as_ref().map(|own| own.get().clone())
    }

    /// Looks at the running thread's [`FsContext`] without counting a reference. `look` must not sleep.
    #[inline]
    pub fn with_fs<R>(&self, look: impl FnOnce(&Arc<FsContext>) -> R) -> R {
        look(self.fs.lock().as_ref().expect("a running thread has a root directory").get())
    }

    /// Gives the thread another [`FsContext`], or none at its end.
    pub fn set_fs(&self, fs: Option<Arc<FsContext>>) {
        let old = core::mem::replace(&mut *self.fs.lock(), fs.map(OwnContext::new));
        drop(old);
    }

    /// The memory of the running thread, which counts references of its own; `None` once it has ended.
    #[inline]
    pub fn memory(&self) -> Option<Arc<OwnReference>> {
        self.memory.lock().clone()
    }

    /// What tells the memory of the running thread from that of others; `None` once it has ended.
    #[inline]
    pub fn memory_id(&self) -> Option<usize> {
        Some(self.memory_id.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// Gives the thread other memory, or none at its end.
    pub(in crate::process) fn set_memory(&self, space: Option<Arc<AddressSpace>>) {
        self.memory_id.store(space.as_ref().map_or(0, |space| Arc::as_ptr(space).addr()), Ordering::Relaxed);
        let new = space.map(OwnReference::new);
        let old = core::mem::replace(&mut *self.memory.lock(), new);
        drop(old);
    }
}
