//! Times that a loop of constant work takes, and what their differences are worth.
//!
//! A window of differences is looked at as NIST SP 800-90B looks at a source of unknown kind: how often does the best
//! guess hit? The guesses are the most common value (6.3.1), the value some places ago (6.3.8, the lag predictor), and
//! the value that goes on as the last two did. The worst of them, at the upper end of its confidence interval, bounds
//! the entropy of a sample. Of that an eighth is believed. A value that repeats without end is a source that has
//! stopped, whatever the rest of its window says (4.4.1).

/// Differences in a window.
pub const SAMPLES: usize = 512;
/// The lag predictor looks so far back. Clocks that advance in steps of several counts beat with the loop.
const LAGS: usize = 16;
/// Equal ones in a row end the belief in a window if a source that is as good as it seems would do that once in 2^30
/// (4.4.1, C = 1 + 30 / H).
const REPETITION_BITS: usize = 31;
/// Of the bits that a window seems to have, one in so many counts.
const CAUTION: u32 = 8;
/// Units of a bit that logarithms are computed in.
const SIXTEENTHS: u32 = 16;

/// Differences of times, the low bits of each.
pub struct Window {
    differences: [u16; SAMPLES],
    count: usize,
    last: u64,
}

/// What a window is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Bits to count for the whole window.
    pub bits: u32,
    /// How often the best guess would have hit.
    pub hits: usize,
}

impl Window {
    /// An empty window that begins at `time`.
    pub fn new(time: u64) -> Self {
        Self { differences: [0; SAMPLES], count: 0, last: time }
    }

    /// Adds the next time. False if the window is full.
    pub fn push(&mut self, time: u64) -> bool {
        let Some(slot) = self.differences.get_mut(self.count) else { return false };
        *slot = time.wrapping_sub(self.last) as u16;
        self.last = time;
        self.count += 1;
        self.count < SAMPLES
    }

    /// Calls `take` with all that was measured, as bytes, in pieces.
    pub fn for_each_piece(&self, take: &mut dyn FnMut(&[u8])) {
        const PIECE: usize = 32;
        for piece in self.differences[..self.count].chunks(PIECE) {
            let mut bytes = [0; PIECE * 2];
            for (to, from) in bytes.chunks_exact_mut(2).zip(piece) {
                to.copy_from_slice(&from.to_le_bytes());
            }
            take(&bytes[..piece.len() * 2]);
        }
    }

    /// What the window is worth. Its differences are sorted afterwards.
    pub fn judge(&mut self) -> Judgement {
        let window = &mut self.differences[..self.count];
        let longest_run = longest_run(window);
        let predicted = predicted(window);
        window.sort_unstable();
        let hits = predicted.max(self::longest_run(window));
        let sixteenths = if window.len() < SAMPLES { 0 } else { worth(hits) };
        let has_stopped = longest_run * sixteenths as usize >= REPETITION_BITS * SIXTEENTHS as usize;
        let bits = if has_stopped { 0 } else { SAMPLES as u32 * sixteenths / SIXTEENTHS / CAUTION };
        Judgement { bits, hits }
    }
}

/// How often the best of the guesses that go by what came before hits.
fn predicted(window: &[u16]) -> usize {
    let lagged = |lag: usize| window.iter().zip(window.iter().skip(lag)).filter(|(a, b)| a == b).count();
    let straight = |three: &&[u16]| three[1].wrapping_sub(three[0]) == three[2].wrapping_sub(three[1]);
    let straight = window.windows(3).filter(straight).count();
    (1..=LAGS).map(lagged).max().unwrap_or(0).max(straight)
}

/// How many neighbours at most are equal. In a sorted window these are all that are equal.
fn longest_run(window: &[u16]) -> usize {
    window.chunk_by(|a, b| a == b).map(<[u16]>::len).max().unwrap_or(0)
}

/// Sixteenths of a bit in each sample of a full window whose best guess hits so often; one bit at most.
fn worth(hits: usize) -> u32 {
    /// SP 800-90B, 6.3.1: the 99 % interval, 2.576 standard deviations of a binomial, in 1024ths.
    const DEVIATIONS: u64 = 2638;
    let (all, hits) = (SAMPLES as u64, hits as u64);
    // p + 2.576 * sqrt(p * (1 - p) / (n - 1)), all times n, in 1024ths.
    let spread = (hits * (all - hits) * 1024 * 1024 / (all - 1)).isqrt();
    let upper = hits * 1024 + DEVIATIONS * spread / 1024;
    logarithm_of_inverse(upper, all * 1024).min(SIXTEENTHS)
}

/// log2(all / part) in sixteenths, rounded down; nothing if that is not above one. Both are below 2^24.
fn logarithm_of_inverse(part: u64, all: u64) -> u32 {
    if part == 0 || part >= all {
        return 0;
    }
    // The quotient with 24 bits of fraction; its square doubles the logarithm.
    let mut quotient = (all << 24) / part;
    let whole = quotient.ilog2() - 24;
    quotient >>= whole;
    let mut sixteenths = whole;
    for _ in 0..SIXTEENTHS.ilog2() {
        quotient = (quotient * quotient) >> 24;
        let carry = quotient.ilog2() - 24;
        quotient >>= carry;
        sixteenths = sixteenths << 1 | carry;
    }
    sixteenths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(mut difference: impl FnMut(usize) -> u64) -> Judgement {
        let (mut time, mut number) = (1_000_000, 0);
        let mut window = Window::new(time);
        while {
            time += difference(number);
            number += 1;
            window.push(time)
        } {}
        assert_eq!(number, SAMPLES);
        window.judge()
    }

    /// A generator that is as good as any for these guesses.
    fn noise() -> impl FnMut() -> u64 {
        let mut state = 0x1234_5678_9abc_def1_u64;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 20
        }
    }

    #[test]
    fn machines_that_count_instructions_are_worth_nothing() {
        assert_eq!(judged(|_| 300), Judgement { bits: 0, hits: SAMPLES });
        // A cycle, a clock that beats with the loop, a loop that slows down steadily.
        for period in 2..=LAGS as u64 {
            assert_eq!(judged(|number| 300 + (number as u64 % period) * 7).bits, 0, "period {period}");
        }
        assert_eq!(judged(|number| 300 + number as u64 * 3).bits, 0);
        assert_eq!(judged(|number| if number % 100 == 99 { 5000 } else { 300 }).bits, 0);
    }

    #[test]
    fn noise_counts_for_an_eighth_of_a_bit_at_most() {
        let mut random = noise();
        assert_eq!(judged(|_| 300 + random() % 256).bits, 64);
        assert_eq!(judged(|_| 300 + random() % 1024).bits, 64);
    }

    #[test]
    fn a_coarse_counter_counts_for_less() {
        let mut random = noise();
        let coarse = judged(|_| 12 + u64::from(random().is_multiple_of(8))).bits;
        assert!((1..=12).contains(&coarse), "{coarse}");
        let even = judged(|_| 12 + random() % 2).bits;
        assert!((coarse + 1..64).contains(&even), "{even}");
    }

    #[test]
    fn a_source_that_stops_is_worth_nothing() {
        let mut random = noise();
        assert_eq!(
            judged(|number| if (100..140).contains(&number) { 300 } else { 300 + random() % 256 }).bits,
            0
        );
    }

    #[test]
    fn a_window_that_is_not_full_is_worth_nothing() {
        let mut window = Window::new(0);
        assert!(window.push(17));
        assert_eq!(window.judge().bits, 0);
        assert_eq!(Window::new(0).judge(), Judgement { bits: 0, hits: 0 });
    }

    #[test]
    fn pieces_hold_all_that_was_measured() {
        let mut window = Window::new(0);
        for time in 1..=40_u64 {
            window.push(time * 0x0102);
        }
        let mut bytes = std::vec::Vec::new();
        window.for_each_piece(&mut |piece| bytes.extend_from_slice(piece));
        assert_eq!(bytes, [2, 1].repeat(40));
    }

    #[test]
    fn logarithms_are_rounded_down() {
        let log = |part: u64, all: u64| f64::floor(f64::log2(all as f64 / part as f64) * 16.0) as u32;
        for part in 1..1000 {
            let found = logarithm_of_inverse(part, 1000);
            assert!(
                (log(part, 1000).saturating_sub(1)..=log(part, 1000)).contains(&found),
                "{part}: {found}"
            );
        }
        assert_eq!(logarithm_of_inverse(1000, 1000), 0);
        assert_eq!(logarithm_of_inverse(0, 1000), 0);
        assert_eq!(logarithm_of_inverse(1, 2), 16);
    }
}
