//! What files ask of the thread that uses them.

use core::sync::atomic::Ordering;

use hal::task;
use libkernel::signal_set::Signal;
use sched::work;
use subject::{Credentials, INFINITY, Resource};

use crate::process::{self, Thread};
use crate::signal::send;

/// Looks at the running thread; `None` in a kernel task.
fn with_thread<R>(look: impl FnOnce(&Thread) -> R) -> Option<R> {
    task::current().owner::<Thread>().map(look)
}

/// `RLIMIT_FSIZE` of the running process.
pub fn file_size_limit() -> u64 {
    with_thread(|thread| thread.process().limits().soft(Resource::FileSize)).unwrap_or(INFINITY)
}

/// The number of the running process; 0 for the kernel.
pub fn process_number() -> i32 {
    with_thread(|thread| thread.process().pid().number().cast_signed()).unwrap_or(0)
}

/// Looks at the credentials of the running thread; kernel tasks have none, and may do everything.
pub fn with_credentials<R>(look: impl FnOnce(&Credentials) -> R) -> Option<R> {
    with_thread(|thread| thread.with_credentials(|credentials| look(credentials)))
}

/// Whether a signal waits for the running thread, so that long work should stop.
pub fn signal_is_pending() -> bool {
    task::current().work.load(Ordering::Relaxed) & (work::SIGNAL | work::KILL) != 0
}

/// Sends the running thread a signal about what it just did: SIGPIPE, SIGXFSZ.
pub fn send_signal(signal: Signal) {
    if let Some(thread) = process::current() {
        send::to_self(&thread, signal);
    }
}
