//! The 8254 interval timer, as the clock that the others are measured by.
use super::port;

/// Its input clock in hertz.
pub const FREQUENCY: u64 = 1_193_182;

const CHANNEL_0: u16 = 0x40;
const CONTROL: u16 = 0x43;
/// Channel 0, low then high byte, mode 2 (rate generator), binary.
const MODE_2: u8 = 0x34;
const LATCH_0: u8 = 0x00;

/// Starts channel 0 counting down from 65,536 over and over. Its interrupt line stays masked.
pub fn start() {
    // SAFETY: programs the timer only.
    unsafe {
        port::write_u8(CONTROL, MODE_2);
        port::write_u8(CHANNEL_0, 0);
        port::write_u8(CHANNEL_0, 0);
    }
}

/// The count, which falls by one each tick.
pub fn count() -> u16 {
    // SAFETY: latches and reads channel 0, which nobody else uses.
    unsafe {
        port::write_u8(CONTROL, LATCH_0);
        let low = port::read_u8(CHANNEL_0);
        let high = port::read_u8(CHANNEL_0);
        u16::from_le_bytes([low, high])
    }
}

/// Whether it counts at all. Without it a virtual machine's every read may take microseconds, so this gives up soon; a
/// tick lasts less than one.
pub fn is_there() -> bool {
    const READS: u32 = 1000;
    let first = count();
    (0..READS).any(|_| count() != first)
}
