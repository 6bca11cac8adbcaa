//! An ordered map from disjoint ranges of user addresses to values: what an address space keeps its mappings in.
//!
//! [`IntervalMap`] is a sorted sequence cut into leaves of at most [`LEAF_CAPACITY`] entries, under one sorted list of
//! leaves: a tree of two levels. The usual process has one leaf, where a lookup is one binary search over packed
//! entries; with 65,530 mappings, Linux's limit, there are some 2,000 leaves and an insertion still moves at most a
//! leaf. Each leaf bounds the gaps in it from above, and where there are many leaves each [`GROUP`] of them does, so
//! that a search for free addresses skips what is full: at the limit it looks at some 32 groups, 64 leaves and 64
//! entries.
//!
//! Neighbours that touch and [`Interval::merges_with`] each other are one entry. Whatever can fail for want of memory
//! fails before it has changed what the map says.

mod edit;
mod gap;
#[cfg(test)]
mod tests;

use crate::addr::{UserAddr, UserRange};
use alloc::vec::Vec;

/// Entries in a leaf at most.
const LEAF_CAPACITY: usize = 64;
/// Leaves that share a bound, once there are more than so many.
const GROUP: usize = 64;

/// There was no memory for the map's own nodes or for a copy of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// Why an insertion failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsertError {
    /// There was no memory.
    OutOfMemory,
    /// The range is empty or holds addresses that are mapped already.
    Occupied,
}

impl From<OutOfMemory> for InsertError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// What a map holds for a range. A value speaks of addresses in a way that stays true when its range is cut.
pub trait Interval: Sized {
    /// A copy for the part of a range that is being cut from `start` on, or for the same range in another map; `None`
    /// when memory is short.
    fn try_clone(&self, start: UserAddr) -> Option<Self>;

    /// How many bytes below its range a search for free addresses leaves alone.
    fn room_below(&self) -> u64 {
        0
    }

    /// True when `next`, whose range begins where this one's ends, says the same.
    fn merges_with(&self, next: &Self) -> bool;
}

#[derive(Debug)]
struct Entry<V> {
    range: UserRange,
    value: V,
}

/// Never empty.
#[derive(Debug)]
struct Leaf<V> {
    entries: Vec<Entry<V>>,
    /// At least the length of every gap that follows an entry of this leaf.
    gap_bound: u64,
}

impl<V: Interval> Entry<V> {
    /// Where the free addresses below the entry end at most.
    fn free_end(&self) -> u64 {
        self.range.start().as_u64().saturating_sub(self.value.room_below())
    }

    /// The range of both if `next` begins where this one ends and says the same.
    #[inline]
    fn merged_with(&self, next: &Self) -> Option<UserRange> {
        let merges = self.range.end() == next.range.start() && self.value.merges_with(&next.value);
        merges.then(|| edit::joined(self.range, next.range))
    }
}

/// Where an entry stands. The end is `{ leaves.len(), 0 }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Position {
    leaf: usize,
    index: usize,
}

/// The map.
#[derive(Debug)]
pub struct IntervalMap<V> {
    leaves: Vec<Leaf<V>>,
    count: usize,
    /// At least the bounds of the leaves of each group, the last of which may have fewer; empty while there is only one
    /// group.
    groups: Vec<u64>,
}

impl<V> Default for IntervalMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Leaf<V> {
    fn start(&self) -> u64 {
        self.entries.first().map_or(u64::MAX, |entry| entry.range.start().as_u64())
    }

    fn end(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.range.end().as_u64())
    }
}

impl<V> IntervalMap<V> {
    /// A map without entries.
    pub const fn new() -> Self {
        Self { leaves: Vec::new(), count: 0, groups: Vec::new() }
    }

    /// Number of entries.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// True when nothing is mapped.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entry that holds `address`.
    #[inline]
    pub fn get(&self, address: UserAddr) -> Option<(UserRange, &V)> {
        let entry = self.entry(self.locate(address))?;
        (entry.range.start() <= address).then_some((entry.range, &entry.value))
    }

    /// The entry that holds `address`, to be changed. The caller must not make it equal to a neighbour.
    pub fn get_mut(&mut self, address: UserAddr) -> Option<(UserRange, &mut V)> {
        let position = self.locate(address);
        let entry = self.leaves.get_mut(position.leaf)?.entries.get_mut(position.index)?;
        (entry.range.start() <= address).then_some((entry.range, &mut entry.value))
    }

    /// The first entry that ends behind `address`: the one that holds it, else the next one.
    pub fn first_from(&self, address: UserAddr) -> Option<(UserRange, &V)> {
        self.entry(self.locate(address)).map(|entry| (entry.range, &entry.value))
    }

    /// The last entry that starts below `address`.
    pub fn last_before(&self, address: UserAddr) -> Option<(UserRange, &V)> {
        let position = self.locate(address);
        let here = self.entry(position).filter(|entry| entry.range.start() < address);
        here.or_else(|| self.entry(self.before(position)?)).map(|entry| (entry.range, &entry.value))
    }

    /// All entries in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (UserRange, &V)> {
        self.leaves.iter().flat_map(|leaf| &leaf.entries).map(|entry| (entry.range, &entry.value))
    }

    /// The entries that share an address with `range`, whole, in ascending order.
    pub fn range(&self, range: UserRange) -> impl Iterator<Item = (UserRange, &V)> {
        let first = self.locate(range.start());
        let head = self.leaves.get(first.leaf).map_or(&[][..], |leaf| &leaf.entries[first.index..]);
        let tail =
            self.leaves.get(first.leaf + 1..).unwrap_or_default().iter().flat_map(|leaf| &leaf.entries);
        head.iter()
            .chain(tail)
            .take_while(move |entry| entry.range.start() < range.end())
            .map(|entry| (entry.range, &entry.value))
    }

    /// True when an address of `range` is mapped.
    pub fn overlaps(&self, range: UserRange) -> bool {
        !range.is_empty() && self.first_from(range.start()).is_some_and(|(found, _)| found.overlaps(range))
    }

    /// True when every address of `range` is mapped.
    pub fn covers(&self, range: UserRange) -> bool {
        let mut reached = range.start();
        for (found, _) in self.range(range) {
            if found.start() > reached {
                return false;
            }
            reached = found.end();
        }
        reached >= range.end()
    }

    /// The position of the first entry that ends behind `address`.
    #[inline]
    fn locate(&self, address: UserAddr) -> Position {
        let leaf = self.leaves.partition_point(|leaf| leaf.end() <= address.as_u64());
        let index = match self.leaves.get(leaf) {
            Some(leaf) => leaf.entries.partition_point(|entry| entry.range.end() <= address),
            None => 0,
        };
        Position { leaf, index }
    }

    #[inline]
    fn entry(&self, position: Position) -> Option<&Entry<V>> {
        self.leaves.get(position.leaf)?.entries.get(position.index)
    }

    fn before(&self, position: Position) -> Option<Position> {
        if let Some(index) = position.index.checked_sub(1) {
            return Some(Position { index, ..position });
        }
        let leaf = position.leaf.checked_sub(1)?;
        Some(Position { leaf, index: self.leaves[leaf].entries.len() - 1 })
    }

    /// The position behind `position`, which may be the end.
    fn after(&self, position: Position) -> Position {
        let next = Position { index: position.index + 1, ..position };
        if self.entry(next).is_some() { next } else { Position { leaf: position.leaf + 1, index: 0 } }
    }
}

impl<V: Interval> IntervalMap<V> {
    /// A copy of the whole map, for `fork`.
    pub fn try_clone(&self) -> Option<Self> {
        let mut leaves = Vec::new();
        leaves.try_reserve_exact(self.leaves.len()).ok()?;
        for leaf in &self.leaves {
            let mut entries = Vec::new();
            entries.try_reserve_exact(leaf.entries.len()).ok()?;
            for entry in &leaf.entries {
                entries
                    .push(Entry { range: entry.range, value: entry.value.try_clone(entry.range.start())? });
            }
            leaves.push(Leaf { entries, gap_bound: leaf.gap_bound });
        }
        let mut groups = Vec::new();
        groups.try_reserve_exact(self.groups.len()).ok()?;
        groups.extend_from_slice(&self.groups);
        Some(Self { leaves, count: self.count, groups })
    }
}
