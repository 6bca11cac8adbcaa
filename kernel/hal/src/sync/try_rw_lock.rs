//! Many readers or one writer, without waiting: the safe core of the sleeping reader-writer lock.
//!
//! `waiters` are told when somebody leaves for whom others wait. A reader that has counted itself for a moment
//! ([`ReaderCounts`]), and a writer that looks at the counts with its flag up, may turn others away who then wait: both
//! leave as if they had been inside.
use super::gate::{Gate, HandOn};
use super::order::{Class, Kind};
use super::reader_counts::ReaderCounts;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

/// A lock around `T`.
pub struct TryRwLock<T: ?Sized, W: HandOn = ()> {
    class: Class,
    /// Held by the writer.
    gate: Gate,
    readers: ReaderCounts,
    waiters: W,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out the value exclusively to one writer, or shared to readers.
unsafe impl<T: ?Sized + Send, W: HandOn + Send> Send for TryRwLock<T, W> {}
// SAFETY: as above; readers share the value, and whoever leaves uses `waiters`, hence `Sync`.
unsafe impl<T: ?Sized + Send + Sync, W: HandOn + Sync> Sync for TryRwLock<T, W> {}

/// Shared access to the value.
pub struct TryReadGuard<'a, T: ?Sized, W: HandOn = ()> {
    lock: &'a TryRwLock<T, W>,
    count: &'a AtomicUsize,
    not_send: PhantomData<*mut ()>,
}

/// Exclusive access to the value.
pub struct TryWriteGuard<'a, T: ?Sized, W: HandOn = ()> {
    lock: &'a TryRwLock<T, W>,
    not_send: PhantomData<*mut ()>,
}

impl<T, W: HandOn> TryRwLock<T, W> {
    /// An open lock around `value`, and who waits for it.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T, waiters: W) -> Self {
        Self {
            class: Class::here(),
            gate: Gate::new(),
            readers: ReaderCounts::new(),
            waiters,
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized, W: HandOn> TryRwLock<T, W> {
    /// The caller sleeps until the lock is free: for lock-order checking, before the first try.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn will_wait(&self) {
        self.class.wait(Kind::Sleep);
    }

    /// Enters as a reader if the lock is open.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_read(&self) -> Option<TryReadGuard<'_, T, W>> {
        if !self.gate.is_open(Ordering::Relaxed) {
            self.class.contended();
            return None;
        }
        let Some(count) = self.readers.enter(|| !self.gate.is_open(Ordering::SeqCst)) else {
            self.class.contended();
            self.reader_left();
            return None;
        };
        self.class.taken(Kind::Sleep);
        Some(TryReadGuard { lock: self, count, not_send: PhantomData })
    }

    /// Enters as a reader unless a writer is inside, for the first of those who wait; the lock is kept for them.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_read_as_first(&self) -> Option<TryReadGuard<'_, T, W>> {
        let count =
            if self.gate.keep() { self.readers.enter(|| self.gate.is_held(Ordering::SeqCst)) } else { None };
        let Some(count) = count else {
            self.class.contended();
            return None;
        };
        self.class.taken(Kind::Sleep);
        Some(TryReadGuard { lock: self, count, not_send: PhantomData })
    }

    /// Enters as the writer if the lock is open and nobody is inside.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_write(&self) -> Option<TryWriteGuard<'_, T, W>> {
        if !self.gate.take(Ordering::SeqCst) {
            self.class.contended();
            return None;
        }
        if self.readers.is_any() {
            self.class.contended();
            self.writer_left();
            return None;
        }
        self.class.taken(Kind::Sleep);
        Some(TryWriteGuard { lock: self, not_send: PhantomData })
    }

    /// Enters as the writer unless anybody is inside, for the first of those who wait; else the lock is kept for them.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_write_as_first(&self) -> Option<TryWriteGuard<'_, T, W>> {
        if !self.gate.take_as_first() {
            self.class.contended();
            return None;
        }
        if self.readers.is_any() {
            self.class.contended();
            // It is kept: who is inside tells.
            self.gate.leave();
            return None;
        }
        self.class.taken(Kind::Sleep);
        Some(TryWriteGuard { lock: self, not_send: PhantomData })
    }

    /// Who waits, and the gate that is kept for them.
    pub const fn waiters(&self) -> (&W, &Gate) {
        (&self.waiters, &self.gate)
    }

    /// A reader is no longer counted. Who waits to write has kept the lock before it looked at the counts; the fence
    /// pairs with that.
    #[inline(always)]
    fn reader_left(&self) {
        fence(Ordering::SeqCst);
        if !self.gate.is_open(Ordering::Relaxed) {
            self.last_reader_hands_on();
        }
    }

    /// The last reader of those that leave finds nobody counted.
    #[cold]
    #[inline(never)]
    fn last_reader_hands_on(&self) {
        if !self.readers.is_any() {
            self.waiters.hand_on(&self.gate);
        }
    }

    #[inline(always)]
    fn writer_left(&self) {
        if !self.gate.leave() {
            self.waiters.hand_on(&self.gate);
        }
    }

    /// Readers on different CPUs will write to different lines. `enter` waits until it is this lock's writer; panics if
    /// it is another's. Without memory for the counts nothing changes.
    pub fn count_per_cpu<'a>(&'a self, enter: impl FnOnce() -> TryWriteGuard<'a, T, W>) {
        if let Some(counts) = self.readers.prepare() {
            let guard = enter();
            assert!(ptr::eq(&raw const guard.lock.gate, &raw const self.gate), "another lock's writer");
            let refused = self.readers.count_per_cpu(counts);
            drop(guard);
            drop(refused);
        }
    }
}

impl<T: ?Sized, W: HandOn> Deref for TryReadGuard<'_, T, W> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a reader is counted, so no writer is inside.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized, W: HandOn> Drop for TryReadGuard<'_, T, W> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.class.left();
        self.count.fetch_sub(1, Ordering::Release);
        self.lock.reader_left();
    }
}

impl<T: ?Sized, W: HandOn> Deref for TryWriteGuard<'_, T, W> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the flag says that one writer is inside, no reader is counted, and the guard is that writer.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized, W: HandOn> DerefMut for TryWriteGuard<'_, T, W> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized, W: HandOn> Drop for TryWriteGuard<'_, T, W> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.class.left();
        self.lock.writer_left();
    }
}
