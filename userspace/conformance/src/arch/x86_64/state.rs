//! Segments, their bases, and vector registers.

use crate::fault::caught;
use crate::handler::{count, record_signal};
use crate::{Outcome, check, check_eq, child, raw};
use abi::Errno;
use abi::arch::x86_64::nr;
use abi::arch::x86_64::process::{ARCH_GET_FS, ARCH_GET_GS, ARCH_SET_FS, ARCH_SET_GS};
use abi::process::WaitStatus;
use abi::signal::*;
use core::arch::asm;
use libsyscall::process::{getpid, kill};
use libsyscall::thread::sched_yield;

/// Programs see Linux's selectors, and those that they load stay over calls and switches.
pub fn segment_registers() -> Outcome {
    let (cs, ss): (u64, u64);
    // SAFETY: reading selectors has no effect.
    unsafe { asm!("mov {:r}, cs", "mov {:r}, ss", out(reg) cs, out(reg) ss) };
    check_eq!((cs, ss), (0x33, 0x2b));
    let status = child::run(|| {
        let (ds, es): (u64, u64);
        // SAFETY: DS and ES are not used in 64-bit mode, and 0x2b is the data segment.
        unsafe { asm!("mov ds, {0:e}", "mov es, {0:e}", in(reg) 0x2b) };
        (0..100).for_each(|_| sched_yield());
        // SAFETY: as above.
        unsafe { asm!("mov {:r}, ds", "mov {:r}, es", out(reg) ds, out(reg) es) };
        i32::from((ds, es) != (0x2b, 0x2b))
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

pub fn bad_selectors() -> Outcome {
    for selector in [0x08u32, 0x10, 0x18, 0x40, 0xfff8, 0x04, 0x33 | 4] {
        // SAFETY: the child faults or has a selector that it does not use.
        let fault = caught(|| unsafe { asm!("mov ds, {:e}", in(reg) selector) })?;
        check!(fault.is_some_and(|fault| fault.signal == SIGSEGV || fault.signal == SIGBUS), "{selector:#x}");
        // SAFETY: the child faults.
        let fault = caught(|| unsafe { asm!("mov ss, {:e}", in(reg) selector) })?;
        check!(fault.is_some_and(|fault| fault.signal == SIGSEGV || fault.signal == SIGBUS), "{selector:#x}");
    }
    Ok(())
}

/// Far returns lead to the program's own code segment or to its end. QEMU 7.2's TCG reads their stack with the kernel's
/// rights, so that with SMAP even a good one faults, in a way that no CPU does: any end of the child will do then.
pub fn the_far_return() -> Outcome {
    let far_return = |selector: u64| {
        child::run(|| {
            // SAFETY: the child faults or goes on behind the return.
            unsafe {
                asm!("push {}", "lea {1}, [rip + 2f]", "push {1}", "retfq", "2:", in(reg) selector, out(reg) _)
            };
            0
        })
    };
    let good = far_return(0x33)?;
    check!(good == WaitStatus(0) || good.term_signal().is_some());
    for selector in [0, 3, 0x10, 0x18, 0x2b, 0x40, 0xfffb] {
        check!(far_return(selector)?.term_signal().is_some(), "{selector:#x}");
    }
    Ok(())
}

fn base(which: u32) -> Result<u64, Errno> {
    let mut base = 0u64;
    raw::call(nr::arch_prctl, &[which.into(), (&raw mut base) as u64])?;
    Ok(base)
}

/// Each process has its own, also while others run; kernel addresses are refused.
pub fn bases_of_fs_and_gs() -> Outcome {
    let status = child::run(|| {
        let mut failed = 0;
        let pid = getpid() as u64;
        failed |= i32::from(raw::call(nr::arch_prctl, &[ARCH_SET_GS.into(), pid << 12]).is_err());
        let other = child::start(|| {
            let inherited = base(ARCH_GET_GS) == Ok(pid << 12);
            let _ = raw::call(nr::arch_prctl, &[ARCH_SET_GS.into(), 0x5000]);
            (0..200).for_each(|_| sched_yield());
            i32::from(!inherited || base(ARCH_GET_GS) != Ok(0x5000))
        });
        (0..200).for_each(|_| sched_yield());
        failed |= i32::from(base(ARCH_GET_GS) != Ok(pid << 12)) << 1;
        let ended = other.and_then(child::wait);
        failed | i32::from(!ended.is_ok_and(|status| status == WaitStatus(0))) << 2
    })?;
    check_eq!(status, WaitStatus(0));
    check!(base(ARCH_GET_FS)? != 0);
    for address in [1 << 63, 0xffff_8000_0000_0000, u64::MAX] {
        check_eq!(raw::call(nr::arch_prctl, &[ARCH_SET_GS.into(), address]), Err(Errno::EPERM));
        check_eq!(raw::call(nr::arch_prctl, &[ARCH_SET_FS.into(), address]), Err(Errno::EPERM));
    }
    check_eq!(raw::call(nr::arch_prctl, &[0xffff, 0]), Err(Errno::EINVAL));
    Ok(())
}

fn set_vectors(value: u64) {
    // SAFETY: the registers are named as changed; whoever calls this expects them to stay.
    unsafe {
        asm!(
            "movq xmm8, {0}", "punpcklqdq xmm8, xmm8", "movaps xmm15, xmm8", "fninit", "push {0}", "fild qword ptr [rsp]",
            "pop {0}",
            inout(reg) value => _, out("xmm8") _, out("xmm15") _,
        );
    }
}

fn vectors() -> (u64, u64, u64) {
    let (low, high, x87): (u64, u64, u64);
    // SAFETY: the registers are only read, and the x87 stack is popped.
    unsafe {
        asm!(
            "movq {low}, xmm8", "movhlps xmm9, xmm15", "movq {high}, xmm9", "push 0", "fistp qword ptr [rsp]",
            "pop {x87}",
            low = out(reg) low, high = out(reg) high, x87 = out(reg) x87, out("xmm9") _,
        );
    }
    (low, high, x87)
}

/// The compiler uses neither XMM8 to XMM15 nor x87 in between: this crate is built without floating point.
pub fn vectors_survive_switches() -> Outcome {
    let spin = |value: u64| {
        move || {
            for _ in 0..50 {
                set_vectors(value);
                for _ in 0..20 {
                    // SAFETY: no effect; the plain instruction keeps the compiler's hands off the registers.
                    unsafe { asm!("syscall", inout("rax") nr::sched_yield => _, out("rcx") _, out("r11") _) };
                }
                if vectors() != (value, value, value) {
                    return 1;
                }
            }
            0
        }
    };
    let others = [child::start(spin(1))?, child::start(spin(0x7fff_1234_5678_9abc))?];
    let mine = spin(77)();
    for pid in others {
        check_eq!(child::wait(pid)?, WaitStatus(0));
    }
    check_eq!(mine, 0);
    Ok(())
}

/// The recording handler is followed by a call that changes the registers in its own frame only.
pub fn vectors_survive_a_handler() -> Outcome {
    extern "C" fn spoil(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
        set_vectors(0);
    }
    record_signal(SIGUSR2, 0)?;
    crate::handler::install(SIGUSR1, spoil, 0)?;
    let pid = getpid() as u64;
    set_vectors(4711);
    // SAFETY: the handler runs and returns.
    unsafe {
        asm!("syscall", inout("rax") nr::kill => _, in("rdi") pid, in("rsi") u64::from(SIGUSR1), out("rcx") _, out("r11") _);
    }
    check_eq!(vectors(), (4711, 4711, 4711));
    kill(getpid(), SIGUSR2)?;
    check_eq!(count(), 1);
    Ok(())
}
