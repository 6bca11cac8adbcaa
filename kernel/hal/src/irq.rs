//! Device interrupt lines.
use crate::IrqLine;
use crate::arch::Arch;
use crate::contract::Platform as _;

/// Lets `line` interrupt; it arrives as `Upcalls::interrupt`.
pub fn enable(line: IrqLine) {
    Arch::enable_irq(line);
}

/// Stops `line`.
pub fn disable(line: IrqLine) {
    Arch::disable_irq(line);
}
