//! The sleeping reader-writer lock.
//!
//! Readers of different CPUs write to no common line once the lock counts them per CPU; see [`TryRwLock`].
//!
//! Readers and writers wait in one line ([`super::lock_queue`]), and who waits keeps those out who come later: neither
//! kind starves the other. A thread must therefore not take the read side twice.

use hal::sync::{TryReadGuard, TryRwLock, TryWriteGuard};

use super::lock_queue::{Access, LockQueue};

/// Many readers or one writer, by sleeping.
pub struct RwLock<T: ?Sized>(TryRwLock<T, LockQueue>);

/// Shared access to the value.
pub type ReadGuard<'a, T> = TryReadGuard<'a, T, LockQueue>;

/// Exclusive access to the value.
pub type WriteGuard<'a, T> = TryWriteGuard<'a, T, LockQueue>;

impl<T> RwLock<T> {
    /// An open lock around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(TryRwLock::new(value, LockQueue::new()))
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Enters as a reader, sleeping while a writer is inside or others wait.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read(&self) -> ReadGuard<'_, T> {
        self.0.will_wait();
        match self.0.try_read() {
            Some(guard) => guard,
            None => self.wait_to_read(),
        }
    }

    /// Enters as the writer, sleeping until nobody is inside.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.0.will_wait();
        match self.0.try_write() {
            Some(guard) => guard,
            None => self.wait_to_write(),
        }
    }

    /// Enters as the writer if nobody is inside.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        self.0.try_write()
    }

    /// The value will have readers on several CPUs at once. Sleeps until nobody is inside, the first time.
    pub fn count_per_cpu(&self) {
        self.0.count_per_cpu(|| self.0.try_write().unwrap_or_else(|| self.wait_to_write()));
    }

    #[cold]
    #[inline(never)]
    #[cfg_attr(debug_assertions, track_caller)]
    fn wait_to_read(&self) -> ReadGuard<'_, T> {
        let (queue, gate) = self.0.waiters();
        queue.wait_uninterruptibly(gate, Access::Shared, || self.0.try_read_as_first())
    }

    #[cold]
    #[inline(never)]
    #[cfg_attr(debug_assertions, track_caller)]
    fn wait_to_write(&self) -> WriteGuard<'_, T> {
        let (queue, gate) = self.0.waiters();
        queue.wait_uninterruptibly(gate, Access::Exclusive, || self.0.try_write_as_first())
    }
}
