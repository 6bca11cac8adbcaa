//! The kernel's heap: size classes on slabs, with a list of free objects for each CPU and class.
//!
//! Small objects come from the CPU's own list without a lock (about 20 instructions); the list is refilled from the
//! slabs in batches. Large ones are blocks of frames or, where none lie side by side, single frames in a window of
//! kernel addresses. Objects may be freed in interrupt handlers, so the lists are used with interrupts masked. The heap
//! may go into the reserve: see `frame`.
mod classes;
mod pieces;
mod slab;

use crate::arch::Arch;
use crate::contract::Paging as _;
use crate::cpu::MAX_CPUS;
use crate::frame::{allocate_block, allocate_chunks, free_block, free_chunks};
use crate::sync::PerCpu;
use classes::{CLASSES, Placement};
use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr;
use slab::FreeObject;

/// Objects that move between a CPU's list and the slabs at once, and the list's limit.
const BATCH: usize = 16;
const LIMIT: usize = 2 * BATCH;

/// One CPU's free objects of one class.
struct List {
    first: Cell<*mut FreeObject>,
    count: Cell<usize>,
}

/// One CPU's lists.
struct Lists([List; CLASSES]);

// SAFETY: the objects in the lists are free memory that belongs to the lists alone.
unsafe impl Send for Lists {}

static LISTS: PerCpu<Lists> = PerCpu::new(
    [const { Lists([const { List { first: Cell::new(ptr::null_mut()), count: Cell::new(0) } }; CLASSES]) };
        MAX_CPUS],
);

/// The heap. There is one.
pub struct Heap;

#[cfg(not(target_os = "linux"))]
#[global_allocator]
static HEAP: Heap = Heap;

// SAFETY: objects of a class are at least as large and as aligned as every layout that `place` sends there, and are
// handed out once until they come back.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match classes::place(layout) {
            Some(Placement::Slab(class)) => with_list(class, |list| list.pop(class)),
            Some(Placement::Block(order)) => {
                allocate_block(order).map_or_else(|_| pieces::allocate(order), Arch::direct_map)
            }
            Some(Placement::Chunks(count)) => {
                allocate_chunks(count).map_or(ptr::null_mut(), Arch::direct_map)
            }
            None => ptr::null_mut(),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        match classes::place(layout) {
            Some(Placement::Slab(class)) => with_list(class, |list| list.push(class, object.cast())),
            // SAFETY: the caller gives the object up.
            Some(Placement::Block(order)) if pieces::has(object) => unsafe { pieces::free(object, order) },
            Some(Placement::Block(order)) => free_block(Arch::direct_unmap(object), order),
            Some(Placement::Chunks(count)) => free_chunks(Arch::direct_unmap(object), count),
            None => {}
        }
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        if classes::place(layout) == classes::place(new_layout) {
            return object;
        }
        // SAFETY: the caller's promises are those of these calls; the two objects are distinct.
        unsafe {
            let copy = self.alloc(new_layout);
            if !copy.is_null() {
                ptr::copy_nonoverlapping(object, copy, layout.size().min(new_size));
                self.dealloc(object, layout);
            }
            copy
        }
    }
}

#[inline(always)]
fn with_list<R>(class: usize, action: impl FnOnce(&List) -> R) -> R {
    LISTS.with_masked(|lists| action(&lists.0[class]))
}

impl List {
    #[inline(always)]
    fn pop(&self, class: usize) -> *mut u8 {
        let object = self.first.get();
        if object.is_null() {
            return self.refill(class);
        }
        // SAFETY: an object of the list is free memory that holds the next one's address.
        self.first.set(unsafe { (*object).next });
        self.count.set(self.count.get() - 1);
        object.cast()
    }

    #[inline(always)]
    fn push(&self, class: usize, object: *mut FreeObject) {
        if self.count.get() == LIMIT {
            self.drain(class);
        }
        // SAFETY: the object was just freed: its memory is the list's.
        unsafe { (*object).next = self.first.get() };
        self.first.set(object);
        self.count.set(self.count.get() + 1);
    }

    #[cold]
    fn refill(&self, class: usize) -> *mut u8 {
        let (chain, count) = slab::take(class, BATCH);
        if count == 0 {
            return ptr::null_mut();
        }
        // SAFETY: the first of at least one object of the chain.
        self.first.set(unsafe { (*chain).next });
        self.count.set(count - 1);
        chain.cast()
    }

    /// Gives the older half back to the slabs.
    #[cold]
    fn drain(&self, class: usize) {
        let mut last_kept = self.first.get();
        for _ in 1..LIMIT - BATCH {
            // SAFETY: the list has LIMIT objects.
            last_kept = unsafe { (*last_kept).next };
        }
        // SAFETY: as above; the rest of the chain leaves the list here and is given back once.
        unsafe {
            let rest = (*last_kept).next;
            (*last_kept).next = ptr::null_mut();
            slab::give(class, rest);
        }
        self.count.set(LIMIT - BATCH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::KernelFrame;
    use std::vec::Vec;

    /// Fills objects of many sizes with their own number, frees them in another order, and looks for damage.
    #[test]
    fn objects_do_not_overlap() {
        let layouts: Vec<_> = (0..2000)
            .map(|number| Layout::from_size_align(1 + number * 7 % 5000, 1 << (number % 7)).unwrap())
            .collect();
        let mut live = Vec::new();
        for (number, layout) in layouts.iter().enumerate() {
            // SAFETY: the layouts are not empty; each object is written within its size and freed once.
            unsafe {
                let object = Heap.alloc(*layout);
                assert!(!object.is_null() && (object as usize).is_multiple_of(layout.align()));
                ptr::write_bytes(object, number as u8, layout.size());
                live.push((number, object));
            }
        }
        live.sort_by_key(|(number, _)| number.wrapping_mul(2_654_435_761) % 2003);
        for (number, object) in live {
            // SAFETY: as above.
            unsafe {
                let bytes = core::slice::from_raw_parts(object, layouts[number].size());
                assert!(bytes.iter().all(|&byte| byte == number as u8));
                Heap.dealloc(object, layouts[number]);
            }
        }
    }

    #[test]
    fn growing_keeps_the_content() {
        // SAFETY: the object is used within its size and freed with its last layout.
        unsafe {
            let mut layout = Layout::from_size_align(8, 8).unwrap();
            let mut object = Heap.alloc(layout);
            object.cast::<u64>().write(0x0123_4567_89ab_cdef);
            for size in [24, 100, 3000, 20_000] {
                object = Heap.realloc(object, layout, size);
                layout = Layout::from_size_align(size, 8).unwrap();
                assert_eq!(object.cast::<u64>().read(), 0x0123_4567_89ab_cdef);
            }
            Heap.dealloc(object, layout);
        }
    }

    #[test]
    fn small_objects_need_no_two_frames_side_by_side() {
        let program = std::env::current_exe().unwrap();
        let name = "heap::tests::in_memory_of_which_every_other_frame_is_free";
        let status = std::process::Command::new(program).args([name, "--exact", "--ignored"]).status();
        assert!(status.unwrap().success());
    }

    #[test]
    #[ignore = "takes all memory: the test above runs it in a process of its own"]
    fn in_memory_of_which_every_other_frame_is_free() {
        let all: Vec<_> = core::iter::from_fn(|| KernelFrame::alloc_zeroed().ok()).collect();
        assert!(all.len() > 4096);
        let (held, free): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|frame| frame.phys().frame_number().is_multiple_of(2));
        drop(free);
        let mut objects = Vec::new();
        for bytes in (16..=4096).step_by(16) {
            let layout = Layout::from_size_align(bytes, 16).unwrap();
            // SAFETY: the layout is not empty; the object is freed once, below.
            objects.push((unsafe { Heap.alloc(layout) }, layout));
        }
        assert!(objects.iter().all(|(object, _)| !object.is_null()));
        // SAFETY: as above.
        objects.into_iter().for_each(|(object, layout)| unsafe { Heap.dealloc(object, layout) });
        drop(held);
    }
}
