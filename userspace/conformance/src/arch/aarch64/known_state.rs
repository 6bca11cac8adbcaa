//! State of the CPU that nobody set on purpose: firmware, the loader or another program may have left it there.

use crate::fault::caught;
use crate::{Outcome, check, check_eq, child, raw};
use abi::arch::aarch64::nr;
use abi::process::WaitStatus;
use abi::signal::*;
use core::arch::asm;

/// `fault_of!("instruction", …)`: the signal and `si_code`; `None` if it runs through.
macro_rules! fault_of {
    ($($instruction:literal),+) => {{
        // SAFETY: the child that executes it ends by its fault, or nothing happens.
        let fault = caught(|| unsafe { asm!($($instruction),+, out("x0") _) })?;
        fault.map(|fault| (fault.signal, fault.code))
    }};
}

const UNDEFINED: Option<(u32, i32)> = Some((SIGILL, ILL_ILLOPC));

/// What debuggers outside the machine talk through (MDSCR_EL1.TDCC). QEMU 7.2 lets programs read its state all the
/// same.
pub fn no_debug_channel() -> Outcome {
    let state = fault_of!("mrs x0, mdccsr_el0");
    check!(matches!(state, None | UNDEFINED), "mdccsr_el0: {state:?}");
    check_eq!(fault_of!("mrs x0, dbgdtr_el0"), UNDEFINED);
    check_eq!(fault_of!("msr dbgdtrtx_el0, xzr"), UNDEFINED);
    Ok(())
}

/// Programs read the virtual counter, and no other: not the physical one, no timer, none of performance or activity.
pub fn no_counters_but_the_clock() -> Outcome {
    check_eq!(fault_of!("mrs x0, cntvct_el0"), None);
    check_eq!(fault_of!("mrs x0, cntfrq_el0"), None);
    check_eq!(fault_of!("mrs x0, cntpct_el0"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, cntp_tval_el0"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, cntp_cval_el0"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, cntv_tval_el0"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, pmccntr_el0"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, pmcr_el0"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, pmxevcntr_el0"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, pmselr_el0"), UNDEFINED);
    check_eq!(fault_of!("msr pmswinc_el0, xzr"), UNDEFINED);
    // A machine without counters has not this one either.
    let rights = fault_of!("mrs x0, pmuserenr_el0");
    check!(matches!(rights, None | UNDEFINED), "{rights:?}");
    // AMCR_EL0 and AMEVCNTR00_EL0.
    check_eq!(fault_of!("mrs x0, s3_3_c13_c2_0"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, s3_3_c13_c4_0"), UNDEFINED);
    Ok(())
}

/// The one that only the kernel writes is zero; that of speculation contexts, SCXTNUM_EL0, is not for programs.
pub fn thread_registers() -> Outcome {
    for_each_cpu(|| {
        let read_only: u64;
        // SAFETY: reading the register has no effect.
        unsafe { asm!("mrs {}, tpidrro_el0", out(reg) read_only) };
        check_eq!(read_only, 0);
        Ok(())
    })?;
    check_eq!(fault_of!("mrs x0, s3_3_c13_c0_7"), UNDEFINED);
    Ok(())
}

/// PACGA, which cannot be turned off where it exists, shows a key: the same on every CPU.
pub fn one_key_for_all_cpus() -> Outcome {
    if fault_of!(".inst 0x9ac33040").is_some() {
        return Ok(());
    }
    let mut first = None;
    for_each_cpu(|| {
        let code: u64;
        // SAFETY: computes a code of two registers: `pacga x0, x2, x3`.
        unsafe { asm!(".inst 0x9ac33040", out("x0") code, in("x2") 4711, in("x3") 42) };
        check_eq!(*first.get_or_insert(code), code);
        Ok(())
    })
}

fn for_each_cpu(mut body: impl FnMut() -> Outcome) -> Outcome {
    let mut allowed = [0u64; 16];
    raw::call(nr::sched_getaffinity, &[0, 128, allowed.as_mut_ptr() as u64])?;
    for cpu in (0..64).filter(|cpu| allowed[0] >> cpu & 1 != 0) {
        let mask = 1u64 << cpu;
        raw::call(nr::sched_setaffinity, &[0, 8, (&raw const mask) as u64])?;
        body()?;
    }
    Ok(())
}

/// Writes FPCR, FPSR and vectors, and executes the helper that looks at them.
pub fn an_execution_starts_clean() -> Outcome {
    let status = child::run(|| {
        // SAFETY: this child executes another program.
        unsafe {
            asm!("msr fpcr, {0}", "msr fpsr, {0}", in(reg) 0x0800_0000u64);
            asm!("dup v9.2d, {0}", "dup v30.2d, {0}", in(reg) u64::MAX, out("v9") _, out("v30") _);
        }
        super::super::execute_helper(c"clean_state")
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

/// 0 if this program began with the registers of a fresh one; else a bit for each that was not so.
pub fn clean_state(_arguments: &[&'static [u8]]) -> i32 {
    let (control, status, low, high): (u64, u64, u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!("mrs {}, fpcr", "mrs {}, fpsr", out(reg) control, out(reg) status);
        asm!("mov {}, v9.d[0]", "mov {}, v30.d[1]", out(reg) low, out(reg) high);
    }
    i32::from(control != 0)
        | i32::from(status != 0) << 1
        | i32::from(low == u64::MAX || high == u64::MAX) << 2
}
