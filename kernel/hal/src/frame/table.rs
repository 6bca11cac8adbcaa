//! The frame table: one record for each frame of physical memory.
//!
//! It lies in the direct map, in frames that `frame::init` took for it, and starts as whatever was in that memory: a
//! record means something only while its frame is allocated (its user wrote it then) or in a buddy list.
use crate::arch::Arch;
use crate::contract::Paging as _;
use core::ops::Range;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr};
use libkernel::buddy::{Link, Links};

/// What is known of one frame; which field counts depends on who has the frame.
#[repr(C)]
pub(crate) struct FrameRecord {
    /// The buddy allocator's list link while the frame is free.
    link: Link,
    /// `SharedFrame`: references, see [`super::references`]. Page table: entries in use. Slab: objects in use.
    pub count: AtomicU32,
    /// Slab: frame-relative offset of the first free object. `SharedFrame`: whether its instructions are visible. Page
    /// table: its level.
    pub free: AtomicU32,
    /// Page table, slab, and free frame in a chain: the next one in their list. Head of a block: references.
    pub next: AtomicU32,
    /// Slab: the previous one in its list. `SharedFrame`: loans.
    pub previous: AtomicU32,
}

/// Where the record of frame zero would be, the table's start, the frame of its first record, and their number.
static RECORDS: AtomicPtr<FrameRecord> = AtomicPtr::new(core::ptr::null_mut());
static START: AtomicPtr<FrameRecord> = AtomicPtr::new(core::ptr::null_mut());
static FIRST: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Bytes of the table for `frames` frames.
pub(super) fn bytes_for(frames: u64) -> u64 {
    (frames * size_of::<FrameRecord>() as u64).next_multiple_of(PAGE_SIZE)
}

/// Puts the table at `start`, for `frames`. Once, before any frame is handed out.
pub(super) fn place(start: PhysAddr, frames: Range<u64>) {
    let table: *mut FrameRecord = Arch::direct_map(start).cast();
    FIRST.store(frames.start as usize, Ordering::Relaxed);
    LENGTH.store((frames.end - frames.start) as usize, Ordering::Relaxed);
    START.store(table, Ordering::Relaxed);
    RECORDS.store(table.wrapping_sub(frames.start as usize), Ordering::Release);
}

/// The record of an allocated frame.
#[inline(always)]
pub(crate) fn record(frame: PhysAddr) -> &'static FrameRecord {
    record_of(frame.frame_number() as usize)
}

#[inline(always)]
fn record_of(number: usize) -> &'static FrameRecord {
    debug_assert!(
        number.wrapping_sub(FIRST.load(Ordering::Relaxed)) < LENGTH.load(Ordering::Relaxed),
        "a frame outside memory"
    );
    // SAFETY: the table covers every frame that the allocator manages and lives for ever; all shared access to a
    // record is through its atomics, and `link` is touched by the buddy allocator alone, under its lock.
    unsafe { &*RECORDS.load(Ordering::Relaxed).wrapping_add(number) }
}

/// The table as the buddy allocator sees it. There is one, inside the allocator's lock.
pub(super) struct TableLinks;

impl Links for TableLinks {
    fn len(&self) -> usize {
        LENGTH.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn get(&self, index: usize) -> Link {
        debug_assert!(index < self.len());
        // SAFETY: the buddy allocator passes indices below `len`, from the first record on, and `link` is its own. Any
        // bytes are a `Link`.
        unsafe { (*START.load(Ordering::Relaxed).add(index)).link }
    }

    #[inline(always)]
    fn set(&mut self, index: usize, link: Link) {
        debug_assert!(index < self.len());
        // SAFETY: as above; the lock around the allocator makes this the only access.
        unsafe { (&raw mut (*START.load(Ordering::Relaxed).add(index)).link).write(link) };
    }
}
