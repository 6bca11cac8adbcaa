//! What is put into the ways in and out where a CPU needs it: code that sites jump to (`patches`), and nobody else.
//!
//! docs/security.md says against what; `libkernel::arch::x86_64::speculation` when. The ways themselves are
//! `user.rs`'s.
use super::super::cpu::CpuLocal;
use super::super::patches::patched;
use super::msr;
use core::arch::naked_asm;
use core::mem::offset_of;
use libkernel::arch::x86_64::segments;

/// A selector that `verw` finds writable, as it must for the buffers to be cleared.
pub static SELECTOR: u16 = segments::KERNEL_DATA;

/// What a thread can ask for in IA32_SPEC_CTRL: STIBP and SSBD.
pub const THREAD_BITS: u64 = 1 << 1 | 1 << 2;
/// IBRS.
const RESTRICT: u64 = 1 << 0;

/// In place of the start of `user::leave_user`: clears what no handler overwrites of the program's registers, so that
/// nothing that the kernel does by mistake for a moment goes by them.
///
/// ```text
/// in:    as `user::leave_user`
/// out:   to its rest; rcx, rsi, r8 to r11, and rdx after a system call: zero
/// ```
#[unsafe(naked)]
pub unsafe extern "C" fn leave_user() {
    naked_asm!(
        "xor ecx, ecx",
        "xor esi, esi",
        "xor r8d, r8d",
        "xor r9d, r9d",
        "xor r10d, r10d",
        "xor r11d, r11d",
        "cmp eax, {syscall}",
        "cmove edx, ecx",
        "pop r15",
        "pop r14",
        "pop r13",
        patched!(FORGET, "jmp leave_user_rest" => "jmp {forget}"),
        syscall = const super::super::trap::VECTOR_SYSCALL,
        forget = sym forget,
    )
}

/// Behind [`leave_user`], for CPUs whose branches a program can train for the kernel.
///
/// ```text
/// in:        as there; rcx is free
/// clobbered: rcx, r8, r9, flags
/// ```
#[unsafe(naked)]
unsafe extern "C" fn forget() {
    naked_asm!(
        patched!(RESTRICT, ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00" => "call {restrict}"),
        patched!(HISTORY, ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00" => "call {clear}"),
        "jmp leave_user_rest",
        restrict = sym restrict,
        clear = sym clear_history,
    )
}

/// Turns IBRS on. rcx, r8, r9 are free; rax and rdx are kept.
#[unsafe(naked)]
unsafe extern "C" fn restrict() {
    naked_asm!(
        "mov r8, rax",
        "mov r9, rdx",
        "mov eax, gs:[{control}]",
        "and eax, {thread_bits}",
        "or eax, {restrict}",
        "xor edx, edx",
        "mov ecx, {register}",
        "wrmsr",
        "mov rax, r8",
        "mov rdx, r9",
        "ret",
        control = const offset_of!(CpuLocal, control),
        thread_bits = const THREAD_BITS,
        restrict = const RESTRICT,
        register = const msr::SPECULATION_CONTROL,
    )
}

/// In place of an instruction of `user::enter_user_mode`, which it makes up for: turns IBRS off, for a program must not
/// pay for it. rdi and rsi are kept; rax, rcx, rdx are free.
#[unsafe(naked)]
pub unsafe extern "C" fn permit() {
    naked_asm!(
        "mov gs:[{rsp0}], rsp",
        "mov eax, gs:[{control}]",
        "and eax, {thread_bits}",
        "xor edx, edx",
        "mov ecx, {register}",
        "wrmsr",
        "jmp enter_user_mode_rest",
        rsp0 = const super::super::cpu::RSP0,
        control = const offset_of!(CpuLocal, control),
        thread_bits = const THREAD_BITS,
        register = const msr::SPECULATION_CONTROL,
    )
}

/// Takes so many branches that none of the program's is left in the history (Intel, "Branch History Injection",
/// software sequence). rcx is free; rax is kept.
#[unsafe(naked)]
unsafe extern "C" fn clear_history() {
    naked_asm!(
        "mov r8, rax",
        "mov ecx, 5",
        "call 2f",
        "jmp 6f",
        ".balign 64",
        "2:",
        "call 3f",
        "ret",
        ".balign 64",
        "3:",
        "mov eax, 5",
        "4:",
        "jmp 5f",
        "nop",
        "5:",
        "sub eax, 1",
        "jnz 4b",
        "sub ecx, 1",
        "jnz 2b",
        "ret",
        "6:",
        "lfence",
        "mov rax, r8",
        "ret",
    )
}

/// In place of `mov cr3, rax`, which it makes up for: fills the return stack, so that a return that finds it empty or
/// another program's goes nowhere (Intel, "Retpoline: A Branch Target Injection Mitigation", RSB stuffing). Keeps all
/// registers.
#[unsafe(naked)]
pub unsafe extern "C" fn change_space() {
    naked_asm!(
        "mov cr3, rax",
        "push rcx",
        "mov ecx, 16",
        "2:",
        "call 3f",
        "int3",
        "3:",
        "call 4f",
        "int3",
        "4:",
        "add rsp, 16",
        "dec ecx",
        "jnz 2b",
        "lfence",
        "pop rcx",
        "ret",
    )
}

/// In place of `mov eax, -1`, which it makes up for, before a task's registers are loaded: gives FIP, FDP and FOP the
/// values of an instruction of the kernel's own. CPUs that need it save and load them only where an x87 exception is
/// pending (AMD APM volume 2, 11.4.4.3), so the next program would find those of the one before. Keeps all registers
/// but rax and x87's, which are loaded next.
///
/// No exception may be pending for the load, nor all registers be in use.
#[unsafe(naked)]
pub unsafe extern "C" fn forget_x87_pointers() {
    naked_asm!(
        "fnclex",
        "emms",
        "fild dword ptr [rip + {any}]",
        "mov eax, -1",
        "ret",
        any = sym ANY_NUMBER,
    )
}

static ANY_NUMBER: u32 = 0;
