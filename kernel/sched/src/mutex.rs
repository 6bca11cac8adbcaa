//! The sleeping mutex: for sections that sleep or take long.
//!
//! A waiter sleeps uninterruptibly; holders therefore finish without waiting for a program, or for a page of its
//! memory. What is held for longer is a turn ([`super::turns`]), made of the same.

use core::ops::{Deref, DerefMut};

use hal::sync::{TryGuard, TryLock};

use super::wait::{Interrupted, Patience, WaitQueue};

/// Mutual exclusion by sleeping.
pub struct Mutex<T: ?Sized> {
    waiters: WaitQueue,
    value: TryLock<T>,
}

impl<T> Mutex<T> {
    /// An open mutex around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { waiters: WaitQueue::new(), value: TryLock::new(value) }
    }

    /// What [`super::turns`] are made of.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) const fn for_turns(value: T) -> Mutex<T> {
        Mutex { waiters: WaitQueue::new(), value: TryLock::for_turns(value) }
    }

    /// The value, when nobody can hold the mutex any more.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex, sleeping until it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.will_wait();
        let value = match self.value.try_lock() {
            Some(value) => value,
            None => self.waiters.wait_uninterruptibly(|| self.value.try_lock()),
        };
        MutexGuard { value, _wake: WakeOne(&self.waiters) }
    }

    /// Takes the mutex, sleeping until it is free or the thread is to end.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) fn lock_unless_killed(&self) -> Result<MutexGuard<'_, T>, Interrupted> {
        self.value.will_wait();
        match self.try_lock() {
            Some(guard) => Ok(guard),
            None => self.wait_unless_killed(),
        }
    }

    #[cold]
    #[inline(never)]
    #[cfg_attr(debug_assertions, track_caller)]
    fn wait_unless_killed(&self) -> Result<MutexGuard<'_, T>, Interrupted> {
        let value = self.waiters.wait_until_killed(|| self.value.try_lock())?;
        let guard = MutexGuard { value, _wake: WakeOne(&self.waiters) };
        // It may have become free after the kill and before the thread ran: nothing is done for who was told to end.
        if Patience::Killable.is_exhausted() { Err(Interrupted) } else { Ok(guard) }
    }

    /// Takes the mutex if it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.value.try_lock().map(|value| MutexGuard { value, _wake: WakeOne(&self.waiters) })
    }

    /// The value, without locking: the exclusive borrow proves that nobody else looks.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    #[cfg_attr(debug_assertions, track_caller)]
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

/// Access to the value while the mutex is held. The fields drop in order: first it opens, then the next waiter wakes.
pub struct MutexGuard<'a, T: ?Sized> {
    value: TryGuard<'a, T>,
    _wake: WakeOne<'a>,
}

struct WakeOne<'a>(&'a WaitQueue);

impl Drop for WakeOne<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.wake_one();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
