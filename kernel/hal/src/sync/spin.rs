//! A spin lock that turns preemption off.
use super::order::{Class, Kind};
use super::preempt::{self, PreemptGuard};
use super::spin_until;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// Mutual exclusion for short sections that interrupt handlers do not take.
pub struct SpinLock<T: ?Sized> {
    class: Class,
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out the value to one CPU at a time.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}

/// Access to the value while the lock is held.
pub struct SpinGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    _preempt: PreemptGuard,
}

impl<T> SpinLock<T> {
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

impl<T: ?Sized> SpinLock<T> {
    /// Takes the lock, spinning until it is free.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        let preempt = preempt::disable();
        self.class.wait(Kind::Spin);
        acquire(&self.locked, &self.class);
        self.class.taken(Kind::Spin);
        SpinGuard { lock: self, _preempt: preempt }
    }

    /// Takes the lock if it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let preempt = preempt::disable();
        if self.locked.swap(true, Ordering::Acquire) {
            return None;
        }
        self.class.taken(Kind::Spin);
        Some(SpinGuard { lock: self, _preempt: preempt })
    }

    /// The value, without locking: the exclusive borrow proves that nobody else looks.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// Spins until `locked` went from false to true by our hand.
#[inline(always)]
pub(super) fn acquire(locked: &AtomicBool, class: &Class) {
    while locked.swap(true, Ordering::Acquire) {
        class.contended();
        wait_until_free(locked);
    }
}

/// Reads until the lock looks free, so that waiting CPUs share the line instead of bouncing it. In the text of whoever
/// takes the lock: as a function of its own it would make all of these save registers for a call that is hardly ever
/// made.
#[inline(always)]
pub(super) fn wait_until_free(locked: &AtomicBool) {
    core::hint::cold_path();
    spin_until(locked, |is_taken| !is_taken);
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so this CPU holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists and is borrowed exclusively, so this CPU holds the lock.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.class.left();
        self.lock.locked.store(false, Ordering::Release);
    }
}
