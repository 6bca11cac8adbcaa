//! Numbers in use, below a bound that is fixed when compiling, and the next one that is free.
//!
//! A bit for each number, and above each 64 of them a bit that says whether all are taken, so that the next free number
//! is found by looking at words, not at numbers: one program can hold nearly all of them. The bits of 32,768 numbers
//! lie together and are made when the first of these is taken.

use alloc::vec::Vec;

/// Words whose bits are made together: a page.
const CHUNK: usize = 512;

/// The numbers below `32,768 * CHUNKS`; `SUMMARY` must be `8 * CHUNKS`.
pub struct Numbers<const CHUNKS: usize, const SUMMARY: usize> {
    /// Empty, as long as no number of it was ever taken; else [`CHUNK`] long.
    taken: [Vec<u64>; CHUNKS],
    /// Bit N: no number of word N of `taken` is free.
    full: [u64; SUMMARY],
}

impl<const CHUNKS: usize, const SUMMARY: usize> Numbers<CHUNKS, SUMMARY> {
    const FITS: () = assert!(SUMMARY * 64 == CHUNKS * CHUNK);

    /// All numbers are free.
    pub const fn new() -> Self {
        let () = Self::FITS;
        Self { taken: [const { Vec::new() }; CHUNKS], full: [0; SUMMARY] }
    }

    /// Takes the lowest free number that is at least `from` and below `limit`; `None` if there is none, or no memory to
    /// note it.
    pub fn take_next(&mut self, from: usize, limit: usize) -> Option<usize> {
        let number = self.next_free(from).filter(|number| *number < limit)?;
        let index = number / 64;
        let chunk = &mut self.taken[index / CHUNK];
        if chunk.is_empty() {
            chunk.try_reserve_exact(CHUNK).ok()?;
            chunk.resize(CHUNK, 0);
        }
        let word = &mut chunk[index % CHUNK];
        *word |= 1 << (number % 64);
        if *word == u64::MAX {
            self.full[index / 64] |= 1 << (index % 64);
        }
        Some(number)
    }

    /// Gives a number back.
    pub fn release(&mut self, number: usize) {
        let index = number / 64;
        if let Some(word) = self.taken[index / CHUNK].get_mut(index % CHUNK) {
            *word &= !(1 << (number % 64));
        }
        self.full[index / 64] &= !(1 << (index % 64));
    }

    /// The word of this index, if there is one.
    fn word(&self, index: usize) -> Option<u64> {
        let chunk = self.taken.get(index / CHUNK)?;
        Some(chunk.get(index % CHUNK).copied().unwrap_or(0))
    }

    fn next_free(&self, from: usize) -> Option<usize> {
        let index = from / 64;
        let first = free_bit(self.word(index)?, from % 64);
        if let Some(bit) = first {
            return Some(index * 64 + bit);
        }
        let start = index + 1;
        let word = (start / 64..SUMMARY).find_map(|group| {
            let from = if group == start / 64 { start % 64 } else { 0 };
            free_bit(self.full[group], from).map(|bit| group * 64 + bit)
        })?;
        free_bit(self.word(word)?, 0).map(|bit| word * 64 + bit)
    }
}

impl<const CHUNKS: usize, const SUMMARY: usize> Default for Numbers<CHUNKS, SUMMARY> {
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

    const LIMIT: usize = 2 * CHUNK * 64;

    type Few = Numbers<2, 16>;

    #[test]
    fn a_full_set_has_none() {
        let mut numbers = Few::new();
        for expected in 0..LIMIT {
            assert_eq!(numbers.take_next(expected.saturating_sub(1), LIMIT), Some(expected));
        }
        assert_eq!(numbers.take_next(0, LIMIT), None);
        numbers.release(77);
        assert_eq!(numbers.take_next(78, LIMIT), None);
        assert_eq!(numbers.take_next(0, 77), None);
        assert_eq!(numbers.take_next(0, LIMIT), Some(77));
        assert_eq!(numbers.take_next(LIMIT, LIMIT), None);
    }

    #[test]
    fn bits_are_made_where_they_are_needed() {
        let mut numbers = Few::new();
        assert_eq!(numbers.take_next(40_000, LIMIT), Some(40_000));
        assert_eq!(numbers.taken.each_ref().map(Vec::len), [0, CHUNK]);
        numbers.release(1);
        assert_eq!(numbers.take_next(0, LIMIT), Some(0));
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0..LIMIT), 0..400), dense in 0..LIMIT / 8) {
            let mut numbers = Few::new();
            let mut model = BTreeSet::new();
            // Around the border of two chunks, and at the beginning.
            for number in (0..dense).chain(LIMIT / 2 - dense..LIMIT / 2 + dense) {
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
