//! A set of chunk numbers, with a cursor to the lowest.

use super::{CHUNK_FRAMES, MAX_FRAMES};

const WORDS: usize = (MAX_FRAMES / CHUNK_FRAMES / 64) as usize;

/// One bit for each chunk that an allocator can manage.
pub struct Bitmap {
    words: [u64; WORDS],
    /// No word below this one has a bit set.
    first: usize,
}

impl Bitmap {
    pub const fn new() -> Self {
        Self { words: [0; WORDS], first: WORDS }
    }

    pub fn insert(&mut self, chunk: usize) {
        self.words[chunk / 64] |= 1 << (chunk % 64);
        self.first = self.first.min(chunk / 64);
    }

    pub fn contains(&self, chunk: usize) -> bool {
        self.words[chunk / 64] >> (chunk % 64) & 1 != 0
    }

    /// Removes a number.
    pub fn remove(&mut self, chunk: usize) {
        self.words[chunk / 64] &= !(1 << (chunk % 64));
    }

    /// Removes and returns the lowest number.
    pub fn take_first(&mut self) -> Option<usize> {
        while let Some(word) = self.words.get_mut(self.first) {
            if *word != 0 {
                let bit = word.trailing_zeros() as usize;
                *word &= *word - 1;
                return Some(self.first * 64 + bit);
            }
            self.first += 1;
        }
        None
    }
}
