//! What `/proc` shows of processes and threads.

use core::fmt;
use core::sync::atomic::Ordering;

use libkernel::signal_set::SignalSet;

use super::{Process, Thread};

impl Process {
    /// Whether a signal has stopped it.
    pub fn is_stopped(&self) -> bool {
        self.signals.shared.lock().stopped.is_some()
    }

    /// When it was made, in nanoseconds of the monotonic clock.
    pub fn started_ns(&self) -> u64 {
        self.started_ns
    }

    /// What the parent is told of its end by.
    pub fn exit_signal(&self) -> u32 {
        self.exit_signal.load(Ordering::Relaxed)
    }

    /// The signals that it ignores, and those that it handles.
    pub fn signal_dispositions(&self) -> (SignalSet, SignalSet) {
        let actions = self.signals.actions.lock().clone();
        actions.summary()
    }
}

impl Thread {
    /// Whether it runs or would run if there were a CPU for it.
    pub fn is_runnable(&self) -> bool {
        self.task().is_some_and(|task| task.is_runnable())
    }
}

impl hal::task::Owner for Thread {
    fn write_name(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}:{}]", self.shown_name(), self.id().kernel_number())
    }
}
