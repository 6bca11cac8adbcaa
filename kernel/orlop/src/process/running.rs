//! The running thread, as files ask for it.

use hal::task;
use libkernel::signal_set::Signal;
use subject::{Credentials, Pid, Resource};
use vfs::running::Running;

use super::Thread;
use crate::signal::send;

/// Whichever thread runs on the CPU that asks.
pub struct RunningThread;

/// Looks at the running thread; `None` in a kernel task.
fn with_thread<R>(look: impl FnOnce(&Thread) -> R) -> Option<R> {
    task::with_current(|task| task.owner::<Thread>().map(look))
}

impl Running for RunningThread {
    fn file_size_limit(&self) -> Option<u64> {
        with_thread(|thread| thread.process().limits().soft(Resource::FileSize))
    }

    fn process(&self) -> Option<Pid> {
        with_thread(|thread| thread.process().pid())
    }

    fn show_credentials(&self, look: &mut dyn FnMut(&Credentials)) {
        let _ = with_thread(|thread| thread.with_credentials(|credentials| look(credentials)));
    }

    fn send_signal(&self, signal: Signal) {
        if let Some(thread) = super::current() {
            send::to_self(&thread, signal);
        }
    }
}
