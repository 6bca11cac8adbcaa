//! The I/O APIC (Intel 82093AA): device lines to vectors of the boot CPU.
use super::apic;
use super::mmio::Registers;
use crate::sync::IrqLock;
use libkernel::addr::PhysAddr;
use libkernel::arch::x86_64::fault::vector;

/// Where every PC and QEMU's machines have the first one.
const ADDRESS: u64 = 0xfec0_0000;
/// Lines of the 82093AA.
pub const LINES: u32 = 24;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;
/// In an entry's upper half: the number of an APIC, in eight bits (physical mode).
const DESTINATION_SHIFT: u32 = 24;

static IOAPIC: Registers = Registers::absent();
/// The select register and its window are one resource.
static ACCESS: IrqLock<()> = IrqLock::new(());

/// Maps it; all lines stay masked, as after reset.
pub fn initialise() {
    IOAPIC.map(PhysAddr::new(ADDRESS));
}

fn write(register: u32, value: u32) {
    IOAPIC.write(SELECT, register);
    IOAPIC.write(WINDOW, value);
}

/// Routes `line`, edge-triggered and active high as ISA devices are, to its vector on the boot CPU.
pub fn enable(line: u32) {
    if line < LINES {
        let _guard = ACCESS.lock();
        write(REDIRECTION + 2 * line + 1, apic::identity_of(0) << DESTINATION_SHIFT);
        write(REDIRECTION + 2 * line, u32::from(vector::FIRST_FREE) + line);
    }
}

/// Masks `line`.
pub fn disable(line: u32) {
    if line < LINES {
        let _guard = ACCESS.lock();
        write(REDIRECTION + 2 * line, MASKED);
    }
}
