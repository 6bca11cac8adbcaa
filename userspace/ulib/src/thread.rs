//! Threads and values that each thread has its own of.
//!
//! Every thread has a [`Block`], which its thread pointer (FS_BASE on x86_64, TPIDR_EL0 on AArch64) points to. A
//! [`ThreadLocal`] is a number: the slot in the block where each thread keeps its value, made when the thread first
//! asks and dropped when the thread ends. A thread's stack and block are one mapping, returned when it has been joined.

#[cfg(not(target_os = "none"))]
mod hosted;
#[cfg(target_os = "none")]
mod native;

#[cfg(not(target_os = "none"))]
use hosted as platform;
#[cfg(target_os = "none")]
use native as platform;

#[cfg(target_os = "none")]
pub(crate) use native::adopt_main_thread;
pub(crate) use platform::is_alone;
pub use platform::{JoinHandle, spawn};

pub use libsyscall::thread::{gettid as id, sched_yield as yield_now};

use alloc::boxed::Box;
use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Thread-locals that a program can have.
const SLOTS: usize = 64;

/// A thread's value in one slot.
#[derive(Clone, Copy)]
struct Slot {
    value: *mut u8,
    /// Drops the value; takes the address of a `Box`'s content.
    drop: unsafe fn(*mut u8),
}

/// What the thread pointer points to.
#[repr(C)]
struct Block {
    /// The block's own address: x86_64 reads its thread pointer as the word at FS:0.
    this: Cell<*mut Block>,
    slots: [Cell<Option<Slot>>; SLOTS],
}

impl Block {
    /// A block without values, whose address is not known yet.
    const fn new() -> Block {
        Block { this: Cell::new(core::ptr::null_mut()), slots: [const { Cell::new(None) }; SLOTS] }
    }

    /// Drops the thread's values. Dropping one may make another, so it goes on until there is none.
    fn clear(&self) {
        while let Some(slot) = self.slots.iter().find_map(Cell::take) {
            // SAFETY: the slot was filled by `ThreadLocal::create` with a value and the function that drops it.
            unsafe { (slot.drop)(slot.value) };
        }
    }
}

/// Slots given out so far.
static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);

/// A static of which each thread has its own.
///
/// ```
/// static COUNT: ulib::thread::ThreadLocal<core::cell::Cell<u32>> = ulib::thread::ThreadLocal::new(|| 0.into());
/// COUNT.with(|count| count.set(count.get() + 1));
/// ```
pub struct ThreadLocal<T: 'static> {
    /// The slot's number plus one; 0 until somebody asks.
    slot: AtomicUsize,
    initial: fn() -> T,
    marker: PhantomData<fn() -> T>,
}

impl<T: 'static> ThreadLocal<T> {
    /// A thread-local that starts as `initial()` in each thread.
    pub const fn new(initial: fn() -> T) -> ThreadLocal<T> {
        ThreadLocal { slot: AtomicUsize::new(0), initial, marker: PhantomData }
    }

    /// Uses this thread's value.
    ///
    /// # Panics
    /// If the program has more than 64 thread-locals.
    pub fn with<R>(&self, use_value: impl FnOnce(&T) -> R) -> R {
        let slot = &platform::block().slots[self.slot()];
        let value = match slot.get() {
            Some(slot) => slot.value.cast::<T>(),
            None => self.create(slot),
        };
        // SAFETY: the value was made by `create` for this slot, which belongs to this thread-local, and lives until the
        // thread ends.
        use_value(unsafe { &*value })
    }

    /// Makes this thread's value.
    fn create(&self, slot: &Cell<Option<Slot>>) -> *mut T {
        /// Drops a value that `create` made.
        unsafe fn drop_value<T>(value: *mut u8) {
            // SAFETY: the address came from `Box::into_raw` of a `Box<T>`.
            drop(unsafe { Box::from_raw(value.cast::<T>()) });
        }
        let value = Box::into_raw(Box::new((self.initial)()));
        slot.set(Some(Slot { value: value.cast(), drop: drop_value::<T> }));
        value
    }

    /// The number of the slot, given out at the first call.
    fn slot(&self) -> usize {
        match self.slot.load(Ordering::Relaxed) {
            0 => {
                let fresh = NEXT_SLOT.fetch_add(1, Ordering::Relaxed) + 1;
                // Two threads may ask first at once: the loser's slot stays unused.
                match self.slot.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => fresh - 1,
                    Err(taken) => taken - 1,
                }
            }
            slot => slot - 1,
        }
    }
}
