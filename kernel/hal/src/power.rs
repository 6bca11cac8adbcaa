//! The off switch.
use crate::arch::Arch;
use crate::contract::Platform as _;

/// Turns the machine off.
pub fn power_off() -> ! {
    Arch::power_off()
}

/// Restarts the machine.
pub fn restart() -> ! {
    Arch::restart()
}

/// Ends the emulator with `status` (isa-debug-exit, semihosting) where there is one, else powers off.
pub fn exit(status: u8) -> ! {
    Arch::exit(status)
}
