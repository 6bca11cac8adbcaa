//! The sleeping reader-writer lock.
//!
//! Readers of different CPUs write to no common line once the lock has been spread; see [`TryRwLock`].
//!
//! A waiting writer keeps new readers out, so that readers cannot starve it. A thread must therefore not take the read side twice.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicUsize, Ordering};

use hal::sync::{Refused, TryReadGuard, TryRwLock, TryWriteGuard};

use super::wait::WaitQueue;

/// Many readers or one writer, by sleeping.
pub struct RwLock<T: ?Sized> {
    waiters: WaitQueue,
    waiting_writers: AtomicUsize,
    value: TryRwLock<T>,
}

impl<T> RwLock<T> {
    /// An open lock around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            waiters: WaitQueue::new(),
            waiting_writers: AtomicUsize::new(0),
            value: TryRwLock::new(value),
        }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Enters as a reader, sleeping while a writer is inside or waiting.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read(&self) -> ReadGuard<'_, T> {
        self.value.will_wait();
        let value = match self.try_read() {
            Some(value) => value,
            None => self.waiters.wait_uninterruptibly(|| self.try_read()),
        };
        ReadGuard { value, _wake: WakeAll(&self.waiters) }
    }

    /// Enters as the writer, sleeping until nobody is inside.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.value.will_wait();
        let value = match self.value.try_write() {
            Some(value) => value,
            None => self.wait_for_write(),
        };
        WriteGuard { value, _wake: WakeAll(&self.waiters) }
    }

    /// The value will have readers on several CPUs at once. Sleeps until nobody is inside, the first time.
    pub fn spread(&self) {
        self.value.spread(|| self.value.try_write().unwrap_or_else(|| self.wait_for_write()));
        self.waiters.wake_all();
    }

    #[cfg_attr(debug_assertions, track_caller)]
    fn try_read(&self) -> Option<TryReadGuard<'_, T>> {
        if self.waiting_writers.load(Ordering::Relaxed) != 0 {
            return None;
        }
        match self.value.try_read() {
            Ok(value) => Some(value),
            Err(Refused::Taken) => None,
            Err(Refused::Withdrawn) => {
                self.waiters.wake_all();
                None
            }
        }
    }

    fn wait_for_write(&self) -> TryWriteGuard<'_, T> {
        self.waiting_writers.fetch_add(1, Ordering::Relaxed);
        let value = self.waiters.wait_uninterruptibly(|| self.value.try_write());
        self.waiting_writers.fetch_sub(1, Ordering::Relaxed);
        value
    }
}

struct WakeAll<'a>(&'a WaitQueue);

impl Drop for WakeAll<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.wake_all();
    }
}

/// Shared access to the value. The fields drop in order: first the reader leaves, then waiters look again.
pub struct ReadGuard<'a, T: ?Sized> {
    value: TryReadGuard<'a, T>,
    _wake: WakeAll<'a>,
}

/// Exclusive access to the value.
pub struct WriteGuard<'a, T: ?Sized> {
    value: TryWriteGuard<'a, T>,
    _wake: WakeAll<'a>,
}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
