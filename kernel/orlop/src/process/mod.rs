//! Processes and threads: how they come, what they own, how they end.

pub mod clone;
mod cpu_limits;
pub mod exec;
mod exit;
mod family;
mod first;
pub mod group;
pub mod helper;
mod inspect;
mod io_context;
mod kept;
mod main_loop;
#[allow(clippy::module_inception, reason = "the process itself")]
mod process;
mod report;
mod running;
pub mod session;
mod settings;
mod show;
pub mod speculation;
pub mod table;
mod thread;
mod usage;
pub mod wait;

pub use first::{FirstProcess, first};
pub use inspect::{Inspection, may_inspect};
pub use io_context::IoContext;
pub use kept::NOBODY;
pub use main_loop::run;
pub use process::Process;
pub use running::RunningThread;
pub use session::Session;
pub use settings::{
    CORE_PIPE_LIMIT, CORE_USES_PID, PID_MAX, SUID_DUMPABLE, THREADS_MAX, core_pattern, core_uses_pid,
    dumpable_with_privileges, set_core_pattern,
};
pub use table::{
    PID_LIMIT, find_process, find_thread, first_member, for_each_process, for_each_thread, is_in_use,
    made_threads, next_process,
};
pub use thread::{NAME_SIZE, Thread, ThreadParts};
pub use usage::Times;

use alloc::sync::Arc;

use subject::{PidNamespace, UserNamespace};

/// The namespace of processes that the running thread is in; the initial one in a kernel task.
pub fn current_pid_namespace() -> Arc<PidNamespace> {
    let own = current().map(|thread| thread.process().pid_namespace().clone());
    own.unwrap_or_else(|| first::first_pid_namespace().clone())
}

/// As [`current_pid_namespace`], of users.
pub fn current_user_namespace() -> Arc<UserNamespace> {
    let own = current().map(|thread| thread.user_namespace());
    own.unwrap_or_else(|| UserNamespace::initial().clone())
}

/// The running thread; `None` in a kernel task.
pub fn current() -> Option<Arc<Thread>> {
    hal::task::with_current(|task| task.owner::<Thread>().and_then(Thread::to_ref))
}
