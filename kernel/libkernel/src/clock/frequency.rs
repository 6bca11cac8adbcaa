//! The frequency of a counter, measured against another one.
//!
//! A first measure is short, so that the machine starts at once. A second one, from the same beginning, takes a second
//! or so, while the machine works; by then the clock that one measures against may have wrapped many times, and the
//! first measure says how often.

use super::SECOND_NS;

/// A clock of known frequency whose value wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Counts a second.
    pub hertz: u64,
    /// The bits of its value.
    pub bits: u32,
}

/// What two counters showed at about the same moment; both count up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The one that is measured.
    pub count: u64,
    /// The known one, as far as its bits go.
    pub reference: u64,
}

impl Reference {
    /// Counts of the reference from `first` to `last`, if that is about `expected`: no further from it than half of a
    /// round.
    const fn span_about(self, first: u64, last: u64, expected: u64) -> u64 {
        let mask = if self.bits >= u64::BITS { u64::MAX } else { (1 << self.bits) - 1 };
        let least = self.span(first, last);
        // The value nearest to what was expected among those that differ by whole rounds.
        let rest = least.wrapping_sub(expected) & mask;
        if rest <= mask / 2 {
            return expected.saturating_add(rest);
        }
        match expected.checked_sub(mask - rest + 1) {
            Some(span) => span,
            None => least,
        }
    }

    /// Counts of the reference from `first` to `last`, which is less than a round.
    pub const fn span(self, first: u64, last: u64) -> u64 {
        let mask = if self.bits >= u64::BITS { u64::MAX } else { (1 << self.bits) - 1 };
        last.wrapping_sub(first) & mask
    }

    /// The frequency in hertz of what was measured from `first` to `last`, given what it is about. `None` if the
    /// reference stood still or the result is nothing like what was expected: then somebody stopped the machine in
    /// between, or one of the two clocks.
    pub fn frequency(self, first: Sample, last: Sample, about_hertz: u64) -> Option<u64> {
        /// One part in so many is what a first measure may be wrong by.
        const TOLERANCE: u64 = 50;
        let counts = last.count.wrapping_sub(first.count);
        let expected = muldiv(counts, self.hertz, about_hertz)?;
        let span = self.span_about(first.reference, last.reference, expected);
        let hertz = muldiv(counts, self.hertz, span)?;
        (hertz.abs_diff(about_hertz) <= about_hertz / TOLERANCE).then_some(hertz)
    }

    /// As [`Reference::frequency`] over a span shorter than a round, with no idea of the result.
    pub fn first_frequency(self, first: Sample, last: Sample) -> Option<u64> {
        let span = self.span(first.reference, last.reference);
        let hertz = muldiv(last.count.wrapping_sub(first.count), self.hertz, span)?;
        (hertz > 0).then_some(hertz)
    }

    /// Its counts in so many nanoseconds.
    pub const fn counts(self, ns: u64) -> u64 {
        ((ns as u128 * self.hertz as u128) / SECOND_NS as u128) as u64
    }
}

/// `value * factor / divisor`; `None` if that is no number of 64 bits.
fn muldiv(value: u64, factor: u64, divisor: u64) -> Option<u64> {
    let product = u128::from(value) * u128::from(factor);
    u64::try_from(product.checked_div(divisor.into())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIT: Reference = Reference { hertz: 1_193_182, bits: 16 };
    const PM: Reference = Reference { hertz: 3_579_545, bits: 24 };
    const HPET: Reference = Reference { hertz: 100_000_000, bits: 64 };

    /// What the two show at a time, for a counter of this frequency.
    fn sample(reference: Reference, hertz: u64, ns: u64) -> Sample {
        let mask = if reference.bits == 64 { u64::MAX } else { (1 << reference.bits) - 1 };
        Sample {
            count: ((u128::from(ns) * u128::from(hertz)) / u128::from(SECOND_NS)) as u64,
            reference: (reference.counts(ns) + 12_345) & mask,
        }
    }

    #[test]
    fn a_wrong_first_measure_becomes_right() {
        for reference in [PIT, PM, HPET] {
            for hertz in [62_500_000u64, 2_099_512_345, 4_000_000_000] {
                for seconds_ns in [900_000_000, 1_000_000_000, 1_700_000_123] {
                    let first = sample(reference, hertz, 5_000_000);
                    let last = sample(reference, hertz, 5_000_000 + seconds_ns);
                    for per_mille in [994, 997, 1000, 1003, 1006] {
                        let about = hertz * per_mille / 1000;
                        let found = reference.frequency(first, last, about).unwrap();
                        // Two parts in a million: one tick of the slowest.
                        assert!(found.abs_diff(hertz) <= hertz / 500_000, "{reference:?} {hertz} {found}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_short_measure_needs_no_idea() {
        let (first, last) = (sample(PIT, 2_100_000_000, 0), sample(PIT, 2_100_000_000, 2_000_000));
        let found = PIT.first_frequency(first, last).unwrap();
        assert!(found.abs_diff(2_100_000_000) <= 2_100_000, "{found}");
        // Over the end of a round.
        let (first, last) = (sample(PIT, 1_000_000_000, 44_000_000), sample(PIT, 1_000_000_000, 45_000_000));
        assert!(PIT.first_frequency(first, last).unwrap().abs_diff(1_000_000_000) <= 1_000_000);
    }

    #[test]
    fn clocks_that_stood_still_are_found_out() {
        let first = sample(PM, 2_000_000_000, 0);
        assert_eq!(PM.frequency(first, first, 2_000_000_000), None);
        assert_eq!(PM.first_frequency(first, first), None);
        // The machine was stopped for a while, one of the two went on.
        let mut last = sample(PM, 2_000_000_000, 1_000_000_000);
        last.count += 200_000_000;
        assert_eq!(PM.frequency(first, last, 2_000_000_000), None);
        assert_eq!(PM.frequency(first, last, 0), None);
    }
}
