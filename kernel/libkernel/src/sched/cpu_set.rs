//! Sets of CPUs as `/proc` and `/sys` write them.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

/// Hexadecimal, in groups of eight digits, as wide as `cpus` bits need (Linux: `%*pb`).
pub fn mask(set: u64, cpus: usize) -> String {
    let width = cpus.clamp(1, 64).div_ceil(4);
    match width.checked_sub(8) {
        Some(high) if high > 0 => format!("{:0high$x},{:08x}", set >> 32, set & 0xffff_ffff),
        _ => format!("{set:0width$x}"),
    }
}

/// Numbers and ranges: `0-2,5` (Linux: `%*pbl`).
pub fn list(set: u64) -> String {
    let mut text = String::new();
    let mut next = 0;
    while let Some(rest) = set.checked_shr(next).filter(|rest| *rest != 0) {
        let first = next + rest.trailing_zeros();
        let last = first + (set >> first).trailing_ones() - 1;
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = match last == first {
            true => write!(text, "{comma}{first}"),
            false => write!(text, "{comma}{first}-{last}"),
        };
        next = last + 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_as_wide_as_the_machine() {
        assert_eq!(mask(1, 1), "1");
        assert_eq!(mask(0b1010, 4), "a");
        assert_eq!(mask(0x12, 8), "12");
        assert_eq!(mask(1, 32), "00000001");
        assert_eq!(mask(1 << 40, 64), "00000100,00000000");
    }

    #[test]
    fn lists_join_neighbours() {
        assert_eq!(list(0), "");
        assert_eq!(list(1), "0");
        assert_eq!(list(0b10_0111), "0-2,5");
        assert_eq!(list(u64::MAX), "0-63");
        assert_eq!(list(1 << 63), "63");
    }
}
