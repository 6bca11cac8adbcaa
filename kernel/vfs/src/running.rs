//! What files ask of the thread that uses them: of the floors above, that is, which say once how they are asked.

use hal::sync::Once;
use libkernel::signal_set::Signal;
use subject::{Credentials, INFINITY, Pid};

/// The running thread, as the floors above know it.
pub trait Running: Sync {
    /// `RLIMIT_FSIZE` of its process; `None` in a kernel task.
    fn file_size_limit(&self) -> Option<u64>;
    /// Its process; `None` in a kernel task.
    fn process(&self) -> Option<Pid>;
    /// Shows its credentials; not in a kernel task, which has none.
    fn show_credentials(&self, look: &mut dyn FnMut(&Credentials));
    /// Sends it a signal about what it just did.
    fn send_signal(&self, signal: Signal);
}

static RUNNING: Once<&'static dyn Running> = Once::new();

/// Says how the running thread is asked. Once, at boot.
pub fn ask_by(running: &'static dyn Running) {
    let _ = RUNNING.set(running);
}

#[inline]
fn running() -> Option<&'static dyn Running> {
    RUNNING.get().copied()
}

/// `RLIMIT_FSIZE` of the running process.
#[inline]
pub fn file_size_limit() -> u64 {
    running().and_then(|running| running.file_size_limit()).unwrap_or(INFINITY)
}

/// The running process; nobody for the kernel.
pub fn process() -> Pid {
    running().and_then(|running| running.process()).unwrap_or(Pid::NOBODY)
}

/// Looks at the credentials of the running thread; kernel tasks have none, and may do everything.
pub fn with_credentials<R>(look: impl FnOnce(&Credentials) -> R) -> Option<R> {
    let (mut look, mut seen) = (Some(look), None);
    running()?.show_credentials(&mut |credentials| seen = look.take().map(|look| look(credentials)));
    seen
}

/// Sends the running thread a signal about what it just did: SIGPIPE, SIGXFSZ.
pub fn send_signal(signal: Signal) {
    if let Some(running) = running() {
        running.send_signal(signal);
    }
}
