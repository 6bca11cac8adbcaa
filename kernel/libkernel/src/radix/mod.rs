//! A radix tree from 64-bit indices to values: the page cache of a file, by page number.
//!
//! 64 children a node, as many levels as the largest index needs: one for files up to 256 KiB. A leaf grows with the
//! indices in it, so that a small file costs little. Memory for nodes is asked for fallibly; empty nodes are freed.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::ops::Range;

const BITS: u32 = 6;
const WIDTH: u64 = 1 << BITS;

/// There was no memory for a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// The tree.
#[derive(Debug)]
pub struct RadixTree<T> {
    root: Option<Node<T>>,
    /// Levels above the leaves in `root`.
    height: u32,
    count: usize,
}

#[derive(Debug)]
enum Node<T> {
    Inner(Slots<Node<T>>),
    Leaf(Slots<T>),
}

/// Up to 64 children, dense up to the highest that was ever there.
#[derive(Debug)]
struct Slots<C> {
    children: Vec<Option<C>>,
    occupied: u64,
}

impl<C> Slots<C> {
    const fn new() -> Self {
        Self { children: Vec::new(), occupied: 0 }
    }

    #[inline]
    fn get(&self, slot: usize) -> Option<&C> {
        self.children.get(slot)?.as_ref()
    }

    fn get_mut(&mut self, slot: usize) -> Option<&mut C> {
        self.children.get_mut(slot)?.as_mut()
    }

    /// Makes sure that `slot` exists.
    fn reserve(&mut self, slot: usize) -> Result<(), OutOfMemory> {
        if slot >= self.children.len() {
            self.children.try_reserve(slot + 1 - self.children.len()).map_err(|_| OutOfMemory)?;
            self.children.resize_with(slot + 1, || None);
        }
        Ok(())
    }

    /// Fills a slot that was reserved.
    fn put(&mut self, slot: usize, child: C) -> Option<C> {
        self.occupied |= 1 << slot;
        self.children[slot].replace(child)
    }

    fn take(&mut self, slot: usize) -> Option<C> {
        let child = self.children.get_mut(slot)?.take()?;
        self.occupied &= !(1 << slot);
        Some(child)
    }

    /// The first occupied slot at or above `slot`.
    fn next(&self, slot: usize) -> Option<usize> {
        let above = self.occupied.checked_shr(slot as u32)?;
        (above != 0).then(|| slot + above.trailing_zeros() as usize)
    }
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
        Self { root: None, height: 0, count: 0 }
    }

    /// Number of values.
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
        let mut node = self.root.as_ref()?;
        let mut level = self.height;
        if height_for(index) > level {
            return None;
        }
        loop {
            match node {
                Node::Leaf(slots) => return slots.get(slot_of(index, 0)),
                Node::Inner(slots) => node = slots.get(slot_of(index, level))?,
            }
            level -= 1;
        }
    }

    /// The value at `index`, to be changed.
    pub fn get_mut(&mut self, index: u64) -> Option<&mut T> {
        let mut level = self.height;
        let mut node = self.root.as_mut()?;
        if height_for(index) > level {
            return None;
        }
        loop {
            match node {
                Node::Leaf(slots) => return slots.get_mut(slot_of(index, 0)),
                Node::Inner(slots) => node = slots.get_mut(slot_of(index, level))?,
            }
            level -= 1;
        }
    }

    /// Puts `value` at `index`; returns what was there. On failure the tree holds what it held.
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

    /// Takes the value at `index` out.
    pub fn remove(&mut self, index: u64) -> Option<T> {
        if height_for(index) > self.height {
            return None;
        }
        let value = self.root.as_mut()?.remove(index, self.height)?;
        self.count -= 1;
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

    /// Takes out the lowest value with an index in `range`: to be called until there is none, so that the caller may
    /// pause in between.
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

impl<T> Node<T> {
    const fn new(level: u32) -> Self {
        if level == 0 { Self::Leaf(Slots::new()) } else { Self::Inner(Slots::new()) }
    }

    const fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(slots) => slots.occupied == 0,
            Self::Inner(slots) => slots.occupied == 0,
        }
    }

    /// Depth is bounded by the eleven levels that 64 bits have.
    fn insert(&mut self, index: u64, level: u32, value: T) -> Result<Option<T>, OutOfMemory> {
        let slot = slot_of(index, level);
        match self {
            Self::Leaf(slots) => {
                slots.reserve(slot)?;
                Ok(slots.put(slot, value))
            }
            Self::Inner(slots) => {
                slots.reserve(slot)?;
                if slots.get(slot).is_none() {
                    slots.put(slot, Self::new(level - 1));
                }
                let Some(child) = slots.get_mut(slot) else { return Err(OutOfMemory) };
                let result = child.insert(index, level - 1, value);
                if child.is_empty() {
                    slots.take(slot);
                }
                result
            }
        }
    }

    fn remove(&mut self, index: u64, level: u32) -> Option<T> {
        let slot = slot_of(index, level);
        match self {
            Self::Leaf(slots) => slots.take(slot),
            Self::Inner(slots) => {
                let child = slots.get_mut(slot)?;
                let value = child.remove(index, level - 1);
                if child.is_empty() {
                    slots.take(slot);
                }
                value
            }
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
        }
    }
}
