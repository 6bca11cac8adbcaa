//! Frames that handlers get, and frames that they make up.

use crate::handler::{Handler, install};
use crate::{Outcome, check, check_eq, child};
use abi::arch::x86_64::signal::{FpState, UContext};
use abi::signal::*;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use libsyscall::process::{getpid, kill};

static SEEN: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

fn seen() -> [u64; 4] {
    SEEN.each_ref().map(|word| word.load(Ordering::Relaxed))
}

/// The handler's stack is aligned as behind a call, DF is clear, and RAX is 0.
pub fn a_handler_starts_clean() -> Outcome {
    #[unsafe(naked)]
    extern "C" fn look(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
        core::arch::naked_asm!(
            "lea r8, [rip + {seen}]", "mov [r8], rsp", "pushfq", "pop r9", "mov [r8 + 8], r9", "mov [r8 + 16], rax",
            "mov [r8 + 24], rdi", "ret",
            seen = sym SEEN,
        )
    }
    install(SIGUSR1, look, 0)?;
    let pid = getpid() as u64;
    // SAFETY: the direction flag is set across one call and cleared again.
    unsafe {
        asm!(
            "std", "syscall", "cld",
            inout("rax") abi::arch::x86_64::nr::kill => _, in("rdi") pid, in("rsi") u64::from(SIGUSR1),
            out("rcx") _, out("r11") _, out("r8") _, out("r9") _,
        );
    }
    let [stack, flags, rax, signal] = seen();
    check_eq!((stack % 16, flags & 0x500, rax, signal), (8, 0, 0, SIGUSR1.into()));
    Ok(())
}

pub fn a_handler_changes_registers() -> Outcome {
    extern "C" fn change(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        let registers = unsafe { &mut (*context).uc_mcontext };
        (registers.r12, registers.r15, registers.rax) = (12, 15, 99);
        registers.eflags |= 1;
        // Behind the `ud2`.
        registers.rip += 2;
    }
    install(SIGILL, change, 0)?;
    let (rax, r12, r15, carry): (u64, u64, u64, u64);
    // SAFETY: the handler steps over the instruction.
    unsafe {
        asm!(
            "clc", "ud2", "setc cl", "movzx rcx, cl",
            out("rax") rax, out("r12") r12, out("r15") r15, out("rcx") carry,
        );
    }
    check_eq!((rax, r12, r15, carry), (99, 12, 15, 1));
    Ok(())
}

/// Runs a handler that changes its context, in a process; returns the signal that ended it.
fn death_by(handler: Handler) -> Result<Option<u32>, crate::Failure> {
    let status = child::run(|| {
        let _ = install(SIGUSR1, handler, 0);
        let _ = kill(getpid(), SIGUSR1);
        // SAFETY: the stack is as before, unless the handler has changed its pointer: then this faults.
        unsafe { asm!("push rax", "pop rax") };
        0
    })?;
    Ok(status.term_signal())
}

/// A handler's word to put into its context, in a static because handlers take no other arguments.
static WORD: AtomicU64 = AtomicU64::new(0);

pub fn a_handler_returns_to_bad_selectors() -> Outcome {
    extern "C" fn code(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        unsafe { (*context).uc_mcontext.cs = WORD.load(Ordering::Relaxed) as u16 };
    }
    extern "C" fn stack(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: as above.
        unsafe { (*context).uc_mcontext.ss = WORD.load(Ordering::Relaxed) as u16 };
        // SAFETY: as above; without the bit, Linux repairs a bad SS.
        unsafe { (*context).uc_flags |= abi::arch::x86_64::signal::UC_STRICT_RESTORE_SS };
    }
    for selector in [0, 3, 0x08, 0x10, 0x18, 0x40, 0xfff8, 0xffff, 7] {
        WORD.store(selector, Ordering::Relaxed);
        let death = death_by(code)?;
        check!(matches!(death, Some(SIGSEGV | SIGBUS)), "cs {selector:#x}: {death:?}");
        let death = death_by(stack)?;
        check!(matches!(death, Some(SIGSEGV | SIGBUS)), "ss {selector:#x}: {death:?}");
    }
    Ok(())
}

pub fn a_handler_returns_to_bad_addresses() -> Outcome {
    extern "C" fn jump(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        unsafe { (*context).uc_mcontext.rip = WORD.load(Ordering::Relaxed) };
    }
    extern "C" fn stack(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: as above.
        unsafe { (*context).uc_mcontext.rsp = WORD.load(Ordering::Relaxed) };
    }
    for address in
        [0, 0x7fff_ffff_f000, 1 << 47, 0xffff_7fff_ffff_ffff, 0xffff_8000_0000_0000, u64::MAX, 1 << 63]
    {
        WORD.store(address, Ordering::Relaxed);
        check_eq!((address, death_by(jump)?), (address, Some(SIGSEGV)));
        let death = death_by(stack)?;
        check!(matches!(death, Some(SIGSEGV | SIGBUS)), "{address:#x}: {death:?}");
    }
    Ok(())
}

/// Privileged flags are dropped: the program goes on, and cannot use them.
pub fn a_handler_returns_with_bad_flags() -> Outcome {
    extern "C" fn flags(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        unsafe { (*context).uc_mcontext.eflags = WORD.load(Ordering::Relaxed) };
    }
    // Not TF: it would trap.
    for word in [!0x100, 0x3000, 0, 1 << 17, 0x4000, 0xffff_ffff_0000_0000] {
        WORD.store(word, Ordering::Relaxed);
        install(SIGUSR1, flags, 0)?;
        let after: u64;
        let pid = getpid() as u64;
        // SAFETY: the handler changes flags only; those that matter to the compiler are put back.
        unsafe {
            asm!(
                "syscall", "pushfq", "pop {after}", "push 0x202", "popfq",
                after = out(reg) after, inout("rax") abi::arch::x86_64::nr::kill => _, in("rdi") pid,
                in("rsi") u64::from(SIGUSR1), out("rcx") _, out("r11") _,
            );
        }
        check_eq!((word, after & 0x3200), (word, 0x200));
        check_eq!((word, after >> 22), (word, 0));
    }
    Ok(())
}

pub fn a_handler_returns_with_bad_vectors() -> Outcome {
    fn area(context: *mut UContext) -> Option<&'static mut FpState> {
        // SAFETY: the kernel passes the context, and the address of its floating-point area.
        unsafe { ((*context).uc_mcontext.fpstate as *mut FpState).as_mut() }
    }
    extern "C" fn control(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        area(context).into_iter().for_each(|area| area.mxcsr = u32::MAX);
    }
    extern "C" fn header(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        if let Some(area) = area(context) {
            // SAFETY: where the software bytes say that there is an XSAVE area, its header lies behind the FXSAVE area.
            unsafe { (area as *mut FpState).add(1).cast::<[u64; 8]>().write([u64::MAX; 8]) };
        }
    }
    extern "C" fn sizes(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        if let Some(area) = area(context) {
            (area.sw_reserved.extended_size, area.sw_reserved.xstate_size) = (u32::MAX, u32::MAX);
            area.sw_reserved.xfeatures = u64::MAX;
        }
    }
    extern "C" fn nowhere(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        unsafe { (*context).uc_mcontext.fpstate = WORD.load(Ordering::Relaxed) };
    }
    for handler in [control, header, sizes] as [Handler; 3] {
        let death = death_by(handler)?;
        check!(matches!(death, None | Some(SIGSEGV)), "{death:?}");
    }
    for address in [8, 64, 0xffff_8000_0000_0000, u64::MAX, 1 << 63] {
        WORD.store(address, Ordering::Relaxed);
        check_eq!((address, death_by(nowhere)?), (address, Some(SIGSEGV)));
    }
    WORD.store(0, Ordering::Relaxed);
    check_eq!(death_by(nowhere)?, None);
    Ok(())
}

/// The refused frame is a fault at the place to return to: its handler runs, and the program goes on from there.
pub fn a_refused_frame_can_be_survived() -> Outcome {
    extern "C" fn wreck(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context, with an XSAVE area whose header lies behind the FXSAVE area.
        unsafe {
            ((*context).uc_mcontext.fpstate as *mut FpState).add(1).cast::<[u64; 8]>().write([u64::MAX; 8])
        };
    }
    crate::handler::record_signal(SIGSEGV, 0)?;
    install(SIGUSR1, wreck, 0)?;
    kill(getpid(), SIGUSR1)?;
    check!(crate::handler::count() <= 1);
    Ok(())
}

pub fn the_frame_tells_the_fault() -> Outcome {
    extern "C" fn note(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context.
        let registers = unsafe { &mut (*context).uc_mcontext };
        let words = [registers.trapno, registers.err, registers.cr2, u64::from(registers.cs)];
        SEEN.iter().zip(words).for_each(|(place, word)| place.store(word, Ordering::Relaxed));
        // Behind `mov byte ptr [rcx], 1`.
        registers.rip += 3;
    }
    install(SIGSEGV, note, 0)?;
    // SAFETY: the handler steps over the instruction.
    unsafe { asm!("mov byte ptr [rcx], 1", in("rcx") 0x1234) };
    check_eq!(seen(), [14, 6, 0x1234, 0x33]);
    Ok(())
}
