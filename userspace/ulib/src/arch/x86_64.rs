//! Assembly of x86_64.

#[cfg(target_os = "none")]
pub mod start;

use abi::arch::x86_64::nr;
use core::arch::naked_asm;

/// Where a signal handler returns to (`sa_restorer`): gives the interrupted registers back by `rt_sigreturn`.
///
/// | register | in | out |
/// |---|---|---|
/// | RSP | 8 above the signal frame: the handler has popped its return address | all registers as they were interrupted |
///
/// # Safety
/// To be reached by a handler's return alone.
#[unsafe(naked)]
pub unsafe extern "C" fn restore_after_signal() -> ! {
    naked_asm!(
        "mov eax, {rt_sigreturn}",
        "syscall",
        rt_sigreturn = const nr::rt_sigreturn,
    )
}
