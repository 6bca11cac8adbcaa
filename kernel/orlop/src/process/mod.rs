//! Processes and threads: how they come, what they own, how they end.

mod credentials;
mod limits;
mod pid;
#[allow(clippy::module_inception, reason = "the process itself")]
mod process;
mod thread;
pub mod work;

pub use credentials::{Capabilities, Credentials, Identity, capability};
pub use limits::{INFINITY, Limit, Limits, MayRaise, RESOURCES, Resource};
pub use pid::Pid;
pub use process::Process;
pub use thread::{NAME_SIZE, Thread, ThreadParts};

use alloc::sync::Arc;

/// The running thread; `None` in a kernel task.
pub fn current() -> Option<Arc<Thread>> {
    hal::task::current().owner::<Thread>().and_then(Thread::to_ref)
}
