//! A lock that never waits: the safe core of the sleeping mutex.
//!
//! Who finds it taken gets `None` and does something about it: the kernel's sleeping `Mutex` lets the thread wait in
//! line, and `waiters` are told when somebody leaves for whom others wait. Holding one does not turn preemption off, so
//! the holder may sleep.
use super::gate::{Gate, HandOn};
use super::order::{Class, Kind};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering;

/// Mutual exclusion without waiting.
pub struct TryLock<T: ?Sized, W: HandOn = ()> {
    class: Class,
    gate: Gate,
    waiters: W,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out the value to one holder at a time.
unsafe impl<T: ?Sized + Send, W: HandOn + Send> Send for TryLock<T, W> {}
// SAFETY: as above; whoever leaves uses `waiters`, hence `Sync`.
unsafe impl<T: ?Sized + Send, W: HandOn + Sync> Sync for TryLock<T, W> {}

/// Access to the value while the lock is held.
pub struct TryGuard<'a, T: ?Sized, W: HandOn = ()> {
    lock: &'a TryLock<T, W>,
    not_send: PhantomData<*mut ()>,
}

impl<T, W: HandOn> TryLock<T, W> {
    /// An open lock around `value`, and who waits for it.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T, waiters: W) -> Self {
        Self { class: Class::here(), gate: Gate::new(), waiters, value: UnsafeCell::new(value) }
    }

    /// The same for a lock that is held while a program's memory is touched: only locks of this sort may be.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn for_turns(value: T, waiters: W) -> Self {
        Self { class: Class::of_turns(), gate: Gate::new(), waiters, value: UnsafeCell::new(value) }
    }

    /// The value, when nobody can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized, W: HandOn> TryLock<T, W> {
    /// The caller sleeps until the lock is free: for lock-order checking, before the first try.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn will_wait(&self) {
        self.class.wait(Kind::Sleep);
    }

    /// Takes the lock if it is open.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<TryGuard<'_, T, W>> {
        self.guard(self.gate.take(Ordering::Acquire))
    }

    /// Takes the lock if nobody holds it, for the first of those who wait; else it is kept for them.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock_as_first(&self) -> Option<TryGuard<'_, T, W>> {
        self.guard(self.gate.take_as_first())
    }

    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    fn guard(&self, is_taken: bool) -> Option<TryGuard<'_, T, W>> {
        if !is_taken {
            self.class.contended();
            return None;
        }
        self.class.taken(Kind::Sleep);
        Some(TryGuard { lock: self, not_send: PhantomData })
    }

    /// Who waits, and the gate that is kept for them.
    pub const fn waiters(&self) -> (&W, &Gate) {
        (&self.waiters, &self.gate)
    }

    /// The value, without locking: the exclusive borrow proves that nobody else looks.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized, W: HandOn> Deref for TryGuard<'_, T, W> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so its owner holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized, W: HandOn> DerefMut for TryGuard<'_, T, W> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists and is borrowed exclusively, so its owner holds the lock.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized, W: HandOn> Drop for TryGuard<'_, T, W> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.class.left();
        if !self.lock.gate.leave() {
            self.lock.waiters.hand_on(&self.lock.gate);
        }
    }
}
