//! How a system call fails: an error number, or a wish to be run again.
//!
//! A handler that was woken by a signal does not know whether a handler of the program will run, nor with which flags.
//! It says with [`Restart`] what should happen then, and the thread's loop decides (`signal::deliver`).
//!
//! Every floor of the kernel ends calls, so this crate stands below them all.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod errno;

pub use errno::{OrErrno, ToErrno};

use abi::Errno;

/// Why a handler did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The program sees this error.
    Errno(Errno),
    /// A signal came first; the program sees EINTR or nothing at all.
    Restart(Restart),
}

/// What becomes of an interrupted call. Without a handler to run, every kind runs the call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Runs again if the handler has `SA_RESTART`, else EINTR (Linux: `ERESTARTSYS`).
    IfAllowed,
    /// EINTR if any handler runs (Linux: `ERESTARTNOHAND`).
    UnlessHandled,
    /// Always runs again (Linux: `ERESTARTNOINTR`).
    Always,
    /// EINTR if any handler runs, else `restart_syscall` continues what the thread remembers
    /// (Linux: `ERESTART_RESTARTBLOCK`).
    Resume,
}

impl From<Errno> for Failure {
    #[inline]
    fn from(errno: Errno) -> Failure {
        Failure::Errno(errno)
    }
}
