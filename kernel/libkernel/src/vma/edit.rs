//! Changes to an interval map: insert, remove, update, resize.

use super::{Entry, GROUP, InsertError, Interval, IntervalMap, LEAF_CAPACITY, Leaf, OutOfMemory, Position};
use crate::addr::{USER_END, UserAddr, UserRange};
use alloc::vec::Vec;

impl<V: Interval> IntervalMap<V> {
    /// Maps `range`, which must be free, and merges it with neighbours that say the same.
    pub fn insert(&mut self, range: UserRange, value: V) -> Result<(), InsertError> {
        let position = self.locate(range.start());
        if range.is_empty() || self.entry(position).is_some_and(|next| next.range.overlaps(range)) {
            return Err(InsertError::Occupied);
        }
        if let Some(before) = self.before(position) {
            let previous = &mut self.leaves[before.leaf].entries[before.index];
            if previous.range.end() == range.start() && previous.value.merges_with(&value) {
                previous.range = joined(previous.range, range);
                self.merge_with_next(before);
                return Ok(());
            }
        }
        if let Some(leaf) = self.leaves.get_mut(position.leaf) {
            let next = &mut leaf.entries[position.index];
            if range.end() == next.range.start() && value.merges_with(&next.value) {
                next.range = joined(range, next.range);
                return Ok(());
            }
        }
        let position = self.make_room(position)?;
        self.put(position, Entry { range, value });
        Ok(())
    }

    /// Unmaps `range`, calling `removed` with each piece that was mapped in it, lowest first.
    pub fn remove(
        &mut self,
        range: UserRange,
        mut removed: impl FnMut(UserRange, V),
    ) -> Result<(), OutOfMemory> {
        self.split_at(range.start())?;
        self.split_at(range.end())?;
        let first = self.locate(range.start());
        let mut emptied = None;
        for leaf_index in first.leaf..self.leaves.len() {
            let from = if leaf_index == first.leaf { first.index } else { 0 };
            let leaf = &mut self.leaves[leaf_index];
            let inside = leaf.entries[from..].partition_point(|entry| entry.range.start() < range.end());
            self.count -= inside;
            leaf.entries.drain(from..from + inside).for_each(|entry| removed(entry.range, entry.value));
            if leaf.entries.is_empty() {
                emptied = Some(emptied.map_or((leaf_index, leaf_index), |(start, _)| (start, leaf_index)));
            } else if from < leaf.entries.len() {
                break;
            }
        }
        if let Some((start, last)) = emptied {
            self.leaves.drain(start..=last);
            self.bound_groups_from(start);
        }
        self.note_gap_before(range.end());
        Ok(())
    }

    /// Calls `change` on the value of each piece mapped in `range`, lowest first, then merges what has become equal.
    pub fn update(
        &mut self,
        range: UserRange,
        mut change: impl FnMut(UserRange, &mut V),
    ) -> Result<(), OutOfMemory> {
        let position = self.locate(range.start());
        if self.entry(position).is_some_and(|entry| entry.range == range) {
            // The usual case: one whole entry, nothing to cut.
            change(range, &mut self.leaves[position.leaf].entries[position.index].value);
            self.merge_run(self.before(position).unwrap_or(position), range.end());
            return Ok(());
        }
        self.split_at(range.start())?;
        self.split_at(range.end())?;
        let mut position = self.locate(range.start());
        let first = self.before(position).unwrap_or(position);
        while let Some(leaf) = self.leaves.get_mut(position.leaf) {
            let entry = &mut leaf.entries[position.index];
            if entry.range.start() >= range.end() {
                break;
            }
            change(entry.range, &mut entry.value);
            position = self.after(position);
        }
        self.merge_run(first, range.end());
        Ok(())
    }

    /// Gives the entry that holds `address` the bounds `range`, without allocating: growth of a stack or of the break,
    /// or shrinking. False, and no change, where there is no such entry or `range` is empty or touches another entry's
    /// addresses. It merges with the neighbours that it comes to touch.
    pub fn resize(&mut self, address: UserAddr, range: UserRange) -> bool {
        let position = self.locate(address);
        if range.is_empty() || self.entry(position).is_none_or(|entry| entry.range.start() > address) {
            return false;
        }
        let below = self.before(position).and_then(|before| self.entry(before));
        let above = self.entry(self.after(position));
        if [below, above].into_iter().flatten().any(|other| other.range.overlaps(range)) {
            return false;
        }
        let next_start = above.map_or(u64::MAX, |other| other.range.start().as_u64());
        if below.is_some_and(|other| other.range.end() > range.start()) || next_start < range.end().as_u64() {
            return false;
        }
        self.leaves[position.leaf].entries[position.index].range = range;
        self.note_gap(position);
        self.note_gap_before(range.start());
        // Upwards first: the position below stays good when an entry above it goes.
        self.merge_with_next(position);
        if let Some(below) = self.before(position) {
            self.merge_with_next(below);
        }
        true
    }

    /// Makes `address` a boundary: the entry that holds it inside becomes two that say the same.
    fn split_at(&mut self, address: UserAddr) -> Result<(), OutOfMemory> {
        let position = self.locate(address);
        let Some(entry) = self.entry(position).filter(|entry| entry.range.start() < address) else {
            return Ok(());
        };
        let value = entry.value.try_clone(address).ok_or(OutOfMemory)?;
        let (Some(low), Some(high)) = (
            UserRange::from_bounds(entry.range.start(), address),
            UserRange::from_bounds(address, entry.range.end()),
        ) else {
            return Ok(());
        };
        let position = self.make_room(position)?;
        self.leaves[position.leaf].entries[position.index].range = low;
        self.put(Position { index: position.index + 1, ..position }, Entry { range: high, value });
        Ok(())
    }

    /// Puts an entry where [`Self::make_room`] made room.
    fn put(&mut self, position: Position, entry: Entry<V>) {
        self.leaves[position.leaf].entries.insert(position.index, entry);
        self.count += 1;
        self.note_gap(position);
    }

    /// Makes room for one more entry in the leaf of `position`; returns where the position is then. The end becomes a
    /// position in the last leaf.
    fn make_room(&mut self, position: Position) -> Result<Position, OutOfMemory> {
        let mut position = position;
        if position.leaf == self.leaves.len() {
            match self.leaves.last() {
                Some(last) => position = Position { leaf: position.leaf - 1, index: last.entries.len() },
                None => self.add_leaf(0, Leaf { entries: reserve(1)?, gap_bound: 0 })?,
            }
        }
        let leaf = &mut self.leaves[position.leaf];
        if leaf.entries.len() < LEAF_CAPACITY {
            leaf.entries.try_reserve(1).map_err(|_| OutOfMemory)?;
            return Ok(position);
        }
        self.split_leaf(position)
    }

    fn split_leaf(&mut self, position: Position) -> Result<Position, OutOfMemory> {
        const HALF: usize = LEAF_CAPACITY / 2;
        let upper = reserve(LEAF_CAPACITY)?;
        let gap_bound = self.leaves[position.leaf].gap_bound;
        self.add_leaf(position.leaf + 1, Leaf { entries: upper, gap_bound })?;
        let (lower, upper) = self.leaves.split_at_mut(position.leaf + 1);
        upper[0].entries.extend(lower[position.leaf].entries.drain(HALF..));
        Ok(match position.index.checked_sub(HALF) {
            Some(index) => Position { leaf: position.leaf + 1, index },
            None => position,
        })
    }

    fn add_leaf(&mut self, at: usize, leaf: Leaf<V>) -> Result<(), OutOfMemory> {
        self.leaves.try_reserve(1).map_err(|_| OutOfMemory)?;
        let groups = (self.leaves.len() + 1).div_ceil(GROUP);
        self.groups.try_reserve(groups.saturating_sub(self.groups.len())).map_err(|_| OutOfMemory)?;
        self.leaves.insert(at, leaf);
        // Each group from here on has lost its last leaf to the next one: a bound may stay too high.
        if self.groups.is_empty() {
            self.bound_groups_from(0);
        } else {
            self.groups.resize(groups, 0);
            for group in at / GROUP..groups {
                let edges = [group * GROUP, at.max(group * GROUP)];
                let bound =
                    edges.into_iter().filter_map(|edge| self.leaves.get(edge)).map(|leaf| leaf.gap_bound);
                self.groups[group] = bound.fold(self.groups[group], u64::max);
            }
        }
        Ok(())
    }

    /// Computes the bounds of the groups from that of leaf `first` on anew, after leaves have gone; there is room for
    /// them.
    fn bound_groups_from(&mut self, first: usize) {
        if self.leaves.len() <= GROUP {
            self.groups.clear();
            return;
        }
        self.groups.truncate(first / GROUP);
        let start = self.groups.len() * GROUP;
        let bounds =
            self.leaves[start..].chunks(GROUP).map(|leaves| leaves.iter().map(|leaf| leaf.gap_bound).max());
        self.groups.extend(bounds.map(Option::unwrap_or_default));
    }

    /// Merges neighbours from `first` on, up to the pair whose boundary is `end`.
    fn merge_run(&mut self, first: Position, end: UserAddr) {
        let mut position = first;
        while let Some(low) = self.entry(position).filter(|low| low.range.end() <= end) {
            let next = self.after(position);
            let Some(high) = self.entry(next) else { return };
            match low.merged_with(high) {
                Some(range) => self.merge(position, next, range),
                None => position = next,
            }
        }
    }

    /// Makes the entry at `position` and the next one a single entry if they touch and say the same.
    fn merge_with_next(&mut self, position: Position) {
        let next = self.after(position);
        let (Some(low), Some(high)) = (self.entry(position), self.entry(next)) else { return };
        if let Some(range) = low.merged_with(high) {
            self.merge(position, next, range);
        }
    }

    /// Makes the entries at `position` and `next`, which follows it, a single entry.
    fn merge(&mut self, position: Position, next: Position, range: UserRange) {
        self.leaves[position.leaf].entries[position.index].range = range;
        self.leaves[next.leaf].entries.remove(next.index);
        if self.leaves[next.leaf].entries.is_empty() {
            self.leaves.remove(next.leaf);
            self.bound_groups_from(next.leaf);
        }
        self.count -= 1;
        self.note_gap(position);
    }

    /// Raises the bound of the leaf at `position` to the gap that follows the entry there.
    fn note_gap(&mut self, position: Position) {
        let Some(entry) = self.entry(position) else { return };
        let end = entry.range.end().as_u64();
        let next = self.entry(self.after(position)).map_or(USER_END, |next| next.range.start().as_u64());
        let gap = next.saturating_sub(end);
        let leaf = &mut self.leaves[position.leaf];
        leaf.gap_bound = leaf.gap_bound.max(gap);
        if let Some(bound) = self.groups.get_mut(position.leaf / GROUP) {
            *bound = (*bound).max(gap);
        }
    }

    /// The same for the last entry that ends at or below `address`.
    fn note_gap_before(&mut self, address: UserAddr) {
        if let Some(before) = self.before(self.locate(UserAddr::new(address.as_u64().saturating_sub(1)))) {
            self.note_gap(before);
        }
    }
}

pub(super) fn joined(low: UserRange, high: UserRange) -> UserRange {
    UserRange::from_bounds(low.start(), high.end()).unwrap_or(low)
}

fn reserve<T>(capacity: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut entries = Vec::new();
    entries.try_reserve(capacity).map_err(|_| OutOfMemory)?;
    Ok(entries)
}
