//! Loads and stores that may fault: one instruction each, answered like a call.

use crate::{Outcome, arch, handler};
use abi::signal::{SA_NODEFER, SIGBUS, SIGSEGV, SigInfo, UContext};
use libsyscall::signal::{Disposition, set_disposition};

extern "C" fn skip(signal: i32, _info: *const SigInfo, context: *mut UContext) {
    // SAFETY: the kernel passes the context that it will restore.
    let context = unsafe { &mut *context };
    if !arch::attempt::skip(context) {
        // Somebody else's fault: it comes again, and ends the process.
        let _ = set_disposition(signal as u32, Disposition::Default);
    }
}

/// Lets [`load`] and [`store`] survive what they meet. To be called once, before them.
pub fn prepare() -> Outcome {
    handler::install(SIGSEGV, skip, SA_NODEFER)?;
    handler::install(SIGBUS, skip, SA_NODEFER)
}

/// The word at `address`; `None` where the load faults.
pub fn load(address: usize) -> Option<u64> {
    let mut value = 0;
    // SAFETY: the value is a local's; a fault is answered by `skip`.
    let loaded = unsafe { arch::attempt::load(core::ptr::without_provenance(address), &raw mut value) };
    (loaded == 1).then_some(value)
}

/// Writes the word at `address`; false where the store faults.
pub fn store(address: usize, value: u64) -> bool {
    // SAFETY: tests store into mappings of their own, which no Rust value lies in; a fault is answered by `skip`.
    unsafe { arch::attempt::store(core::ptr::without_provenance_mut(address), value) == 1 }
}
