//! A spin lock that masks interrupts.
use super::order::{Class, Kind};
use super::spin::acquire;
use crate::arch::Arch;
use crate::contract::Cpu as _;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// Mutual exclusion also against this CPU's interrupt handlers.
pub struct IrqLock<T: ?Sized> {
    class: Class,
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out the value to one CPU at a time.
unsafe impl<T: ?Sized + Send> Send for IrqLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for IrqLock<T> {}

/// Access to the value while the lock is held; interrupts are masked.
pub struct IrqGuard<'a, T: ?Sized> {
    lock: &'a IrqLock<T>,
    were_enabled: bool,
    not_send: PhantomData<*mut ()>,
}

impl<T> IrqLock<T> {
    /// An open lock around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Self {
        Self { class: Class::here(), locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }
}

impl<T: ?Sized> IrqLock<T> {
    /// Masks interrupts and takes the lock if it is free.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let were_enabled = Arch::interrupts_disable();
        Arch::preempt_disable();
        if self.locked.swap(true, Ordering::Acquire) {
            leave(were_enabled);
            return None;
        }
        self.class.taken(Kind::Irq);
        Some(IrqGuard { lock: self, were_enabled, not_send: PhantomData })
    }

    /// Masks interrupts and takes the lock, spinning until it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> IrqGuard<'_, T> {
        let were_enabled = Arch::interrupts_disable();
        Arch::preempt_disable();
        self.class.wait(Kind::Irq);
        acquire(&self.locked, &self.class);
        self.class.taken(Kind::Irq);
        IrqGuard { lock: self, were_enabled, not_send: PhantomData }
    }
}

impl<T: ?Sized> Deref for IrqGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so this CPU holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for IrqGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard exists and is borrowed exclusively, so this CPU holds the lock.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for IrqGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.class.left();
        self.lock.locked.store(false, Ordering::Release);
        leave(self.were_enabled);
    }
}

#[inline(always)]
fn leave(were_enabled: bool) {
    if were_enabled {
        Arch::preempt_enable_interrupts();
    } else {
        Arch::preempt_sub(1);
    }
}
