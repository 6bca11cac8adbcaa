//! The `syscall` instruction itself.

use crate::fault::caught;
use crate::{Outcome, check_eq, child};
use abi::arch::x86_64::nr;
use abi::signal::SIGSEGV;
use core::arch::asm;

const ENOSYS: i64 = -38;

/// Makes call `number` with six times `argument`; returns RAX and what the other registers hold then.
fn call(number: u64, argument: u64) -> (i64, [u64; 12]) {
    let mut registers = [0; 12];
    let mut result = number as i64;
    // SAFETY: every register is saved or named, and the tests make calls without effect.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "mov rbx, {value:r}", "mov rbp, {value:r}", "mov r12, {value:r}", "mov r13, {value:r}",
            "mov rdi, {value:r}", "mov rsi, {value:r}", "mov rdx, {value:r}", "mov r10, {value:r}",
            "mov r8, {value:r}", "mov r9, {value:r}",
            "syscall",
            "mov [r14], rbx", "mov [r14 + 8], rbp", "mov [r14 + 16], r12", "mov [r14 + 24], r13",
            "mov [r14 + 32], rdi", "mov [r14 + 40], rsi", "mov [r14 + 48], rdx", "mov [r14 + 56], r10",
            "mov [r14 + 64], r8", "mov [r14 + 72], r9", "mov [r14 + 80], r15", "mov [r14 + 88], {value:r}",
            "pop rbp",
            "pop rbx",
            inout("rax") result,
            in("r14") registers.as_mut_ptr(),
            value = in(reg) argument,
            in("r15") argument,
            out("rdi") _, out("rsi") _, out("rdx") _, out("r10") _, out("r8") _, out("r9") _,
            out("r12") _, out("r13") _, out("rcx") _, out("r11") _,
        );
    }
    (result, registers)
}

pub fn unknown_calls() -> Outcome {
    for number in [600, 512, 1000, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 63 | 600, 0x4000_0000 | 39] {
        check_eq!((number, call(number, u64::MAX).0), (number, ENOSYS));
    }
    Ok(())
}

pub fn a_call_keeps_registers() -> Outcome {
    for value in [0, u64::MAX, 0x1234_5678_9abc_def0] {
        check_eq!(call(nr::getppid, value).1, [value; 12]);
        check_eq!(call(9999, value).1, [value; 12]);
    }
    Ok(())
}

/// RCX holds the address behind the instruction afterwards, R11 the flags; the flags themselves stay.
pub fn a_call_keeps_flags() -> Outcome {
    const STATUS: u64 = 0x8d5;
    for flags in [STATUS, 0, 0x400, 0x2_0000 >> 17] {
        let (after, rcx, r11, address): (u64, u64, u64, u64);
        // SAFETY: the call has no effect; the direction flag is cleared again.
        unsafe {
            asm!(
                "pushfq", "pop {after}", "and {after}, {keep}", "or {after}, {flags}", "push {after}", "popfq",
                "syscall",
                "2:",
                "pushfq", "pop {after}", "cld",
                "lea {address}, [rip + 2b]",
                after = out(reg) after,
                keep = const !(STATUS as i32 | 0x400),
                flags = in(reg) flags,
                address = out(reg) address,
                inout("rax") nr::getppid => _,
                out("rcx") rcx,
                out("r11") r11,
            );
        }
        check_eq!(after & (STATUS | 0x400), flags & (STATUS | 0x400));
        check_eq!((rcx, r11), (address, after));
    }
    Ok(())
}

/// Linux takes EAX, sign-extended: the upper half does not count.
pub fn call_numbers_have_32_bits() -> Outcome {
    let expected = i64::from(libsyscall::process::getppid());
    check_eq!(call(nr::getppid | 0xdead_beef << 32, 0).0, expected);
    Ok(())
}

pub fn arguments_have_64_bits() -> Outcome {
    // lseek on a pipe fails the same way whatever the offset; a length of 2^32 must not become 0.
    let result = crate::raw::call(nr::mmap, &[0, 1 << 47, 3, 0x22, u64::MAX, 0]);
    check_eq!(result, Err(abi::Errno::ENOMEM));
    let result = crate::raw::call(nr::munmap, &[1 << 63, 4096]);
    check_eq!(result, Err(abi::Errno::EINVAL));
    Ok(())
}

/// The kernel does not use the program's stack: a call works, a signal kills.
pub fn a_call_with_a_wild_stack() -> Outcome {
    for stack in [0, 8, 0xffff_8000_0000_0000, 0xdead_beef_dead_beef, u64::MAX, 0x7fff_ffff_f000] {
        let result: i64;
        // SAFETY: no memory is touched by the stack pointer while it is wild.
        unsafe {
            asm!(
                "mov {saved}, rsp", "mov rsp, {stack}", "syscall", "mov rsp, {saved}",
                saved = out(reg) _,
                stack = in(reg) stack,
                inout("rax") nr::getppid => result,
                out("rcx") _, out("r11") _,
            );
        }
        check_eq!(result, i64::from(libsyscall::process::getppid()));
        let status = child::run(|| {
            // SAFETY: the child dies of it.
            unsafe { asm!("mov rsp, {}", "push rax", "ud2", in(reg) stack, options(noreturn)) }
        })?;
        check_eq!(status.term_signal().is_some_and(|signal| matches!(signal, 7 | 11)), true);
    }
    Ok(())
}

/// `int 0x80` is 32-bit Linux's; without it, it is a protection fault.
pub fn the_old_gate_is_closed() -> Outcome {
    let fault = caught(|| {
        // SAFETY: either the call of that number there, getpid, or a fault.
        unsafe {
            asm!("int 0x80", inout("rax") 20u64 => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
        };
    })?;
    check_eq!(fault.is_none_or(|fault| fault.signal == SIGSEGV), true);
    Ok(())
}
