//! Numbers in use, below a bound that is fixed when compiling, and the next one that is free.
//!
//! A bit for each number, and above each 64 of them a bit that says whether all are taken, so that the next free number is found by
//! looking at words, not at numbers: one program can hold nearly all of them.

/// The numbers below `64 * WORDS`; `SUMMARY` must be `WORDS / 64`, rounded up.
pub struct Numbers<const WORDS: usize, const SUMMARY: usize> {
    taken: [u64; WORDS],
    /// Bit N: no number of `taken[N]` is free.
    full: [u64; SUMMARY],
}

impl<const WORDS: usize, const SUMMARY: usize> Numbers<WORDS, SUMMARY> {
    const FITS: () = assert!(SUMMARY * 64 >= WORDS && (SUMMARY - 1) * 64 < WORDS);

    /// All numbers are free.
    pub const fn new() -> Self {
        let () = Self::FITS;
        Self { taken: [0; WORDS], full: [0; SUMMARY] }
    }

    /// Takes the lowest free number that is at least `from` and below `limit`; `None` if there is none.
    pub fn take_next(&mut self, from: usize, limit: usize) -> Option<usize> {
        let number = self.next_free(from).filter(|number| *number < limit)?;
        let index = number / 64;
        self.taken[index] |= 1 << (number % 64);
        if self.taken[index] == u64::MAX {
            self.full[index / 64] |= 1 << (index % 64);
        }
        Some(number)
    }

    /// Gives a number back.
    pub fn release(&mut self, number: usize) {
        let index = number / 64;
        self.taken[index] &= !(1 << (number % 64));
        self.full[index / 64] &= !(1 << (index % 64));
    }

    fn next_free(&self, from: usize) -> Option<usize> {
        let index = from / 64;
        let first = free_bit(*self.taken.get(index)?, from % 64);
        if let Some(bit) = first {
            return Some(index * 64 + bit);
        }
        let start = index + 1;
        let word = (start / 64..SUMMARY).find_map(|group| {
            let from = if group == start / 64 { start % 64 } else { 0 };
            free_bit(self.full[group], from).map(|bit| group * 64 + bit)
        })?;
        free_bit(*self.taken.get(word)?, 0).map(|bit| word * 64 + bit)
    }
}

impl<const WORDS: usize, const SUMMARY: usize> Default for Numbers<WORDS, SUMMARY> {
    fn default() -> Self {
        Self::new()
    }
}

/// The lowest bit from `from` (below 64) on that is clear.
fn free_bit(word: u64, from: usize) -> Option<usize> {
    let free = !word & (u64::MAX << from);
    (free != 0).then(|| free.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const WORDS: usize = 130;
    const LIMIT: usize = WORDS * 64;

    #[test]
    fn a_full_set_has_none() {
        let mut numbers = Numbers::<WORDS, 3>::new();
        for expected in 0..LIMIT {
            assert_eq!(numbers.take_next(0, LIMIT), Some(expected));
        }
        assert_eq!(numbers.take_next(0, LIMIT), None);
        numbers.release(77);
        assert_eq!(numbers.take_next(78, LIMIT), None);
        assert_eq!(numbers.take_next(0, 77), None);
        assert_eq!(numbers.take_next(0, LIMIT), Some(77));
        assert_eq!(numbers.take_next(LIMIT, LIMIT), None);
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0..LIMIT), 0..400), dense in 0..LIMIT) {
            let mut numbers = Numbers::<WORDS, 3>::new();
            let mut model = BTreeSet::new();
            for number in 0..dense {
                prop_assert_eq!(numbers.take_next(number, LIMIT), Some(number));
                model.insert(number);
            }
            for (take, number) in steps {
                if take {
                    let expected = (number..LIMIT).find(|candidate| !model.contains(candidate));
                    prop_assert_eq!(numbers.take_next(number, LIMIT), expected);
                    model.extend(expected);
                } else {
                    numbers.release(number);
                    model.remove(&number);
                }
            }
        }
    }
}
