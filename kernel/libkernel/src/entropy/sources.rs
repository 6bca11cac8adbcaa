//! Sources that give words for the asking (CPU, firmware), seeds of loaders, and signs that they are broken.
//!
//! Sources do break: CPUs that give all ones for ever and call it success (AMD's family 15h and 16h after a suspend,
//! and Zen 2 by its microcode), hypervisors that fill in a constant, loaders that leave zeros. A broken source is worth
//! nothing, and says so.

/// Words that are asked of a source at a time. Broken ones show within so many, as Linux also assumes
/// (`SANITY_CHECK_LOOPS`).
pub const WORDS: usize = 8;
/// A source may have nothing to give for a moment, and is asked again (Intel, "Digital Random Number Generator Software
/// Implementation Guide", 5.2.1: ten times).
const ATTEMPTS: usize = 10;

/// What came of asking a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// So many words, and nothing wrong with them.
    Good(usize),
    /// Nothing, or too little to see whether it is broken.
    Nothing,
    /// Words that a source of randomness never gives: the same twice, all zeros, all ones.
    Broken,
}

impl Drawn {
    /// What the words are worth to whoever trusts the source.
    pub fn bits(self) -> u32 {
        match self {
            Self::Good(words) => words as u32 * u64::BITS,
            Self::Nothing | Self::Broken => 0,
        }
    }
}

/// Asks a source for [`WORDS`] words and hands all that it gives to `take`, also what is worth nothing.
pub fn draw(mut source: impl FnMut() -> Option<u64>, take: &mut dyn FnMut(u64)) -> Drawn {
    let (mut count, mut broken, mut previous) = (0, false, None);
    for _ in 0..WORDS {
        let Some(word) = (0..ATTEMPTS).find_map(|_| source()) else { break };
        take(word);
        broken |= word == 0 || word == u64::MAX || previous == Some(word);
        previous = Some(word);
        count += 1;
    }
    match count {
        _ if broken => Drawn::Broken,
        0 | 1 => Drawn::Nothing,
        words => Drawn::Good(words),
    }
}

/// What a loader's seed is worth in bits: nothing if it is short or one byte in it is too frequent, as in one that
/// nobody filled.
pub fn worth(seed: &[u8]) -> u32 {
    const LEAST: usize = 8;
    let mut counts = [0_u16; 256];
    for &byte in seed {
        let count = &mut counts[usize::from(byte)];
        *count = count.saturating_add(1);
    }
    let most = counts.into_iter().max().unwrap_or(0);
    if seed.len() < LEAST || usize::from(most) * 4 > seed.len() {
        return 0;
    }
    u32::try_from(seed.len()).unwrap_or(u32::MAX).saturating_mul(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn drawn(words: impl IntoIterator<Item = Option<u64>>) -> (Drawn, Vec<u64>) {
        let (mut words, mut taken) = (words.into_iter(), Vec::new());
        let drawn = draw(|| words.next().flatten(), &mut |word| taken.push(word));
        (drawn, taken)
    }

    #[test]
    fn good_words_count_in_full() {
        let words = [3, 1, 4, 15, 9, 2, 6, 5, 35].map(Some);
        assert_eq!(drawn(words).0.bits(), 512);
        assert_eq!(drawn(words).1, [3, 1, 4, 15, 9, 2, 6, 5]);
    }

    #[test]
    fn a_source_that_pauses_is_asked_again() {
        let pauses =
            [None; 9].into_iter().chain([Some(7)]).chain([None; 9]).chain([Some(8)]).chain([None; 10]);
        assert_eq!(drawn(pauses), (Drawn::Good(2), std::vec![7, 8]));
    }

    #[test]
    fn silence_and_a_single_word_are_worth_nothing() {
        assert_eq!(drawn([]), (Drawn::Nothing, std::vec![]));
        assert_eq!(drawn([Some(5)]), (Drawn::Nothing, std::vec![5]));
    }

    #[test]
    fn broken_sources_are_worth_nothing_but_taken() {
        for words in [[u64::MAX; 8], [0; 8], [42; 8], [1, 2, 3, 4, 5, 6, 7, 7], [1, 2, 0, 4, 5, 6, 7, 8]] {
            let (drawn, taken) = drawn(words.map(Some));
            assert_eq!((drawn, drawn.bits()), (Drawn::Broken, 0));
            assert_eq!(taken, words);
        }
    }

    #[test]
    fn seeds_that_nobody_filled_are_worth_nothing() {
        let good: [u8; 32] = core::array::from_fn(|index| (index as u8).wrapping_mul(37));
        assert_eq!(worth(&good), 256);
        assert_eq!(worth(&[0; 32]), 0);
        assert_eq!(worth(&[0xff; 64]), 0);
        assert_eq!(worth(&good[..7]), 0);
        assert_eq!(worth(&[]), 0);
        let half: Vec<u8> = good[..16].iter().copied().chain([0; 16]).collect();
        assert_eq!(worth(&half), 0);
    }
}
