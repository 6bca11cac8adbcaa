//! System calls of AArch64: the `svc` instruction.

use super::ChildEntry;
use abi::Errno;
use abi::arch::aarch64::nr;
use core::arch::{asm, naked_asm};

/// Makes system call `num` and returns what the kernel left in X0: a result, or -4095..=-1 for an error.
///
/// | register | in | out |
/// |---|---|---|
/// | X8 | `num` | unchanged |
/// | X0 … X5 | `a0` … `a5` | X0: return value; the others unchanged |
///
/// Source: Linux 6.1, `arch/arm64/kernel/{entry.S,syscall.c}`.
///
/// # Safety
/// The call may do anything to the process: the caller answers for every pointer among the arguments and for what the
/// call does to memory, descriptors and threads.
#[inline(always)]
pub unsafe fn syscall(num: u64, a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64) -> i64 {
    let result: i64;
    // SAFETY: the operands name every register that the instruction and the kernel read or change; memory counts as
    // changed, because `nomem` is absent. The kernel does not touch the stack below SP, so `nostack` holds.
    unsafe {
        asm!(
            "svc #0",
            in("x8") num,
            inlateout("x0") a0 as i64 => result,
            in("x1") a1,
            in("x2") a2,
            in("x3") a3,
            in("x4") a4,
            in("x5") a5,
            options(nostack),
        );
    }
    result
}

/// `clone` with a stack of its own for the child, which calls `entry(argument)` on it.
///
/// Returns like [`syscall`] in the parent, never in the child.
///
/// | register | in | in the child at `entry` |
/// |---|---|---|
/// | X0 | `flags` | `argument` |
/// | X1 | `stack_top`, aligned to 16 | |
/// | X2, X3, X4 | `parent_tid`, `child_tid`, `tls` | |
/// | X5 | `entry` | |
/// | X6 | `argument` | |
/// | SP | | `stack_top` |
/// | X29, X30 | | 0, `brk` below: the end of backtraces |
///
/// # Safety
/// As for [`syscall`]; `stack_top` must be the aligned upper end of a writable stack that outlives the child.
#[unsafe(naked)]
pub unsafe extern "C" fn clone_onto_stack(
    flags: u64,
    stack_top: *mut u8,
    parent_tid: *mut u32,
    child_tid: *mut u32,
    tls: u64,
    entry: ChildEntry,
    argument: *mut u8,
) -> i64 {
    naked_asm!(
        "mov x7, x3",
        "mov x3, x4", // this architecture's clone takes tls before child_tid
        "mov x4, x7",
        "mov x8, {clone}",
        "svc #0",
        "cbz x0, 2f",
        "ret",
        "2:", // the child; x5 and x6 are as the parent had them
        "mov x29, xzr",
        "mov x0, x6",
        "blr x5",
        "brk #0",
        clone = const nr::clone,
    )
}

/// Sets the thread pointer, TPIDR_EL0, of this thread.
///
/// # Safety
/// Everything that reads thread-locals through it must find them there.
pub unsafe fn set_thread_pointer(pointer: *mut u8) -> Result<(), Errno> {
    // SAFETY: EL0 may write the register (Arm ARM DDI 0487, TPIDR_EL0); what that means is the caller's concern.
    unsafe { asm!("msr tpidr_el0, {}", in(reg) pointer, options(nostack, preserves_flags)) };
    Ok(())
}

/// The thread pointer.
///
/// # Safety
/// None is needed here; x86_64 reads memory for it.
pub unsafe fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: EL0 may read the register.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem)) };
    pointer
}
