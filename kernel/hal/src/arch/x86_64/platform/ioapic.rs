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
const VERSION: u32 = 0x01;
const REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;
/// In an entry's upper half: the number of an APIC, in eight bits (physical mode).
const DESTINATION_SHIFT: u32 = 24;

static IOAPIC: Registers = Registers::absent();
/// The select register and its window are one resource.
static ACCESS: IrqLock<()> = IrqLock::new(());

/// Maps it; all lines are masked, which not every loader leaves them. Looks whether there is one, and keeps what is
/// written to it.
pub fn initialise() {
    /// A vector that a masked line never sends.
    const TRIED: u32 = MASKED | 0xef;
    IOAPIC.map(PhysAddr::new(ADDRESS));
    let _guard = ACCESS.lock();
    let lines = read(VERSION) >> 16 & 0xff;
    // An empty bus answers with ones, or zeroes; others have fewer lines than the 82093AA, or more.
    let keeps = |line: u32| {
        write(REDIRECTION + 2 * line, TRIED);
        let kept = read(REDIRECTION + 2 * line) == TRIED;
        write(REDIRECTION + 2 * line, MASKED);
        kept
    };
    if lines == 0xff || !(0..LINES.min(lines + 1)).all(keeps) {
        crate::boot::lacks("an I/O APIC where every PC has one: no line of a device interrupts");
    }
}

fn read(register: u32) -> u32 {
    IOAPIC.write(SELECT, register);
    IOAPIC.read(WINDOW)
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
