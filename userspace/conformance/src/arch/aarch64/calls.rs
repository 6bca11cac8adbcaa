//! The `svc` instruction itself, and what stays over it.

use crate::{Outcome, check_eq, child};
use abi::arch::aarch64::nr;
use abi::process::WaitStatus;
use core::arch::asm;
use libsyscall::thread::sched_yield;

const ENOSYS: i64 = -38;

pub fn unknown_calls() -> Outcome {
    for number in [600, 1000, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 244] {
        check_eq!((number, crate::raw::call_raw(number, &[u64::MAX; 6])), (number, ENOSYS));
    }
    Ok(())
}

/// All registers but X0 stay.
pub fn a_call_keeps_registers() -> Outcome {
    let mut seen = [0u64; 12];
    // SAFETY: every register is named; the call has no effect.
    unsafe {
        asm!(
            "svc #0",
            "stp x1, x2, [{seen}]", "stp x3, x4, [{seen}, 16]", "stp x5, x6, [{seen}, 32]",
            "stp x7, x9, [{seen}, 48]", "stp x16, x17, [{seen}, 64]", "stp x30, x8, [{seen}, 80]",
            seen = in(reg) seen.as_mut_ptr(),
            in("x8") nr::getppid,
            inout("x0") 0u64 => _,
            in("x1") 1, in("x2") 2, in("x3") 3, in("x4") 4, in("x5") 5, in("x6") 6, in("x7") 7, in("x9") 9,
            in("x16") 16, in("x17") 17, in("x30") 30,
        );
    }
    check_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 30, nr::getppid]);
    Ok(())
}

pub fn a_call_keeps_flags() -> Outcome {
    for flags in [0u64, 0xf000_0000, 0x5000_0000] {
        let after: u64;
        // SAFETY: the call has no effect.
        unsafe {
            asm!(
                "msr nzcv, {flags}", "svc #0", "mrs {after}, nzcv",
                flags = in(reg) flags, after = out(reg) after, in("x8") nr::getppid, out("x0") _,
            );
        }
        check_eq!(after, flags);
    }
    Ok(())
}

pub fn any_immediate_is_a_call() -> Outcome {
    let result: i64;
    // SAFETY: the call has no effect.
    unsafe { asm!("svc #0x1234", in("x8") nr::getppid, out("x0") result) };
    check_eq!(result, i64::from(libsyscall::process::getppid()));
    Ok(())
}

/// The kernel does not use the program's stack: a call works, a signal kills.
pub fn a_call_with_a_wild_stack() -> Outcome {
    for stack in [0u64, 16, 0xffff_8000_0000_0000, 0xdead_beef_dead_bee0, 1 << 48] {
        let result: i64;
        // SAFETY: no memory is touched by the stack pointer while it is wild.
        unsafe {
            asm!(
                "mov {saved}, sp", "mov sp, {stack}", "svc #0", "mov sp, {saved}",
                saved = out(reg) _, stack = in(reg) stack, in("x8") nr::getppid, out("x0") result,
            );
        }
        check_eq!(result, i64::from(libsyscall::process::getppid()));
        let status = child::run(|| {
            // SAFETY: the child dies of it.
            unsafe { asm!("mov sp, {}", "str x0, [sp, -16]!", "udf #0", in(reg) stack, options(noreturn)) }
        })?;
        check_eq!(status.term_signal(), Some(abi::signal::SIGSEGV));
    }
    Ok(())
}

fn thread_pointer() -> u64 {
    let pointer;
    // SAFETY: reading the register has no effect.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) pointer) };
    pointer
}

pub fn the_thread_pointer_is_kept() -> Outcome {
    let spin = |value: u64| {
        move || {
            // SAFETY: this child uses no thread-locals afterwards.
            unsafe { asm!("msr tpidr_el0, {}", in(reg) value) };
            for _ in 0..200 {
                sched_yield();
                if thread_pointer() != value {
                    return 1;
                }
            }
            0
        }
    };
    let before = thread_pointer();
    for pid in [child::start(spin(1))?, child::start(spin(u64::MAX))?] {
        check_eq!(child::wait(pid)?, WaitStatus(0));
    }
    check_eq!(thread_pointer(), before);
    Ok(())
}

/// The registers are loaded, calls are made, and the registers are read, all in one piece of assembly.
pub fn vectors_survive_switches() -> Outcome {
    let spin = |value: u64| {
        move || {
            for _ in 0..500 {
                let (low, high): (u64, u64);
                // SAFETY: the registers are named as changed.
                unsafe {
                    asm!(
                        "dup v8.2d, {value}", "dup v31.2d, {value}", "svc #0", "mov {low}, v8.d[1]", "mov {high}, v31.d[1]",
                        value = in(reg) value, low = out(reg) low, high = out(reg) high,
                        in("x8") nr::sched_yield, out("x0") _, out("v8") _, out("v31") _,
                    );
                }
                if (low, high) != (value, value) {
                    return 1;
                }
            }
            0
        }
    };
    for pid in [child::start(spin(1))?, child::start(spin(0x7fff_1234_5678_9abc))?, child::start(spin(9))?] {
        check_eq!(child::wait(pid)?, WaitStatus(0));
    }
    Ok(())
}
