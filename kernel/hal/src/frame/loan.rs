//! Frames that devices read or write by themselves.
use super::SharedFrame;
use super::references;
use core::mem::ManuallyDrop;
use core::sync::atomic::Ordering;

/// A reference to a frame that a device has.
///
/// While it lasts a program's mapping of the frame stays with the frame: a child of `fork` gets a copy, and a write
/// does not make one, so that program and device go on seeing the same. A program's page is lent by
/// [`PageTable::lend`](crate::paging::PageTable::lend).
///
/// It ends with [`Self::give_back`], when the device is known to be done. One that is dropped stays lent, and the frame
/// is never freed: nobody can say when the device touches it last.
#[must_use = "a loan that is dropped is never given back"]
#[derive(Debug)]
pub struct Loan(ManuallyDrop<SharedFrame>);

/// The most devices, or requests to one, that may have a frame at a time.
const MOST: u32 = 1 << 24;

impl SharedFrame {
    /// Lends the frame, for a reference; gives that back where the frame is the one of zeros, which nothing may write
    /// to, or is lent very often.
    pub fn lend(self) -> Result<Loan, SharedFrame> {
        let loans = references::loans(self.phys());
        if self.is_zero() || loans.load(Ordering::Relaxed) >= MOST {
            return Err(self);
        }
        loans.fetch_add(1, Ordering::Relaxed);
        Ok(Loan(ManuallyDrop::new(self)))
    }

    /// Whether a device has the frame, or another part of its block.
    pub fn is_lent(&self) -> bool {
        references::is_lent(self.phys())
    }
}

impl Loan {
    /// The frame, to copy from and to.
    pub fn frame(&self) -> &SharedFrame {
        &self.0
    }

    /// The device is done with the frame.
    pub fn give_back(self) -> SharedFrame {
        references::loans(self.0.phys()).fetch_sub(1, Ordering::Relaxed);
        ManuallyDrop::into_inner(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Account, SharedBlock};
    use super::*;

    #[test]
    fn a_loan_counts_apart_and_keeps_the_frame() {
        let frame = SharedFrame::alloc_zeroed(Account::NONE).unwrap();
        let (first, second) = (frame.clone().lend().unwrap(), frame.clone().lend().unwrap());
        assert!(frame.is_lent() && frame.references() == 3);
        drop(first.give_back());
        assert!(frame.is_lent() && frame.references() == 2);
        drop(frame);
        let frame = second.give_back();
        assert!(!frame.is_lent() && frame.is_unique());
    }

    #[test]
    fn a_loan_of_a_part_is_one_of_its_block() {
        let block = SharedBlock::alloc_zeroed(1, Account::NONE).unwrap();
        let loan = block.frame(1).lend().unwrap();
        let first = block.into_frame();
        assert!(first.is_lent());
        drop(loan.give_back());
        assert!(!first.is_lent() && first.is_unique());
    }

    #[test]
    fn the_frame_of_zeros_is_not_lent() {
        assert!(SharedFrame::zero().lend().is_err());
    }

    #[test]
    fn a_loan_that_is_dropped_is_never_given_back() {
        let frame = SharedFrame::alloc_zeroed(Account::NONE).unwrap();
        drop(frame.clone().lend().unwrap());
        assert!(frame.is_lent() && frame.references() == 2);
    }
}
