//! System calls of x86_64: the `syscall` instruction.

use super::ChildEntry;
use abi::Errno;
use abi::arch::x86_64::{nr, process::ARCH_SET_FS};
use core::arch::{asm, naked_asm};

/// Makes system call `num` and returns what the kernel left in RAX: a result, or -4095..=-1 for an error.
///
/// | register | in | out |
/// |---|---|---|
/// | RAX | `num` | return value |
/// | RDI, RSI, RDX, R10, R8, R9 | `a0` … `a5` | unchanged |
/// | RCX, R11 | | destroyed: the CPU keeps RIP and RFLAGS there |
///
/// Source: Linux 6.1, `arch/x86/entry/entry_64.S`; Intel SDM vol. 2, SYSCALL.
///
/// # Safety
/// The call may do anything to the process: the caller answers for every pointer among the arguments and for what the
/// call does to memory, descriptors and threads.
#[inline(always)]
pub unsafe fn syscall(num: u64, a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64) -> i64 {
    let result: i64;
    // SAFETY: the operands name every register that the instruction and the kernel read or change; memory counts as
    // changed, because `nomem` is absent. The kernel does not touch the stack below RSP, so `nostack` holds.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") num as i64 => result,
            in("rdi") a0,
            in("rsi") a1,
            in("rdx") a2,
            in("r10") a3,
            in("r8") a4,
            in("r9") a5,
            lateout("rcx") _,
            lateout("r11") _,
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
/// | RDI | `flags` | `argument` |
/// | RSI | `stack_top`, aligned to 16 | |
/// | RDX, RCX, R8 | `parent_tid`, `child_tid`, `tls` | |
/// | R9 | `entry` | |
/// | \[RSP+8\] | `argument` | |
/// | RSP | | `stack_top` - 8: the return address |
/// | RBP | | 0: the end of backtraces |
///
/// The word below `stack_top` carries `argument` into the child.
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
        "mov rax, [rsp + 8]", // argument
        "sub rsi, 16",
        "mov [rsi + 8], rax",
        "mov [rsi], r9",
        "mov r10, rcx", // the call takes child_tid in R10
        "mov eax, {clone}",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2:", // the child
        "xor ebp, ebp",
        "pop rax", // entry
        "pop rdi", // argument
        "call rax",
        "ud2",
        clone = const nr::clone,
    )
}

/// Sets the thread pointer, FS_BASE, of this thread.
///
/// # Safety
/// Everything that reads thread-locals through it must find them there.
pub unsafe fn set_thread_pointer(pointer: *mut u8) -> Result<(), Errno> {
    // SAFETY: the call changes FS_BASE and nothing else; what that means is the caller's concern.
    Errno::from_return(unsafe { syscall(nr::arch_prctl, ARCH_SET_FS.into(), pointer as u64, 0, 0, 0, 0) })
        .map(drop)
}

/// The first word at the thread pointer, where x86_64's convention keeps the pointer itself (System V ABI, 3.4.6).
///
/// # Safety
/// A thread pointer must be set, and the word must be there.
pub unsafe fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: the caller says that the word at FS:0 can be read.
    unsafe { asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, preserves_flags, readonly)) };
    pointer
}
