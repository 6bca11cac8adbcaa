//! Locks that never wait: the safe core of sleeping locks.
//!
//! Who finds one taken gets `None` and does something about it; the kernel's sleeping `Mutex` and `RwLock` put the thread into a
//! wait queue. Holding one does not turn preemption off, so the holder may sleep.
use super::order::{Class, Kind};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Mutual exclusion without waiting.
pub struct TryLock<T: ?Sized> {
    class: Class,
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out the value to one holder at a time.
unsafe impl<T: ?Sized + Send> Send for TryLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for TryLock<T> {}

/// Access to the value while the lock is held.
pub struct TryGuard<'a, T: ?Sized> {
    lock: &'a TryLock<T>,
    not_send: PhantomData<*mut ()>,
}

impl<T> TryLock<T> {
    /// An open lock around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Self {
        Self { class: Class::here(), locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value, when nobody can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> TryLock<T> {
    /// The caller sleeps until the lock is free: for lock-order checking, before the first try.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn will_wait(&self) {
        self.class.wait(Kind::Sleep);
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<TryGuard<'_, T>> {
        if self.locked.swap(true, Ordering::Acquire) {
            self.class.contended();
            return None;
        }
        self.class.taken(Kind::Sleep);
        Some(TryGuard { lock: self, not_send: PhantomData })
    }

    /// The value, without locking: the exclusive borrow proves that nobody else looks.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized> Deref for TryGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so its owner holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for TryGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists and is borrowed exclusively, so its owner holds the lock.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for TryGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.class.left();
        self.lock.locked.store(false, Ordering::Release);
    }
}

/// The count that stands for one writer.
const WRITER: usize = usize::MAX;

/// Many readers or one writer, without waiting.
pub struct TryRwLock<T: ?Sized> {
    class: Class,
    /// Readers inside, or [`WRITER`].
    holders: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out the value exclusively to one writer, or shared to readers.
unsafe impl<T: ?Sized + Send> Send for TryRwLock<T> {}
// SAFETY: as above; readers share the value, hence `Sync`.
unsafe impl<T: ?Sized + Send + Sync> Sync for TryRwLock<T> {}

/// Shared access to the value.
pub struct TryReadGuard<'a, T: ?Sized> {
    lock: &'a TryRwLock<T>,
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
        Self { class: Class::here(), holders: AtomicUsize::new(0), value: UnsafeCell::new(value) }
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
    pub fn try_read(&self) -> Option<TryReadGuard<'_, T>> {
        let enter = |holders| if holders < WRITER - 1 { Some(holders + 1) } else { None };
        self.holders.fetch_update(Ordering::Acquire, Ordering::Relaxed, enter).ok()?;
        self.class.taken(Kind::Sleep);
        Some(TryReadGuard { lock: self, not_send: PhantomData })
    }

    /// Enters as the writer unless anybody is inside.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_write(&self) -> Option<TryWriteGuard<'_, T>> {
        self.holders.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).ok()?;
        self.class.taken(Kind::Sleep);
        Some(TryWriteGuard { lock: self, not_send: PhantomData })
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
        self.lock.holders.fetch_sub(1, Ordering::Release);
    }
}

impl<T: ?Sized> Deref for TryWriteGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the count says that one writer is inside, and the guard is it.
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
        self.lock.holders.store(0, Ordering::Release);
    }
}
