//! Setting a handler, and running it.

use crate::arch;
use crate::measure::repeat;
use abi::Errno;
use abi::signal::{SA_RESTORER, SIGUSR1, Sigaction};
use libsyscall::process::getpid;
use libsyscall::signal::{rt_sigaction, tgkill};
use libsyscall::thread::gettid;

extern "C" fn handler(_signal: i32) {}

fn action() -> Sigaction {
    let restorer = arch::restorer();
    Sigaction {
        sa_handler: handler as *const () as u64,
        sa_flags: if restorer.is_some() { SA_RESTORER } else { 0 },
        sa_restorer: restorer.unwrap_or_default(),
        sa_mask: 0,
    }
}

/// Sets the handler that the rows need.
fn install() -> Result<(), Errno> {
    // SAFETY: the handler does nothing, so it can run anywhere; the restorer is the architecture's own.
    unsafe { rt_sigaction(SIGUSR1, Some(&action())) }.map(drop)
}

pub fn set_action() -> Result<u64, Errno> {
    repeat(1000, install)
}

/// The ids are known beforehand: one call sends, one returns from the handler.
pub fn raise() -> Result<u64, Errno> {
    install()?;
    let (process, thread) = (getpid(), gettid());
    repeat(500, || tgkill(process, thread, SIGUSR1))
}
