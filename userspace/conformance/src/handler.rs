//! Signal handlers that record what they were given.

use crate::{Failure, arch};
use abi::signal::{SA_RESTORER, SA_SIGINFO, SigInfo, Sigaction};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use libsyscall::signal::rt_sigaction;

/// How often the recording handler has run.
pub static COUNT: AtomicU32 = AtomicU32::new(0);
/// The signal of the last run.
pub static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// `si_code` of the last run.
pub static CODE: AtomicI32 = AtomicI32::new(0);
/// The first word of the union of the last run: address, or process and user.
pub static FIELD: AtomicU64 = AtomicU64::new(0);
/// The second word of the union of the last run: value, or status.
pub static VALUE: AtomicU64 = AtomicU64::new(0);

/// A handler of three arguments (`SA_SIGINFO`).
pub type Handler = extern "C" fn(i32, *const SigInfo, *mut abi::signal::UContext);

extern "C" fn record(signal: i32, info: *const SigInfo, _context: *mut abi::signal::UContext) {
    // SAFETY: the kernel passes a `SigInfo` on the handler's stack.
    let info = unsafe { &*info };
    SIGNAL.store(signal, Ordering::Relaxed);
    CODE.store(info.si_code, Ordering::Relaxed);
    FIELD.store(info.fields[0], Ordering::Relaxed);
    VALUE.store(info.fields[1], Ordering::Relaxed);
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// An action with `handler`, further `flags` and a `mask`.
pub fn action(handler: Handler, flags: u64, mask: u64) -> Sigaction {
    let restorer = arch::restorer();
    Sigaction {
        sa_handler: handler as *const () as u64,
        sa_flags: flags | SA_SIGINFO | if restorer.is_some() { SA_RESTORER } else { 0 },
        sa_restorer: restorer.unwrap_or_default(),
        sa_mask: mask,
    }
}

/// Sets `handler` for `signal`.
#[track_caller]
pub fn install(signal: u32, handler: Handler, flags: u64) -> Result<(), Failure> {
    // SAFETY: the tests' handlers touch atomics and make calls only.
    unsafe { rt_sigaction(signal, Some(&action(handler, flags, 0))) }?;
    Ok(())
}

/// Sets the handler that records, and forgets what was recorded.
#[track_caller]
pub fn record_signal(signal: u32, flags: u64) -> Result<(), Failure> {
    COUNT.store(0, Ordering::Relaxed);
    install(signal, record, flags)
}

/// How often the recording handler has run.
pub fn count() -> u32 {
    COUNT.load(Ordering::Relaxed)
}

/// The bit of `signal` in a mask.
pub const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}
