//! Slabs: frames cut into objects of one size. A slab is one frame: where free frames no longer lie side by side, as in
//! the reserve after all else was given away, small objects are still to be had.
//!
//! A class's free objects are found through its list of slabs that have some; a slab's own state (objects in use, first
//! free object) stands in the frame table's record of the frame, and each free object holds the address of the
//! next. A slab without used objects goes back to the frame allocator.
//!
//! Lock order: a class's lock → the buddy lock.
use super::classes;
use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::frame::{allocate_block, free_block, record};
use crate::sync::IrqLock;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::Relaxed;
use libkernel::addr::{PAGE_SIZE, PhysAddr};

/// "No object" and "no slab".
const NONE: u32 = u32::MAX;

/// A free object: the next one of its list.
pub struct FreeObject {
    /// The next, or null.
    pub next: *mut FreeObject,
}

/// The slabs of one class that have free objects.
pub struct Class {
    first: u32,
}

impl Class {
    const EMPTY: Self = Self { first: NONE };
}

static CLASSES: [IrqLock<Class>; classes::CLASSES] = [const { IrqLock::new(Class::EMPTY) }; classes::CLASSES];

/// Takes up to `wanted` objects; returns how many, chained through `FreeObject::next`.
pub fn take(class: usize, wanted: usize) -> (*mut FreeObject, usize) {
    let mut slabs = CLASSES[class].lock();
    let (mut chain, mut count) = (ptr::null_mut(), 0);
    while count < wanted {
        let Some(slab) = slabs.first_slab(class) else { break };
        let object = pop(slab);
        if record(slab).free.load(Relaxed) == NONE {
            slabs.unlink(slab);
        }
        // SAFETY: the object is free memory of a slab and now ours.
        unsafe { (*object).next = chain };
        chain = object;
        count += 1;
    }
    (chain, count)
}

/// Gives a chain of objects back.
///
/// # Safety
/// The chain consists of objects that [`take`] gave for `class` and that nobody uses.
pub unsafe fn give(class: usize, mut chain: *mut FreeObject) {
    let mut slabs = CLASSES[class].lock();
    while let Some(object) = NonNull::new(chain) {
        // SAFETY: an object of the chain, see above.
        chain = unsafe { (*object.as_ptr()).next };
        let slab = slab_of(object.as_ptr());
        let slab_record = record(slab);
        let was_full = slab_record.free.load(Relaxed) == NONE;
        push(slab, object.as_ptr());
        let used = slab_record.count.load(Relaxed) - 1;
        slab_record.count.store(used, Relaxed);
        if used == 0 {
            if !was_full {
                slabs.unlink(slab);
            }
            free_block(slab, 0);
        } else if was_full {
            slabs.link(slab);
        }
    }
}

fn slab_of(object: *mut FreeObject) -> PhysAddr {
    PhysAddr::new(Arch::direct_unmap(object.cast()).as_u64() & !(PAGE_SIZE - 1))
}

/// Takes the first free object of a slab that has one.
fn pop(slab: PhysAddr) -> *mut FreeObject {
    let slab_record = record(slab);
    let offset = slab_record.free.load(Relaxed);
    debug_assert!(u64::from(offset) < PAGE_SIZE);
    let object: *mut FreeObject = Arch::direct_map(slab).wrapping_add(offset as usize).cast();
    // SAFETY: the record names a free object of this slab, which holds the next one's address.
    let next = unsafe { (*object).next };
    slab_record.free.store(offset_in(slab, next), Relaxed);
    slab_record.count.store(slab_record.count.load(Relaxed) + 1, Relaxed);
    object
}

/// Makes an object the first free one of its slab.
fn push(slab: PhysAddr, object: *mut FreeObject) {
    let slab_record = record(slab);
    let next = match slab_record.free.load(Relaxed) {
        NONE => ptr::null_mut(),
        offset => Arch::direct_map(slab).wrapping_add(offset as usize).cast(),
    };
    // SAFETY: the object was given back: its memory is the slab's.
    unsafe { (*object).next = next };
    slab_record.free.store(offset_in(slab, object), Relaxed);
}

fn offset_in(slab: PhysAddr, object: *mut FreeObject) -> u32 {
    if object.is_null() { NONE } else { (object as usize - Arch::direct_map(slab) as usize) as u32 }
}

impl Class {
    /// A slab with a free object: the first of the list, else a new one.
    fn first_slab(&mut self, class: usize) -> Option<PhysAddr> {
        if self.first != NONE {
            return Some(PhysAddr::of_frame(self.first.into()));
        }
        let slab = allocate_block(0).ok()?;
        let slab_record = record(slab);
        slab_record.free.store(NONE, Relaxed);
        slab_record.count.store(0, Relaxed);
        for index in (0..classes::objects(class)).rev() {
            push(slab, Arch::direct_map(slab).wrapping_add(index * classes::size(class)).cast());
        }
        self.link(slab);
        Some(slab)
    }

    fn link(&mut self, slab: PhysAddr) {
        let number = slab.frame_number() as u32;
        let slab_record = record(slab);
        slab_record.next.store(self.first, Relaxed);
        slab_record.previous.store(NONE, Relaxed);
        if self.first != NONE {
            record(PhysAddr::of_frame(self.first.into())).previous.store(number, Relaxed);
        }
        self.first = number;
    }

    fn unlink(&mut self, slab: PhysAddr) {
        let slab_record = record(slab);
        let (next, previous) = (slab_record.next.load(Relaxed), slab_record.previous.load(Relaxed));
        if next != NONE {
            record(PhysAddr::of_frame(next.into())).previous.store(previous, Relaxed);
        }
        if previous != NONE {
            record(PhysAddr::of_frame(previous.into())).next.store(next, Relaxed);
        } else {
            self.first = next;
        }
    }
}
