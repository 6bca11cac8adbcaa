//! Time as a straight line over a counter.

use super::SECOND_NS;

/// Fraction bits of a factor.
const FRACTION: u32 = 32;

/// What a counter's value is in nanoseconds: `count * factor + offset`, where the count began at the machine's start.
///
/// The line is told by where it would cross zero, not by the point where it was turned last. So a count that was read a
/// little before the turn is a valid input, and no reader has to look out for negative spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Nanoseconds for each count, with 32 fraction bits.
    pub factor: u64,
    /// What is added, wrapping: it is as good as negative after the clock was made faster.
    pub offset_ns: u64,
}

impl Line {
    /// Zero at count zero, for a counter of this many counts a second. A frequency of zero is taken for one.
    pub const fn of_frequency(hertz: u64) -> Line {
        let hertz = if hertz == 0 { 1 } else { hertz };
        Line { factor: (((SECOND_NS as u128) << FRACTION) / hertz as u128) as u64, offset_ns: 0 }
    }

    /// The time at `count`.
    #[inline(always)]
    pub const fn at(self, count: u64) -> u64 {
        scale(count, self.factor).wrapping_add(self.offset_ns)
    }

    /// The line that goes on from `count` with another factor.
    pub const fn turned(self, count: u64, factor: u64) -> Line {
        Line { factor, offset_ns: self.at(count).wrapping_sub(scale(count, factor)) }
    }

    /// The counts in a nanosecond, with 32 fraction bits.
    pub const fn counts_per_nanosecond(self) -> u64 {
        let factor = if self.factor == 0 { 1 } else { self.factor };
        let counts = (1u128 << (2 * FRACTION)) / factor as u128;
        if counts > u64::MAX as u128 { u64::MAX } else { counts as u64 }
    }
}

/// `value * factor`, where the factor has 32 fraction bits.
#[inline(always)]
pub const fn scale(value: u64, factor: u64) -> u64 {
    ((value as u128 * factor as u128) >> FRACTION) as u64
}

/// A factor made faster by `parts`, which have 32 fraction bits and count nanoseconds for each second.
pub const fn steer(factor: u64, parts: i64) -> u64 {
    let change = (factor as i128 * parts as i128) / ((SECOND_NS as i128) << FRACTION);
    let steered = factor as i128 + change;
    if steered < 1 { 1 } else { steered as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_a_second() {
        for hertz in [1_193_182, 24_000_000, 62_500_000, 1_000_000_000, 2_099_512_345, 5_700_000_000] {
            let line = Line::of_frequency(hertz);
            // A factor of 32 fraction bits is good to a part in 2^31 for the fastest counters.
            assert!(line.at(hertz).abs_diff(SECOND_NS) <= 3, "{hertz}: {}", line.at(hertz));
            assert!(
                scale(SECOND_NS, line.counts_per_nanosecond()).abs_diff(hertz) <= hertz / 100_000_000 + 1
            );
        }
        assert_eq!(Line::of_frequency(0).at(1), SECOND_NS);
    }

    #[test]
    fn a_turn_loses_nothing() {
        let mut line = Line::of_frequency(2_100_000_000);
        let mut count = 0;
        for turn in 0..1_000u64 {
            count += 2_100_000_007;
            let before = line.at(count);
            line = line.turned(count, line.factor + turn % 7 * 1_000 - 3_000);
            assert_eq!(line.at(count), before);
            assert!(line.at(count + 100) >= before);
            // A count that was read before the turn gives a time before it.
            assert!(line.at(count - 100) <= before);
        }
    }

    #[test]
    fn a_clock_is_made_faster_and_slower() {
        let line = Line::of_frequency(1_000_000_000);
        let per_mille = (1_000_000i64) << FRACTION;
        let faster = line.turned(0, steer(line.factor, per_mille));
        assert!(faster.at(SECOND_NS).abs_diff(1_001_000_000) <= 1);
        let slower = line.turned(0, steer(line.factor, -per_mille));
        assert!(slower.at(SECOND_NS).abs_diff(999_000_000) <= 1);
        assert_eq!(steer(5, i64::MIN), 1);
    }
}
