//! Objects of more than a frame out of single frames, where memory is in pieces.
//!
//! Their frames are mapped side by side in a pool of slots for each order (`paging::slots`), so that no allocation of
//! up to 2 MiB fails while there are frames. Devices get none of this memory: it is not in the direct map.
use crate::frame;
use crate::paging::slots;
use core::ptr;

/// Pages of an object that is small enough to take from the reserve what it needs; larger ones leave half of it.
const SMALL: usize = 16;

/// An object of `1 << order` pages, or null.
#[cold]
pub fn allocate(order: u32) -> *mut u8 {
    let Some(pool) = slots::objects(order) else { return ptr::null_mut() };
    if cfg!(target_os = "linux") || 1 << order > SMALL && !frame::is_free(1 << order) {
        return ptr::null_mut();
    }
    pool.take().map_or(ptr::null_mut(), |slot| pool.bottom(slot) as *mut u8)
}

/// Whether an object is one of these.
#[inline(always)]
pub fn has(object: *const u8) -> bool {
    !cfg!(target_os = "linux") && slots::is_object(object as u64)
}

/// Takes an object back.
///
/// # Safety
/// It came from [`allocate`] with this order, and nobody uses it any more.
#[cold]
pub unsafe fn free(object: *const u8, order: u32) {
    if let Some(pool) = slots::objects(order) {
        // SAFETY: by the caller's promise.
        unsafe { pool.keep(pool.slot_of(object as u64)) };
    }
}
