//! Signals.

use crate::{call, nr};
use abi::Errno;
use abi::signal::{SIGSET_SIZE, Sigaction, StackT};

/// Sets what a signal does and returns what it did; `None` only reads.
///
/// # Safety
/// A handler runs between any two instructions: it must be a function that can, with a working `sa_restorer` on x86_64.
pub unsafe fn rt_sigaction(signal: u32, action: Option<&Sigaction>) -> Result<Sigaction, Errno> {
    let mut old = Sigaction::default();
    let action = action.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the kernel reads one `Sigaction` and writes one; the handler is the caller's concern.
    unsafe { call!(nr::rt_sigaction, signal, action, &raw mut old, SIGSET_SIZE) }.map(|_| old)
}

/// Makes a signal do its default (`SIG_DFL`) or nothing (`SIG_IGN`).
pub fn set_disposition(signal: u32, disposition: Disposition) -> Result<Sigaction, Errno> {
    let handler = match disposition {
        Disposition::Default => abi::signal::SIG_DFL,
        Disposition::Ignore => abi::signal::SIG_IGN,
    };
    // SAFETY: no handler is installed.
    unsafe { rt_sigaction(signal, Some(&Sigaction { sa_handler: handler, ..Sigaction::default() })) }
}

/// What a signal does without a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Its default action.
    Default,
    /// Nothing.
    Ignore,
}

/// Changes the thread's mask; `how` is `SIG_BLOCK`, `SIG_UNBLOCK` or `SIG_SETMASK`. Returns the old mask.
pub fn rt_sigprocmask(how: u32, set: u64) -> Result<u64, Errno> {
    let mut old = 0u64;
    // SAFETY: the kernel reads one mask and writes one.
    unsafe { call!(nr::rt_sigprocmask, how, &raw const set, &raw mut old, SIGSET_SIZE) }.map(|_| old)
}

/// Sleeps with another mask until a handler has run; always returns EINTR.
pub fn rt_sigsuspend(mask: u64) -> Errno {
    // SAFETY: the kernel reads one mask.
    unsafe { call!(nr::rt_sigsuspend, &raw const mask, SIGSET_SIZE) }.err().unwrap_or(Errno::EINTR)
}

/// Sets the alternate signal stack and returns the old one; `None` only reads.
///
/// # Safety
/// The stack must stay writable, and unused otherwise, as long as it is set.
pub unsafe fn sigaltstack(stack: Option<&StackT>) -> Result<StackT, Errno> {
    let mut old = StackT::default();
    let stack = stack.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the kernel reads one `StackT` and writes one.
    unsafe { call!(nr::sigaltstack, stack, &raw mut old) }.map(|_| old)
}

/// Sends a signal to one thread of a process.
pub fn tgkill(process: i32, thread: i32, signal: u32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::tgkill, process, thread, signal) }.map(drop)
}
