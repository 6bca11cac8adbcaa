//! Instructions that a program may not execute, or that fault.

use crate::fault::{caught, jump};
use crate::{Outcome, check, check_eq};
use abi::signal::*;
use core::arch::asm;

/// `fault_of!("instruction")`: the signal and `si_code` of an instruction, or `None` if it runs through.
macro_rules! fault_of {
    ($($instruction:literal),+) => {{
        // SAFETY: the child that executes it ends by its fault; what it would change is the child's alone.
        let fault = caught(|| unsafe { asm!($($instruction),+, out("x0") _, out("x1") _, out("x2") _) })?;
        fault.map(|fault| (fault.signal, fault.code))
    }};
}

pub fn breakpoints() -> Outcome {
    check_eq!(fault_of!("brk #0"), Some((SIGTRAP, TRAP_BRKPT)));
    check_eq!(fault_of!("brk #0xffff"), Some((SIGTRAP, TRAP_BRKPT)));
    Ok(())
}

pub fn undefined_instructions() -> Outcome {
    check_eq!(fault_of!("udf #0"), Some((SIGILL, ILL_ILLOPC)));
    check_eq!(fault_of!(".inst 0xffffffff"), Some((SIGILL, ILL_ILLOPC)));
    check_eq!(fault_of!("hlt #0xf000").map(|fault| fault.0), Some(SIGILL));
    Ok(())
}

pub fn privileged_instructions() -> Outcome {
    for fault in [
        fault_of!("mrs x0, sctlr_el1"),
        fault_of!("msr ttbr0_el1, x0"),
        fault_of!("msr vbar_el1, x0"),
        fault_of!("msr daifset, #2"),
        fault_of!("eret"),
        fault_of!("tlbi vmalle1"),
        fault_of!("hvc #0"),
        fault_of!("smc #0"),
        fault_of!("msr tpidr_el1, x0"),
        fault_of!("mrs x0, cntp_ctl_el0"),
    ] {
        check_eq!(fault.map(|fault| fault.0), Some(SIGILL));
    }
    Ok(())
}

/// TCG of QEMU 7.2 does not check it.
pub fn an_unaligned_stack_pointer() -> Outcome {
    let fault = fault_of!("mov x1, sp", "sub x0, x1, #8", "mov sp, x0", "ldr x0, [sp]", "mov sp, x1");
    check!(matches!(fault, None | Some((SIGBUS, BUS_ADRALN))), "{fault:?}");
    Ok(())
}

pub fn an_unaligned_program_counter() -> Outcome {
    let address = privileged_instructions as *const u8;
    let fault = caught(|| jump(address.wrapping_add(2)))?;
    let expected = crate::fault::Fault::new(SIGBUS, BUS_ADRALN, address.wrapping_add(2).cast());
    check_eq!(fault, Some(expected));
    Ok(())
}

pub fn addresses_of_nobody() -> Outcome {
    for address in
        [1usize << 48, 0xfffe_ffff_ffff_fff0, 0x00ff_0000_0000_0000, 0xffff_8000_0000_0000, usize::MAX & !15]
    {
        let place = core::ptr::without_provenance_mut(address);
        let faults = [caught(|| crate::fault::load(place))?, caught(|| jump(place))?];
        for fault in faults {
            check_eq!((address, fault.map(|fault| fault.signal)), (address, Some(SIGSEGV)));
        }
    }
    Ok(())
}

pub fn counters() -> Outcome {
    check_eq!(fault_of!("mrs x0, cntvct_el0"), None);
    check_eq!(fault_of!("mrs x0, cntfrq_el0"), None);
    let cycles = fault_of!("mrs x0, pmccntr_el0");
    check!(matches!(cycles, None | Some((SIGILL, _))), "{cycles:?}");
    Ok(())
}

/// Linux answers for these registers, as HWCAP_CPUID says.
pub fn identification_registers() -> Outcome {
    const HWCAP_CPUID: u64 = 1 << 11;
    let answers = ulib::auxv::value(abi::auxv::AT_HWCAP).is_some_and(|flags| flags & HWCAP_CPUID != 0);
    for fault in [
        fault_of!("mrs x0, id_aa64isar0_el1"),
        fault_of!("mrs x0, midr_el1"),
        fault_of!("mrs x0, id_aa64pfr0_el1"),
    ] {
        check_eq!(fault.map(|fault| fault.0), (!answers).then_some(SIGILL));
    }
    check_eq!(fault_of!("mrs x0, ctr_el0"), None);
    check_eq!(fault_of!("mrs x0, dczid_el0"), None);
    Ok(())
}

pub fn cache_maintenance() -> Outcome {
    check_eq!(fault_of!("mov x0, sp", "dc cvau, x0", "dsb ish", "ic ivau, x0", "isb"), None);
    // Nothing to TCG of QEMU 7.2.
    let fault = fault_of!("mov x0, #8", "dc cvau, x0");
    check!(matches!(fault, None | Some((SIGSEGV, SEGV_MAPERR))), "{fault:?}");
    Ok(())
}
