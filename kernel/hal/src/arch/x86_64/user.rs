//! The door to ring 3 and back: `syscall_entry`, `enter_user_mode`, and what is done with each way out.
//!
//! While a program runs, TSS.rsp0 points at the kernel stack of its task, where `enter_user_mode` left:
//!
//! ```text
//!  rsp0 +0 r15  +8 r14  +16 r13  +24 r12  +32 rbx  +40 rbp  +48 return address into `run`
//! ```
//!
//! and `CpuLocal::user_registers` at its UserRegs.
//!
//! Every way out of ring 3 ends in `leave_user`: the registers are in UserRegs, rsp is rsp0, GS is the kernel's,
//! interrupts are masked, rax holds the vector and rdx the error code.
use super::Arch;
use super::cpu::{self, CpuLocal, RSP0};
use super::irq;
use super::patches::{clac, patched};
use super::platform::{guards, msr};
use super::trap::VECTOR_SYSCALL;
use crate::contract::{Cpu as _, UserEntry};
use crate::user::{UserExit, UserRegs};
use core::arch::{asm, naked_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering};
use libkernel::arch::x86_64::fault::{self, Details, FloatingPointStatus, vector};
use libkernel::arch::x86_64::registers::rflags;
use libkernel::arch::x86_64::return_path::{self, ReturnPath};
use libkernel::arch::x86_64::segments::STAR;
use libkernel::fault::{Exception, ExceptionKind};

/// What makes `syscall` an entry, with the manual's names, in the order in which it is written: EFER, all of it, last.
pub fn registers() -> [(u32, &'static str, u64); 4] {
    [
        (msr::STAR, "STAR", STAR),
        (msr::LSTAR, "LSTAR", syscall_entry as *const () as u64),
        (msr::FMASK, "FMASK", rflags::SYSCALL_MASK),
        (msr::EFER, "EFER", msr::EFER_SYSCALL | msr::EFER_LONG_MODE | msr::EFER_NO_EXECUTE),
    ]
}

/// Sets up `syscall` on this CPU, CSTAR besides.
pub fn initialise() {
    // SAFETY: the GDT that STAR names is loaded and LSTAR is the entry written for it; every long-mode CPU has
    // these registers. No program can get to 32-bit code, but a `syscall` from there would be an entry like any other.
    unsafe {
        msr::write(msr::CSTAR, syscall_entry as *const () as u64);
        registers().into_iter().for_each(|(register, _, value)| msr::write(register, value));
    }
}

/// How ring 3 was left: vector (or `VECTOR_SYSCALL`) and error code.
#[repr(C)]
struct RawExit {
    vector: u64,
    code: u64,
}

impl UserEntry for Arch {
    #[inline]
    fn run(regs: &mut UserRegs, work: &AtomicU32) -> UserExit {
        loop {
            let path = return_path::decide(regs);
            if path == ReturnPath::Kill {
                return UserExit::Exception(BAD_FRAME);
            }
            cpu::mask_interrupts();
            if work.load(Ordering::Relaxed) != 0 {
                Arch::interrupts_enable();
                return UserExit::Interrupted;
            }
            let by_sysret = u64::from(path == ReturnPath::Sysret);
            // SAFETY: interrupts are masked, `decide` allowed the frame, and `regs` stays borrowed until it is back.
            let exit = unsafe { enter_user_mode(regs, by_sysret) };
            if exit.vector == VECTOR_SYSCALL {
                Arch::interrupts_enable();
                return UserExit::Syscall;
            }
            if let Some(exit) = handle_exit(regs, exit) {
                return exit;
            }
        }
    }
}

/// What a thread gets whose registers the CPU would refuse.
const BAD_FRAME: Exception = Exception {
    kind: ExceptionKind::Protection,
    address: 0,
    number: vector::GENERAL_PROTECTION as u64,
    code: 0,
};

/// Everything but system calls. `None`: an interrupt, done with; look at the work and go back.
fn handle_exit(regs: &UserRegs, exit: RawExit) -> Option<UserExit> {
    let number = exit.vector as u8;
    if number >= vector::FIRST_FREE {
        crate::backtrace::note_interrupted(0, 0);
        irq::handle(number);
        Arch::interrupts_enable();
        return None;
    }
    let mut details = Details { code: exit.code, instruction: regs.rip, ..Details::default() };
    match number {
        vector::PAGE_FAULT => {
            let address = read_cr2();
            Arch::interrupts_enable();
            // An access with the kernel's rights on behalf of ring 3 cannot be resolved by paging in. No CPU makes one
            // of a mapped page, but TCG of QEMU 7.2 does in `retf`: it would fault for ever.
            let is_programs_own = fault::is_from_user(exit.code);
            let page_fault = UserExit::Fault(fault::page_fault(address, exit.code));
            return Some(if is_programs_own { page_fault } else { UserExit::Exception(BAD_FRAME) });
        }
        vector::DEBUG => details.debug_status = take_debug_status(),
        vector::X87_FLOATING_POINT => details.floating_point = x87_status(),
        vector::SIMD_FLOATING_POINT => details.floating_point = simd_status(),
        _ => {}
    }
    Arch::interrupts_enable();
    Some(UserExit::Exception(fault::exception(number, &details).unwrap_or(BAD_FRAME)))
}

/// The address of the last page fault. Read before interrupts come on.
pub fn read_cr2() -> u64 {
    let address;
    // SAFETY: reading CR2 changes nothing.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}

/// DR6, cleared for the next time (SDM volume 3, 17.2.3: the CPU does not clear it).
pub fn take_debug_status() -> u64 {
    let status;
    // SAFETY: DR6 only reports.
    unsafe {
        asm!("mov {0}, dr6", "mov dr6, {1}", out(reg) status, in(reg) 0xffff_0ff0u64, options(nomem, nostack, preserves_flags))
    };
    status
}

fn x87_status() -> FloatingPointStatus {
    let (mut status, mut control) = (0u16, 0u16);
    // SAFETY: both store without waiting for pending exceptions, into the words given.
    unsafe {
        asm!("fnstsw [{}]", "fnstcw [{}]", in(reg) &mut status, in(reg) &mut control, options(nostack))
    };
    FloatingPointStatus::from_x87(status, control)
}

fn simd_status() -> FloatingPointStatus {
    let mut mxcsr = 0u32;
    // SAFETY: stores MXCSR into the word given; CR4.OSFXSR is set.
    unsafe { asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack)) };
    FloatingPointStatus::from_mxcsr(mxcsr)
}

/// `naked_asm!` with the offset of every register in `UserRegs` under its name, and RSP0's behind GS. For example
/// `frame_asm!(["mov [rdi + {r15}], r15", …])`; all must be used, if only in a comment.
macro_rules! frame_asm {
    ([$($line:expr),* $(,)?] $($operand:tt)*) => {
        naked_asm!(
            $($line,)*
            rsp0 = const RSP0,
            r15 = const offset_of!(UserRegs, r15),
            r14 = const offset_of!(UserRegs, r14),
            r13 = const offset_of!(UserRegs, r13),
            r12 = const offset_of!(UserRegs, r12),
            r11 = const offset_of!(UserRegs, r11),
            r10 = const offset_of!(UserRegs, r10),
            r9 = const offset_of!(UserRegs, r9),
            r8 = const offset_of!(UserRegs, r8),
            rbp = const offset_of!(UserRegs, rbp),
            rbx = const offset_of!(UserRegs, rbx),
            rax = const offset_of!(UserRegs, rax),
            orig_rax = const offset_of!(UserRegs, orig_rax),
            rcx = const offset_of!(UserRegs, rcx),
            rdx = const offset_of!(UserRegs, rdx),
            rsi = const offset_of!(UserRegs, rsi),
            rdi = const offset_of!(UserRegs, rdi),
            rip = const offset_of!(UserRegs, rip),
            cs = const offset_of!(UserRegs, cs),
            rflags = const offset_of!(UserRegs, rflags),
            rsp = const offset_of!(UserRegs, rsp),
            ss = const offset_of!(UserRegs, ss),
            $($operand)*
        )
    };
}

/// Stores the registers that every entry stores alike; rdi points at UserRegs, its own value is stored already.
macro_rules! store_registers {
    () => {
        "mov [rdi + {r15}], r15\nmov [rdi + {r14}], r14\nmov [rdi + {r13}], r13\nmov [rdi + {r12}], r12\n\
         mov [rdi + {rbp}], rbp\nmov [rdi + {rbx}], rbx\nmov [rdi + {r11}], r11\nmov [rdi + {r10}], r10\n\
         mov [rdi + {r9}], r9\nmov [rdi + {r8}], r8\nmov [rdi + {rcx}], rcx\nmov [rdi + {rdx}], rdx\n\
         mov [rdi + {rsi}], rsi"
    };
}

/// Goes to ring 3 with `regs`; comes back with the way out.
///
/// ```text
/// in:        rdi = UserRegs, rsi = 1 for sysretq, 0 for iretq; interrupts masked, GS the kernel's
/// out:       rax = vector, rdx = error code; interrupts masked, GS the kernel's, UserRegs filled
/// clobbered: what the C convention lets a call clobber
/// stack:     as drawn at the top of this file; rsp0 is the pointer to it
/// faults:    only `iretq`, at `user_iretq`, which `trap` sends to `bad_user_frame`
/// ```
#[unsafe(naked)]
unsafe extern "C" fn enter_user_mode(regs: *mut UserRegs, by_sysret: u64) -> RawExit {
    frame_asm!([
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov gs:[{user_registers}], rdi",
        patched!(RESTRICT, "mov gs:[{rsp0}], rsp" => "jmp {permit}"),
        ".global enter_user_mode_rest",
        "enter_user_mode_rest:",
        "mov r15, [rdi + {r15}]",
        "mov r14, [rdi + {r14}]",
        "mov r13, [rdi + {r13}]",
        "mov r12, [rdi + {r12}]",
        "mov rbp, [rdi + {rbp}]",
        "mov rbx, [rdi + {rbx}]",
        "mov r10, [rdi + {r10}]",
        "mov r9, [rdi + {r9}]",
        "mov r8, [rdi + {r8}]",
        "mov rax, [rdi + {rax}]",
        "mov rdx, [rdi + {rdx}]",
        "test esi, esi",
        "jz 2f",
        // sysretq: rip from rcx, flags from r11; `decide` saw that they are equal.
        "mov r11, [rdi + {rflags}]",
        "mov rcx, [rdi + {rip}]",
        "mov rsi, [rdi + {rsi}]",
        patched!(CLEAR_BUFFERS, "mov rsp, [rdi + {rsp}]\nmov rdi, [rdi + {rdi}]" => "jmp {cleared}"),
        "swapgs",
        "sysretq",
        // iretq: the five words are copied to the kernel stack, so that a fault there spoils nothing of UserRegs.
        "2:",
        "mov r11, [rdi + {r11}]",
        "mov rcx, [rdi + {rcx}]",
        "mov rsi, [rdi + {rsi}]",
        "push qword ptr [rdi + {ss}]",
        "push qword ptr [rdi + {rsp}]",
        "push qword ptr [rdi + {rflags}]",
        "push qword ptr [rdi + {cs}]",
        patched!(CLEAR_BUFFERS, "push qword ptr [rdi + {rip}]\nmov rdi, [rdi + {rdi}]" => "jmp enter_cleared_by_iretq"),
        ".global user_iretq, enter_by_iretq",
        "enter_by_iretq:",
        "swapgs",
        "user_iretq:",
        "iretq",
        "# {orig_rax} is the kernel's own",
    ]
        user_registers = const USER_REGISTERS,
        permit = sym guards::permit,
        cleared = sym enter_cleared,
    )
}

/// The ends of [`enter_user_mode`] with what the kernel left in the CPU's buffers cleared, behind the last load of it
/// (Intel, "MDS").
///
/// ```text
/// in:    as at the sites there: rdi = UserRegs, for `iretq` the stack but for rip
/// out:   to ring 3, or to the rest of the way by `iretq`
/// ```
#[unsafe(naked)]
unsafe extern "C" fn enter_cleared() {
    naked_asm!(
        "mov rsp, [rdi + {rsp}]",
        "mov rdi, [rdi + {rdi}]",
        "verw word ptr [{selector}]",
        "swapgs",
        "sysretq",
        ".global enter_cleared_by_iretq",
        "enter_cleared_by_iretq:",
        "push qword ptr [rdi + {rip}]",
        "mov rdi, [rdi + {rdi}]",
        "verw word ptr [{selector}]",
        "jmp enter_by_iretq",
        rsp = const offset_of!(UserRegs, rsp),
        rdi = const offset_of!(UserRegs, rdi),
        rip = const offset_of!(UserRegs, rip),
        selector = sym guards::SELECTOR,
    )
}

/// Where `syscall` lands.
///
/// ```text
/// in:    rcx = program's rip, r11 = its rflags, rax = number, rsp and GS the program's; FMASK masked interrupts
/// out:   to `leave_user`, UserRegs filled: rax = -ENOSYS as Linux shows it to tracers, orig_rax = the number
/// stack: none until rsp is rsp0. Only NMI, #MC and #DB can come before that; they have IST stacks.
/// ```
#[unsafe(naked)]
unsafe extern "C" fn syscall_entry() {
    frame_asm!([
        "swapgs",
        "mov gs:[{scratch}], rsp",
        "mov rsp, gs:[{user_registers}]",
        "mov [rsp + {rdi}], rdi",
        "mov rdi, rsp",
        "mov rsp, gs:[{rsp0}]",
        store_registers!(),
        "mov [rdi + {orig_rax}], rax",
        "mov qword ptr [rdi + {rax}], {no_such_call}",
        "mov [rdi + {rip}], rcx",
        "mov [rdi + {rflags}], r11",
        "mov rax, gs:[{scratch}]",
        "mov [rdi + {rsp}], rax",
        "# the selectors at {cs} and {ss} are the program's own: with others it would not have been entered",
        "mov eax, {syscall}",
        "jmp {leave_user}",
    ]
        scratch = const offset_of!(CpuLocal, user_stack),
        user_registers = const USER_REGISTERS,
        no_such_call = const -38,
        syscall = const VECTOR_SYSCALL,
        leave_user = sym leave_user,
    )
}

/// Where every trap from ring 3 goes, with the CPU's frame and two words below it on the current stack (rsp0's, or
/// the IST stack of a debug exception).
///
/// ```text
/// in:    rsp +0 vector  +8 error code  +16 rip  +24 cs  +32 rflags  +40 rsp  +48 ss; GS and registers the program's
/// out:   to `leave_user`
/// ```
#[unsafe(naked)]
pub unsafe extern "C" fn trap_from_user() {
    frame_asm!([
        "swapgs",
        "cld",
        clac!(),
        "push rdi",
        // Not before it is sure that GS is the kernel's. The prefixes say again what the instruction says, and leave
        // room.
        patched!(FENCE_SWAPGS, ".byte 0x65, 0x65, 0x65\nmov rdi, gs:[{user_registers}]" => "lfence\nmov rdi, gs:[{user_registers}]"),
        "pop qword ptr [rdi + {rdi}]",
        store_registers!(),
        "mov [rdi + {rax}], rax",
        "mov qword ptr [rdi + {orig_rax}], -1",
        "pop rax",
        "pop rdx",
        "pop qword ptr [rdi + {rip}]",
        "pop qword ptr [rdi + {cs}]",
        "pop qword ptr [rdi + {rflags}]",
        "pop qword ptr [rdi + {rsp}]",
        "pop qword ptr [rdi + {ss}]",
        "mov rsp, gs:[{rsp0}]",
        "jmp {leave_user}",
    ]
        user_registers = const USER_REGISTERS,
        leave_user = sym leave_user,
    )
}

/// Offset of the pointer behind the GS base.
const USER_REGISTERS: usize = offset_of!(CpuLocal, user_registers);

/// Returns from `enter_user_mode`.
///
/// ```text
/// in:    rsp = rsp0, GS the kernel's, rax = vector, rdx = error code, interrupts masked
/// out:   the registers that `enter_user_mode` pushed
/// ```
#[unsafe(naked)]
unsafe extern "C" fn leave_user() {
    naked_asm!(
        patched!(MASKS, "pop r15\npop r14\npop r13" => "jmp {guarded}"),
        ".global leave_user_rest",
        "leave_user_rest:",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        guarded = sym guards::leave_user,
    )
}

/// Where a fault of `user_iretq` goes on: as if the program had faulted, its UserRegs as they were.
///
/// ```text
/// in:    GS the program's (swapgs was done), rsp anywhere on the task's stack, interrupts masked
/// out:   to `leave_user` with a general-protection fault
/// ```
#[unsafe(naked)]
pub unsafe extern "C" fn bad_user_frame() {
    naked_asm!(
        "swapgs",
        patched!(FENCE_SWAPGS, ".byte 0x65, 0x65, 0x65\nmov rsp, gs:[{rsp0}]" => "lfence\nmov rsp, gs:[{rsp0}]"),
        "mov eax, {general_protection}",
        "xor edx, edx",
        "jmp {leave_user}",
        rsp0 = const RSP0,
        general_protection = const vector::GENERAL_PROTECTION,
        leave_user = sym leave_user,
    )
}
