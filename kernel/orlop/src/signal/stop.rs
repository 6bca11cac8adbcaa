//! Job control: stopping and continuing whole processes.
//!
//! A stop begins with one thread, which takes a stop signal, and is complete when all others stand still; only then the
//! parent hears of it (Linux: `group_stop_count`). It ends the interruptible waits of the others, so that a stopped
//! process reads no terminal and gets no lock; their calls run again when it goes on.
//!
//! A SIGCONT that comes between the taking of a stop signal and the stop takes it back: the taking is noted under the
//! lock from under which the signal was taken, and whoever sends SIGCONT holds both (Linux: `JOBCTL_STOP_DEQUEUED`).

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sched::work;

use super::{Shared, Signal};
use crate::process::{Process, Thread};

/// How many processes are stopped.
static STOPPED: AtomicUsize = AtomicUsize::new(0);
/// How many stops there were.
static STOPS: AtomicU64 = AtomicU64::new(0);

/// A process's stop.
pub(crate) struct Stop {
    /// The signal that asked for it.
    pub(crate) signal: Signal,
    /// Its own number, from 1.
    number: u64,
    /// How many threads stand still.
    standing: usize,
    /// Whether all did at some time: from then on it can be waited for.
    is_complete: bool,
    /// Whether nobody has noted yet that it is complete.
    is_news: bool,
}

impl Stop {
    /// Notes that all threads of the process stand still, if they do; whether that is new.
    fn complete(&mut self, process: &Process) -> bool {
        let is_new = !self.is_complete && self.standing >= process.thread_count();
        if is_new {
            (self.is_complete, self.is_news) = (true, true);
        }
        is_new
    }
}

/// What there is to tell of a process's job control.
pub(crate) enum ControlNews {
    /// It stands still because of this signal.
    Stopped(Signal),
    /// It goes on.
    Continued,
}

/// What has not been told yet. As it stands now: a stop that is over by now is never told after its end.
pub(crate) fn take_news(shared: &mut Shared) -> Option<ControlNews> {
    match &mut shared.stopped {
        Some(stop) => core::mem::take(&mut stop.is_news).then_some(ControlNews::Stopped(stop.signal)),
        None => core::mem::take(&mut shared.was_continued).then_some(ControlNews::Continued),
    }
}

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

/// Begins to stop the process of the running thread, which has taken this signal, unless SIGCONT has come since. The
/// other threads stop on their way to user mode.
pub(super) fn stop(thread: &Thread, signal: Signal) {
    let process = thread.process();
    let mut shared = process.signals.shared.lock();
    let is_asked_for = thread.signals.has_taken_stop.swap(false, Ordering::Relaxed);
    if !is_asked_for || shared.ending.is_some() || shared.stopped.is_some() {
        return;
    }
    let number = STOPS.fetch_add(1, Ordering::Relaxed) + 1;
    shared.stopped = Some(Stop { signal, number, standing: 0, is_complete: false, is_news: false });
    shared.was_continued = false;
    STOPPED.fetch_add(1, Ordering::Relaxed);
    drop(shared);
    process.each_thread(|other| other.set_work(work::STOP));
}

/// Sleeps while the process is stopped. Death ends the sleep too.
pub(super) fn wait_while_stopped(thread: &Thread) {
    let signals = &thread.process().signals;
    // Being killed is seen by the thread's loop.
    let _ = signals.continued.wait_until_killed(|| (!stands(thread)).then_some(()));
}

/// Whether the process is stopped, so that the running thread is to stand still; the last one to do so tells the
/// parent.
fn stands(thread: &Thread) -> bool {
    let process = thread.process();
    let mut shared = process.signals.shared.lock();
    let Some(stop) = &mut shared.stopped else { return false };
    // One sleep may see several stops.
    let is_first_look = thread.signals.stop.swap(stop.number, Ordering::Relaxed) != stop.number;
    stop.standing += usize::from(is_first_look);
    let is_last = stop.complete(process);
    drop(shared);
    if is_last {
        process.report_job_control();
    }
    true
}

/// A thread is no longer among those of its process, whose stop may have waited for it alone.
#[inline]
pub(crate) fn leave(process: &Process, thread: &Thread) {
    if is_any_stopped() {
        leave_stopped(process, thread);
    }
}

#[cold]
fn leave_stopped(process: &Process, thread: &Thread) {
    let mut shared = process.signals.shared.lock();
    let Some(stop) = &mut shared.stopped else { return };
    if thread.signals.stop.load(Ordering::Relaxed) == stop.number {
        stop.standing -= 1;
    }
    let is_last = stop.complete(process);
    drop(shared);
    if is_last {
        process.report_job_control();
    }
}

/// A new thread begins: where its process is stopped by now, it stops.
#[inline]
pub(crate) fn join(thread: &Thread) {
    if is_any_stopped() && thread.process().is_stopped() {
        hal::task::add_own_work(work::STOP);
    }
}

/// Wakes the threads of a process that is no longer stopped, and tells its parent.
pub(super) fn continued(process: &Process) {
    process.signals.continued.wake_all();
    process.each_thread(|thread| thread.set_work(work::SIGNAL));
    process.report_job_control();
}
