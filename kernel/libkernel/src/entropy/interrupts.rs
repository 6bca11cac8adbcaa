//! Times of interrupts: a CPU's own small state, to which each one adds in a few instructions.

/// So many interrupts count as one bit (Linux: `mix_interrupt_randomness`, a bit for 64).
const INTERRUPTS_A_BIT: u32 = 64;

/// What the times of a CPU's interrupts have come to.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Interrupts(pub [u64; 2]);

impl Interrupts {
    /// Adds a time. For each time the step can be undone, so that no state is lost to another; and every bit of a time
    /// reaches the upper half of a word at once, from where the turn takes it to the lower one of the other.
    #[inline(always)]
    #[must_use]
    pub fn with(self, time: u64) -> Self {
        let Self([first, second]) = self;
        let first = (first ^ time).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self([second.rotate_left(32) ^ first, first])
    }
}

/// Bits to count for `count` interrupts since `seen` of them were counted, and the new value for `seen`. Counts wrap.
pub fn credit(count: u32, seen: u32) -> (u32, u32) {
    let bits = count.wrapping_sub(seen) / INTERRUPTS_A_BIT;
    (bits, seen.wrapping_add(bits * INTERRUPTS_A_BIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_states_meet() {
        let mut states = BTreeSet::new();
        for first in 0..64 {
            for second in 0..64 {
                states.insert(Interrupts([first << 58, second << 3]).with(12345).0);
            }
        }
        assert_eq!(states.len(), 64 * 64);
    }

    #[test]
    fn each_bit_of_a_time_reaches_all_bits() {
        for bit in 0..64 {
            let run =
                |time| (0..6).fold(Interrupts::default().with(time), |state, step| state.with(1000 + step));
            let (one, other) = (run(0), run(1 << bit));
            let changed: u32 = one.0.into_iter().zip(other.0).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert!(changed > 32, "bit {bit} changes {changed}");
        }
    }

    #[test]
    fn sixty_four_make_a_bit_and_the_rest_waits() {
        assert_eq!(credit(63, 0), (0, 0));
        assert_eq!(credit(64, 0), (1, 64));
        assert_eq!(credit(200, 64), (2, 192));
        assert_eq!(credit(5, u32::MAX - 100), (1, u32::MAX - 36));
    }
}
