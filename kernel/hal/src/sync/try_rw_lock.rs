//! Many readers or one writer, without waiting: the safe core of the sleeping reader-writer lock.
//!
//! A reader that has counted itself for a moment ([`ReaderCounts`]) may have been seen by a writer that now waits: it
//! is told so, to wake it.
use super::order::{Class, Kind};
use super::reader_counts::ReaderCounts;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A lock around `T`.
pub struct TryRwLock<T: ?Sized> {
    class: Class,
    writer: AtomicBool,
    readers: ReaderCounts,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out the value exclusively to one writer, or shared to readers.
unsafe impl<T: ?Sized + Send> Send for TryRwLock<T> {}
// SAFETY: as above; readers share the value, hence `Sync`.
unsafe impl<T: ?Sized + Send + Sync> Sync for TryRwLock<T> {}

/// Why a reader could not enter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// A writer is inside, or looks whether it may be.
    Taken,
    /// The same, and the writer may have seen this reader: whoever waits to write is to be woken.
    Withdrawn,
}

/// Shared access to the value.
pub struct TryReadGuard<'a, T: ?Sized> {
    lock: &'a TryRwLock<T>,
    count: &'a AtomicUsize,
    not_send: PhantomData<*mut ()>,
}

/// Exclusive access to the value.
pub struct TryWriteGuard<'a, T: ?Sized> {
    lock: &'a TryRwLock<T>,
    not_send: PhantomData<*mut ()>,
}

impl<T> TryRwLock<T> {
    /// An open lock around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Self {
        Self {
            class: Class::here(),
            writer: AtomicBool::new(false),
            readers: ReaderCounts::new(),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> TryRwLock<T> {
    /// The caller sleeps until the lock is free: for lock-order checking, before the first try.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn will_wait(&self) {
        self.class.wait(Kind::Sleep);
    }

    /// Enters as a reader unless a writer is inside.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_read(&self) -> Result<TryReadGuard<'_, T>, Refused> {
        if self.writer.load(Ordering::Relaxed) {
            self.class.contended();
            return Err(Refused::Taken);
        }
        let Some(count) = self.readers.enter(&self.writer) else {
            self.class.contended();
            return Err(Refused::Withdrawn);
        };
        self.class.taken(Kind::Sleep);
        Ok(TryReadGuard { lock: self, count, not_send: PhantomData })
    }

    /// Enters as the writer unless anybody is inside.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_write(&self) -> Option<TryWriteGuard<'_, T>> {
        if self.writer.swap(true, Ordering::SeqCst) {
            self.class.contended();
            return None;
        }
        if self.readers.is_any() {
            self.writer.store(false, Ordering::Release);
            self.class.contended();
            return None;
        }
        self.class.taken(Kind::Sleep);
        Some(TryWriteGuard { lock: self, not_send: PhantomData })
    }

    /// Readers on different CPUs will write to different lines. `enter` waits until it is this lock's writer; panics if
    /// it is another's. Without memory for the counts nothing changes.
    pub fn count_per_cpu<'a>(&'a self, enter: impl FnOnce() -> TryWriteGuard<'a, T>) {
        if let Some(counts) = self.readers.prepare() {
            let guard = enter();
            assert!(ptr::eq(&raw const guard.lock.writer, &raw const self.writer), "another lock's writer");
            let refused = self.readers.count_per_cpu(counts);
            drop(guard);
            drop(refused);
        }
    }
}

impl<T: ?Sized> Deref for TryReadGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a reader is counted, so no writer is inside.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for TryReadGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.class.left();
        self.count.fetch_sub(1, Ordering::Release);
    }
}

impl<T: ?Sized> Deref for TryWriteGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the flag says that one writer is inside, no reader is counted, and the guard is that writer.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for TryWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for TryWriteGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.class.left();
        self.lock.writer.store(false, Ordering::Release);
    }
}
