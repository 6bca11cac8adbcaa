//! A radix tree from 64-bit indices to values: the page cache of a file, by page number.
//!
//! 64 children a node, as many levels as the largest index needs: one for files up to 256 KiB. A leaf grows with the
//! indices in it, so that a small file costs little. Memory for nodes is asked for fallibly; empty nodes are freed.
//!
//! A value may have an *order*: it stands for `1 << order` neighbouring indices, of which the first is a multiple of
//! that, and is found by each of them. It lies once, in the node whose children are large enough, and the slots behind
//! its own say that they are covered.

mod slots;
#[cfg(test)]
mod tests;

use core::ops::{Range, RangeInclusive};
use slots::Slots;

const BITS: u32 = 6;
const WIDTH: u64 = 1 << BITS;

/// There was no memory for a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// Why [`RadixTree::insert_block`] failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockError {
    /// Some of the indices have a value.
    Occupied,
    /// There was no memory for a node.
    OutOfMemory,
}

impl From<OutOfMemory> for BlockError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// The tree.
#[derive(Debug)]
pub struct RadixTree<T> {
    root: Option<Node<T>>,
    /// Levels above the leaves in `root`.
    height: u32,
    count: usize,
    /// Values that more than one index has.
    blocks: usize,
}

#[derive(Debug)]
enum Node<T> {
    Inner(Slots<Node<T>>),
    Leaf(Slots<T>),
    /// As a child of an inner node: a value of an order that fills such a child.
    Value(T),
}

const fn slot_of(index: u64, level: u32) -> usize {
    (index >> (BITS * level) & (WIDTH - 1)) as usize
}

/// Levels above the leaves that `index` needs.
const fn height_for(index: u64) -> u32 {
    if index < WIDTH { 0 } else { index.ilog2() / BITS }
}

impl<T> Default for RadixTree<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> RadixTree<T> {
    /// An empty tree; allocates nothing.
    pub const fn new() -> Self {
        Self { root: None, height: 0, count: 0, blocks: 0 }
    }

    /// Number of indices that have a value.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// True when there is no value.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value at `index`.
    #[inline]
    pub fn get(&self, index: u64) -> Option<&T> {
        Some(self.get_within(index)?.0)
    }

    /// The value at `index`, and how far behind the first of the indices that have it this one lies.
    #[inline(always)]
    pub fn get_within(&self, index: u64) -> Option<(&T, u64)> {
        let mut node = self.root.as_ref()?;
        let mut level = self.height;
        if height_for(index) > level {
            return None;
        }
        loop {
            match node {
                Node::Leaf(slots) => match slots.own(slot_of(index, 0)) {
                    Some(value) => return Some((value, 0)),
                    None => break,
                },
                Node::Inner(slots) => match slots.own(slot_of(index, level)) {
                    Some(child) => node = child,
                    None => break,
                },
                Node::Value(_) => break,
            }
            level -= 1;
        }
        if self.blocks == 0 { None } else { self.get_in_block(index) }
    }

    /// The same for what is not the first index of its value.
    #[cold]
    fn get_in_block(&self, index: u64) -> Option<(&T, u64)> {
        let root = self.root.as_ref()?;
        let start = *root.block_at(index, self.height)?.start();
        Some((root.get(index, self.height)?, index - start))
    }

    /// The value at `index`, to be changed.
    pub fn get_mut(&mut self, index: u64) -> Option<&mut T> {
        if height_for(index) > self.height {
            return None;
        }
        self.root.as_mut()?.get_mut(index, self.height)
    }

    /// Puts `value` at `index`; returns what was there. On failure the tree holds what it held.
    ///
    /// # Panics
    /// If a value of a higher order stands there: that has to be [`split`](Self::split) first.
    pub fn insert(&mut self, index: u64, value: T) -> Result<Option<T>, OutOfMemory> {
        self.grow_to(height_for(index))?;
        let root = self.root.get_or_insert_with(|| Node::new(self.height));
        let old = root.insert(index, self.height, value);
        match old {
            Ok(None) => self.count += 1,
            Ok(Some(_)) => {}
            Err(OutOfMemory) => self.prune(),
        }
        old
    }

    /// Puts a value of an order below 64 at the indices from `index` on, which is a multiple of `1 << order`, where
    /// nothing is. On failure the tree holds what it held.
    pub fn insert_block(&mut self, index: u64, order: u32, value: T) -> Result<(), BlockError> {
        let last = index | ((1 << order) - 1);
        assert!(index & ((1 << order) - 1) == 0, "a block at {index:#x} of order {order}");
        if self.first_from(index).is_some_and(|first| first <= last) {
            return Err(BlockError::Occupied);
        }
        let level = order / BITS;
        self.grow_to(height_for(last).max(level))?;
        let root = self.root.get_or_insert_with(|| Node::new(self.height));
        let outcome = root.insert_block(index, self.height, order, value);
        match outcome {
            Ok(()) => {
                self.count += 1 << order;
                self.blocks += usize::from(order != 0);
            }
            Err(OutOfMemory) => self.prune(),
        }
        Ok(outcome?)
    }

    /// Which indices have the value at `index` together with it.
    pub fn block_at(&self, index: u64) -> Option<RangeInclusive<u64>> {
        if height_for(index) > self.height {
            return None;
        }
        self.root.as_ref()?.block_at(index, self.height)
    }

    /// Gives each index that has the value at `index` one of its own, which `part` makes of that and of how far behind
    /// the first the index lies. On failure the tree holds what it held.
    pub fn split(&mut self, index: u64, mut part: impl FnMut(&T, u64) -> T) -> Result<(), OutOfMemory> {
        let (Some(block), Some(value)) = (self.block_at(index), self.get(index)) else { return Ok(()) };
        let mut parts = Self::new();
        let start = *block.start();
        let order = (block.end() - start).checked_ilog2().map_or(0, |highest| highest + 1);
        for at in block {
            parts.insert(at, part(value, at - start))?;
        }
        let (level, width) = (order / BITS, 1 << (order % BITS));
        parts.grow_to(level)?;
        let home = slot_of(start, level);
        if let (Some(node), Some(from)) = (self.node_at(start, level), parts.node_at(start, level)) {
            node.replace(home..home + width, from)?;
            self.blocks -= usize::from(order != 0);
        }
        Ok(())
    }

    /// The node at `level` that has a slot for `index`.
    fn node_at(&mut self, index: u64, level: u32) -> Option<&mut Node<T>> {
        let (mut node, mut above) = (self.root.as_mut()?, self.height);
        while above > level {
            let Node::Inner(slots) = node else { return None };
            node = slots.get_mut(slot_of(index, above))?;
            above -= 1;
        }
        Some(node)
    }

    /// Takes the value at `index` out, of whatever order it is.
    pub fn remove(&mut self, index: u64) -> Option<T> {
        if height_for(index) > self.height {
            return None;
        }
        let (value, indices) = self.root.as_mut()?.remove(index, self.height)?;
        self.count -= indices;
        self.blocks -= usize::from(indices > 1);
        self.prune();
        Some(value)
    }

    /// The first index at or above `index` that has a value.
    pub fn first_from(&self, index: u64) -> Option<u64> {
        if height_for(index) > self.height {
            return None;
        }
        self.root.as_ref()?.first_from(index, self.height)
    }

    /// All values with an index in `range`, in order.
    pub fn range(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &T)> {
        let mut next = Some(range.start);
        core::iter::from_fn(move || {
            let index = self.first_from(next?).filter(|&index| index < range.end)?;
            next = index.checked_add(1);
            Some((index, self.get(index)?))
        })
    }

    /// The same for neighbours, leaf by leaf: calls `visit` with each index, its value, and how far behind the first of
    /// the indices that have it this one lies.
    pub fn visit(&self, range: Range<u64>, mut visit: impl FnMut(u64, &T, u64)) {
        let mut from = range.start;
        while from < range.end {
            let Some(first) = self.first_from(from).filter(|&first| first < range.end) else { return };
            let end = range.end.min((first | (WIDTH - 1)).saturating_add(1));
            match self.leaf(first) {
                Some(slots) if slots.covered == 0 => {
                    let children = slots.children.get(slot_of(first, 0)..).unwrap_or_default();
                    for (index, child) in (first..end).zip(children) {
                        if let Some(value) = child {
                            visit(index, value, 0);
                        }
                    }
                }
                // Blocks, in this node or above it.
                _ => {
                    for index in first..end {
                        if let Some((value, distance)) = self.get_within(index) {
                            visit(index, value, distance);
                        }
                    }
                }
            }
            from = end;
        }
    }

    /// The leaf that has a slot for `index`.
    fn leaf(&self, index: u64) -> Option<&Slots<T>> {
        let (mut node, mut level) = (self.root.as_ref()?, self.height);
        if height_for(index) > level {
            return None;
        }
        loop {
            match node {
                Node::Leaf(slots) => return Some(slots),
                Node::Inner(slots) => node = slots.own(slot_of(index, level))?,
                Node::Value(_) => return None,
            }
            level -= 1;
        }
    }

    /// Takes out the lowest value with an index in `range`, of whatever order, and says at which: to be called until
    /// there is none, so that the caller may pause in between. A value of which only a part lies in the range has to be
    /// split first.
    pub fn remove_first(&mut self, range: Range<u64>) -> Option<(u64, T)> {
        let index = self.first_from(range.start).filter(|&index| index < range.end)?;
        self.remove(index).map(|value| (index, value))
    }

    /// Adds levels on top until the tree reaches `height`.
    fn grow_to(&mut self, height: u32) -> Result<(), OutOfMemory> {
        if self.root.is_none() {
            self.height = height;
        }
        while self.height < height {
            let mut slots = Slots::new();
            slots.reserve(0)?;
            if let Some(root) = self.root.take() {
                slots.put(0, root);
            }
            self.root = Some(Node::Inner(slots));
            self.height += 1;
        }
        Ok(())
    }

    /// Drops the root when it is empty.
    fn prune(&mut self) {
        if self.root.as_ref().is_some_and(Node::is_empty) {
            self.root = None;
            self.height = 0;
        }
    }
}

impl<T> Slots<Node<T>> {
    /// Calls `insert` with the child in `slot` of a node at `level`, which is made if there is none, and dropped if it
    /// is empty then.
    fn with_child<R>(
        &mut self,
        slot: usize,
        level: u32,
        insert: impl FnOnce(&mut Node<T>) -> Result<R, OutOfMemory>,
    ) -> Result<R, OutOfMemory> {
        self.reserve(slot)?;
        if self.get(slot).is_none() {
            self.put(slot, Node::new(level - 1));
        }
        let Some(child) = self.get_mut(slot) else { return Err(OutOfMemory) };
        let result = insert(child);
        if child.is_empty() {
            self.take(slot);
        }
        result
    }
}

impl<T> Node<T> {
    const fn new(level: u32) -> Self {
        if level == 0 { Self::Leaf(Slots::new()) } else { Self::Inner(Slots::new()) }
    }

    const fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(slots) => slots.occupied == 0,
            Self::Inner(slots) => slots.occupied == 0,
            Self::Value(_) => false,
        }
    }

    /// Depth is bounded by the eleven levels that 64 bits have.
    fn get(&self, index: u64, level: u32) -> Option<&T> {
        match self {
            Self::Leaf(slots) => slots.get(slot_of(index, level)),
            Self::Inner(slots) => slots.get(slot_of(index, level))?.get(index, level.saturating_sub(1)),
            Self::Value(value) => Some(value),
        }
    }

    fn get_mut(&mut self, index: u64, level: u32) -> Option<&mut T> {
        match self {
            Self::Leaf(slots) => slots.get_mut(slot_of(index, level)),
            Self::Inner(slots) => {
                slots.get_mut(slot_of(index, level))?.get_mut(index, level.saturating_sub(1))
            }
            Self::Value(value) => Some(value),
        }
    }

    fn insert(&mut self, index: u64, level: u32, value: T) -> Result<Option<T>, OutOfMemory> {
        let slot = slot_of(index, level);
        match self {
            Self::Leaf(slots) => {
                assert!(slots.covered == 0 || slots.is_alone(slot), "a block stands there");
                slots.reserve(slot)?;
                Ok(slots.put(slot, value))
            }
            Self::Inner(slots) => {
                slots.with_child(slot, level, |child| child.insert(index, level - 1, value))
            }
            Self::Value(_) => panic!("a block stands there"),
        }
    }

    /// Puts a value in the node where its order fills whole slots; nothing is there.
    fn insert_block(&mut self, index: u64, level: u32, order: u32, value: T) -> Result<(), OutOfMemory> {
        let slot = slot_of(index, level);
        match self {
            Self::Leaf(slots) => slots.put_block(slot, 1 << order, value),
            Self::Inner(slots) if order >= BITS * level => {
                slots.put_block(slot, 1 << (order - BITS * level), Self::Value(value))
            }
            Self::Inner(slots) => {
                slots.with_child(slot, level, |child| child.insert_block(index, level - 1, order, value))
            }
            Self::Value(_) => unreachable!("a value where nothing is"),
        }
    }

    /// Puts the children of another node into these slots, in the place of the block that has them.
    fn replace(&mut self, slots: Range<usize>, from: &mut Self) -> Result<(), OutOfMemory> {
        match (self, from) {
            (Self::Leaf(node), Self::Leaf(from)) => node.replace(slots, from),
            (Self::Inner(node), Self::Inner(from)) => node.replace(slots, from),
            _ => unreachable!("nodes of one level"),
        }
    }

    fn block_at(&self, index: u64, level: u32) -> Option<RangeInclusive<u64>> {
        let slot = slot_of(index, level);
        let (home, width) = match self {
            Self::Leaf(slots) => {
                slots.get(slot)?;
                (slots.home_of(slot), slots.width(slots.home_of(slot)))
            }
            Self::Inner(slots) => match slots.get(slot)? {
                Self::Value(_) => (slots.home_of(slot), slots.width(slots.home_of(slot))),
                child => return child.block_at(index, level - 1),
            },
            Self::Value(_) => return None,
        };
        let shift = BITS * level;
        let first = index >> shift << shift;
        let start = first - (((slot - home) as u64) << shift);
        Some(start..=start + ((u64::from(width) << shift) - 1))
    }

    /// The value, and how many indices had it.
    fn remove(&mut self, index: u64, level: u32) -> Option<(T, usize)> {
        let slot = slot_of(index, level);
        match self {
            Self::Leaf(slots) => slots.take(slot).map(|(value, width)| (value, width as usize)),
            Self::Inner(slots) => {
                let child = slots.get_mut(slot)?;
                if let Self::Value(_) = child {
                    let (Self::Value(value), width) = slots.take(slot)? else { return None };
                    return Some((value, (width as usize) << (BITS * level)));
                }
                let value = child.remove(index, level - 1);
                if child.is_empty() {
                    slots.take(slot);
                }
                value
            }
            Self::Value(_) => None,
        }
    }

    fn first_from(&self, index: u64, level: u32) -> Option<u64> {
        let slot = slot_of(index, level);
        match self {
            Self::Leaf(slots) => slots.next(slot).map(|found| (index & !(WIDTH - 1)) | found as u64),
            Self::Inner(slots) => {
                if let Some(found) = slots.get(slot).and_then(|child| child.first_from(index, level - 1)) {
                    return Some(found);
                }
                let next = slots.next(slot + 1)?;
                // Everything below the child starts at its first index.
                let shift = BITS * level;
                let above = index.checked_shr(shift + BITS).map_or(0, |high| high << BITS);
                slots.get(next)?.first_from((above | next as u64) << shift, level - 1)
            }
            Self::Value(_) => Some(index),
        }
    }
}
