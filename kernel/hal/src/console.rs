//! The machine's console: polled output for the kernel log, interrupts for input.
use crate::arch::Arch;
use crate::contract::Platform as _;
use core::fmt;

/// Writes bytes by polling. Works in every context.
pub fn write(bytes: &[u8]) {
    Arch::console_write(bytes);
}

/// Starts delivery of received bytes to `Upcalls::console_input`.
pub fn enable_input() {
    Arch::console_enable_input();
}

/// A `fmt::Write` for the console, for `writeln!(Console, …)`.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}
