//! Intervals that may overlap, found by what they overlap with.
//!
//! A treap by start whose nodes know the last point of all below them: entering, removing and finding one take a time
//! that grows with the logarithm of the number, and the depth of recursion does so too, since ranks are not the
//! program's to choose (see [`crate::ordered`]). A search that refuses what it finds also pays for each refusal.

use alloc::boxed::Box;
use core::cmp::Ordering;

use crate::ordered::next_rank;

type Link<T> = Option<Box<Node<T>>>;

/// Intervals are ordered by start and, where that is equal, by a number that tells them apart.
type Key = (u64, u64);

struct Node<T> {
    key: Key,
    last: u64,
    value: T,
    rank: u32,
    /// The highest `last` here and below.
    reach: u64,
    left: Link<T>,
    right: Link<T>,
}

/// Intervals `start..=last` with values.
pub struct Intervals<T> {
    root: Link<T>,
    count: usize,
}

impl<T> Intervals<T> {
    /// None.
    pub const fn new() -> Intervals<T> {
        Intervals { root: None, count: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Enters an interval; no other has both its start and its number.
    pub fn insert(&mut self, start: u64, last: u64, number: u64, value: T) {
        let (left, right) = split(self.root.take(), (start, number));
        let (key, rank) = ((start, number), next_rank());
        let node = Box::new(Node { key, last, value, rank, reach: last, left: None, right: None });
        self.root = merge(merge(left, Some(node)), right);
        self.count += 1;
    }

    /// Takes out the interval with this start and number.
    pub fn remove(&mut self, start: u64, number: u64) -> Option<T> {
        let removed = remove(&mut self.root, (start, number))?;
        self.count -= 1;
        Some(removed)
    }

    /// The first interval, by start, that overlaps with `start..=last` and is `wanted`, with its start, last point and
    /// number.
    pub fn find(
        &self,
        start: u64,
        last: u64,
        mut wanted: impl FnMut(u64, &T) -> bool,
    ) -> Option<(u64, u64, u64, &T)> {
        find(self.root.as_deref(), (start, last), &mut wanted)
    }

    /// The first interval that overlaps with `start..=last` and comes behind the one with this start and number, be
    /// that there or not.
    pub fn find_behind(&self, start: u64, last: u64, behind: (u64, u64)) -> Option<(u64, u64, u64, &T)> {
        find_behind(self.root.as_deref(), (start, last), behind)
    }
}

impl<T> Node<T> {
    fn update(&mut self) {
        let below = |link: &Link<T>| link.as_ref().map_or(0, |node| node.reach);
        self.reach = self.last.max(below(&self.left)).max(below(&self.right));
    }
}

/// Divides a tree into what comes before a key and the rest.
fn split<T>(link: Link<T>, key: Key) -> (Link<T>, Link<T>) {
    let Some(mut node) = link else { return (None, None) };
    if node.key < key {
        let (before, rest) = split(node.right.take(), key);
        node.right = before;
        node.update();
        (Some(node), rest)
    } else {
        let (before, rest) = split(node.left.take(), key);
        node.left = rest;
        node.update();
        (before, Some(node))
    }
}

/// Joins two trees, of which the first comes before the second.
fn merge<T>(first: Link<T>, second: Link<T>) -> Link<T> {
    match (first, second) {
        (None, only) | (only, None) => only,
        (Some(mut first), Some(second)) if first.rank >= second.rank => {
            first.right = merge(first.right.take(), Some(second));
            first.update();
            Some(first)
        }
        (first, Some(mut second)) => {
            second.left = merge(first, second.left.take());
            second.update();
            Some(second)
        }
    }
}

fn remove<T>(link: &mut Link<T>, key: Key) -> Option<T> {
    let node = link.as_mut()?;
    let removed = match key.cmp(&node.key) {
        Ordering::Less => remove(&mut node.left, key)?,
        Ordering::Greater => remove(&mut node.right, key)?,
        Ordering::Equal => {
            let Node { value, left, right, .. } = *link.take()?;
            *link = merge(left, right);
            return Some(value);
        }
    };
    node.update();
    Some(removed)
}

fn find<'a, T>(
    node: Option<&'a Node<T>>,
    (start, last): (u64, u64),
    wanted: &mut impl FnMut(u64, &T) -> bool,
) -> Option<(u64, u64, u64, &'a T)> {
    let node = node.filter(|node| node.reach >= start)?;
    if let Some(found) = find(node.left.as_deref(), (start, last), wanted) {
        return Some(found);
    }
    let (own_start, number) = node.key;
    if own_start > last {
        return None;
    }
    if node.last >= start && wanted(number, &node.value) {
        return Some((own_start, node.last, number, &node.value));
    }
    find(node.right.as_deref(), (start, last), wanted)
}

fn find_behind<T>(
    node: Option<&Node<T>>,
    (start, last): (u64, u64),
    behind: Key,
) -> Option<(u64, u64, u64, &T)> {
    let node = node.filter(|node| node.reach >= start)?;
    let (own_start, number) = node.key;
    if node.key > behind {
        if let Some(found) = find_behind(node.left.as_deref(), (start, last), behind) {
            return Some(found);
        }
        if own_start > last {
            return None;
        }
        if node.last >= start {
            return Some((own_start, node.last, number, &node.value));
        }
    }
    find_behind(node.right.as_deref(), (start, last), behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_overlaps_is_found(
            steps in proptest::collection::vec((0u64..200, 0u64..40, 0u64..4, any::<bool>()), 1..200),
            question in (0u64..250, 0u64..60),
        ) {
            let mut intervals = Intervals::new();
            let mut model: Vec<(u64, u64, u64)> = Vec::new();
            for (start, length, number, enter) in steps {
                let known = model.iter().position(|&(other, _, its)| (other, its) == (start, number));
                match (enter, known) {
                    (true, None) => {
                        intervals.insert(start, start + length, number, start + length);
                        model.push((start, start + length, number));
                    }
                    (false, known) => {
                        let expected = known.map(|at| model.swap_remove(at).1);
                        prop_assert_eq!(intervals.remove(start, number), expected);
                    }
                    _ => {}
                }
                prop_assert_eq!(intervals.len(), model.len());
            }
            let (start, last) = (question.0, question.0 + question.1);
            for odd in [0, 1] {
                let found = intervals.find(start, last, |number, _| number % 2 == odd);
                let overlaps = model.iter().filter(|&&(from, to, number)| {
                    from <= last && to >= start && number % 2 == odd
                });
                let expected = overlaps.map(|&(from, to, number)| (from, number, to)).min();
                prop_assert_eq!(found.map(|(from, to, number, _)| (from, number, to)), expected);
            }
            let mut expected: Vec<_> =
                model.iter().filter(|&&(from, to, _)| from <= last && to >= start).copied().collect();
            expected.sort_unstable_by_key(|&(from, _, number)| (from, number));
            let (mut behind, mut found) = ((0, 0), Vec::new());
            found.extend(intervals.find(start, last, |number, _| number == 0).filter(|found| found.0 == 0).map(
                |(from, to, number, _)| (from, to, number),
            ));
            while let Some((from, to, number, _)) = intervals.find_behind(start, last, behind) {
                behind = (from, number);
                found.push((from, to, number));
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn ten_thousand_side_by_side_are_found_with_few_looks() {
        let mut intervals = Intervals::new();
        for number in 0..10_000 {
            intervals.insert(number * 2, number * 2, 1, ());
        }
        let mut looks = 0;
        let found = intervals.find(12_000, 12_001, |_, ()| {
            looks += 1;
            true
        });
        assert_eq!((found.map(|(start, ..)| start), looks), (Some(12_000), 1));
        assert!(intervals.find(12_001, 12_001, |_, ()| true).is_none());
    }
}
