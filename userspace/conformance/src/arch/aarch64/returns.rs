//! Frames that handlers get, and frames that they make up.

use crate::handler::{Handler, install};
use crate::{Outcome, check, check_eq, child};
use abi::arch::aarch64::signal::UContext;
use abi::signal::*;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use libsyscall::process::{getpid, kill};

static SEEN: AtomicU64 = AtomicU64::new(0);
/// A handler's word to put into its context, in a static because handlers take no other arguments.
static WORD: AtomicU64 = AtomicU64::new(0);

pub fn a_handler_changes_registers() -> Outcome {
    extern "C" fn change(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        let registers = unsafe { &mut (*context).uc_mcontext };
        (registers.regs[1], registers.regs[9]) = (11, 99);
        registers.pstate |= 1 << 29;
        // Behind the `udf`.
        registers.pc += 4;
    }
    install(SIGILL, change, 0)?;
    let (one, nine, carry): (u64, u64, u64);
    // SAFETY: the handler steps over the instruction.
    unsafe {
        asm!("msr nzcv, xzr", "udf #0", "mrs x2, nzcv", out("x1") one, out("x9") nine, out("x2") carry);
    }
    check_eq!((one, nine, carry), (11, 99, 1 << 29));
    Ok(())
}

/// Runs a handler that changes its context, in a process; returns the signal that ended it.
fn death_by(handler: Handler) -> Result<Option<u32>, crate::Failure> {
    let status = child::run(|| {
        let _ = install(SIGUSR1, handler, 0);
        let _ = kill(getpid(), SIGUSR1);
        // SAFETY: the stack is as before, unless the handler has changed its pointer: then this faults.
        unsafe { asm!("str x0, [sp, -16]!", "ldr x0, [sp], 16", out("x0") _) };
        0
    })?;
    Ok(status.term_signal())
}

/// A higher exception level, AArch32, masked interrupts, an illegal state: refused, or dropped without effect.
pub fn a_handler_returns_to_bad_states() -> Outcome {
    extern "C" fn state(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        unsafe { (*context).uc_mcontext.pstate = WORD.load(Ordering::Relaxed) };
    }
    for word in [4u64, 5, 8, 0x10, 0x13, 0x1d, 0x3c0, 1 << 20, 1 << 21, u64::MAX] {
        WORD.store(word, Ordering::Relaxed);
        let death = death_by(state)?;
        check!(matches!(death, None | Some(SIGSEGV | SIGILL | SIGTRAP)), "{word:#x}: {death:?}");
    }
    WORD.store(5, Ordering::Relaxed);
    check_eq!(death_by(state)?, Some(SIGSEGV));
    Ok(())
}

pub fn a_handler_returns_to_bad_addresses() -> Outcome {
    extern "C" fn pc(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        unsafe { (*context).uc_mcontext.pc = WORD.load(Ordering::Relaxed) };
    }
    extern "C" fn stack(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: as above.
        unsafe { (*context).uc_mcontext.sp = WORD.load(Ordering::Relaxed) };
    }
    for address in [0u64, 1 << 48, 0xffff_8000_0000_0000, u64::MAX & !15] {
        WORD.store(address, Ordering::Relaxed);
        check_eq!((address, death_by(pc)?), (address, Some(SIGSEGV)));
        check_eq!((address, death_by(stack)?), (address, Some(SIGSEGV)));
    }
    Ok(())
}

pub fn a_handler_returns_with_bad_records() -> Outcome {
    extern "C" fn magic(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        unsafe { &mut (*context).uc_mcontext }.__reserved[..4].fill(0xff);
    }
    extern "C" fn size(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: as above.
        unsafe { &mut (*context).uc_mcontext }.__reserved[4..8].fill(0xff);
    }
    extern "C" fn nothing(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: as above.
        unsafe { &mut (*context).uc_mcontext }.__reserved.fill(0);
    }
    for handler in [magic, size, nothing] as [Handler; 3] {
        check_eq!(death_by(handler)?, Some(SIGSEGV));
    }
    Ok(())
}

pub fn the_frame_tells_the_fault() -> Outcome {
    extern "C" fn note(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context.
        let registers = unsafe { &mut (*context).uc_mcontext };
        SEEN.store(registers.fault_address, Ordering::Relaxed);
        // Behind the `str`.
        registers.pc += 4;
    }
    install(SIGSEGV, note, 0)?;
    // SAFETY: the handler steps over the instruction.
    unsafe { asm!("str xzr, [x1]", in("x1") 0x1238) };
    check_eq!(SEEN.load(Ordering::Relaxed), 0x1238);
    Ok(())
}
