//! A counted frame of 4 KiB that programs may map, by itself or as part of a block.
#[cfg(test)]
use super::references::FULL;
use super::references::{self, STUCK};
use super::{Account, OutOfMemory, allocate_zeroed, allocator, instructions, may_allocate, record};
use crate::arch::Arch;
use crate::contract::{Cpu as _, Paging as _, UserAccess as _};
use crate::sync::{Once, preempt};
use crate::user_copy::{self, OnAbsent};
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::sync::atomic::Ordering;
use libkernel::addr::{PAGE_SIZE, PhysAddr, UserAddr};

const FRAME_BYTES: usize = PAGE_SIZE as usize;

/// One reference to a frame; the frame is freed with the last. One that was referred to [`FULL`] times stays for ever.
/// A frame of a [block](super::SharedBlock) has its references in common with the others.
///
/// Programs and other CPUs may change the content at any time, so it is only copied, in assembly, and never borrowed.
/// Offsets beyond the frame are cut off: every copy returns the bytes done.
#[derive(Debug, PartialEq, Eq)]
pub struct SharedFrame(PhysAddr);

static ZERO: Once<SharedFrame> = Once::new();

impl SharedFrame {
    /// A zeroed frame that an account is charged for; fails below the low watermark, and where the account has as many
    /// as it may.
    #[inline(always)]
    pub fn alloc_zeroed(account: Account) -> Result<Self, OutOfMemory> {
        if !may_allocate() {
            return Err(OutOfMemory);
        }
        account.charge(1)?;
        let frame = allocate_zeroed().inspect_err(|_| account.give_back(1))?;
        Ok(Self::first(frame, account))
    }

    /// The first reference to a frame.
    #[inline]
    fn first(frame: PhysAddr, account: Account) -> Self {
        references::begin(frame, account);
        let frame = Self(frame);
        frame.note_write();
        frame
    }

    /// The shared frame of zeros. It is never unique, no page table maps it writable, and nobody writes to it.
    #[inline]
    pub fn zero() -> Self {
        // Made by the kernel's first use, before any program runs.
        let make = || {
            let zero =
                Self::first(allocate_zeroed().expect("no memory for the frame of zeros"), Account::NONE);
            record(zero.0).count.store(STUCK, Ordering::Relaxed);
            zero
        };
        Self(ZERO.get_or_init(make).0)
    }

    /// True for the shared frame of zeros.
    #[inline]
    pub fn is_zero(&self) -> bool {
        is_zero(self.0)
    }

    /// Panics for the frame of zeros, which every program reads.
    #[inline(always)]
    fn assert_writable(&self) {
        assert!(!self.is_zero(), "a write to the frame of zeros");
    }

    /// True if this is the only reference.
    #[inline]
    pub fn is_unique(&self) -> bool {
        self.references() == 1
    }

    /// How many references there are, this one, its block's and loans included; others come and go meanwhile. Very many
    /// for the frame of zeros.
    #[inline]
    pub fn references(&self) -> u32 {
        references::of(self.0)
    }

    /// `log2` of the frames of the block that it belongs to; 0 where it is one by itself.
    pub fn order(&self) -> u32 {
        references::head_of(self.0).1
    }

    /// The frame that lies so many frames behind this one in their block.
    ///
    /// # Panics
    /// If it does not lie there.
    #[cold]
    pub fn neighbour(&self, distance: u64) -> Self {
        let (head, order) = references::head_of(self.0);
        let frame = self.0.wrapping_add(distance * PAGE_SIZE);
        assert!(frame.as_u64() - head.as_u64() < PAGE_SIZE << order, "not in the block");
        references::add(frame);
        Self(frame)
    }

    /// Its physical address.
    pub fn phys(&self) -> PhysAddr {
        self.0
    }

    /// Moves the reference into a page-table entry.
    #[inline]
    pub(crate) fn into_phys(self) -> PhysAddr {
        ManuallyDrop::new(self).0
    }

    /// Takes the reference out of a page-table entry.
    ///
    /// # Safety
    /// The reference was moved there by [`Self::into_phys`], and the entry has let go of it.
    #[inline]
    pub(crate) unsafe fn from_phys(frame: PhysAddr) -> Self {
        Self(frame)
    }

    /// Another reference, to the frame that a page-table entry holds.
    ///
    /// # Safety
    /// The entry cannot let go of its reference meanwhile.
    #[inline]
    pub(crate) unsafe fn borrowed(frame: PhysAddr) -> Self {
        references::add(frame);
        Self(frame)
    }

    #[inline]
    fn memory(&self) -> *mut u8 {
        Arch::direct_map(self.0)
    }

    /// A new frame with the same content; fails as [`Self::alloc_zeroed`].
    #[inline(always)]
    pub fn duplicate(&self, account: Account) -> Result<Self, OutOfMemory> {
        if !may_allocate() {
            return Err(OutOfMemory);
        }
        account.charge(1)?;
        let frame = allocator::allocate().inspect_err(|_| account.give_back(1))?;
        let copy = Self::first(frame, account);
        // SAFETY: two whole, distinct frames in the direct map.
        unsafe { Arch::copy_shared(copy.memory(), self.memory(), FRAME_BYTES) };
        Ok(copy)
    }

    /// The part of a request that lies in the frame.
    #[inline]
    fn clamp(offset: usize, length: usize) -> (usize, usize) {
        let offset = offset.min(FRAME_BYTES);
        (offset, length.min(FRAME_BYTES - offset))
    }

    /// Copies from the frame at `offset`.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> usize {
        let (offset, length) = Self::clamp(offset, to.len());
        // SAFETY: `clamp` keeps the source in the frame; the slice has `length` bytes.
        unsafe { Arch::copy_shared(to.as_mut_ptr(), self.memory().add(offset), length) };
        length
    }

    /// Copies into the frame at `offset`. Panics for the frame of zeros, as other writes do.
    pub fn write(&self, offset: usize, from: &[u8]) -> usize {
        self.assert_writable();
        let (offset, length) = Self::clamp(offset, from.len());
        // SAFETY: as above, the other way.
        unsafe { Arch::copy_shared(self.memory().add(offset), from.as_ptr(), length) };
        self.note_write();
        length
    }

    /// Zeros a range of the frame.
    pub fn fill_zero(&self, range: Range<usize>) {
        self.assert_writable();
        let (offset, length) = Self::clamp(range.start, range.end.saturating_sub(range.start));
        // SAFETY: `clamp` keeps the range in the frame.
        unsafe { Arch::clear_shared(self.memory().add(offset), length) };
        self.note_write();
    }

    /// Copies `length` bytes at `offset` to user memory; bytes done.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn copy_to_user(&self, offset: usize, length: usize, to: UserAddr, absent: OnAbsent) -> usize {
        absent.note();
        let (offset, length) = Self::clamp(offset, length);
        let Some(to) = user_copy::checked(to, length as u64) else { return 0 };
        // SAFETY: `clamp` keeps the source in the frame, and the range lies in user space.
        length - unsafe { Arch::copy_out(to, self.memory().add(offset), length, absent) }
    }

    /// Copies `length` bytes of user memory to `offset`; bytes done.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn copy_from_user(&self, offset: usize, length: usize, from: UserAddr, absent: OnAbsent) -> usize {
        self.assert_writable();
        absent.note();
        let (offset, length) = Self::clamp(offset, length);
        let Some(from) = user_copy::checked(from, length as u64) else { return 0 };
        // SAFETY: as above, the other way.
        let left = unsafe { Arch::copy_in(self.memory().add(offset), from, length, absent) };
        self.note_write();
        length - left
    }

    /// The kernel has written to the frame: before it is mapped executable again, its instructions must be made
    /// visible.
    #[inline(always)]
    fn note_write(&self) {
        if !Arch::COHERENT_INSTRUCTIONS {
            instructions::note_write(&record(self.0).free);
        }
    }
}

/// Whether a frame is the one of zeros.
#[inline]
pub(crate) fn is_zero(frame: PhysAddr) -> bool {
    ZERO.get().is_some_and(|zero| zero.0 == frame)
}

/// Makes what the kernel has written to a frame visible to execution, if that was not done since. For page tables,
/// before they let programs execute it; what a program writes itself, it makes visible itself, as on Linux.
#[inline(always)]
pub(crate) fn synchronise_instructions(frame: PhysAddr) {
    let state = &record(frame).free;
    if !Arch::COHERENT_INSTRUCTIONS && !instructions::are_visible(state) {
        // The CPU's number stands for this attempt alone.
        let guard = preempt::disable();
        instructions::begin(state, Arch::id());
        Arch::synchronise_instructions(frame);
        instructions::end(state, Arch::id());
        drop(guard);
    }
}

impl Clone for SharedFrame {
    #[inline]
    fn clone(&self) -> Self {
        references::add(self.0);
        Self(self.0)
    }
}

impl Drop for SharedFrame {
    #[inline]
    fn drop(&mut self) {
        references::remove(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_full_stays_so() {
        let frame = SharedFrame::alloc_zeroed(Account::NONE).unwrap();
        let count = &record(frame.0).count;
        count.store(FULL - 2, Ordering::Relaxed);
        let more: [_; 5] = core::array::from_fn(|_| frame.clone());
        assert_eq!(frame.references(), STUCK);
        // One is taken away that was never counted, and so on, down to none: the frame is still there.
        drop(more);
        assert_eq!(frame.references(), STUCK);
        assert!(!frame.is_unique());
        count.store(1, Ordering::Relaxed);
    }

    /// Another CPU has seen, before the last reference that is counted, that they are, and takes its own off after some
    /// that are not.
    #[test]
    fn a_count_that_is_full_stays_so_for_who_looked_before() {
        let frame = SharedFrame::alloc_zeroed(Account::NONE).unwrap();
        let block = super::super::SharedBlock::alloc_zeroed(1, Account::NONE).unwrap().into_frame();
        for (frame, count) in [(&frame, &record(frame.0).count), (&block, &record(block.0).next)] {
            let before = count.swap(FULL - 1, Ordering::Relaxed);
            let more: [_; 5] = core::array::from_fn(|_| frame.clone());
            count.fetch_sub(1, Ordering::Relaxed);
            assert!(count.load(Ordering::Relaxed) >= FULL);
            drop(more);
            assert!(count.load(Ordering::Relaxed) >= FULL);
            count.store(before, Ordering::Relaxed);
        }
    }
}
