//! The two 8259 interrupt controllers, which are silenced: the I/O APIC does their work.
use super::port;
use libkernel::arch::x86_64::fault::vector;

const MASTER_COMMAND: u16 = 0x20;
const MASTER_DATA: u16 = 0x21;
const SLAVE_COMMAND: u16 = 0xa0;
const SLAVE_DATA: u16 = 0xa1;

/// Moves their vectors off the exceptions (a spurious interrupt can come in spite of the mask) and masks all lines.
/// False where they are not there: a mask that is written does not stay.
pub fn silence() -> bool {
    /// All lines masked but the one of the slave.
    const PROBE: u8 = 0xfb;
    let base = vector::FIRST_FREE;
    let words = [
        (MASTER_COMMAND, 0x11),
        (SLAVE_COMMAND, 0x11),
        (MASTER_DATA, base),
        (SLAVE_DATA, base + 8),
        (MASTER_DATA, 4),
        (SLAVE_DATA, 2),
        (MASTER_DATA, 1),
        (SLAVE_DATA, 1),
        (SLAVE_DATA, 0xff),
        (MASTER_DATA, PROBE),
    ];
    for (register, value) in words {
        // SAFETY: the 8259s' own initialisation sequence; on machines without them nobody listens.
        unsafe { port::write_u8(register, value) };
    }
    // SAFETY: reads back the mask, then masks the last line.
    unsafe {
        let is_there = port::read_u8(MASTER_DATA) == PROBE;
        port::write_u8(MASTER_DATA, 0xff);
        is_there
    }
}
