//! Turning preemption off for a while.
use crate::arch::Arch;
use crate::contract::Cpu as _;
use core::marker::PhantomData;

/// What one level of interrupt handling adds to the preemption count.
pub(crate) const INTERRUPT_UNIT: u32 = 1 << 16;

/// While it lives, the running task stays on its CPU and is not preempted.
#[must_use]
pub struct PreemptGuard {
    not_send: PhantomData<*mut ()>,
}

/// Turns preemption off until the guard is dropped.
#[inline(always)]
pub fn disable() -> PreemptGuard {
    Arch::preempt_add(1);
    PreemptGuard { not_send: PhantomData }
}

impl Drop for PreemptGuard {
    #[inline(always)]
    fn drop(&mut self) {
        Arch::preempt_sub(1);
    }
}

/// In an interrupt handler: whether the code that was interrupted could have been preempted, interrupts apart.
#[inline]
pub fn was_preemptible() -> bool {
    Arch::preempt_count().is_multiple_of(INTERRUPT_UNIT)
}

/// True if the caller may sleep: no guard, no spin lock, no interrupt handler.
#[inline(always)]
pub fn may_block() -> bool {
    Arch::preempt_count() == 0
}

/// Panics if the caller may not sleep: a spin lock is held, or this is an interrupt handler.
#[inline(always)]
pub fn assert_may_block() {
    assert!(may_block(), "sleeping with preemption off");
}
