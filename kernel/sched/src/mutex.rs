//! The sleeping mutex: for sections that sleep or take long.
//!
//! A waiter sleeps uninterruptibly; holders therefore finish without waiting for a program, or for a page of its
//! memory. What is held for longer is a turn ([`super::turns`]), made of the same. Waiters get it in the order of their
//! coming ([`super::lock_queue`]).

use hal::sync::{TryGuard, TryLock};

use super::lock_queue::{Access, LockQueue};
use super::wait::{Interrupted, Patience};

/// Mutual exclusion by sleeping.
pub struct Mutex<T: ?Sized>(TryLock<T, LockQueue>);

/// Access to the value while the mutex is held.
pub type MutexGuard<'a, T> = TryGuard<'a, T, LockQueue>;

impl<T> Mutex<T> {
    /// An open mutex around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(TryLock::new(value, LockQueue::new()))
    }

    /// What [`super::turns`] are made of.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) const fn for_turns(value: T) -> Mutex<T> {
        Mutex(TryLock::for_turns(value, LockQueue::new()))
    }

    /// The value, when nobody can hold the mutex any more.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex, sleeping until it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.will_wait();
        match self.0.try_lock() {
            Some(guard) => guard,
            None => self.wait(),
        }
    }

    #[cold]
    #[inline(never)]
    #[cfg_attr(debug_assertions, track_caller)]
    fn wait(&self) -> MutexGuard<'_, T> {
        let (queue, gate) = self.0.waiters();
        queue.wait_uninterruptibly(gate, Access::Exclusive, || self.0.try_lock_as_first())
    }

    /// Takes the mutex, sleeping until it is free or the thread is to end.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) fn lock_unless_killed(&self) -> Result<MutexGuard<'_, T>, Interrupted> {
        self.0.will_wait();
        match self.0.try_lock() {
            Some(guard) => Ok(guard),
            None => self.wait_unless_killed(),
        }
    }

    #[cold]
    #[inline(never)]
    #[cfg_attr(debug_assertions, track_caller)]
    fn wait_unless_killed(&self) -> Result<MutexGuard<'_, T>, Interrupted> {
        let (queue, gate) = self.0.waiters();
        let enter = || self.0.try_lock_as_first();
        let guard = queue.wait(gate, Access::Exclusive, Patience::Killable, enter)?;
        // It may have become free after the kill and before the thread ran: nothing is done for who was told to end.
        if Patience::Killable.is_exhausted() { Err(Interrupted) } else { Ok(guard) }
    }

    /// Takes the mutex if it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    /// The value, without locking: the exclusive borrow proves that nobody else looks.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    #[cfg_attr(debug_assertions, track_caller)]
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}
