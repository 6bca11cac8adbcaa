//! A lock that never waits: the safe core of the sleeping mutex.
//!
//! Who finds it taken gets `None` and does something about it; the kernel's sleeping `Mutex` puts the thread into a
//! wait queue. Holding one does not turn preemption off, so the holder may sleep.
use super::order::{Class, Kind};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

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

    /// The same for a lock that is held while a program's memory is touched: only locks of this sort may be.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn for_turns(value: T) -> Self {
        Self { class: Class::of_turns(), locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
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
