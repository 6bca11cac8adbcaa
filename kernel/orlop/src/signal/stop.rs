//! Job control: stopping and continuing whole processes.

use super::Signal;
use crate::process::{Process, Thread, work};

/// Stops the process of the running thread, because of this signal. The other threads stop on their way to user mode.
pub(super) fn stop(thread: &Thread, signal: Signal) {
    let process = thread.process();
    let mut shared = process.signals.shared.lock();
    if shared.ending.is_some() || shared.stopped.is_some() {
        return;
    }
    shared.stopped = Some(signal);
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
