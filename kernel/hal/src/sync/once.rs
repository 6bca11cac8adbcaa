//! A cell that is written once.
use super::{preempt, spin_until};
use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, Ordering};

const EMPTY: u8 = 0;
const WRITING: u8 = 1;
const FULL: u8 = 2;

/// Empty until the first [`set`](Once::set), constant from then on.
pub struct Once<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written by one thread, published with release, and only shared afterwards.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        Self { state: AtomicU8::new(EMPTY), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// A full cell.
    pub const fn filled(value: T) -> Self {
        Self { state: AtomicU8::new(FULL), value: UnsafeCell::new(MaybeUninit::new(value)) }
    }

    /// Fills the cell; gives `value` back when it is full, or being filled.
    pub fn set(&self, value: T) -> Result<(), T> {
        if self.state.compare_exchange(EMPTY, WRITING, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(value);
        }
        // SAFETY: only the one who moved the state from EMPTY to WRITING gets here.
        unsafe { (*self.value.get()).write(value) };
        self.state.store(FULL, Ordering::Release);
        Ok(())
    }

    /// The value, made by `make` where there is none yet. Several CPUs may make one at the same time; all get the same.
    /// Not for interrupt handlers: they could meet the task that writes.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let made: Result<&T, Infallible> = self.get_or_try_init(|| Ok(make()));
        let Ok(value) = made;
        value
    }

    /// As [`Once::get_or_init`], where making can fail.
    pub fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        // Made before the cell is taken, since it may sleep, and stored without preemption: who waits below waits for a
        // store.
        let value = make()?;
        let guard = preempt::disable();
        let refused = self.set(value);
        drop(guard);
        // Somebody was faster.
        drop(refused);
        spin_until(&self.state, |state| state == FULL);
        // SAFETY: as in `get`.
        Ok(unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value, once there is one.
    #[inline(always)]
    pub fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != FULL {
            return None;
        }
        // SAFETY: FULL is stored after the value was written, and nothing writes it again.
        Some(unsafe { (*self.value.get()).assume_init_ref() })
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Once<T> {
    fn drop(&mut self) {
        if *self.state.get_mut() == FULL {
            // SAFETY: FULL says that the value is there.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}
