//! Registers that a core dump must show.

use abi::arch::x86_64::core_dump::GeneralRegisters;
use core::arch::naked_asm;

/// `e_machine` of a dump.
pub const MACHINE: u16 = 62;

/// Puts numbers from `first` on into registers, and ends by SIGILL.
#[unsafe(naked)]
pub extern "C" fn die(first: u64) -> ! {
    naked_asm!("mov rbx, rdi", "lea r12, [rdi + 1]", "lea r15, [rdi + 2]", "movq xmm9, rdi", "ud2",)
}

/// Puts numbers from `first` on into registers, stores 1 to `ready`, and goes round for ever.
///
/// # Safety
/// `ready` is valid for writes.
#[unsafe(naked)]
pub unsafe extern "C" fn spin(first: u64, ready: *mut u32) -> ! {
    naked_asm!(
        "mov rbx, rdi",
        "lea r12, [rdi + 1]",
        "lea r15, [rdi + 2]",
        "movq xmm9, rdi",
        "mov dword ptr [rsi], 1",
        "2: jmp 2b",
    )
}

/// The registers in the note that [`die`] and [`spin`] have set, and where the thread was.
pub fn numbers(registers: &GeneralRegisters) -> ([u64; 3], u64) {
    ([registers.rbx, registers.r12, registers.r15], registers.rip)
}

/// Stack pointer and thread pointer.
pub fn pointers(registers: &GeneralRegisters, _notes: &[(u32, &[u8])]) -> (u64, u64) {
    (registers.rsp, registers.fs_base)
}

/// Where the vector register that [`die`] and [`spin`] have set begins in `NT_PRFPREG` (xmm9).
pub const VECTOR: usize = 160 + 9 * 16;

/// Bytes of `NT_PRFPREG`.
pub const VECTORS: usize = 512;

/// Where the same register lies in another note, if the CPU has that.
pub const OTHER_VECTOR: Option<(u32, usize)> = Some((abi::core_dump::NT_X86_XSTATE, VECTOR));
