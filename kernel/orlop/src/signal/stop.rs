//! Job control: stopping and continuing whole processes.

use core::sync::atomic::{AtomicUsize, Ordering};

use sched::work;

use super::{Shared, Signal};
use crate::process::{Process, Thread};

/// How many processes are stopped.
static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// Whether any process is stopped.
pub(crate) fn is_any_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed) != 0
}

/// The process is not stopped any more, whose signals these are; whether it was.
pub(crate) fn clear(shared: &mut Shared) -> bool {
    let was_stopped = shared.stopped.take().is_some();
    if was_stopped {
        STOPPED.fetch_sub(1, Ordering::Relaxed);
    }
    was_stopped
}

/// Stops the process of the running thread, because of this signal. The other threads stop on their way to user mode.
pub(super) fn stop(thread: &Thread, signal: Signal) {
    let process = thread.process();
    let mut shared = process.signals.shared.lock();
    if shared.ending.is_some() || shared.stopped.is_some() {
        return;
    }
    shared.stopped = Some(signal);
    STOPPED.fetch_add(1, Ordering::Relaxed);
    drop(shared);
    process.each_thread(|other| other.set_work(work::STOP));
    process.report_stopped(signal);
}

/// Sleeps while the process is stopped. Death ends the sleep too.
pub(super) fn wait_while_stopped(thread: &Thread) {
    let signals = &thread.process().signals;
    let running = || signals.shared.lock().stopped.is_none().then_some(());
    // Being killed is seen by the thread's loop.
    let _ = signals.continued.wait_until_killed(running);
}

/// Wakes the threads of a process that is no longer stopped, and tells its parent.
pub(super) fn continued(process: &Process) {
    process.signals.continued.wake_all();
    process.each_thread(|thread| thread.set_work(work::SIGNAL));
    process.report_continued();
}
