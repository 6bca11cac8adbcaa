//! Instructions that a program may not execute, or that fault.

use crate::fault::{Fault, caught};
use crate::{Outcome, check, check_eq};
use abi::signal::*;
use core::arch::asm;

/// `faults!(code, "instruction")`: the signal and `si_code` of an instruction that must not run through.
macro_rules! fault_of {
    ($($instruction:literal),+) => {{
        // SAFETY: the child that executes it ends by its fault; what it would change is the child's alone.
        let fault = caught(|| unsafe {
            asm!($($instruction),+, out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _)
        })?;
        fault.map(|fault| (fault.signal, fault.code))
    }};
}

pub fn undefined_instructions() -> Outcome {
    check_eq!(fault_of!("ud2"), Some((SIGILL, ILL_ILLOPN)));
    check_eq!(fault_of!(".byte 0x0f, 0x0b"), Some((SIGILL, ILL_ILLOPN)));
    check_eq!(fault_of!(".byte 0x06"), Some((SIGILL, ILL_ILLOPN)));
    check_eq!(fault_of!(".byte 0xf0, 0x90"), Some((SIGILL, ILL_ILLOPN)));
    let address: u64;
    // SAFETY: only the address is taken.
    unsafe { asm!("lea {}, [rip + 2f]", "jmp 3f", "2: ud2", "3:", out(reg) address) };
    let fault = caught(|| crate::fault::jump(core::ptr::without_provenance(address as usize)))?;
    check_eq!(fault, Some(Fault { signal: SIGILL, code: ILL_ILLOPN, address }));
    Ok(())
}

pub fn privileged_instructions() -> Outcome {
    let protection = Some((SIGSEGV, SI_KERNEL));
    check_eq!(fault_of!("hlt"), protection);
    check_eq!(fault_of!("cli"), protection);
    check_eq!(fault_of!("sti"), protection);
    check_eq!(fault_of!("in al, dx"), protection);
    check_eq!(fault_of!("out dx, al"), protection);
    check_eq!(fault_of!("mov rax, cr0"), protection);
    check_eq!(fault_of!("mov cr3, rax"), protection);
    check_eq!(fault_of!("mov rax, cr4"), protection);
    check_eq!(fault_of!("mov rax, dr7"), protection);
    check_eq!(fault_of!("xor ecx, ecx", "rdmsr"), protection);
    check_eq!(fault_of!("mov ecx, 0xc0000080", "wrmsr"), protection);
    check_eq!(fault_of!("invlpg [rsp]"), protection);
    check_eq!(fault_of!("wbinvd"), protection);
    check_eq!(fault_of!("clts"), protection);
    check_eq!(fault_of!("lgdt [rsp]"), protection);
    check_eq!(fault_of!("lidt [rsp]"), protection);
    check_eq!(fault_of!("swapgs"), protection);
    check_eq!(fault_of!("ltr ax"), protection);
    let sysret = fault_of!("sysretq");
    check!(matches!(sysret, Some((SIGSEGV | SIGILL, _))), "sysretq: {sysret:?}");
    Ok(())
}

pub fn breakpoints() -> Outcome {
    check_eq!(fault_of!("int3"), Some((SIGTRAP, SI_KERNEL)));
    check_eq!(fault_of!(".byte 0xcd, 3"), Some((SIGTRAP, SI_KERNEL)));
    let fault = fault_of!(".byte 0xf1");
    // TCG of QEMU 7.2 does not know it.
    check!(matches!(fault, Some((SIGTRAP | SIGILL, _))), "int1: {fault:?}");
    Ok(())
}

pub fn arithmetic() -> Outcome {
    check_eq!(fault_of!("xor ecx, ecx", "mov eax, 1", "cdq", "idiv ecx"), Some((SIGFPE, FPE_INTDIV)));
    check_eq!(fault_of!("mov eax, 0x80000000", "cdq", "mov ecx, -1", "idiv ecx"), Some((SIGFPE, FPE_INTDIV)));
    Ok(())
}

/// QEMU 7.2's TCG raises x87 exceptions with CR0.NE, and no SSE exceptions at all: the latter may run through.
pub fn floating_point_exceptions() -> Outcome {
    let x87 = fault_of!(
        "sub rsp, 8",
        "fninit",
        "mov word ptr [rsp], 0x37b",
        "fldcw [rsp]",
        "fld1",
        "fldz",
        "fdivp",
        "fwait",
        "add rsp, 8"
    );
    check!(matches!(x87, Some((SIGFPE, FPE_FLTDIV))), "x87: {x87:?}");
    let sse = fault_of!(
        "sub rsp, 8",
        "mov dword ptr [rsp], 0x1d80",
        "ldmxcsr [rsp]",
        "xorps xmm0, xmm0",
        "mov eax, 1",
        "cvtsi2ss xmm1, eax",
        "divss xmm1, xmm0",
        "add rsp, 8"
    );
    check!(matches!(sse, None | Some((SIGFPE, FPE_FLTDIV))), "SSE: {sse:?}");
    Ok(())
}

pub fn counters() -> Outcome {
    let first = {
        // SAFETY: reading the counter has no effect.
        unsafe { core::arch::x86_64::_rdtsc() }
    };
    // SAFETY: as above.
    check!(unsafe { core::arch::x86_64::_rdtsc() } >= first);
    let performance = fault_of!("xor ecx, ecx", "rdpmc");
    check!(matches!(performance, None | Some((SIGSEGV, SI_KERNEL))), "rdpmc: {performance:?}");
    check_eq!(fault_of!("xor ecx, ecx", "xor eax, eax", "cpuid", "mov ecx, 0xffff", "rdpmc").is_some(), true);
    Ok(())
}

/// With UMIP these fault, or Linux emulates the first three; without it they work. Nothing of the kernel may show.
pub fn descriptor_tables_are_hidden() -> Outcome {
    let base = |fault: Option<(u32, i32)>| matches!(fault, None | Some((SIGSEGV, SI_KERNEL)));
    check!(base(fault_of!("sub rsp, 16", "sgdt [rsp]", "add rsp, 16")));
    check!(base(fault_of!("sub rsp, 16", "sidt [rsp]", "add rsp, 16")));
    check!(base(fault_of!("smsw ax")));
    check!(base(fault_of!("sldt ax")));
    check!(base(fault_of!("str ax")));
    Ok(())
}

/// Not canonical with four or five levels of page tables.
pub fn non_canonical_addresses() -> Outcome {
    let protection = Some((SIGSEGV, SI_KERNEL));
    check_eq!(fault_of!("mov rax, 0x0100000000000000", "jmp rax"), protection);
    check_eq!(fault_of!("mov rax, 0xfeffffffffffffff", "call rax"), protection);
    check_eq!(fault_of!("mov rax, 0x8000000000000000", "push rax", "ret"), protection);
    check_eq!(fault_of!("mov rax, 0x8000000000000000", "mov al, [rax]"), protection);
    check_eq!(fault_of!("mov rax, 0xdeadbeefdeadbeef", "mov [rax], al"), protection);
    let stack =
        fault_of!("mov rcx, rsp", "mov rax, 0x8000000000000000", "mov rsp, rax", "push rax", "mov rsp, rcx");
    check!(matches!(stack, Some((SIGBUS | SIGSEGV, SI_KERNEL))), "stack: {stack:?}");
    Ok(())
}

/// No gate but 3 and 4 is a program's; 0x80 has a test of its own.
pub fn software_interrupts() -> Outcome {
    let protection = Some((SIGSEGV, SI_KERNEL));
    check_eq!(fault_of!("int 0"), protection);
    check_eq!(fault_of!("int 1"), protection);
    check_eq!(fault_of!("int 2"), protection);
    check_eq!(fault_of!("int 8"), protection);
    check_eq!(fault_of!("int 14"), protection);
    check_eq!(fault_of!("int 18"), protection);
    check_eq!(fault_of!("int 32"), protection);
    check_eq!(fault_of!("int 0xef"), protection);
    check_eq!(fault_of!("int 0xff"), protection);
    Ok(())
}
