//! Open files that have a signal sent when there is news: those with `O_ASYNC`.
//!
//! A thing that can have such files (a pipe, a terminal) keeps a list for each direction and calls [`AsyncFiles::tell`]
//! wherever Linux sends the signal, after it has woken those who wait; without files that costs a load. Files enter and
//! leave under a lock of that thing
//! ([`FileOperations::with_async_files`](super::file::FileOperations::with_async_files)), which orders it against the
//! news: a file that is not told finds the news when it looks.
//!
//! A list's own lock is a leaf. Signals are sent without it, one file at a time.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use hal::sync::SpinLock;

use super::file::File;
use super::owner::{News, Owner};

/// Files by their addresses.
pub struct AsyncFiles {
    count: AtomicUsize,
    files: SpinLock<BTreeMap<usize, Entry>>,
}

#[derive(Clone)]
struct Entry {
    /// The descriptor by which the file was entered.
    fd: i32,
    owner: Arc<Owner>,
}

impl AsyncFiles {
    /// No files.
    pub const fn new() -> AsyncFiles {
        AsyncFiles { count: AtomicUsize::new(0), files: SpinLock::new(BTreeMap::new()) }
    }

    /// Enters a file, or notes its other descriptor.
    pub fn enter(&self, file: &File, fd: i32) {
        let owner = file.owner().clone();
        let mut files = self.files.lock();
        let before = files.insert(key(file), Entry { fd, owner });
        self.count.store(files.len(), Ordering::Relaxed);
        drop(files);
        drop(before);
    }

    /// Takes a file out; whether it was there.
    pub fn leave(&self, file: &File) -> bool {
        let mut files = self.files.lock();
        let removed = files.remove(&key(file));
        self.count.store(files.len(), Ordering::Relaxed);
        drop(files);
        removed.is_some()
    }

    /// Sends the files' signals. Called without a spin lock.
    #[inline]
    pub fn tell(&self, news: News) {
        if self.count.load(Ordering::Relaxed) != 0 {
            self.tell_all(news);
        }
    }

    #[cold]
    fn tell_all(&self, news: News) {
        let mut from = 0;
        while let Some((address, entry)) = self.next(from) {
            entry.owner.tell(entry.fd, news);
            from = address + 1;
        }
    }

    fn next(&self, from: usize) -> Option<(usize, Entry)> {
        self.files.lock().range(from..).next().map(|(&address, entry)| (address, entry.clone()))
    }
}

fn key(file: &File) -> usize {
    core::ptr::from_ref(file).addr()
}
