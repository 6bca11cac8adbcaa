//! The spinning reader-writer lock: short sections that are mostly read, by all CPUs.
//!
//! It begins as a plain spin lock, which is cheapest while one thread uses it. Once it counts per CPU, readers count
//! themselves on their CPU's own line and write to no common one; a writer raises its flag, which holds new readers up,
//! and waits until those inside have left, on every CPU. For what is seldom changed once several threads look at it:
//! whoever shares it says so, or its readers notice.
use super::order::{Class, Kind};
use super::preempt::{self, PreemptGuard};
use super::reader_counts::ReaderCounts;
use super::spin::{acquire, wait_until_free};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A lock around `T`.
pub struct SpinRwLock<T: ?Sized> {
    class: Class,
    /// Held by a writer, and before the lock counts per CPU, by a reader.
    locked: AtomicBool,
    readers: ReaderCounts,
    /// How often a reader has found it taken.
    meetings: AtomicUsize,
    value: UnsafeCell<T>,
}

/// So many meetings say that several threads read.
const MEETINGS: usize = 8;

// SAFETY: the lock hands out the value exclusively to one holder, or shared to readers.
unsafe impl<T: ?Sized + Send> Send for SpinRwLock<T> {}
// SAFETY: as above; readers share the value, hence `Sync`.
unsafe impl<T: ?Sized + Send + Sync> Sync for SpinRwLock<T> {}

/// Shared access to the value.
pub struct SpinReadGuard<'a, T: ?Sized> {
    lock: &'a SpinRwLock<T>,
    /// Where this reader is counted; `None`: it holds the lock alone.
    count: Option<&'a AtomicUsize>,
    _preempt: PreemptGuard,
}

/// Exclusive access to the value.
pub struct SpinWriteGuard<'a, T: ?Sized> {
    lock: &'a SpinRwLock<T>,
    _preempt: PreemptGuard,
}

impl<T> SpinRwLock<T> {
    /// An open lock around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Self {
        Self {
            class: Class::here(),
            locked: AtomicBool::new(false),
            readers: ReaderCounts::new(),
            meetings: AtomicUsize::new(0),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> SpinRwLock<T> {
    /// Enters as a reader, spinning while a writer is inside or waits.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read(&self) -> SpinReadGuard<'_, T> {
        let preempt = preempt::disable();
        self.class.wait(Kind::Spin);
        let count = if self.readers.counts_per_cpu() {
            Some(self.count_in())
        } else {
            acquire(&self.locked, &self.class);
            None
        };
        self.class.taken(Kind::Spin);
        SpinReadGuard { lock: self, count, _preempt: preempt }
    }

    /// As [`SpinRwLock::read`], for a lock of which nobody knows before whether several threads will read it at once:
    /// when it has been found taken a few times it counts per CPU from then on. The caller holds no spin lock.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read_or_count_per_cpu(&self) -> SpinReadGuard<'_, T> {
        if self.locked.load(Ordering::Relaxed) && !self.readers.counts_per_cpu() {
            self.meet();
        }
        self.read()
    }

    #[cold]
    fn meet(&self) {
        if self.meetings.fetch_add(1, Ordering::Relaxed) >= MEETINGS {
            self.count_per_cpu();
        }
    }

    /// Counts a reader; returns where.
    #[inline(always)]
    fn count_in(&self) -> &AtomicUsize {
        loop {
            if let Some(count) = self.readers.enter(|| self.locked.load(Ordering::SeqCst)) {
                return count;
            }
            self.class.contended();
            wait_until_free(&self.locked);
        }
    }

    /// Enters as the writer, spinning until nobody is inside.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn write(&self) -> SpinWriteGuard<'_, T> {
        let preempt = preempt::disable();
        self.class.wait(Kind::Spin);
        acquire(&self.locked, &self.class);
        if self.readers.counts_per_cpu() {
            self.readers.wait_for_none();
        }
        self.class.taken(Kind::Spin);
        SpinWriteGuard { lock: self, _preempt: preempt }
    }

    /// Several threads will read at once. Without memory for their counts nothing changes. The caller holds no lock.
    pub fn count_per_cpu(&self) {
        if let Some(counts) = self.readers.prepare() {
            // Under the lock: whoever finds the counts comes after this, and so does each writer who must look at them.
            let guard = self.write();
            let refused = self.readers.count_per_cpu(counts);
            drop(guard);
            drop(refused);
        }
    }

    /// The value, without locking: the exclusive borrow proves that nobody else looks.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized> Deref for SpinReadGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this reader is counted, or holds the lock: no writer is inside.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinReadGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.class.left();
        match self.count {
            Some(count) => {
                count.fetch_sub(1, Ordering::Release);
            }
            None => self.lock.locked.store(false, Ordering::Release),
        }
    }
}

impl<T: ?Sized> Deref for SpinWriteGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this CPU holds the lock, and no reader is counted.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinWriteGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.class.left();
        self.lock.locked.store(false, Ordering::Release);
    }
}
