//! A counted block of neighbouring frames.
use super::references;
use super::{Account, OutOfMemory, SharedFrame, allocator, may_allocate};
use core::mem::ManuallyDrop;
use libkernel::addr::{PAGE_SIZE, PhysAddr};
use libkernel::buddy::MAX_ORDER;

/// One reference to `1 << order` frames that lie one behind the other, from a multiple of their size on. They have one
/// count of references, at the first of them, and are freed together with the last.
#[derive(Debug, PartialEq, Eq)]
pub struct SharedBlock(SharedFrame);

impl SharedBlock {
    /// A block of zeroed frames, of an order from 1 to [`MAX_ORDER`]; fails where that would leave less than the low
    /// watermark, there are only smaller pieces, or the account has as many as it may.
    pub fn alloc_zeroed(order: u32, account: Account) -> Result<Self, OutOfMemory> {
        if !(1..=MAX_ORDER).contains(&order) || !may_allocate() {
            return Err(OutOfMemory);
        }
        account.charge(1 << order)?;
        let head = allocator::allocate_block_above_watermark(order)
            .inspect_err(|_| account.give_back(1 << order))?;
        references::begin_block(head, order, account);
        // SAFETY: this is the first reference.
        let block = unsafe { Self::from_phys(head) };
        (0..1 << order).for_each(|index| block.frame(index).fill_zero(0..PAGE_SIZE as usize));
        Ok(block)
    }

    /// `log2` of its frames.
    pub fn order(&self) -> u32 {
        self.0.order()
    }

    /// A reference to one of its frames.
    pub fn frame(&self, index: u64) -> SharedFrame {
        self.0.neighbour(index)
    }

    /// The reference as one to its first frame, which has all of them live on.
    pub fn into_frame(self) -> SharedFrame {
        self.0
    }

    /// The physical address of its first frame.
    pub fn phys(&self) -> PhysAddr {
        self.0.phys()
    }

    /// Moves the reference into a page-table entry.
    pub(crate) fn into_phys(self) -> PhysAddr {
        ManuallyDrop::new(self).phys()
    }

    /// Takes the reference out of a page-table entry.
    ///
    /// # Safety
    /// The reference, to the block that begins there, was moved there by [`Self::into_phys`], and the entry has let go
    /// of it.
    pub(crate) unsafe fn from_phys(head: PhysAddr) -> Self {
        // SAFETY: a reference to a block is one to its first frame.
        Self(unsafe { SharedFrame::from_phys(head) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_one_count_and_goes_as_a_whole() {
        let block = SharedBlock::alloc_zeroed(3, Account::NONE).unwrap();
        assert_eq!((block.order(), block.0.references()), (3, 1));
        assert_eq!(block.phys().as_u64() % (8 * PAGE_SIZE), 0);
        let frames: [_; 8] = core::array::from_fn(|index| block.frame(index as u64));
        for (index, frame) in frames.iter().enumerate() {
            assert_eq!(frame.phys().as_u64(), block.phys().as_u64() + index as u64 * PAGE_SIZE);
            assert_eq!((frame.order(), frame.references(), block.0.references()), (3, 9, 9));
        }
        drop(block);
        let mut frames = frames.into_iter();
        let (first, second) = (frames.next().unwrap(), frames.next().unwrap());
        drop(frames);
        assert_eq!((first.references(), first.clone().references()), (2, 3));
        drop(first);
        assert!(second.is_unique());
        assert!(second.duplicate(Account::NONE).unwrap().order() == 0);
    }

    #[test]
    #[should_panic(expected = "not in the block")]
    fn frames_behind_the_block_are_not_its_own() {
        SharedBlock::alloc_zeroed(2, Account::NONE).unwrap().frame(4);
    }

    #[test]
    fn blocks_are_neither_single_frames_nor_too_large() {
        assert!(
            SharedBlock::alloc_zeroed(0, Account::NONE).is_err()
                && SharedBlock::alloc_zeroed(MAX_ORDER + 1, Account::NONE).is_err()
        );
    }
}
