//! The address spaces that map an object.
//!
//! Every VMA over an object holds a [`Mapping`], which is registered in a slot of the object's list: adding
//! and removing take constant time however many mappings a popular library has. The list refers to address
//! spaces weakly; a space that is going away simply no longer answers.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;

use abi::Errno;

use super::Object;
use crate::memory::AddressSpace;

/// The slots of an object's mappings; free ones are chained by index.
pub(super) struct MappingList {
    slots: Vec<Slot>,
    free: Option<u32>,
}

enum Slot {
    Used(Weak<AddressSpace>),
    Free { next: Option<u32> },
}

impl MappingList {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: None }
    }

    fn insert(&mut self, space: Weak<AddressSpace>) -> Result<u32, Errno> {
        if let Some(index) = self.free
            && let Some(slot) = self.slots.get_mut(index as usize)
            && let Slot::Free { next } = *slot
        {
            self.free = next;
            *slot = Slot::Used(space);
            return Ok(index);
        }
        let index = u32::try_from(self.slots.len()).map_err(|_| Errno::ENOMEM)?;
        self.slots.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.slots.push(Slot::Used(space));
        Ok(index)
    }

    fn remove(&mut self, index: u32) -> Option<Weak<AddressSpace>> {
        let slot = self.slots.get_mut(index as usize)?;
        let Slot::Used(space) = core::mem::replace(slot, Slot::Free { next: self.free }) else { return None };
        self.free = Some(index);
        Some(space)
    }

    fn get(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)
    }
}

/// One VMA's hold on an object. Dropped, it leaves the object's list.
pub(in crate::memory) struct Mapping {
    object: Arc<Object>,
    slot: u32,
}

impl Mapping {
    /// Registers a mapping of `object` in the address space.
    pub(in crate::memory) fn new(object: Arc<Object>, space: Weak<AddressSpace>) -> Result<Self, Errno> {
        let slot = object.mappings.lock().insert(space)?;
        Ok(Self { object, slot })
    }

    /// A second hold for the same address space; `None` when memory is short.
    pub(in crate::memory) fn try_clone(&self) -> Option<Self> {
        let mut mappings = self.object.mappings.lock();
        let Some(Slot::Used(space)) = mappings.get(self.slot as usize) else { return None };
        let space = space.clone();
        let slot = mappings.insert(space).ok()?;
        Some(Self { object: self.object.clone(), slot })
    }

    pub(in crate::memory) fn object(&self) -> &Arc<Object> {
        &self.object
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // The weak reference is dropped after the lock: it may free the space's memory.
        let space = self.object.mappings.lock().remove(self.slot);
        drop(space);
    }
}

impl Object {
    /// Takes the pages of an index range out of every mapping.
    pub(super) fn unmap_pages(&self, pages: Range<u64>) {
        let mut index = 0;
        loop {
            let space = match self.mappings.lock().get(index) {
                None => return,
                Some(Slot::Used(space)) => space.upgrade(),
                Some(Slot::Free { .. }) => None,
            };
            if let Some(space) = space {
                space.unmap_object_pages(self, &pages);
            }
            index += 1;
        }
    }
}
