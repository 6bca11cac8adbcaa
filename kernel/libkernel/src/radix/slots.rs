//! The children of a node of a radix tree.
use super::OutOfMemory;
use alloc::vec::Vec;
use core::ops::Range;

/// Up to 64 children, dense up to the highest that was ever there.
#[derive(Debug)]
pub(super) struct Slots<C> {
    pub children: Vec<Option<C>>,
    pub occupied: u64,
    /// Slots without a child that belong to the one before them.
    pub covered: u64,
}

impl<C> Slots<C> {
    pub const fn new() -> Self {
        Self { children: Vec::new(), occupied: 0, covered: 0 }
    }

    /// The child that a slot has itself.
    #[inline]
    pub fn own(&self, slot: usize) -> Option<&C> {
        self.children.get(slot)?.as_ref()
    }

    /// The child that a slot has or belongs to.
    pub fn get(&self, slot: usize) -> Option<&C> {
        match self.children.get(slot) {
            Some(Some(child)) => Some(child),
            _ if self.covered == 0 => None,
            _ => self.children.get(self.home_of(slot))?.as_ref(),
        }
    }

    pub fn get_mut(&mut self, slot: usize) -> Option<&mut C> {
        let home = self.home_of(slot);
        self.children.get_mut(home)?.as_mut()
    }

    /// The slot that has the child which this one belongs to: itself, unless it is covered.
    pub fn home_of(&self, slot: usize) -> usize {
        let is_covered = self.covered >> slot & 1 != 0;
        // The nearest slot at or below it that is not covered.
        if is_covered { (!self.covered & ((1u64 << slot) - 1)).ilog2() as usize } else { slot }
    }

    /// How many slots belong to the child in `slot`, that included.
    pub fn width(&self, slot: usize) -> u32 {
        1 + self.covered.checked_shr(slot as u32 + 1).unwrap_or(0).trailing_ones()
    }

    /// Makes sure that `slot` exists.
    pub fn reserve(&mut self, slot: usize) -> Result<(), OutOfMemory> {
        if slot >= self.children.len() {
            self.children.try_reserve(slot + 1 - self.children.len()).map_err(|_| OutOfMemory)?;
            self.children.resize_with(slot + 1, || None);
        }
        Ok(())
    }

    /// Fills a slot that was reserved.
    pub fn put(&mut self, slot: usize, child: C) -> Option<C> {
        self.occupied |= 1 << slot;
        self.children[slot].replace(child)
    }

    /// Takes out what a slot has or belongs to, and how many slots did.
    pub fn take(&mut self, slot: usize) -> Option<(C, u32)> {
        let home = self.home_of(slot);
        let child = self.children.get_mut(home)?.take()?;
        let width = self.width(home);
        self.occupied &= !(1 << home);
        self.covered &= !(tail_mask(width) << home);
        Some((child, width))
    }

    /// True for a slot that shares no child with others.
    pub fn is_alone(&self, slot: usize) -> bool {
        self.home_of(slot) == slot && self.width(slot) == 1
    }

    /// Puts a child into the `width` slots from `slot` on, which are free; of the slots only the first is asked for.
    pub fn put_block(&mut self, slot: usize, width: u32, child: C) -> Result<(), OutOfMemory> {
        self.reserve(slot)?;
        self.put(slot, child);
        self.covered |= tail_mask(width) << slot;
        Ok(())
    }

    /// Takes the children of another node in these slots, in the place of the one child that has them now.
    pub fn replace(&mut self, slots: Range<usize>, from: &mut Self) -> Result<(), OutOfMemory> {
        self.reserve(slots.end - 1)?;
        self.take(slots.start);
        for slot in slots {
            if let Some((child, _)) = from.take(slot) {
                self.put(slot, child);
            }
        }
        Ok(())
    }

    /// The first slot at or above `slot` that has a child or belongs to one.
    pub fn next(&self, slot: usize) -> Option<usize> {
        let above = (self.occupied | self.covered).checked_shr(slot as u32)?;
        (above != 0).then(|| slot + above.trailing_zeros() as usize)
    }
}

/// The slots behind the first of `width`.
const fn tail_mask(width: u32) -> u64 {
    (u64::MAX >> (u64::BITS - width)) & !1
}
