//! The sleeping reader-writer lock.
//!
//! Readers of different CPUs write to no common line once the lock counts them per CPU; see [`TryRwLock`].
//!
//! A waiting writer keeps new readers out, so that readers cannot starve it. A thread must therefore not take the read
//! side twice. Whoever leaves wakes one waiting writer, or, if there is none, all readers: nobody is woken only to find
//! the lock taken by another who was woken with him.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use hal::sync::{Refused, TryReadGuard, TryRwLock, TryWriteGuard};

use super::wait::WaitQueue;

/// Many readers or one writer, by sleeping.
pub struct RwLock<T: ?Sized> {
    waiters: Waiters,
    value: TryRwLock<T>,
}

struct Waiters {
    readers: WaitQueue,
    writers: WaitQueue,
    /// Writers that want to get in, whether they sleep yet or not.
    waiting_writers: AtomicUsize,
}

impl<T> RwLock<T> {
    /// An open lock around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            waiters: Waiters {
                readers: WaitQueue::new(),
                writers: WaitQueue::new(),
                waiting_writers: AtomicUsize::new(0),
            },
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
            None => self.waiters.readers.wait_uninterruptibly(|| self.try_read()),
        };
        ReadGuard { value, _wake: WakeNext(&self.waiters) }
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
        WriteGuard { value, _wake: WakeNext(&self.waiters) }
    }

    /// Enters as the writer if nobody is inside.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        self.value.try_write().map(|value| WriteGuard { value, _wake: WakeNext(&self.waiters) })
    }

    /// The value will have readers on several CPUs at once. Sleeps until nobody is inside, the first time.
    pub fn count_per_cpu(&self) {
        self.value.count_per_cpu(|| self.value.try_write().unwrap_or_else(|| self.wait_for_write()));
        self.waiters.wake_next();
    }

    #[cfg_attr(debug_assertions, track_caller)]
    fn try_read(&self) -> Option<TryReadGuard<'_, T>> {
        if self.waiters.waiting_writers.load(Ordering::Relaxed) != 0 {
            return None;
        }
        match self.value.try_read() {
            Ok(value) => Some(value),
            Err(Refused::Taken) => None,
            Err(Refused::Withdrawn) => {
                self.waiters.wake_next();
                None
            }
        }
    }

    fn wait_for_write(&self) -> TryWriteGuard<'_, T> {
        let count = &self.waiters.waiting_writers;
        count.fetch_add(1, Ordering::Relaxed);
        let value = self.waiters.writers.wait_uninterruptibly(|| self.value.try_write());
        count.fetch_sub(1, Ordering::Relaxed);
        value
    }
}

impl Waiters {
    /// The lock may be free. Who waits has entered his queue before he found it taken; the fence pairs with the one
    /// after that.
    #[inline]
    fn wake_next(&self) {
        fence(Ordering::SeqCst);
        if self.writers.is_anybody_in() || self.readers.is_anybody_in() {
            self.wake_somebody();
        }
    }

    /// A writer that sleeps, else all readers. Readers that a writer keeps out, be he asleep or not yet, are woken when
    /// he leaves.
    #[cold]
    fn wake_somebody(&self) {
        if self.writers.is_anybody_in() {
            self.writers.wake_one();
        } else {
            self.readers.wake_all();
        }
    }
}

struct WakeNext<'a>(&'a Waiters);

impl Drop for WakeNext<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.wake_next();
    }
}

/// Shared access to the value. The fields drop in order: first the reader leaves, then waiters look again.
pub struct ReadGuard<'a, T: ?Sized> {
    value: TryReadGuard<'a, T>,
    _wake: WakeNext<'a>,
}

/// Exclusive access to the value.
pub struct WriteGuard<'a, T: ?Sized> {
    value: TryWriteGuard<'a, T>,
    _wake: WakeNext<'a>,
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
