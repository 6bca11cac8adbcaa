//! System calls: from the number in a register to one typed function.
//!
//! The dispatch table is generated from `abi::for_each_syscall!`. A handler is a function
//! `fn name(caller: &mut Caller<'_>, arguments…) -> Result<R, Failure>` in a module below this one; its signature says
//! how the argument registers are converted ([`FromArg`]) and what goes back ([`IntoReturn`]). CONTRIBUTING.md says
//! what belongs to a new call ("Adding a system call").

pub mod affinity;
mod arguments;
mod at;
pub mod attributes;
mod configure;
pub mod control;
pub mod descriptor;
pub mod directory;
pub mod epoll;
pub mod event;
pub mod exec;
mod extensible;
mod file_request;
mod file_signal;
pub mod futex;
pub mod identity;
pub mod io;
pub mod io_priority;
mod lease;
mod mask;
pub mod membarrier;
mod memory;
pub mod mount;
mod mount_tree;
mod namespace;
pub mod offset;
pub mod open;
pub mod path;
pub mod pipe;
pub mod poll;
pub mod priority;
mod privilege;
pub mod process;
mod record_lock;
mod restart;
pub mod sched;
mod set_mm;
pub mod signal;
pub mod socket;
pub mod splice;
pub mod stat;
pub mod syslog;
pub mod system;
mod table;
pub mod time;
pub mod transfer;
pub mod xattr;

use alloc::sync::Arc;

use hal::user::UserContext;
use vfs::mount::Turn;

pub use arguments::{FromArg, Handler, IntoReturn};
pub use outcome::{Failure, Restart};
pub use restart::{Resume, restart_syscall};
pub use table::dispatch;

use crate::process::Thread;

/// Who makes a system call: the running thread and its registers.
pub struct Caller<'a> {
    /// The thread that is running.
    pub thread: &'a Arc<Thread>,
    /// Its user registers; the return register is written after the handler.
    pub context: &'a mut UserContext,
}

impl Caller<'_> {
    /// The turn to change trees of mounts, for who is in the thread's namespace.
    pub fn mount_turn(&self) -> Turn {
        Turn::of(&self.thread.namespaces().mounts)
    }

    /// Register number `index` of the system call's six arguments.
    #[inline]
    pub fn argument(&self, index: usize) -> u64 {
        self.context.regs.syscall_arguments()[index]
    }
}
