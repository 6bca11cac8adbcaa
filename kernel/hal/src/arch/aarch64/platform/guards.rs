//! What is put into the way in where a CPU needs it: code that sites branch to (`patches`), and nobody else.
//!
//! docs/security.md says against what; `libkernel::arch::aarch64::speculation` when. The way itself is `user.rs`'s.
use super::super::patches::patched;
use core::arch::naked_asm;
use core::sync::atomic::AtomicU64;
use libkernel::arch::aarch64::speculation::{WORKAROUND_1, WORKAROUND_3};

/// How many rounds of branches overwrite the history.
pub static ROUNDS: AtomicU64 = AtomicU64::new(0);

/// In place of an instruction of `user::user_exit`, which it makes up for: clears what is left of the program's
/// registers, so that nothing that the kernel does by mistake for a moment goes by them.
///
/// | register | in | out |
/// |---|---|---|
/// | x0 | the register frame | which vector |
/// | x1 | which vector | 0 |
/// | x2 to x18 | anything | 0 |
#[unsafe(naked)]
pub unsafe extern "C" fn user_exit() {
    naked_asm!(
        "mov x0, x1",
        "mov x1, xzr",
        "mov x2, xzr",
        "mov x3, xzr",
        "mov x4, xzr",
        "mov x5, xzr",
        "mov x6, xzr",
        "mov x7, xzr",
        "mov x8, xzr",
        "mov x9, xzr",
        "mov x10, xzr",
        "mov x11, xzr",
        "mov x12, xzr",
        "mov x13, xzr",
        "mov x14, xzr",
        "mov x15, xzr",
        "mov x16, xzr",
        "mov x17, xzr",
        "mov x18, xzr",
        patched!(HISTORY, "b user_exit_rest" => "b {history}"),
        history = sym forget_history,
    )
}

/// Behind [`user_exit`]: sees that no branch of the program's is left in the history (Arm, "Spectre-BHB", 4). x1 to x5
/// are free, x0 is kept; firmware keeps the rest (DEN 0028, 2.6).
#[unsafe(naked)]
unsafe extern "C" fn forget_history() {
    naked_asm!(
        patched!(ROUNDS, "b 3f" => "nop"),
        "adrp x1, {rounds}",
        "ldr x1, [x1, :lo12:{rounds}]",
        "2: b 4f",
        "4: subs x1, x1, #1",
        "b.ne 2b",
        "dsb nsh",
        // Where cores differ, one of them may need both.
        patched!(MORE_THAN_ROUNDS, "b 5f" => "nop"),
        // CLRBHB.
        "3:",
        patched!(CLEAR_INSTRUCTION, "nop" => "hint #22"),
        "mov x5, x0",
        "mov w0, {workaround}",
        "movk w0, {high}, lsl #16",
        patched!(HISTORY_BY_HYPERVISOR, "nop" => "hvc #0"),
        patched!(HISTORY_BY_MONITOR, "nop" => "smc #0"),
        "mov x0, x5",
        "5: isb",
        "b user_exit_rest",
        rounds = sym ROUNDS,
        workaround = const WORKAROUND_3 & 0xffff,
        high = const WORKAROUND_3 >> 16,
    )
}

/// In place of an `isb`, which it makes up for: lets firmware forget trained branches. Clobbers x30; keeps all else.
#[unsafe(naked)]
pub unsafe extern "C" fn forget_branches() {
    naked_asm!(
        "isb",
        "stp x0, x1, [sp, #-32]!",
        "stp x2, x3, [sp, #16]",
        "mov w0, {workaround}",
        "movk w0, {high}, lsl #16",
        patched!(BRANCHES_BY_HYPERVISOR, "nop" => "hvc #0"),
        patched!(BRANCHES_BY_MONITOR, "nop" => "smc #0"),
        "ldp x2, x3, [sp, #16]",
        "ldp x0, x1, [sp], #32",
        "ret",
        workaround = const WORKAROUND_1 & 0xffff,
        high = const WORKAROUND_1 >> 16,
    )
}

/// In place of the `eret` to a program, which it makes up for: forgets a translation that nobody has, of ASID 0, so
/// that no load of the program's goes by what the kernel's way out was about to do (errata 2966298, 3117295). Keeps all
/// registers.
#[unsafe(naked)]
pub unsafe extern "C" fn forgetting_return() {
    naked_asm!("tlbi vale1, xzr", "dsb nsh", "eret")
}
