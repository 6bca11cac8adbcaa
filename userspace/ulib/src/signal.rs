//! Signals that a program wants to notice rather than die of.
//!
//! A noticed signal interrupts a waiting system call, which returns EINTR, and is remembered in a set.

use abi::Errno;
use abi::signal::{SA_RESTORER, SIG_IGN, Sigaction};
use core::sync::atomic::{AtomicU64, Ordering};
use libsyscall::signal::rt_sigaction;

pub use libsyscall::signal::{Disposition, set_disposition};

/// Signals that have come and have not been taken; bit n-1 is signal n.
static NOTICED: AtomicU64 = AtomicU64::new(0);

/// Notices `signal` from now on.
pub fn notice(signal: u32) -> Result<(), Errno> {
    let handler: extern "C" fn(u32) = remember;
    let action = Sigaction {
        sa_handler: handler as usize as u64,
        sa_flags: SA_RESTORER,
        sa_restorer: crate::arch::restore_after_signal as *const () as usize as u64,
        sa_mask: 0,
    };
    // SAFETY: the handler does nothing but one atomic operation, and returns through the restorer.
    unsafe { rt_sigaction(signal, Some(&action)) }.map(drop)
}

/// Whether `signal` has come since this was last asked.
pub fn take(signal: u32) -> bool {
    let bit = 1 << (signal - 1);
    NOTICED.load(Ordering::Relaxed) & bit != 0 && NOTICED.fetch_and(!bit, Ordering::Relaxed) & bit != 0
}

/// Whether `signal` is ignored now.
pub fn is_ignored(signal: u32) -> bool {
    // SAFETY: nothing is changed.
    unsafe { rt_sigaction(signal, None) }.is_ok_and(|action| action.sa_handler == SIG_IGN)
}

/// Whether `signal` has come and was not asked for; it stays noticed.
pub fn has_come(signal: u32) -> bool {
    NOTICED.load(Ordering::Relaxed) & 1 << (signal - 1) != 0
}

/// Whether any has.
pub fn any_has_come() -> bool {
    NOTICED.load(Ordering::Relaxed) != 0
}

/// The handler of every noticed signal.
extern "C" fn remember(signal: u32) {
    NOTICED.fetch_or(1 << (signal - 1), Ordering::Relaxed);
}
