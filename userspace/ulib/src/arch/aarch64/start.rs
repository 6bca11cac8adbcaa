//! Program start on AArch64.

use core::arch::naked_asm;

/// `R_AARCH64_RELATIVE`: the word is the image's base plus the addend (ELF for the Arm 64-bit Architecture, 5.7.16).
pub const RELATIVE: u32 = 1027;

/// Where the kernel starts the program.
///
/// | register | in | at `start::first` |
/// |---|---|---|
/// | SP | aligned to 16: argc, argv, 0, envp, 0, auxv | the same |
/// | X0 | | the initial SP |
/// | X1 | | address of the ELF header |
/// | X29, X30 | | 0: the end of backtraces |
///
/// Source: Linux 6.1, `arch/arm64/include/asm/processor.h` (start_thread), `fs/binfmt_elf.c` (create_elf_tables).
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, sp",
        ".hidden __ehdr_start",
        "adrp x1, __ehdr_start",
        "add x1, x1, :lo12:__ehdr_start",
        "bl {first}",
        "brk #0",
        first = sym crate::start::first,
    )
}
