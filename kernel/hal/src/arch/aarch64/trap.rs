//! Exceptions that the kernel itself takes: faults of user copies, interrupts, and its own death.
//!
//! The vectors and the frame they build are in `trap.S`; `user.rs` has the way back from EL0.
use super::Arch;
use super::cpu::Running;
use super::user::{EXIT_FATAL, EXIT_INTERRUPT, EXIT_SYNCHRONOUS, EXIT_URGENT};
use super::user_copy;
use crate::backtrace::Interrupts;
use crate::contract::Cpu;
use crate::paging::{kernel, slots};
use crate::panic::Fatal;
use crate::upcalls::upcalls;
use crate::user_copy::OnAbsent;
use core::arch::global_asm;
use core::mem::{offset_of, size_of};
use core::sync::atomic::AtomicU32;
use libkernel::addr::UserAddr;
use libkernel::arch::aarch64::fault::{self, Event};

/// `log2` of the bytes in a kernel stack; stacks lie in the lower half of slots twice that size.
const STACK_SHIFT: usize = 14;

/// The interrupted kernel code, as `trap.S` draws it.
#[repr(C, align(16))]
pub(super) struct TrapFrame {
    x: [u64; 31],
    sp: u64,
    syndrome: u64,
    fault_address: u64,
    pc: u64,
    pstate: u64,
    record: [u64; 2],
}

const _: () = assert!(offset_of!(TrapFrame, sp) == 248 && offset_of!(TrapFrame, syndrome) == 256);
const _: () = assert!(offset_of!(TrapFrame, pc) == 272 && offset_of!(TrapFrame, record) == 288);

/// Whether a CPU reports on the overflow stack, of which there is one (trap.S).
#[unsafe(no_mangle)]
static OVERFLOW_STACK_TAKEN: AtomicU32 = AtomicU32::new(0);

global_asm!(
    ".equ TRAP_FRAME_SIZE, {size}",
    ".equ TRAP_FRAME_SP, {sp}",
    ".equ STACK_SHIFT, {shift}",
    ".equ CPU_INTERRUPT_STACK, {interrupt_stack}",
    ".equ EXIT_SYNCHRONOUS, {synchronous}",
    ".equ EXIT_INTERRUPT, {interrupt}",
    ".equ EXIT_URGENT, {urgent}",
    ".equ EXIT_FATAL, {fatal}",
    include_str!("trap.S"),
    size = const size_of::<TrapFrame>(),
    sp = const offset_of!(TrapFrame, sp),
    shift = const STACK_SHIFT,
    interrupt_stack = const offset_of!(Running, interrupt_stack),
    synchronous = const EXIT_SYNCHRONOUS,
    interrupt = const EXIT_INTERRUPT,
    urgent = const EXIT_URGENT,
    fatal = const EXIT_FATAL,
);

/// SPSR_EL1.I: the interrupted code had interrupts masked.
const INTERRUPTS_MASKED: u64 = 1 << 7;

/// A synchronous exception in the kernel: a user copy that met a fault, or a bug.
#[unsafe(no_mangle)]
extern "C" fn aarch64_kernel_synchronous(frame: &mut TrapFrame) {
    if was_early(frame) {
        return;
    }
    let Some(recovery) = user_copy::recovery(frame.pc) else { die("exception in the kernel", frame) };
    if let Event::PageFault(fault) = fault::decode(frame.syndrome, frame.fault_address, frame.pc) {
        if !UserAddr::new(fault.address).is_user() {
            die("a user copy touched kernel memory", frame);
        }
        // Under a spin lock, or with interrupts off, nothing may sleep: the copy ends where it is. So does one that
        // wants no page (see `user_copy::call`).
        if frame.x[15] == OnAbsent::PageIn as u64
            && Arch::preempt_count() == 0
            && frame.pstate & INTERRUPTS_MASKED == 0
        {
            Arch::interrupts_enable();
            if upcalls().user_fault(fault).is_ok() {
                return;
            }
        }
    }
    frame.pc = recovery;
}

/// Whether an object of the heap was touched that another CPU has mapped by now. The walk for an access may come before
/// the load by which this CPU learned of the object, and then reports that nothing is there (B2.3.7, D8.2.6; Linux
/// ignores such faults, too). Having taken the exception, the CPU sees what was stored before (its entry synchronises).
fn was_early(frame: &TrapFrame) -> bool {
    /// Translation faults of all four levels (ISS.DFSC).
    const TRANSLATION: u64 = 0b0001;
    fault::class_of(frame.syndrome) == fault::class::DATA_ABORT_EL1
        && frame.syndrome >> 2 & 0xf == TRANSLATION
        && slots::is_object(frame.fault_address)
        && kernel::translate(frame.fault_address).is_some()
}

/// An interrupt in the kernel, on the CPU's interrupt stack.
#[unsafe(no_mangle)]
extern "C" fn aarch64_interrupt(frame: &TrapFrame) {
    crate::backtrace::note_interrupted(frame.pc, frame.x[29]);
    super::irq::handle();
}

/// An urgent request of another CPU in the kernel, on the interrupted stack, whether interrupts are masked or not.
#[unsafe(no_mangle)]
extern "C" fn aarch64_kernel_urgent(frame: &TrapFrame) {
    let masked = frame.pstate & INTERRUPTS_MASKED != 0;
    let interrupts = if masked { Interrupts::Masked } else { Interrupts::Enabled };
    super::irq::handle_urgent(frame.pc, frame.x[29], interrupts);
}

/// On the way out of an interrupt of the kernel, on the interrupted stack: gives way to another task if that is due.
/// Interrupts stay masked until the other task runs: else each one that comes meanwhile would nest another frame here.
#[unsafe(no_mangle)]
extern "C" fn aarch64_kernel_interrupt_exit() {
    while crate::task::wants_preemption() {
        upcalls().preempt();
    }
}

/// SError, or a vector that this kernel never uses.
#[unsafe(no_mangle)]
extern "C" fn aarch64_kernel_fatal(frame: &mut TrapFrame) -> ! {
    die("SError or unused vector", frame)
}

/// The stack pointer had left its stack. Runs on the overflow stack.
#[unsafe(no_mangle)]
extern "C" fn aarch64_stack_overflow(frame: &mut TrapFrame) -> ! {
    die("kernel stack overflow", frame)
}

/// Ends the kernel with the report of `frame`.
fn die(what: &str, frame: &TrapFrame) -> ! {
    const NAMES: [&str; 31] = [
        "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
        "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29",
        "x30",
    ];
    const OTHERS: usize = 4;
    let mut registers = [("", 0); NAMES.len() + OTHERS];
    for (slot, named) in registers.iter_mut().zip(NAMES.into_iter().zip(frame.x)) {
        *slot = named;
    }
    registers[NAMES.len()..].copy_from_slice(&[
        ("sp", frame.sp),
        ("pc", frame.pc),
        ("far", frame.fault_address),
        ("pstate", frame.pstate),
    ]);
    crate::panic::fatal(&Fatal {
        what,
        code: frame.syndrome,
        pc: frame.pc,
        frame_pointer: frame.x[29],
        registers: &registers,
        details: || {},
        why: "Fatal exception",
    })
}
