//! Flags that a program may set, and that must not reach into the kernel.

use crate::fault::caught;
use crate::handler::{bit, count, record_signal};
use crate::{Outcome, check, check_eq, child};
use abi::arch::x86_64::nr;
use abi::process::WaitStatus;
use abi::signal::*;
use core::arch::asm;
use libsyscall::signal::rt_sigprocmask;

const TRAP: u64 = 1 << 8;
const NESTED_TASK: u64 = 1 << 14;
const ALIGNMENT_CHECK: u64 = 1 << 18;
const IDENTIFICATION: u64 = 1 << 21;

/// Sets `flag`, makes a call, and returns the flags afterwards, with `flag` cleared again.
fn flags_after_call(flag: u64) -> (u64, i64) {
    let (flags, result): (u64, i64);
    // SAFETY: the call has no effect; the flags are as before at the end.
    unsafe {
        asm!(
            "pushfq", "pop {flags}",
            "mov {old}, {flags}",
            "or {flags}, {flag}",
            "push {flags}", "popfq",
            "syscall",
            "pushfq", "pop {flags}",
            "push {old}", "popfq",
            flags = out(reg) flags,
            old = out(reg) _,
            flag = in(reg) flag,
            inout("rax") nr::getppid => result,
            out("rcx") _, out("r11") _,
        );
    }
    (flags, result)
}

/// With NT set, an `iretq` in the kernel would fault.
pub fn nested_task_flag() -> Outcome {
    let (flags, result) = flags_after_call(NESTED_TASK);
    check_eq!((flags & NESTED_TASK, result), (NESTED_TASK, i64::from(libsyscall::process::getppid())));
    // A fault and a fork under NT as well.
    let status = child::run(|| {
        // SAFETY: the flag changes nothing for this program.
        unsafe { asm!("pushfq", "or dword ptr [rsp], 0x4000", "popfq") };
        let memory = libsyscall::memory::map_anonymous(4096);
        memory.map(crate::fault::store).map_or(1, |()| 0)
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

/// Each instruction under TF is one SIGTRAP with TRAP_TRACE.
pub fn trap_flag_steps() -> Outcome {
    record_signal(SIGTRAP, 0)?;
    // SAFETY: the handler only counts.
    unsafe {
        asm!(
            "pushfq",
            "or dword ptr [rsp], 0x100",
            "popfq",
            "nop",
            "nop",
            "pushfq",
            "and dword ptr [rsp], -257",
            "popfq"
        )
    };
    // The trap comes behind each instruction, and behind the `popfq` that clears the flag.
    check_eq!((count(), crate::handler::CODE.load(core::sync::atomic::Ordering::Relaxed)), (5, TRAP_TRACE));
    Ok(())
}

/// The step over `syscall` traps behind it, in the program; the kernel itself is not stepped.
pub fn trap_flag_across_a_call() -> Outcome {
    record_signal(SIGTRAP, 0)?;
    let (flags, result) = flags_after_call(TRAP);
    check_eq!((flags & TRAP, result), (TRAP, i64::from(libsyscall::process::getppid())));
    check!((4..=8).contains(&count()), "{} steps", count());
    // Blocked, the first step kills, also across a call.
    let status = child::run(|| {
        let _ = rt_sigprocmask(SIG_BLOCK, bit(SIGTRAP));
        flags_after_call(TRAP);
        0
    })?;
    check_eq!(status.term_signal(), Some(SIGTRAP));
    Ok(())
}

/// With AC set, SMAP would be off in the kernel if entry did not clear it; in ring 3 unaligned loads fault.
pub fn alignment_check_flag() -> Outcome {
    let (flags, result) = flags_after_call(ALIGNMENT_CHECK);
    check_eq!(
        (flags & ALIGNMENT_CHECK, result),
        (ALIGNMENT_CHECK, i64::from(libsyscall::process::getppid()))
    );
    let fault = caught(|| {
        // SAFETY: the load lies on the stack.
        unsafe {
            asm!("pushfq", "or dword ptr [rsp], 0x40000", "popfq", "mov eax, [rsp - 31]", out("rax") _)
        };
    })?;
    // TCG of QEMU 7.2 does not check alignment.
    check!(fault.is_none_or(|fault| (fault.signal, fault.code) == (SIGBUS, BUS_ADRALN)), "{fault:?}");
    Ok(())
}

/// DF reaches no handler and no code of the kernel, and comes back.
pub fn direction_flag() -> Outcome {
    let (flags, _) = flags_after_call(1 << 10);
    check_eq!(flags & 1 << 10, 1 << 10);
    Ok(())
}

pub fn identification_flag() -> Outcome {
    let (flags, _) = flags_after_call(IDENTIFICATION);
    check_eq!(flags & IDENTIFICATION, IDENTIFICATION);
    Ok(())
}
