//! Many readers or one writer, without waiting: the safe core of the sleeping reader-writer lock.
//!
//! A reader counts itself and then looks for a writer; a writer raises its flag and then looks at the counts. Both steps are
//! sequentially consistent, so at least one of two that meet sees the other, and withdraws. A reader that has counted itself
//! for a moment may have been seen by a writer that now waits: it is told so, to wake it.
//!
//! Readers are counted in one word at first. [`TryWriteGuard::spread`] gives each CPU a word in a line of its own: readers
//! on different CPUs then write to no common line, and a writer has as many counts to look at as there are CPUs.
use super::Once;
use super::order::{Class, Kind};
use crate::arch::Arch;
use crate::contract::Cpu as _;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A lock around `T`.
pub struct TryRwLock<T: ?Sized> {
    class: Class,
    writer: AtomicBool,
    /// Readers inside that are counted here.
    readers: AtomicUsize,
    /// Readers inside, by the CPU on which they came.
    spread: Once<Box<[Count]>>,
    value: UnsafeCell<T>,
}

/// Readers that came on one CPU. They may leave on another.
#[repr(align(64))]
struct Count(AtomicUsize);

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
            readers: AtomicUsize::new(0),
            spread: Once::new(),
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

    /// Whether [`TryWriteGuard::spread`] would change nothing.
    pub fn is_spread(&self) -> bool {
        crate::cpu::count() == 1 || self.spread.get().is_some()
    }

    /// Enters as a reader unless a writer is inside.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_read(&self) -> Result<TryReadGuard<'_, T>, Refused> {
        if self.writer.load(Ordering::Relaxed) {
            self.class.contended();
            return Err(Refused::Taken);
        }
        let count = self.count_here();
        count.fetch_add(1, Ordering::SeqCst);
        if self.writer.load(Ordering::SeqCst) {
            count.fetch_sub(1, Ordering::Release);
            self.class.contended();
            return Err(Refused::Withdrawn);
        }
        self.class.taken(Kind::Sleep);
        Ok(TryReadGuard { lock: self, count, not_send: PhantomData })
    }

    /// Where a reader on this CPU is counted. It need not stay here: any count will do.
    #[inline(always)]
    fn count_here(&self) -> &AtomicUsize {
        match self.spread.get() {
            Some(counts) => counts.get(Arch::id()).map_or(&self.readers, |count| &count.0),
            None => &self.readers,
        }
    }

    /// Enters as the writer unless anybody is inside.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_write(&self) -> Option<TryWriteGuard<'_, T>> {
        if self.writer.swap(true, Ordering::SeqCst) {
            self.class.contended();
            return None;
        }
        if self.has_readers() {
            self.writer.store(false, Ordering::Release);
            self.class.contended();
            return None;
        }
        self.class.taken(Kind::Sleep);
        Some(TryWriteGuard { lock: self, not_send: PhantomData })
    }

    #[inline(always)]
    fn has_readers(&self) -> bool {
        let has = |count: &AtomicUsize| count.load(Ordering::SeqCst) != 0;
        has(&self.readers) || self.spread.get().is_some_and(|counts| counts.iter().any(|count| has(&count.0)))
    }
}

impl<T: ?Sized> TryWriteGuard<'_, T> {
    /// From now on readers on different CPUs write to different lines. Without memory for those nothing changes.
    ///
    /// By the writer alone: whoever finds the new counts comes after it, and so does each writer who must look at them.
    pub fn spread(&self) {
        let count = crate::cpu::count();
        let mut counts = Vec::new();
        if !self.lock.is_spread() && counts.try_reserve_exact(count).is_ok() {
            counts.resize_with(count, || Count(AtomicUsize::new(0)));
            let _ = self.lock.spread.set(counts.into_boxed_slice());
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
