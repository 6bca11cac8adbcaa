//! Which signals a thread blocks, and when it is told to look.

use core::sync::atomic::Ordering;

use sched::work;

use super::{SigInfo, Signal, SignalSet};
use crate::process::Thread;
use crate::time::interval;

impl Thread {
    /// The signals that the thread blocks.
    #[inline]
    pub fn signal_mask(&self) -> SignalSet {
        SignalSet::from_bits(self.signals.mask.load(Ordering::SeqCst))
    }

    /// Blocks these signals from now on, but never those that cannot be. Only the thread itself does this.
    #[inline]
    pub fn set_signal_mask(&self, mask: SignalSet) {
        let mask = mask.difference(SignalSet::UNSTOPPABLE);
        let old = self.signals.mask.swap(mask.bits(), Ordering::SeqCst);
        if old & !mask.bits() != 0 {
            self.look_for_signals();
        }
    }

    /// Sets the work bit if a signal is pending that is not blocked. Senders look at the mask after they made a signal
    /// pending, and this looks at what is pending after the mask was set, so one of the two sees the other.
    pub fn look_for_signals(&self) {
        if !self.deliverable().is_empty() {
            hal::task::add_own_work(work::SIGNAL);
        }
    }

    /// The signals that the thread waits for in `rt_sigtimedwait`.
    pub(super) fn awaited_signals(&self) -> SignalSet {
        SignalSet::from_bits(self.signals.awaited.load(Ordering::SeqCst))
    }

    /// Sets or, with the empty set, ends what the running thread waits for.
    pub fn await_signals(&self, set: SignalSet) {
        self.signals.awaited.store(set.bits(), Ordering::SeqCst);
    }

    /// What is pending for the thread and its process, blocked or not.
    pub fn pending_signals(&self) -> SignalSet {
        let shared = self.process().signals.shared.lock().pending.set();
        shared.union(self.signals.pending.lock().set())
    }

    /// Takes a pending signal of this set: the thread's own before the process's. The timer that sent it goes on.
    pub fn take_pending(&self, wanted: SignalSet, info: &mut SigInfo) -> Option<Signal> {
        let own = self.note_stop(self.signals.pending.lock().take(wanted, info));
        let signal =
            own.or_else(|| self.note_stop(self.process().signals.shared.lock().pending.take(wanted, info)))?;
        interval::taken(self.process(), signal, info);
        Some(signal)
    }

    /// Notes that a stop signal was taken, under the lock of the queue that it was in.
    #[inline(always)]
    fn note_stop(&self, taken: Option<Signal>) -> Option<Signal> {
        if taken.is_some_and(|signal| SignalSet::STOPPING.contains(signal)) {
            self.signals.has_taken_stop.store(true, Ordering::Relaxed);
        }
        taken
    }

    /// What is pending and not blocked.
    pub fn deliverable(&self) -> SignalSet {
        self.pending_signals().difference(self.signal_mask())
    }

    /// Blocks `mask` until the next return to user mode: `rt_sigsuspend`, `ppoll`, `pselect6`. A handler that runs
    /// first still sees the temporary mask and returns to the old one.
    pub fn set_temporary_mask(&self, mask: SignalSet) {
        self.signals.saved_mask.store(self.signal_mask().bits(), Ordering::Relaxed);
        hal::task::add_own_work(work::RESTORE_MASK);
        self.set_signal_mask(mask);
    }

    /// Ends a temporary mask early: what it alone lets through stays pending.
    pub fn end_temporary_mask(&self) {
        let mask = self.take_saved_mask();
        self.set_signal_mask(mask);
    }

    /// Ends a temporary mask; the mask to show in a handler's frame.
    pub(super) fn take_saved_mask(&self) -> SignalSet {
        let bits = hal::task::take_own_work(work::RESTORE_MASK);
        if bits & work::RESTORE_MASK != 0 {
            SignalSet::from_bits(self.signals.saved_mask.load(Ordering::Relaxed))
        } else {
            self.signal_mask()
        }
    }
}
