//! The address spaces that map an object.
//!
//! Every VMA over an object holds a [`Mapping`], which is registered in a slot of the object's list: adding
//! and removing take constant time however many mappings a popular library has. The list refers to address
//! spaces weakly; a space that is going away simply no longer answers.
//!
//! Pages are taken from the mappings one after the other. A space that is forked meanwhile may hand pages on that are going, if its turn is
//! still to come; so what is added then comes behind all others, and has its turn after them.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;

use abi::Errno;

use super::{Copies, Object};
use crate::memory::AddressSpace;

/// Whether stores through a mapping can reach the object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    /// They can, if only after `mprotect`: it is shared, and of a file that was open for writing.
    Reach,
    /// They never do.
    StayOut,
}

/// The slots of an object's mappings; free ones are chained by index.
pub(super) struct MappingList {
    slots: Vec<Slot>,
    free: Option<u32>,
    /// How many mappings' stores reach the object.
    storing: u32,
    /// No new ones may: `F_SEAL_WRITE`.
    forbids_stores: bool,
    /// Somebody goes through the slots: none before the end is filled.
    is_walked: bool,
}

enum Slot {
    Used(Weak<AddressSpace>, Stores),
    Free { next: Option<u32> },
}

impl MappingList {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: None, storing: 0, forbids_stores: false, is_walked: false }
    }

    /// From now on there is no mapping whose stores reach the object. EBUSY while there is.
    pub(super) fn forbid_stores(&mut self) -> Result<(), Errno> {
        if self.storing != 0 {
            return Err(Errno::EBUSY);
        }
        self.forbids_stores = true;
        Ok(())
    }

    /// EPERM where no stores are allowed any more.
    fn insert(&mut self, space: Weak<AddressSpace>, stores: Stores) -> Result<u32, Errno> {
        if stores == Stores::Reach && self.forbids_stores {
            return Err(Errno::EPERM);
        }
        let index = self.place(Slot::Used(space, stores))?;
        self.storing += u32::from(stores == Stores::Reach);
        Ok(index)
    }

    fn place(&mut self, used: Slot) -> Result<u32, Errno> {
        if !self.is_walked
            && let Some(index) = self.free
            && let Some(slot) = self.slots.get_mut(index as usize)
            && let Slot::Free { next } = *slot
        {
            self.free = next;
            *slot = used;
            return Ok(index);
        }
        let index = u32::try_from(self.slots.len()).map_err(|_| Errno::ENOMEM)?;
        self.slots.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.slots.push(used);
        Ok(index)
    }

    fn remove(&mut self, index: u32) -> Option<Weak<AddressSpace>> {
        let slot = self.slots.get_mut(index as usize)?;
        let free = Slot::Free { next: self.free };
        let Slot::Used(space, stores) = core::mem::replace(slot, free) else { return None };
        self.free = Some(index);
        self.storing -= u32::from(stores == Stores::Reach);
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
    stores: Stores,
}

impl Mapping {
    /// Registers a mapping of `object` in the address space. `EPERM` where a seal forbids stores.
    pub(in crate::memory) fn new(
        object: Arc<Object>,
        space: Weak<AddressSpace>,
        stores: Stores,
    ) -> Result<Self, Errno> {
        let slot = object.mappings.lock().insert(space, stores)?;
        Ok(Self { object, slot, stores })
    }

    /// Another mapping of the object with the same rights, in the given space.
    pub(in crate::memory) fn again(&self, space: Weak<AddressSpace>) -> Result<Self, Errno> {
        Self::new(self.object.clone(), space, self.stores)
    }

    /// A second hold for the same address space; `None` when memory is short.
    pub(in crate::memory) fn try_clone(&self) -> Option<Self> {
        let mut mappings = self.object.mappings.lock();
        let Some(Slot::Used(space, _)) = mappings.get(self.slot as usize) else { return None };
        let space = space.clone();
        let slot = mappings.insert(space, self.stores).ok()?;
        Some(Self { object: self.object.clone(), slot, stores: self.stores })
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
    /// Takes the pages of an index range out of every mapping. It is the caller's turn to write.
    pub(super) fn unmap_pages(&self, pages: Range<u64>, copies: Copies) {
        self.mappings.lock().is_walked = true;
        let mut index = 0;
        loop {
            let mut mappings = self.mappings.lock();
            let space = match mappings.get(index) {
                None => {
                    mappings.is_walked = false;
                    return;
                }
                Some(Slot::Used(space, _)) => space.upgrade(),
                Some(Slot::Free { .. }) => None,
            };
            drop(mappings);
            if let Some(space) = space {
                space.unmap_object_pages(self, &pages, copies);
            }
            index += 1;
        }
    }
}
