//! The door to EL0 and back: [`enter`] leaves by `eret`, the vectors in `trap.S` come back to its caller.
//!
//! While a program runs, the kernel stack holds [`EntryFrame`] at SP_EL1, so the vector finds the register frame there
//! and `enter` looks to its caller like a function that returned. docs/entry-aarch64.md draws it.
use super::Arch;
use super::cpu::read_register;
use super::patches::patched;
use super::platform::{guards, identification};
use crate::backtrace::Interrupts;
use crate::contract::{Cpu, UserEntry};
use crate::user::UserExit;
use core::arch::naked_asm;
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU32, Ordering};
use libkernel::arch::aarch64::fault::{self, Event, class, class_of};
use libkernel::arch::aarch64::registers::pstate;
use libkernel::arch::native::UserRegs;
use libkernel::fault::{Exception, ExceptionKind};

/// What [`enter`] returns: which vector was taken.
pub(super) const EXIT_SYNCHRONOUS: u64 = 0;
/// An interrupt; still masked and not yet acknowledged.
pub(super) const EXIT_INTERRUPT: u64 = 1;
/// SError: nothing in this machine raises it while it works.
pub(super) const EXIT_FATAL: u64 = 2;
/// An urgent request of another CPU: FIQ.
pub(super) const EXIT_URGENT: u64 = 3;

/// What `eret` may load besides EL0: everything else in SPSR_EL1 is the kernel's business (C5.2.18).
const PROGRAM_BITS: u64 =
    pstate::NZCV | pstate::DIT | pstate::SSBS | pstate::BRANCH_TYPE | pstate::SINGLE_STEP;

/// WFI and WFE trapped from EL0 (ESR_EL1.EC): not in the table of things a program can do wrong.
const CLASS_WAIT: u64 = 0x01;

impl UserEntry for Arch {
    #[inline(always)]
    fn run(regs: &mut UserRegs, work: &AtomicU32) -> UserExit {
        regs.pstate &= PROGRAM_BITS;
        loop {
            // Urgent ones too: they would overwrite what `eret` goes by.
            super::cpu::mask_all();
            if work.load(Ordering::Acquire) != 0 {
                Arch::interrupts_enable();
                return UserExit::Interrupted;
            }
            // SAFETY: the frame is exclusively ours, says EL0, and interrupts are masked.
            let vector = unsafe { enter(regs) };
            let syndrome = read_register!("esr_el1");
            if vector == EXIT_SYNCHRONOUS && class_of(syndrome) == class::SUPERVISOR_CALL {
                regs.orig_x0 = regs.x[0];
                // Linux takes the low half as the number.
                regs.syscall = regs.x[8] & u64::from(u32::MAX);
                Arch::interrupts_enable();
                return UserExit::Syscall;
            }
            if let Some(exit) = handle(regs, vector, syndrome) {
                return exit;
            }
        }
    }
}

/// Everything but a system call. `None`: handled here, the program may go on. Interrupts come in masked; they are on
/// when there is an exit.
#[inline(never)]
fn handle(regs: &mut UserRegs, vector: u64, syndrome: u64) -> Option<UserExit> {
    if vector == EXIT_INTERRUPT {
        crate::backtrace::note_interrupted(0, 0);
        super::irq::handle();
        return None;
    }
    if vector == EXIT_URGENT {
        super::irq::handle_urgent(0, 0, Interrupts::Enabled);
        return None;
    }
    assert!(vector == EXIT_SYNCHRONOUS, "SError from EL0: ESR {syndrome:#x}, pc {:#x}", regs.pc);
    let address = read_register!("far_el1");
    Arch::interrupts_enable();
    if class_of(syndrome) == CLASS_WAIT {
        // A program's wait is a hint: it goes on at once, as under Linux.
        regs.pc = regs.pc.wrapping_add(4);
        return None;
    }
    Some(match fault::decode(syndrome, address, regs.pc) {
        Event::Syscall => UserExit::Syscall,
        Event::PageFault(fault) => UserExit::Fault(fault),
        Event::Exception(Exception { kind: ExceptionKind::UndefinedInstruction, .. })
            if identification::emulate(regs, syndrome) =>
        {
            return None;
        }
        Event::Exception(exception @ Exception { kind: ExceptionKind::StackAlignment, .. }) => {
            UserExit::Exception(Exception { address: regs.sp, ..exception })
        }
        Event::Exception(exception) => UserExit::Exception(exception),
    })
}

/// The kernel stack while a program runs.
///
/// ```text
///  104  ─  unused
///   96  ─  the register frame
///   16  ─  x19 .. x28   ┐ the kernel's own,
///    8  ─  x30          │ as `enter`'s caller
///    0  ─  x29          ┘ wants them back      ◄─ SP_EL1, x29
/// ```
#[repr(C)]
struct EntryFrame {
    record: [u64; 2],
    callee_saved: [u64; 10],
    regs: *mut UserRegs,
    unused: u64,
}

const _: () = assert!(size_of::<EntryFrame>().is_multiple_of(16), "SP must stay aligned");

/// Enters EL0 with `regs` and returns, with the registers stored there again, when an exception brings the CPU back.
///
/// | register | in | out |
/// |---|---|---|
/// | x0 | register frame | which vector: `EXIT_…` |
/// | x1 to x18 | | clobbered |
/// | x19 to x30, sp | the caller's | kept |
///
/// Stack: [`EntryFrame`] is pushed, and popped by `user_exit`. Interrupts: must be masked; unmasked in EL0; masked
/// again on return. Does not fault: the frame is kernel memory, and `eret` with a valid SPSR has nothing to fault on.
///
/// # Safety
/// `regs` is valid, and its `pstate` holds no bit outside [`PROGRAM_BITS`].
#[unsafe(naked)]
unsafe extern "C" fn enter(regs: *mut UserRegs) -> u64 {
    naked_asm!(
        "stp x29, x30, [sp, #-{size}]!",
        "mov x29, sp",
        "stp x19, x20, [sp, #{saved}]",
        "stp x21, x22, [sp, #{saved} + 16]",
        "stp x23, x24, [sp, #{saved} + 32]",
        "stp x25, x26, [sp, #{saved} + 48]",
        "stp x27, x28, [sp, #{saved} + 64]",
        "str x0, [sp, #{regs}]",
        "ldp x1, x2, [x0, #{stack_and_pc}]",
        "ldr x3, [x0, #{pstate}]",
        "msr sp_el0, x1",
        "msr elr_el1, x2",
        "msr spsr_el1, x3",
        "ldp x2, x3, [x0, #{x} + 16]",
        "ldp x4, x5, [x0, #{x} + 32]",
        "ldp x6, x7, [x0, #{x} + 48]",
        "ldp x8, x9, [x0, #{x} + 64]",
        "ldp x10, x11, [x0, #{x} + 80]",
        "ldp x12, x13, [x0, #{x} + 96]",
        "ldp x14, x15, [x0, #{x} + 112]",
        "ldp x16, x17, [x0, #{x} + 128]",
        "ldp x18, x19, [x0, #{x} + 144]",
        "ldp x20, x21, [x0, #{x} + 160]",
        "ldp x22, x23, [x0, #{x} + 176]",
        "ldp x24, x25, [x0, #{x} + 192]",
        "ldp x26, x27, [x0, #{x} + 208]",
        "ldp x28, x29, [x0, #{x} + 224]",
        "ldr x30, [x0, #{x} + 240]",
        "ldp x0, x1, [x0, #{x}]",
        patched!(RETURN, "eret" => "b {forgetting}"),
        forgetting = sym guards::forgetting_return,
        size = const size_of::<EntryFrame>(),
        saved = const offset_of!(EntryFrame, callee_saved),
        regs = const offset_of!(EntryFrame, regs),
        x = const offset_of!(UserRegs, x),
        stack_and_pc = const offset_of!(UserRegs, sp),
        pstate = const offset_of!(UserRegs, pstate),
    )
}

/// Where the vectors from EL0 go: stores the program's registers and returns from [`enter`].
///
/// | register | in |
/// |---|---|
/// | x0, x1 | the program's are at SP and SP + 8 |
/// | x1 | which vector: `EXIT_…` |
/// | all others | the program's |
///
/// Stack: [`EntryFrame`] below the two parked registers; both are popped. Interrupts: masked. Does not fault.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn user_exit() {
    naked_asm!(
        "ldr x0, [sp, #{parked} + {regs}]",
        "stp x2, x3, [x0, #{x} + 16]",
        "stp x4, x5, [x0, #{x} + 32]",
        "stp x6, x7, [x0, #{x} + 48]",
        "stp x8, x9, [x0, #{x} + 64]",
        "stp x10, x11, [x0, #{x} + 80]",
        "stp x12, x13, [x0, #{x} + 96]",
        "stp x14, x15, [x0, #{x} + 112]",
        "stp x16, x17, [x0, #{x} + 128]",
        "stp x18, x19, [x0, #{x} + 144]",
        "stp x20, x21, [x0, #{x} + 160]",
        "stp x22, x23, [x0, #{x} + 176]",
        "stp x24, x25, [x0, #{x} + 192]",
        "stp x26, x27, [x0, #{x} + 208]",
        "stp x28, x29, [x0, #{x} + 224]",
        "str x30, [x0, #{x} + 240]",
        "ldp x2, x3, [sp], #{parked}",
        "stp x2, x3, [x0, #{x}]",
        "mrs x2, sp_el0",
        "mrs x3, elr_el1",
        "mrs x4, spsr_el1",
        "stp x2, x3, [x0, #{stack_and_pc}]",
        "str x4, [x0, #{pstate}]",
        patched!(MASKS, "mov x0, x1" => "b {guarded}"),
        ".global user_exit_rest",
        "user_exit_rest:",
        "ldp x19, x20, [sp, #{saved}]",
        "ldp x21, x22, [sp, #{saved} + 16]",
        "ldp x23, x24, [sp, #{saved} + 32]",
        "ldp x25, x26, [sp, #{saved} + 48]",
        "ldp x27, x28, [sp, #{saved} + 64]",
        "ldp x29, x30, [sp], #{size}",
        "ret",
        guarded = sym guards::user_exit,
        parked = const 16,
        size = const size_of::<EntryFrame>(),
        saved = const offset_of!(EntryFrame, callee_saved),
        regs = const offset_of!(EntryFrame, regs),
        x = const offset_of!(UserRegs, x),
        stack_and_pc = const offset_of!(UserRegs, sp),
        pstate = const offset_of!(UserRegs, pstate),
    )
}
