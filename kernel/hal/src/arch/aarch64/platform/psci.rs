//! Power State Coordination Interface (DEN 0022): the firmware calls that start a CPU and end a machine.
use super::super::Arch;
use crate::contract::{Cpu, Smp as _};
use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};
use libkernel::addr::PhysAddr;
use libkernel::arch::aarch64::trng::Answer;
use libkernel::device_tree::Conduit;

const CPU_ON: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;

static CONDUIT: AtomicU8 = AtomicU8::new(Conduit::None as u8);

/// Names the conduit.
pub fn initialise(conduit: Conduit) {
    CONDUIT.store(conduit as u8, Ordering::Relaxed);
}

/// Turns the machine off; sleeps for ever where firmware cannot.
pub fn power_off() -> ! {
    call_and_stop(SYSTEM_OFF)
}

/// Restarts the machine; sleeps for ever where firmware cannot.
pub fn restart() -> ! {
    call_and_stop(SYSTEM_RESET)
}

/// Without a conduit (the device tree could not be read, or names none) both are tried, since nothing is left to lose.
fn call_and_stop(function: u64) -> ! {
    Arch::interrupts_disable();
    let conduit = CONDUIT.load(Ordering::Relaxed);
    for each in [Conduit::SecureMonitor, Conduit::Hypervisor] {
        if conduit == each as u8 || conduit == Conduit::None as u8 {
            // SAFETY: neither call returns where it is known, and an unknown one changes nothing.
            unsafe { call(each, function, [0; 3]) };
        }
    }
    Arch::halt()
}

/// Asks for a CPU to begin at `entry` with `argument` in X0. False if firmware refuses.
///
/// # Safety
/// There is code at `entry` that a CPU can begin with.
pub unsafe fn start_cpu(affinity: u64, entry: PhysAddr, argument: u64) -> bool {
    const SUCCESS: u64 = 0;
    // SAFETY: the caller's promise.
    unsafe { call(conduit(), CPU_ON, [affinity, entry.as_u64(), argument])[0] == SUCCESS }
}

/// How firmware is called.
pub fn conduit() -> Conduit {
    match CONDUIT.load(Ordering::Relaxed) {
        conduit if conduit == Conduit::Hypervisor as u8 => Conduit::Hypervisor,
        conduit if conduit == Conduit::SecureMonitor as u8 => Conduit::SecureMonitor,
        _ => Conduit::None,
    }
}

/// Asks for something by the conduit of PSCI.
///
/// # Safety
/// The function only tells, such as a version, and changes nothing that the kernel counts on.
pub unsafe fn ask(function: u64, arguments: [u64; 3]) -> Answer {
    // SAFETY: the caller's promise.
    unsafe { call(conduit(), function, arguments) }
}

/// Calls firmware by the SMC calling convention (DEN 0028). Where the CPU lacks the instruction, the exception goes on
/// behind it, and X0 is still the function: no success, and no version.
///
/// # Safety
/// What the function does to the machine is the caller's business.
unsafe fn call(conduit: Conduit, function: u64, arguments: [u64; 3]) -> Answer {
    let mut result = [function, arguments[0], arguments[1], arguments[2]];
    macro_rules! firmware_call {
        // firmware_call!("smc") expands to that instruction, its row in the exception table, and the registers.
        ($instruction:literal) => {
            asm!(
                concat!("2: ", $instruction, " #0"),
                "3:",
                ".pushsection .exception_table, \"a\"",
                ".balign 8",
                ".quad 2b, 3b, 3b",
                ".popsection",
                inout("x0") result[0],
                inout("x1") result[1],
                inout("x2") result[2],
                inout("x3") result[3],
                clobber_abi("C"),
            )
        };
    }
    // SAFETY: the caller's promise; firmware keeps all but X0 to X17.
    unsafe {
        match conduit {
            Conduit::None => {}
            Conduit::Hypervisor => firmware_call!("hvc"),
            Conduit::SecureMonitor => firmware_call!("smc"),
        }
    }
    result
}
