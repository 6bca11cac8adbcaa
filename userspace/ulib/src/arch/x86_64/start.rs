//! Program start on x86_64.

use core::arch::naked_asm;

/// `R_X86_64_RELATIVE`: the word is the image's base plus the addend (System V ABI for AMD64, 4.4).
pub const RELATIVE: u32 = 8;

/// Where the kernel starts the program.
///
/// | register | in | at `start::first` |
/// |---|---|---|
/// | RSP | aligned to 16: argc, argv, 0, envp, 0, auxv | 8 below: the return address |
/// | RDI | | the initial RSP |
/// | RSI | | address of the ELF header |
/// | RBP | | 0: the end of backtraces |
///
/// Source: System V ABI for AMD64, 3.4.1.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "mov rdi, rsp",
        ".hidden __ehdr_start",
        "lea rsi, [rip + __ehdr_start]",
        "and rsp, -16",
        "call {first}",
        "ud2",
        first = sym crate::start::first,
    )
}
