//! Registers that a core dump must show.

use abi::arch::aarch64::core_dump::GeneralRegisters;
use core::arch::naked_asm;

/// `e_machine` of a dump.
pub const MACHINE: u16 = 183;

/// Puts numbers from `first` on into registers, and ends by SIGILL.
#[unsafe(naked)]
pub extern "C" fn die(first: u64) -> ! {
    naked_asm!("mov x19, x0", "add x20, x0, #1", "add x28, x0, #2", "fmov d9, x0", "udf #0",)
}

/// Puts numbers from `first` on into registers, stores 1 to `ready`, and goes round for ever.
///
/// # Safety
/// `ready` is valid for writes.
#[unsafe(naked)]
pub unsafe extern "C" fn spin(first: u64, ready: *mut u32) -> ! {
    naked_asm!(
        "mov x19, x0",
        "add x20, x0, #1",
        "add x28, x0, #2",
        "fmov d9, x0",
        "mov w2, #1",
        "stlr w2, [x1]",
        "2: b 2b",
    )
}

/// The registers in the note that [`die`] and [`spin`] have set, and where the thread was.
pub fn numbers(registers: &GeneralRegisters) -> ([u64; 3], u64) {
    ([registers.regs[19], registers.regs[20], registers.regs[28]], registers.pc)
}

/// Stack pointer and thread pointer.
pub fn pointers(registers: &GeneralRegisters, notes: &[(u32, &[u8])]) -> (u64, u64) {
    let tls = notes.iter().find(|(kind, _)| *kind == abi::core_dump::NT_ARM_TLS);
    let word = tls.and_then(|(_, content)| content.first_chunk::<8>());
    (registers.sp, word.map_or(0, |word| u64::from_le_bytes(*word)))
}

/// Where the vector register that [`die`] and [`spin`] have set begins in `NT_PRFPREG` (v9).
pub const VECTOR: usize = 9 * 16;

/// Bytes of `NT_PRFPREG`.
pub const VECTORS: usize = 528;

/// The same register lies in no other note.
pub const OTHER_VECTOR: Option<(u32, usize)> = None;
