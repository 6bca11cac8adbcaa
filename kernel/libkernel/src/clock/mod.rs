//! Clocks as arithmetic: a counter that becomes time, and the frequency of a counter.
//!
//! No machine and no lock: who reads a counter hands its value in.
pub mod frequency;
pub mod line;
pub mod ntp;
pub mod pause;

pub use line::Line;

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// The value of a counter of `bits` bits as a wide one, given the wide value of a moment less than a round ago.
pub const fn extended(before: u64, value: u64, bits: u32) -> u64 {
    let mask = if bits >= u64::BITS { u64::MAX } else { (1 << bits) - 1 };
    before.wrapping_add(value.wrapping_sub(before) & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_counted() {
        assert_eq!(extended(0x12_ff00, 0x10, 16), 0x13_0010);
        assert_eq!(extended(0x12_ff00, 0xff00, 16), 0x12_ff00);
        assert_eq!(extended(5, 7, 64), 7);
    }
}
