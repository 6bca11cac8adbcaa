//! Exceptions and interrupts: the stubs behind the IDT, and what those from ring 0 mean.
//!
//! Traps from ring 3 go to `user::trap_from_user` and come out of `UserContext::run`. Below are the others:
//! a fault of a user copy (repaired by the exception table), an interrupt of kernel code (on the interrupt stack),
//! the four with IST stacks, and the kernel's own bugs.
use super::Arch;
use super::cpu::CpuLocal;
use super::patches::{clac, patched};
use super::platform::gdt::{IST_GS_BASE_BELOW_END, IST_STACK_BYTES};
use super::platform::{machine_check, msr};
use super::user::{self, bad_user_frame, trap_from_user};
use super::{irq, user_copy};
use crate::backtrace::{self, Interrupts};
use crate::contract::{Cpu as _, Smp as _};
use crate::panic::{Fatal, fatal};
use crate::task;
use crate::user_copy::OnAbsent;
use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;
use libkernel::arch::x86_64::fault::{self, vector};
use libkernel::arch::x86_64::registers::rflags;

/// Vectors that mean something: exceptions, 24 lines of the I/O APIC, and the local ones below.
pub const VECTORS: usize = 64;
/// All others, as one: an interrupt that was sent before this kernel began, by the one that it was started from, say.
const VECTOR_STRAY: usize = VECTORS;
/// The local APIC's timer.
pub const VECTOR_TIMER: u8 = 56;
/// Another CPU wants this one to look at its work.
pub const VECTOR_RESCHEDULE: u8 = 57;
/// Another CPU wants this one to forget its user translations.
pub const VECTOR_FLUSH: u8 = 58;
/// The local APIC's spurious interrupt; its low four bits are ones, as old APICs demand.
pub const VECTOR_SPURIOUS: u8 = 63;
/// What `enter_user_mode` returns for a system call: no vector of the IDT.
pub const VECTOR_SYSCALL: u64 = 256;

const STUB_BYTES: usize = 16;

// One stub of 16 bytes for each vector, and one for the strays: pushes a zero where the CPU pushes no error code, then
// the vector.
global_asm!(
    ".pushsection .text.trap_stubs, \"ax\"",
    ".balign 16",
    ".global trap_stubs",
    "trap_stubs:",
    ".set number, 0",
    ".rept {vectors}",
    ".balign 16",
    ".if (number == 8) || ((number >= 10) && (number <= 14)) || (number == 17) || (number == 21) || (number == 29) || (number == 30)",
    ".else",
    "push 0",
    ".endif",
    "push number",
    ".if (number == 1) || (number == 2) || (number == 8) || (number == 18)",
    "jmp {paranoid}",
    ".else",
    "jmp {common}",
    ".endif",
    ".set number, number + 1",
    ".endr",
    ".popsection",
    vectors = const VECTOR_STRAY + 1,
    common = sym trap_entry,
    paranoid = sym paranoid_entry,
);

unsafe extern "C" {
    static trap_stubs: [u8; 0];
}

/// The address that the IDT holds for vector `number`.
pub fn stub_address(number: usize) -> u64 {
    (&raw const trap_stubs as usize + number.min(VECTOR_STRAY) * STUB_BYTES) as u64
}

/// What the entries below push, lowest address first; ends with what the stub and the CPU pushed.
#[repr(C)]
pub struct TrapFrame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbp: u64,
    rbx: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rax: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    vector: u64,
    code: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Pushes what `TrapFrame` holds below the vector.
macro_rules! push_registers {
    () => {
        "push rdi\npush rsi\npush rdx\npush rcx\npush rax\npush r8\npush r9\npush r10\npush r11\npush rbx\npush rbp\npush r12\npush r13\npush r14\npush r15"
    };
}

/// Pops what `push_registers` pushed, drops vector and error code, and returns to ring 0.
macro_rules! pop_registers_and_return {
    () => {
        "pop r15\npop r14\npop r13\npop r12\npop rbp\npop rbx\npop r11\npop r10\npop r9\npop r8\npop rax\npop rcx\npop rdx\npop rsi\npop rdi\nadd rsp, 16\niretq"
    };
}

/// Where all vectors without an IST stack land.
///
/// ```text
/// in:    rsp +0 vector  +8 error code  +16 the CPU's frame; interrupts masked
/// from ring 3: to `trap_from_user`. From ring 0: GS is the kernel's, except at `user_iretq`.
/// stack: a task's, the boot's or the interrupt stack; interrupts are handled on the interrupt stack
/// ```
#[unsafe(naked)]
unsafe extern "C" fn trap_entry() {
    naked_asm!(
        "test byte ptr [rsp + 24], 3",
        "jnz {from_user}",
        "cld",
        clac!(),
        push_registers!(),
        // The prefixes name the segment that counts for nothing, and leave room: nothing behind GS is looked at before
        // it is sure that it is the kernel's.
        patched!(FENCE_SWAPGS, ".byte 0x3e, 0x3e, 0x3e\ncmp byte ptr [rsp + {vector}], {first_interrupt}"
            => "lfence\ncmp byte ptr [rsp + {vector}], {first_interrupt}"),
        "jae 3f",
        "lea rax, [rip + user_iretq]",
        "cmp rax, [rsp + {rip}]",
        "je {bad_user_frame}",
        "mov rdi, rsp",
        "mov rbx, rsp",
        "and rsp, -16",
        "call {exception}",
        "mov rsp, rbx",
        "2:",
        pop_registers_and_return!(),
        "3:",
        "mov rdi, rsp",
        "mov rbx, rsp",
        "mov rsp, gs:[{interrupt_stack}]",
        "call {interrupt}",
        "mov rsp, rbx",
        "test al, al",
        "jz 2b",
        "and rsp, -16",
        "call {preempt}",
        "mov rsp, rbx",
        "jmp 2b",
        from_user = sym trap_from_user,
        bad_user_frame = sym bad_user_frame,
        exception = sym exception_in_kernel,
        interrupt = sym interrupt_in_kernel,
        preempt = sym preempt_kernel,
        vector = const offset_of!(TrapFrame, vector),
        rip = const offset_of!(TrapFrame, rip),
        first_interrupt = const vector::FIRST_FREE,
        interrupt_stack = const offset_of!(CpuLocal, interrupt_stack),
    )
}

/// Where NMI, #DF, #MC and #DB land, each on an IST stack of its own: GS may be anyone's.
///
/// ```text
/// in:    rsp +0 vector  +8 error code  +16 the CPU's frame; the stack's highest words hold the CPU's GS base
/// #DB from ring 3: to `trap_from_user`. All others: GS base saved in rbx, set, and put back.
/// ```
#[unsafe(naked)]
unsafe extern "C" fn paranoid_entry() {
    naked_asm!(
        "cmp byte ptr [rsp], {debug}",
        "jne 2f",
        "test byte ptr [rsp + 24], 3",
        "jnz {from_user}",
        "2:",
        "cld",
        clac!(),
        push_registers!(),
        "mov ecx, {gs_base}",
        "rdmsr",
        "mov ebx, eax",
        "shl rdx, 32",
        "or rbx, rdx",
        "mov rdi, rsp",
        "or rdi, {stack_mask}",
        "mov eax, [rdi + 1 - {base_below_end}]",
        "mov edx, [rdi + 5 - {base_below_end}]",
        "wrmsr",
        "mov rdi, rsp",
        "mov rbp, rsp",
        "and rsp, -16",
        "call {paranoid}",
        "mov rsp, rbp",
        "mov rax, rbx",
        "mov rdx, rbx",
        "shr rdx, 32",
        "mov ecx, {gs_base}",
        "wrmsr",
        pop_registers_and_return!(),
        debug = const vector::DEBUG,
        from_user = sym trap_from_user,
        gs_base = const msr::GS_BASE,
        stack_mask = const IST_STACK_BYTES - 1,
        base_below_end = const IST_GS_BASE_BELOW_END,
        paranoid = sym paranoid_exception,
    )
}

/// An exception of kernel code: a user copy met a fault, or the kernel has a bug.
extern "C" fn exception_in_kernel(frame: &mut TrapFrame) {
    if let Some(fixup) = user_copy::fixup(frame.rip) {
        if frame.vector != u64::from(vector::PAGE_FAULT) || !page_in(frame) {
            frame.rip = fixup;
        }
        return;
    }
    report(frame, EXCEPTION, || {})
}

/// Asks the kernel for the user page that a copy missed; true if the copy is to try again.
fn page_in(frame: &TrapFrame) -> bool {
    let fault = fault::page_fault(user::read_cr2(), frame.code);
    let may_sleep = frame.rflags & rflags::INTERRUPT != 0 && Arch::preempt_count() == 0;
    // Of a copy; see `user_copy::call`.
    let wants_page = frame.r8 == OnAbsent::PageIn as u64;
    if !wants_page || !may_sleep || fault.address >= libkernel::addr::USER_END {
        return false;
    }
    Arch::interrupts_enable();
    let answer = crate::upcalls::upcalls().user_fault(fault);
    Arch::interrupts_disable();
    answer.is_ok()
}

/// An interrupt of kernel code, on the interrupt stack; true if the interrupted task is to give way.
extern "C" fn interrupt_in_kernel(frame: &TrapFrame) -> bool {
    backtrace::note_interrupted(frame.rip, frame.rbp);
    irq::handle(frame.vector as u8);
    frame.rflags & rflags::INTERRUPT != 0 && task::wants_preemption()
}

/// Lets the scheduler switch away from the interrupted task, on that task's own stack. Interrupts stay masked until
/// the other task runs: else each one that comes meanwhile would nest another frame on this stack.
extern "C" fn preempt_kernel() {
    while {
        crate::upcalls::upcalls().preempt();
        task::wants_preemption()
    } {}
}

/// NMI, #DF, #MC, or #DB in ring 0, on an IST stack with the CPU's GS base in place.
extern "C" fn paranoid_exception(frame: &mut TrapFrame) {
    match frame.vector as u8 {
        // A program can make this happen: TF with `mov ss` before `syscall` (SDM volume 3, 6.8.3). It is no bug,
        // and the program's own TF is in r11.
        vector::DEBUG => {
            user::take_debug_status();
            frame.rflags &= !rflags::TRAP;
        }
        vector::NON_MASKABLE if crate::panic::is_ending() => Arch::halt(),
        vector::NON_MASKABLE => answer_inquiry(frame),
        vector::MACHINE_CHECK => report(frame, "Fatal machine check", machine_check::describe),
        _ => report(frame, EXCEPTION, || {}),
    }
}

/// Says where the CPU was.
fn answer_inquiry(frame: &TrapFrame) {
    let interrupts =
        if frame.rflags & rflags::INTERRUPT == 0 { Interrupts::Masked } else { Interrupts::Enabled };
    let (pc, frame_pointer) = if is_from_user(frame) { (0, 0) } else { (frame.rip, frame.rbp) };
    backtrace::answer(pc, frame_pointer, interrupts);
}

fn is_from_user(frame: &TrapFrame) -> bool {
    frame.cs & 3 != 0
}

/// Why the kernel ends after most exceptions, in Linux's words.
const EXCEPTION: &str = "Fatal exception";

/// Ends the kernel: what `details` has to say, registers, backtrace, `why`, failing exit.
fn report(frame: &TrapFrame, why: &str, details: fn()) -> ! {
    let registers = [
        ("rax", frame.rax),
        ("rbx", frame.rbx),
        ("rcx", frame.rcx),
        ("rdx", frame.rdx),
        ("rsi", frame.rsi),
        ("rdi", frame.rdi),
        ("rbp", frame.rbp),
        ("rsp", frame.rsp),
        ("r8", frame.r8),
        ("r9", frame.r9),
        ("r10", frame.r10),
        ("r11", frame.r11),
        ("r12", frame.r12),
        ("r13", frame.r13),
        ("r14", frame.r14),
        ("r15", frame.r15),
        ("flags", frame.rflags),
        ("cr2", user::read_cr2()),
        ("ss", frame.ss),
        ("cs", frame.cs),
    ];
    fatal(&Fatal {
        what: vector::name(frame.vector as u8),
        code: frame.code,
        pc: frame.rip,
        frame_pointer: frame.rbp,
        registers: &registers,
        details,
        why,
    })
}
