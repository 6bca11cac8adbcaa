//! What EL0 may and may not reach: system registers, hints, vector extensions, addresses.

use crate::fault::{caught, load};
use crate::{Outcome, check, check_eq};
use abi::signal::*;
use core::arch::asm;
use core::ptr::without_provenance;

/// `fault_of!("instruction", …)`: the signal and `si_code`; `None` if it runs through.
macro_rules! fault_of {
    ($($instruction:literal),+) => {{
        let word = 0u64;
        // SAFETY: the child that executes it ends by its fault, or nothing happens; x9 points to a word.
        let fault = caught(|| unsafe { asm!($($instruction),+, out("x0") _, in("x9") &raw const word) })?;
        fault.map(|fault| (fault.signal, fault.code))
    }};
}

const UNDEFINED: Option<(u32, i32)> = Some((SIGILL, ILL_ILLOPC));

pub fn privileged_registers() -> Outcome {
    check_eq!(fault_of!("mrs x0, sctlr_el1"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, tpidr_el1"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, spsr_el1"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, daif"), UNDEFINED);
    check_eq!(fault_of!("mrs x0, cntv_cval_el0"), UNDEFINED);
    check_eq!(fault_of!("msr ttbr0_el1, x9"), UNDEFINED);
    check_eq!(fault_of!("msr vbar_el1, x9"), UNDEFINED);
    check_eq!(fault_of!("msr sp_el0, x9"), UNDEFINED);
    check_eq!(fault_of!("msr tpidrro_el0, x9"), UNDEFINED);
    check_eq!(fault_of!("msr cntv_ctl_el0, xzr"), UNDEFINED);
    Ok(())
}

/// Waiting is a hint: a program that waits goes on.
pub fn waiting_instructions() -> Outcome {
    check_eq!(fault_of!("wfi", "wfe", "sev", "sevl", "yield", "wfi"), None);
    Ok(())
}

/// SVE and SME work, or do not exist.
pub fn scalable_vectors() -> Outcome {
    let counted = fault_of!(".inst 0x04e0e3e0");
    check!(matches!(counted, None | UNDEFINED), "cntd: {counted:?}");
    let started = fault_of!(".inst 0xd503477f", ".inst 0xd503467f");
    check!(matches!(started, None | UNDEFINED), "smstart: {started:?}");
    Ok(())
}

pub fn misaligned_exclusive() -> Outcome {
    check_eq!(fault_of!("add x0, x9, #1", "ldxr x0, [x0]"), Some((SIGBUS, BUS_ADRALN)));
    Ok(())
}

/// Whether something is mapped there or not, a program learns nothing.
pub fn kernel_addresses() -> Outcome {
    for address in [0xffff_0000_4000_0000, 0xffff_ffff_8000_0000, 1 << 63, u64::MAX, 1 << 48] {
        let pointer = without_provenance::<u8>(address as usize);
        let fault = caught(|| load(pointer))?.map(|fault| (fault.signal, fault.code));
        check_eq!((address, fault), (address, Some((SIGSEGV, SEGV_MAPERR))));
    }
    Ok(())
}
