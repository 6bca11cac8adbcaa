//! State of the CPU that nobody set on purpose: firmware, the loader or another program may have left it there.

use crate::fault::caught;
use crate::{Outcome, check, check_eq, child, raw};
use abi::Errno;
use abi::arch::x86_64::nr;
use abi::arch::x86_64::process::{ARCH_GET_GS, ARCH_SET_GS};
use abi::memory::*;
use abi::process::WaitStatus;
use abi::signal::*;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use ulib::println;

/// A program's own table of descriptors at address 0, where LDTR points after a reset, is nobody's: no selector leads
/// there.
pub fn no_local_descriptors() -> Outcome {
    const PAGES: u64 = 16;
    const FLAT_DATA: u64 = 0x00cf_f300_0000_ffff;
    const FLAT_CODE: u64 = 0x00af_fb00_0000_ffff;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    let both = PROT_READ | PROT_WRITE;
    let table = raw::call(nr::mmap, &[0, PAGES << 12, both.into(), flags.into(), u64::MAX, 0])?;
    check_eq!(table, 0);
    for (index, descriptor) in [(100u64, FLAT_DATA), (101, FLAT_CODE)] {
        // SAFETY: the page is mapped, if at address 0; Rust's own memory lies elsewhere.
        unsafe { asm!("mov [{}], {}", in(reg) index * 8, in(reg) descriptor) };
        let selector = index << 3 | 4 | 3;
        let found: u8;
        // SAFETY: asks for a limit only.
        unsafe {
            asm!("lsl {:e}, {:e}", "setz {}", out(reg) _, in(reg) selector as u32, out(reg_byte) found)
        };
        check_eq!(found, 0);
        // SAFETY: the child faults or has a selector that it does not use.
        let fault = caught(|| unsafe { asm!("mov es, {:e}", in(reg) selector as u32) })?;
        check_eq!(fault.map(|fault| fault.signal), Some(SIGSEGV));
        // SAFETY: the child faults or goes on behind the return.
        let ended = child::run(|| unsafe {
            asm!("push {}", "lea {1}, [rip + 2f]", "push {1}", "retfq", "2:", in(reg) selector, out(reg) _);
            0
        })?;
        check!(ended.term_signal().is_some());
    }
    Ok(())
}

/// A call gate of the program's own making leads nowhere.
pub fn no_gate_of_ones_own() -> Outcome {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    let both = PROT_READ | PROT_WRITE;
    check_eq!(raw::call(nr::mmap, &[0, 1 << 16, both.into(), flags.into(), u64::MAX, 0])?, 0);
    let fault = caught(|| {
        let target: u64;
        // The bytes are `rex.w call far [rsp]`.
        // SAFETY: page 0 is mapped; the child faults at the far call, or its end says that it did not.
        unsafe {
            asm!("lea {}, [rip + 2f]", "jmp 3f", "2: ud2", "3:", out(reg) target);
            let low = target & 0xffff | 0x10 << 16 | 0xec << 40 | (target >> 16 & 0xffff) << 48;
            asm!("mov [{0}], {1}", "mov [{0} + 8], {2}", in(reg) 102u64 * 8, in(reg) low, in(reg) target >> 32);
            asm!("push {}", "push 0", ".byte 0x48, 0xff, 0x1c, 0x24", in(reg) 102u64 << 3 | 7);
        }
    })?;
    check_eq!(fault.map(|fault| (fault.signal, fault.code)), Some((SIGSEGV, SI_KERNEL)));
    Ok(())
}

/// As on Linux where no program has opened a counter with `perf_event_open`.
pub fn no_performance_counters() -> Outcome {
    for counter in [0u32, 1, 1 << 30, 1 << 30 | 1] {
        // SAFETY: the child faults, or reads a counter.
        let fault = caught(|| unsafe { asm!("rdpmc", in("ecx") counter, out("eax") _, out("edx") _) })?;
        check_eq!(fault.map(|fault| (fault.signal, fault.code)), Some((SIGSEGV, SI_KERNEL)));
    }
    Ok(())
}

/// `sysenter` and a `syscall` of 32-bit code are no ways in for a program of 64 bits; on a Linux with 32-bit programs
/// the first is one, but leads back to nowhere.
pub fn no_old_ways_in() -> Outcome {
    let ended = child::run(|| {
        // SAFETY: the child ends by it.
        unsafe { asm!("sysenter", "ud2", in("rax") 20, options(noreturn)) }
    })?;
    check!(ended.term_signal().is_some(), "{ended:?}");
    Ok(())
}

/// `rdtscp` tells the number of the CPU, whichever CPU started first.
pub fn the_auxiliary_word_is_the_cpu() -> Outcome {
    if __cpuid(0x8000_0001).edx >> 27 & 1 == 0 {
        println!("no rdtscp here");
        return Ok(());
    }
    let mut allowed = [0u64; 16];
    raw::call(nr::sched_getaffinity, &[0, 128, allowed.as_mut_ptr() as u64])?;
    for cpu in (0..64).filter(|cpu| allowed[0] >> cpu & 1 != 0) {
        let mask = 1u64 << cpu;
        raw::call(nr::sched_setaffinity, &[0, 8, (&raw const mask) as u64])?;
        let auxiliary: u32;
        // SAFETY: reads the counter.
        unsafe { asm!("rdtscp", out("eax") _, out("edx") _, out("ecx") auxiliary) };
        check_eq!(u64::from(auxiliary), cpu);
    }
    Ok(())
}

/// The vDSO tells where the thread runs as the system call does, and looks at no pointer that is null.
pub fn the_cpu_by_the_vdso() -> Outcome {
    type GetCpu = unsafe extern "C" fn(cpu: *mut u32, node: *mut u32, unused: u64) -> i64;
    let address = ulib::vdso::function(c"__vdso_getcpu").ok_or(Errno::ENOENT)?;
    // SAFETY: the function of this name has this type, vdso(7).
    let getcpu = unsafe { core::mem::transmute::<*const (), GetCpu>(address) };
    let mut allowed = [0u64; 16];
    raw::call(nr::sched_getaffinity, &[0, 128, allowed.as_mut_ptr() as u64])?;
    for cpu in (0..64u32).filter(|cpu| allowed[0] >> cpu & 1 != 0) {
        let mask = 1u64 << cpu;
        raw::call(nr::sched_setaffinity, &[0, 8, (&raw const mask) as u64])?;
        let (mut told, mut node, mut called) = (7777, 7777, [7777u32; 2]);
        raw::call(nr::getcpu, &[called.as_mut_ptr() as u64, (&raw mut called[1]) as u64])?;
        // SAFETY: both words are there to be written.
        check_eq!(unsafe { getcpu(&raw mut told, &raw mut node, 8) }, 0);
        check_eq!(([told, node], told), (called, cpu));
        let (mut told, mut node, none) = (7777, 7777, core::ptr::null_mut());
        // SAFETY: the words are there to be written, and a null pointer stands for none.
        let done = unsafe {
            [getcpu(&raw mut told, none, 0), getcpu(none, &raw mut node, 0), getcpu(none, none, 0)]
        };
        check_eq!((done, [told, node]), ([0; 3], called));
    }
    Ok(())
}

/// XCR0 allows x87 and SSE wherever it can be read, and nothing that a switch would lose: AVX survives if it is
/// allowed.
pub fn the_components_are_kept() -> Outcome {
    if __cpuid(1).ecx >> 27 & 1 == 0 {
        return Ok(());
    }
    let components: u32;
    // SAFETY: CPUID announces the instruction.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") components, out("edx") _) };
    check_eq!(components & 3, 3);
    let possible = __cpuid_count(0xd, 0).eax;
    check_eq!(components & !possible, 0);
    Ok(())
}

/// Writes x87's and SSE's control words, selectors and the GS base, and executes the helper that looks at them.
pub fn an_execution_starts_clean() -> Outcome {
    let status = child::run(|| {
        let (control, vectors) = (0x0c7fu16, 0x7fc0u32);
        // SAFETY: this child executes another program.
        unsafe {
            asm!("mov ds, {0:e}", "mov es, {0:e}", "mov fs, {0:e}", "mov gs, {0:e}", in(reg) 0x2b);
            asm!("fldcw [{}]", "ldmxcsr [{}]", in(reg) &control, in(reg) &vectors);
            asm!("fld1", "pcmpeqd xmm5, xmm5", out("xmm5") _);
        }
        let _ = raw::call(nr::arch_prctl, &[ARCH_SET_GS.into(), 0x1234_5000]);
        super::super::execute_helper(c"clean_state")
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

/// 0 if this program began with the registers of a fresh one; else a bit for each that was not so.
pub fn clean_state(_arguments: &[&'static [u8]]) -> i32 {
    let (mut control, mut status, mut vectors) = (0u16, 0u16, 0u32);
    let (ds, es, gs, flags, xmm5): (u64, u64, u64, u64, u64);
    // SAFETY: reads registers; the words are this function's.
    unsafe {
        asm!("movq {}, xmm5", out(reg) xmm5);
        asm!("fnstcw [{}]", "fnstsw [{}]", "stmxcsr [{}]", in(reg) &mut control, in(reg) &mut status, in(reg) &mut vectors);
        asm!("mov {:r}, ds", "mov {:r}, es", "mov {:r}, gs", out(reg) ds, out(reg) es, out(reg) gs);
        asm!("pushfq", "pop {}", out(reg) flags);
    }
    let mut base = 0u64;
    let asked = raw::call(nr::arch_prctl, &[ARCH_GET_GS.into(), (&raw mut base) as u64]);
    const ALIGNMENT_AND_DIRECTION: u64 = 1 << 18 | 1 << 10;
    i32::from(control != 0x37f)
        | i32::from(status & 0x3800 != 0) << 1
        | i32::from(vectors != 0x1f80) << 2
        | i32::from((ds, es, gs) != (0, 0, 0)) << 3
        | i32::from(flags & ALIGNMENT_AND_DIRECTION != 0) << 4
        | i32::from(xmm5 == u64::MAX) << 5
        | i32::from(asked.is_err() || base != 0) << 6
}
