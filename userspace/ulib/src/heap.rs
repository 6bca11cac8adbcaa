//! The heap: the `dlmalloc` crate over anonymous mappings, under one lock.

use crate::sync::Mutex;
use abi::memory::MREMAP_MAYMOVE;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;
use dlmalloc::{Allocator, Dlmalloc};
use libsyscall::memory;

/// What the kernel calls a page, on both architectures as Orlop and most Linux systems configure them.
const PAGE_SIZE: usize = 4096;

/// Where dlmalloc's memory comes from.
struct Mappings;

// SAFETY: every range given out is a fresh mapping that nobody else knows, and is unmapped only when dlmalloc says so.
unsafe impl Allocator for Mappings {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        match memory::map_anonymous(size) {
            Ok(address) => (address, size, 0),
            Err(_) => (null_mut(), 0, 0),
        }
    }

    fn remap(&self, address: *mut u8, old: usize, new: usize, can_move: bool) -> *mut u8 {
        let flags = if can_move { MREMAP_MAYMOVE } else { 0 };
        // SAFETY: dlmalloc owns the range and uses the returned address from now on.
        unsafe { memory::mremap(address, old, new, flags) }.unwrap_or(null_mut())
    }

    fn free_part(&self, address: *mut u8, old: usize, new: usize) -> bool {
        // SAFETY: dlmalloc owns the range and gives up its end.
        unsafe { memory::munmap(address.add(new), old - new) }.is_ok()
    }

    fn free(&self, address: *mut u8, size: usize) -> bool {
        // SAFETY: dlmalloc owns the range and gives it up.
        unsafe { memory::munmap(address, size) }.is_ok()
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE_SIZE
    }
}

/// The program's allocator.
struct Heap(Mutex<Dlmalloc<Mappings>>);

// SAFETY: dlmalloc upholds the contract, and the lock makes each call exclusive.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout has a size that is not zero, as the caller promises.
        unsafe { self.0.lock().malloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the block came from this heap with this layout, as the caller promises.
        unsafe { self.0.lock().free(address, layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { self.0.lock().calloc(layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`.
        unsafe { self.0.lock().realloc(address, layout.size(), layout.align(), new_size) }
    }
}

#[global_allocator]
static HEAP: Heap = Heap(Mutex::new(Dlmalloc::new_with_allocator(Mappings)));
