//! One load and one store that a signal handler can end.

use abi::signal::UContext;
use core::arch::naked_asm;

/// Loads `*address` into `*value`; 1 if that was possible. Nothing but its first instruction touches `address`.
///
/// # Safety
/// `value` must be valid for writes; [`skip`] must run for SIGSEGV where `address` may fault.
#[unsafe(naked)]
pub unsafe extern "C" fn load(address: *const u64, value: *mut u64) -> u64 {
    naked_asm!("mov rax, [rdi]", "mov [rsi], rax", "mov eax, 1", "ret")
}

/// Stores `value` into `*address`; 1 if that was possible. Nothing but its first instruction touches `address`.
///
/// # Safety
/// What lies at `address` must be nobody's Rust value; [`skip`] must run for SIGSEGV where it may fault.
#[unsafe(naked)]
pub unsafe extern "C" fn store(address: *mut u64, value: u64) -> u64 {
    naked_asm!("mov [rdi], rsi", "mov eax, 1", "ret")
}

/// Where a refused attempt goes on: returns 0 to its caller.
#[unsafe(naked)]
unsafe extern "C" fn refused() -> u64 {
    naked_asm!("xor eax, eax", "ret")
}

/// Ends the attempt that `context` was interrupted in; false if it was none.
pub fn skip(context: &mut UContext) -> bool {
    let attempts = [load as *const () as u64, store as *const () as u64];
    let interrupted = attempts.contains(&context.uc_mcontext.rip);
    if interrupted {
        context.uc_mcontext.rip = refused as *const () as u64;
    }
    interrupted
}
