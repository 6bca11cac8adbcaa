//! Strings of bits that grow fallibly, and are looked through 64 at a step.
//!
//! Behind its end a string has zeroes. The first 64 bits are in the string itself: most strings have no more, and cost
//! no memory.

use alloc::vec::Vec;

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// A string of bits, from 0 on.
#[derive(Clone, Default, Debug)]
pub struct BitString {
    first: u64,
    /// The words behind the first.
    rest: Vec<u64>,
}

/// There was no memory for more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

impl BitString {
    /// No bits.
    pub const fn new() -> BitString {
        BitString { first: 0, rest: Vec::new() }
    }

    /// Makes room for so many bits at least.
    #[inline]
    pub fn grow(&mut self, bits: usize) -> Result<(), OutOfMemory> {
        if bits <= BITS { Ok(()) } else { self.grow_rest(bits.div_ceil(BITS) - 1) }
    }

    fn grow_rest(&mut self, words: usize) -> Result<(), OutOfMemory> {
        if let Some(more) = words.checked_sub(self.rest.len()) {
            self.rest.try_reserve(more).map_err(|_| OutOfMemory)?;
            self.rest.resize(words, 0);
        }
        Ok(())
    }

    /// The bit at an index.
    #[inline]
    pub fn get(&self, index: usize) -> bool {
        self.word(index / BITS) >> (index % BITS) & 1 != 0
    }

    /// Changes a bit that there is room for; returns the word that it is in.
    #[inline]
    pub fn set(&mut self, index: usize, value: bool) -> u64 {
        let word = match (index / BITS).checked_sub(1) {
            None => &mut self.first,
            Some(number) => match self.rest.get_mut(number) {
                Some(word) => word,
                None => return 0,
            },
        };
        let mask = 1 << (index % BITS);
        *word = if value { *word | mask } else { *word & !mask };
        *word
    }

    /// The 64 bits of this number.
    #[inline]
    pub fn word(&self, number: usize) -> u64 {
        match number.checked_sub(1) {
            None => self.first,
            Some(number) => self.rest.get(number).copied().unwrap_or(0),
        }
    }

    /// The first one at or behind an index.
    pub fn next_one(&self, from: usize) -> Option<usize> {
        let first = from / BITS;
        let mut word = self.word(first) & u64::MAX << (from % BITS);
        let mut number = first;
        while word == 0 {
            number += 1;
            word = *self.rest.get(number - 1)?;
        }
        Some(number * BITS + word.trailing_zeros() as usize)
    }

    /// The first zero at or behind an index.
    pub fn next_zero(&self, from: usize) -> usize {
        let mut number = from / BITS;
        let mut zeroes = !self.word(number) & u64::MAX << (from % BITS);
        while zeroes == 0 {
            number += 1;
            zeroes = !self.word(number);
        }
        number * BITS + zeroes.trailing_zeros() as usize
    }

    /// One more than the index of the last one below an index; 0 if there is none.
    pub fn end_below(&self, below: usize) -> usize {
        let (mut number, rest) = (below / BITS, below % BITS);
        let mut word = self.word(number) & !(u64::MAX << rest);
        while word == 0 {
            let Some(lower) = number.checked_sub(1) else { return 0 };
            (number, word) = (lower, self.word(lower));
        }
        (number + 1) * BITS - word.leading_zeros() as usize
    }

    /// Takes over the bits of another, as far as there is room.
    pub fn copy_from(&mut self, other: &BitString) {
        self.first = other.first;
        for (number, word) in self.rest.iter_mut().enumerate() {
            *word = other.word(number + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_a_walk_finds(ones in proptest::collection::btree_set(0usize..400, 0..60), from in 0usize..500) {
            let mut bits = BitString::new();
            prop_assert_eq!(bits.grow(400), Ok(()));
            for &one in &ones {
                bits.set(one, true);
            }
            prop_assert_eq!(bits.next_one(from), ones.range(from..).next().copied());
            prop_assert_eq!(bits.next_zero(from), (from..).find(|index| !ones.contains(index)).unwrap());
            prop_assert_eq!(bits.end_below(from), ones.range(..from).next_back().map_or(0, |last| last + 1));
            prop_assert!((0..500).all(|index| bits.get(index) == ones.contains(&index)));
        }

        #[test]
        fn full_words_are_passed_over(length in 0usize..300, from in 0usize..300) {
            let mut bits = BitString::new();
            prop_assert_eq!(bits.grow(length), Ok(()));
            (0..length).for_each(|index| { bits.set(index, true); });
            prop_assert_eq!(bits.next_zero(from), from.max(length));
            let mut copy = BitString::new();
            prop_assert_eq!(copy.grow(length), Ok(()));
            copy.copy_from(&bits);
            prop_assert_eq!(copy.end_below(500), length);
        }
    }
}
