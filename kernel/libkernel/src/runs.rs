//! Numbers in use without a bound that is fixed when compiling, kept as runs of neighbours.
//!
//! Whoever takes the lowest free number leaves few runs, however many numbers are taken; finding one, taking one and
//! giving one back take a time that grows with the logarithm of the number of runs. Where the bound is small,
//! [`crate::numbers`] needs no memory for a number.

use alloc::collections::BTreeMap;

/// The numbers that are taken.
pub struct Runs {
    /// Where a run begins, and the number behind its end. No two touch.
    ends: BTreeMap<u32, u32>,
}

impl Runs {
    /// All numbers are free.
    pub const fn new() -> Runs {
        Runs { ends: BTreeMap::new() }
    }

    /// Takes the lowest free number that is at least `from` and below `limit`; `None` if there is none.
    pub fn take_lowest(&mut self, from: u32, limit: u32) -> Option<u32> {
        let before = self.ends.range(..=from).next_back().map(|(start, end)| (*start, *end));
        let touching = before.filter(|(_, end)| *end >= from);
        let number = touching.map_or(from, |(_, end)| end);
        if number >= limit {
            return None;
        }
        // What begins behind the number is one with it.
        let end = self.ends.remove(&(number + 1)).unwrap_or(number + 1);
        self.ends.insert(touching.map_or(number, |(start, _)| start), end);
        Some(number)
    }

    /// Gives a number back.
    pub fn release(&mut self, number: u32) {
        let run = self.ends.range(..=number).next_back().map(|(start, end)| (*start, *end));
        let Some((start, end)) = run.filter(|(_, end)| number < *end) else { return };
        if start == number {
            self.ends.remove(&start);
        } else {
            self.ends.insert(start, number);
        }
        if number + 1 < end {
            self.ends.insert(number + 1, end);
        }
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn the_last_number_is_given_and_none_after_it() {
        let mut runs = Runs::new();
        assert_eq!(runs.take_lowest(u32::MAX - 2, u32::MAX), Some(u32::MAX - 2));
        assert_eq!(runs.take_lowest(u32::MAX - 2, u32::MAX), Some(u32::MAX - 1));
        assert_eq!(runs.take_lowest(u32::MAX - 2, u32::MAX), None);
        runs.release(u32::MAX - 2);
        assert_eq!(runs.take_lowest(0, u32::MAX), Some(0));
        assert_eq!(runs.take_lowest(u32::MAX - 1, u32::MAX), None);
        assert_eq!(runs.take_lowest(u32::MAX - 2, u32::MAX), Some(u32::MAX - 2));
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_runs_that_do_not_touch(
            steps in proptest::collection::vec((any::<bool>(), 0_u32..40), 0..200),
        ) {
            let (mut runs, mut model) = (Runs::new(), BTreeSet::new());
            for (takes, number) in steps {
                if takes {
                    let expected = (number..32).find(|candidate| !model.contains(candidate));
                    prop_assert_eq!(runs.take_lowest(number, 32), expected);
                    model.extend(expected);
                } else {
                    runs.release(number);
                    model.remove(&number);
                }
                let kept: Vec<u32> = runs.ends.iter().flat_map(|(start, end)| *start..*end).collect();
                prop_assert_eq!(kept, model.iter().copied().collect::<Vec<_>>());
                let ends: Vec<_> = runs.ends.iter().collect();
                prop_assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
        }
    }
}
