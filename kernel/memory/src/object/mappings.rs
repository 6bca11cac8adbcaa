//! Where an object is mapped.
//!
//! Every VMA over an object holds a [`Mapping`], which is registered in a slot of the object's list: adding
//! and removing take constant time however many mappings a popular library has. The list refers to address
//! spaces weakly; a space that is going away simply no longer answers. A slot says where in its space the mapping is by
//! an address that stays inside it: who cuts an area makes a new mapping for the upper part, and what is merged keeps
//! that of the lower one. So each mapping is found by itself, however many a space has.
//!
//! Pages are taken from the mappings one after the other, while the spaces change. Two rules let none be missed:
//! - what is added meanwhile comes behind all others and has its turn after them: a copy by `fork`, the upper part of a
//!   cut;
//! - what is removed before its turn keeps its slot until then: it may have been merged into a mapping whose turn is
//!   over, and its address leads there.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;

use crate::AddressSpace;
use abi::Errno;
use libkernel::addr::UserAddr;
use outcome::OrErrno;

use super::{Copies, Object};

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
    /// The slot whose turn is next, while somebody goes through them: none before the end is filled.
    walk: Option<u32>,
}

enum Slot {
    Used(Place, Stores),
    /// Removed before its turn.
    Left(Place),
    Free {
        next: Option<u32>,
    },
}

/// An address space, and an address inside the mapping.
#[derive(Clone)]
struct Place {
    space: Weak<AddressSpace>,
    at: UserAddr,
}

impl MappingList {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: None, storing: 0, forbids_stores: false, walk: None }
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
    fn insert(&mut self, place: Place, stores: Stores) -> Result<u32, Errno> {
        if stores == Stores::Reach && self.forbids_stores {
            return Err(Errno::EPERM);
        }
        let index = self.put(Slot::Used(place, stores))?;
        self.storing += u32::from(stores == Stores::Reach);
        Ok(index)
    }

    fn put(&mut self, used: Slot) -> Result<u32, Errno> {
        if self.walk.is_none()
            && let Some(index) = self.free
            && let Some(slot) = self.slots.get_mut(index as usize)
            && let Slot::Free { next } = *slot
        {
            self.free = next;
            *slot = used;
            return Ok(index);
        }
        let index = u32::try_from(self.slots.len()).map_err(|_| Errno::ENOMEM)?;
        self.slots.try_reserve(1).or_errno()?;
        self.slots.push(used);
        Ok(index)
    }

    /// Removes a mapping; what is to be dropped without the lock.
    fn remove(&mut self, index: u32) -> Option<Place> {
        let slot = self.slots.get_mut(index as usize)?;
        let Slot::Used(place, stores) = core::mem::replace(slot, Slot::Free { next: self.free }) else {
            return None;
        };
        self.storing -= u32::from(stores == Stores::Reach);
        if self.walk.is_some_and(|next| index >= next) {
            *slot = Slot::Left(place);
            return None;
        }
        self.free = Some(index);
        Some(place)
    }

    /// The next slot's turn: where its mapping is or was, if it is not free. `None` at the end of the walk.
    fn next(&mut self) -> Option<Option<Place>> {
        let index = self.walk?;
        let Some(slot) = self.slots.get_mut(index as usize) else {
            self.walk = None;
            return None;
        };
        self.walk = Some(index + 1);
        Some(match slot {
            Slot::Used(place, _) => Some(place.clone()),
            Slot::Free { .. } => None,
            Slot::Left(_) => {
                let free = Slot::Free { next: self.free };
                self.free = Some(index);
                match core::mem::replace(slot, free) {
                    Slot::Left(place) => Some(place),
                    Slot::Used(..) | Slot::Free { .. } => None,
                }
            }
        })
    }
}

/// One VMA's hold on an object. Dropped, it leaves the object's list.
pub(crate) struct Mapping {
    object: Arc<Object>,
    slot: u32,
    stores: Stores,
}

impl Mapping {
    /// Registers a mapping of `object` that begins at `start` in the address space. `EPERM` where a seal forbids
    /// stores.
    pub(crate) fn new(
        object: Arc<Object>,
        space: Weak<AddressSpace>,
        start: UserAddr,
        stores: Stores,
    ) -> Result<Self, Errno> {
        let slot = object.mappings.lock().insert(Place { space, at: start }, stores)?;
        Ok(Self { object, slot, stores })
    }

    /// Another mapping of the object with the same rights, in the given space.
    pub(crate) fn again(&self, space: Weak<AddressSpace>, start: UserAddr) -> Result<Self, Errno> {
        Self::new(self.object.clone(), space, start, self.stores)
    }

    /// A second hold for the same address space, of what begins at `start`; `None` when memory is short.
    pub(crate) fn try_clone(&self, start: UserAddr) -> Option<Self> {
        let mut mappings = self.object.mappings.lock();
        let Some(Slot::Used(place, _)) = mappings.slots.get(self.slot as usize) else { return None };
        let place = Place { space: place.space.clone(), at: start };
        let slot = mappings.insert(place, self.stores).ok()?;
        Some(Self { object: self.object.clone(), slot, stores: self.stores })
    }

    pub(crate) fn object(&self) -> &Arc<Object> {
        &self.object
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // The weak reference is dropped after the lock: it may free the space's memory.
        let place = self.object.mappings.lock().remove(self.slot);
        drop(place);
    }
}

impl Object {
    /// Takes the pages of an index range out of every mapping. It is the caller's turn to write.
    pub(super) fn unmap_pages(&self, pages: Range<u64>, copies: Copies) {
        self.mappings.lock().walk = Some(0);
        loop {
            let Some(next) = self.mappings.lock().next() else { return };
            let Some(place) = next else { continue };
            if let Some(space) = place.space.upgrade() {
                space.unmap_object_pages(place.at, self, &pages, copies);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: u64) -> Place {
        Place { space: Weak::new(), at: UserAddr::new(at) }
    }

    fn rest(list: &mut MappingList) -> Vec<u64> {
        let mut found = Vec::new();
        while let Some(next) = list.next() {
            found.extend(next.map(|place| place.at.as_u64()));
        }
        found
    }

    #[test]
    fn a_walk_misses_nothing_that_changes_meanwhile() {
        let mut list = MappingList::new();
        let [first, second, third] = [1, 2, 3].map(|at| list.insert(place(at), Stores::StayOut).unwrap());
        list.walk = Some(0);
        assert_eq!(list.next().flatten().map(|place| place.at.as_u64()), Some(1));
        // Its turn is over: it just goes. The second may have been merged into it, and has its turn.
        assert!(list.remove(first).is_some());
        assert!(list.remove(second).is_none());
        // What comes now comes last, free slots or not.
        list.insert(place(4), Stores::StayOut).unwrap();
        assert_eq!(rest(&mut list), [2, 3, 4]);
        assert!(list.remove(third).is_some());
        // All that has gone is free again.
        for at in 5..8 {
            assert!(list.insert(place(at), Stores::StayOut).unwrap() < 3);
        }
    }
}
