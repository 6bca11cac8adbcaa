//! The off switch.
use crate::arch::Arch;
use crate::contract::Platform as _;

/// Turns the machine off.
pub fn power_off() -> ! {
    Arch::console_drain();
    Arch::power_off()
}

/// Restarts the machine.
pub fn restart() -> ! {
    Arch::console_drain();
    Arch::restart()
}

/// Ends the emulator with `status` (isa-debug-exit, semihosting) where there is one, else powers off.
pub fn exit(status: u8) -> ! {
    Arch::console_drain();
    Arch::exit(status)
}
