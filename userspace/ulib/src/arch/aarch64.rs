//! Assembly of AArch64.

#[cfg(target_os = "none")]
pub mod start;

use abi::arch::aarch64::nr;
use core::arch::naked_asm;

/// Where a signal handler returns to (`sa_restorer`): gives the interrupted registers back by `rt_sigreturn`.
///
/// | register | in | out |
/// |---|---|---|
/// | SP | the signal frame | all registers as they were interrupted |
///
/// # Safety
/// To be reached by a handler's return alone.
#[unsafe(naked)]
pub unsafe extern "C" fn restore_after_signal() -> ! {
    naked_asm!(
        "mov x8, {rt_sigreturn}",
        "svc #0",
        rt_sigreturn = const nr::rt_sigreturn,
    )
}
