//! Power State Coordination Interface (DEN 0022): the firmware calls that end a machine.
use super::super::Arch;
use crate::contract::Cpu;
use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;

/// How firmware is called: the device tree's `method`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Conduit {
    /// There is no PSCI.
    None = 0,
    /// `hvc`.
    Hypervisor = 1,
    /// `smc`.
    SecureMonitor = 2,
}

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

fn call_and_stop(function: u64) -> ! {
    Arch::interrupts_disable();
    let conduit = CONDUIT.load(Ordering::Relaxed);
    // SAFETY: SMC calling convention (DEN 0028): x0 is the function, x0 to x17 may change. These two do not return.
    unsafe {
        if conduit == Conduit::Hypervisor as u8 {
            asm!("hvc #0", inout("x0") function => _, clobber_abi("C"));
        } else if conduit == Conduit::SecureMonitor as u8 {
            asm!("smc #0", inout("x0") function => _, clobber_abi("C"));
        }
    }
    loop {
        // SAFETY: with interrupts masked nothing more happens here.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}
