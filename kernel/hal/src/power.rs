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

/// Says on the console with which status the machine ends: nothing heard of it that the kernel could tell, as under a
/// hypervisor that only knows off. Nobody holds the console for long any more.
#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "the host machine ends its process"))]
pub(crate) fn tell(status: u8) {
    let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit);
    let leading = digits[..2].iter().take_while(|digit| **digit == b'0').count();
    for part in [b"orlop: ended with status ", &digits[leading..], b"\r\n"] {
        Arch::console_write_last(part);
    }
    Arch::console_drain();
}
