//! Turning preemption off for a while, and wanting it at once.
//!
//! Whoever drops the last guard of a CPU that is wanted ([`request`]) gives way there and then. A request is made where
//! another task must not wait: for real-time tasks. It is the CPU's, not the task's: it stays across switches until a
//! scheduler that decides anew takes it back ([`clear_request`]), so one that comes between the decision and the switch
//! meets the next task.
use crate::arch::Arch;
use crate::contract::Cpu as _;
use core::marker::PhantomData;

/// What one level of interrupt handling adds to the preemption count.
pub(crate) const INTERRUPT_UNIT: u32 = 1 << 16;
/// More than any levels of interrupts add, and so far below what the count holds that it does not get there between two
/// interrupts.
const TOO_MANY: u32 = 1 << 24;

/// Adds a level of interrupt handling. Panics where guards were forgotten until the count might come round, and say
/// that there is none.
#[inline]
pub(crate) fn enter_interrupt() {
    assert!(Arch::preempt_count() < TOO_MANY, "guards against preemption are forgotten");
    Arch::preempt_add(INTERRUPT_UNIT);
}

/// Takes it off again.
#[inline]
pub(crate) fn leave_interrupt() {
    Arch::preempt_sub(INTERRUPT_UNIT);
}

/// While it lives, the running task stays on its CPU and is not preempted.
#[must_use]
pub struct PreemptGuard {
    not_send: PhantomData<*mut ()>,
}

/// Turns preemption off until the guard is dropped.
#[inline(always)]
pub fn disable() -> PreemptGuard {
    Arch::preempt_disable();
    PreemptGuard { not_send: PhantomData }
}

impl Drop for PreemptGuard {
    #[inline(always)]
    fn drop(&mut self) {
        Arch::preempt_enable();
    }
}

/// In an interrupt handler: whether the code that was interrupted could have been preempted, interrupts apart.
#[inline]
pub fn was_preemptible() -> bool {
    Arch::preempt_count().is_multiple_of(INTERRUPT_UNIT)
}

/// This CPU is wanted: whoever runs gives way as soon as no guard is left and interrupts are on. In an interrupt
/// handler, or under a guard, whose drop is the first place to give way.
pub fn request() {
    Arch::preempt_request();
}

/// Takes the request back: the scheduler decides anew, interrupts masked.
#[inline(always)]
pub fn clear_request() {
    Arch::preempt_clear_request();
}

/// True if the caller may sleep: no guard, no spin lock, no interrupt handler.
#[inline(always)]
pub fn may_block() -> bool {
    Arch::preempt_count() == 0
}

/// Panics in an interrupt handler: the code that was interrupted may be in the middle of what the caller begins.
#[inline(always)]
pub(crate) fn assert_no_interrupt() {
    assert!(!Arch::is_in_interrupt(), "in an interrupt handler");
}

/// Panics if the caller may not sleep: a spin lock is held, or this is an interrupt handler.
#[inline(always)]
pub fn assert_may_block() {
    assert!(may_block(), "sleeping with preemption off");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "are forgotten")]
    fn an_interrupt_sees_that_guards_are_forgotten() {
        core::mem::forget(disable());
        enter_interrupt();
        leave_interrupt();
        assert_eq!(Arch::preempt_count(), 1);
        Arch::preempt_add(TOO_MANY - 1);
        enter_interrupt();
    }
}
