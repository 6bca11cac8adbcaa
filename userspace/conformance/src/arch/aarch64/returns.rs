//! Frames that handlers get, and frames that they make up.

use crate::fault::{Fault, caught};
use crate::handler::{Handler, install};
use crate::{Outcome, check, check_eq, child};
use abi::arch::aarch64::signal::{ESR_MAGIC, EXTRA_MAGIC, FPSIMD_MAGIC, UContext, ZA_MAGIC};
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

/// How a handler changes the records of its frame.
static CHANGE: AtomicU64 = AtomicU64::new(0);

const FPSIMD_SIZE: usize = 528;
const ESR_SIZE: usize = 16;

fn record(records: &mut [u8], at: usize, magic: u32, size: u32) {
    records[at..at + 4].copy_from_slice(&magic.to_le_bytes());
    records[at + 4..at + 8].copy_from_slice(&size.to_le_bytes());
}

/// The room that a fault's handler finds: FP/SIMD registers at its start and, as this signal is no fault, the end.
fn change_records(change: u64, records: &mut [u8], address: u64) {
    let extra = |records: &mut [u8], distance: u64| {
        record(records, FPSIMD_SIZE, EXTRA_MAGIC, 32);
        let data = address + FPSIMD_SIZE as u64 + 48 + distance;
        records[FPSIMD_SIZE + 8..][..8].copy_from_slice(&data.to_le_bytes());
        records[FPSIMD_SIZE + 16..][..4].copy_from_slice(&16u32.to_le_bytes());
        records[FPSIMD_SIZE + 32..][..32].fill(0);
    };
    match change {
        // Accepted: nothing, a syndrome, an extra room behind the end with nothing but an end in it.
        0 => {}
        1 => {
            record(records, FPSIMD_SIZE, ESR_MAGIC, ESR_SIZE as u32);
            record(records, FPSIMD_SIZE + ESR_SIZE, 0, 0);
        }
        2 => extra(records, 0),
        // Refused.
        3 => record(records, FPSIMD_SIZE, 0xdead_beef, 16),
        4 => record(records, FPSIMD_SIZE, 0, 16),
        5 => record(records, FPSIMD_SIZE, ESR_MAGIC, 4),
        6 => record(records, FPSIMD_SIZE, ESR_MAGIC, 24),
        7 => record(records, FPSIMD_SIZE, ESR_MAGIC, 4096),
        8 => record(records, FPSIMD_SIZE, FPSIMD_MAGIC, FPSIMD_SIZE as u32),
        9 => extra(records, 16),
        10 => record(records, FPSIMD_SIZE, ZA_MAGIC, 16),
        _ => record(records, 0, FPSIMD_MAGIC, FPSIMD_SIZE as u32 - 16),
    }
}
const ACCEPTED_CHANGES: u64 = 3;
const CHANGES: u64 = 12;

/// Linux looks at every record, whatever their order.
pub fn a_handler_returns_with_changed_records() -> Outcome {
    extern "C" fn change(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        let records = unsafe { &mut (*context).uc_mcontext.__reserved };
        let address = records.as_ptr() as u64;
        change_records(CHANGE.load(Ordering::Relaxed), records, address);
    }
    for number in 0..CHANGES {
        CHANGE.store(number, Ordering::Relaxed);
        let expected = (number >= ACCEPTED_CHANGES).then_some(SIGSEGV);
        check_eq!((number, death_by(change)?), (number, expected));
    }
    Ok(())
}

/// The SIGSEGV of a refused frame blames the stack pointer that the frame restores.
pub fn a_refused_frame_blames_the_stack() -> Outcome {
    static WITHIN: AtomicU64 = AtomicU64::new(0);
    extern "C" fn refused(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context that it will restore.
        let registers = unsafe { &mut (*context).uc_mcontext };
        registers.sp = WORD.load(Ordering::Relaxed);
        if CHANGE.load(Ordering::Relaxed) == 0 {
            registers.pstate |= 5;
        } else {
            registers.__reserved[..4].fill(0xff);
        }
    }
    let mapped = &raw const WITHIN as u64 & !15;
    for (address, code) in [(mapped, SEGV_ACCERR), (0, SEGV_ACCERR), (u64::MAX & !15, SEGV_MAPERR)] {
        for change in [0, 1] {
            WORD.store(address, Ordering::Relaxed);
            CHANGE.store(change, Ordering::Relaxed);
            let fault = caught(|| {
                let _ = install(SIGUSR1, refused, 0);
                let _ = kill(getpid(), SIGUSR1);
            })?;
            let expected = Fault { signal: SIGSEGV, code, address };
            check_eq!((change, fault), (change, Some(expected)));
        }
    }
    Ok(())
}

/// `rt_sigreturn` without a frame, with a stack pointer that no frame can have.
pub fn a_return_with_a_misaligned_stack() -> Outcome {
    let below: u64;
    // SAFETY: reading the stack pointer has no effect.
    unsafe { asm!("mov {}, sp", out(reg) below) };
    let wild = (below - 0x2000) | 8;
    // SAFETY: the child ends in its handler, which has a stack of its own.
    let fault = caught(|| unsafe {
        asm!("mov sp, {}", "svc #0", in(reg) wild, in("x8") abi::arch::aarch64::nr::rt_sigreturn, options(noreturn))
    })?;
    check_eq!(fault, Some(Fault { signal: SIGSEGV, code: SEGV_ACCERR, address: wild }));
    Ok(())
}

/// Fault address and syndrome in the frame, after one fault upon another.
pub fn the_frame_tells_the_last_fault() -> Outcome {
    static SYNDROME: AtomicU64 = AtomicU64::new(0);
    extern "C" fn note(_signal: i32, _info: *const SigInfo, context: *mut UContext) {
        // SAFETY: the kernel passes the context.
        let registers = unsafe { &mut (*context).uc_mcontext };
        SEEN.store(registers.fault_address, Ordering::Relaxed);
        let record = &registers.__reserved[FPSIMD_SIZE..];
        let word = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap_or_default());
        let is_syndrome = word(0) == u64::from(ESR_MAGIC) | (ESR_SIZE as u64) << 32;
        SYNDROME.store(if is_syndrome { word(8) } else { 0 }, Ordering::Relaxed);
        registers.pc += 4;
    }
    const WRITE: u64 = 0x9200_0040;
    const STATUS: u64 = 0x3f;
    for signal in [SIGSEGV, SIGILL, SIGTRAP, SIGBUS] {
        install(signal, note, 0)?;
    }
    let seen = || (SEEN.load(Ordering::Relaxed), SYNDROME.load(Ordering::Relaxed));
    // SAFETY: the handler steps over the instruction.
    unsafe { asm!("str xzr, [x1]", in("x1") 0x1238) };
    check_eq!((seen().0, seen().1 & !STATUS), (0x1238, WRITE));
    // A breakpoint leaves it as it is.
    // SAFETY: as above.
    unsafe { asm!("brk #1") };
    check_eq!((seen().0, seen().1 & !STATUS), (0x1238, WRITE));
    // Of kernel addresses all syndromes are the same, and say nothing of what is there.
    for address in
        [0xffff_8000_0000_0000u64, 0xffff_ffff_ffff_fff0, 0xffff_0000_4000_0000, 0xffff_8000_0800_0000]
    {
        // SAFETY: as above.
        unsafe { asm!("str xzr, [x1]", in("x1") address) };
        check_eq!(seen(), (address, WRITE | 4));
    }
    // An undefined instruction has neither.
    // SAFETY: as above.
    unsafe { asm!("udf #0") };
    check_eq!(seen(), (0, 0));
    Ok(())
}
