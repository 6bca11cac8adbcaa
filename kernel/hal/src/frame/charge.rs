//! Who pays for a frame: an account, which is charged when the frame is taken. The frame keeps its number until the
//! last reference goes, wherever that is by then: in another address space, a pipe, a file, with a device.
//!
//! hal knows no more of an account than its number.
use super::{OutOfMemory, references};
use crate::sync::Once;
use core::num::NonZeroU32;

/// Who pays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account(Option<NonZeroU32>);

/// Who keeps the accounts. Called wherever a frame is taken or freed, so it may not sleep, nor take a lock.
pub trait Accounts: Sync {
    /// Charges an account for so many frames; false where they are more than it may have.
    fn charge(&self, account: NonZeroU32, frames: u32) -> bool;
    /// So many are free again.
    fn give_back(&self, account: NonZeroU32, frames: u32);
}

static ACCOUNTS: Once<&'static dyn Accounts> = Once::new();

/// Says who keeps the accounts: before the first is charged, and for good.
pub fn keep_accounts(accounts: &'static dyn Accounts) {
    let _ = ACCOUNTS.set(accounts);
}

impl Account {
    /// Nobody: the frames are not counted.
    pub const NONE: Self = Self(None);

    /// The account with this number, below 2^22.
    pub const fn new(number: NonZeroU32) -> Self {
        assert!(number.get() < references::ACCOUNTS, "more accounts than a frame's record can tell apart");
        Self(Some(number))
    }

    /// Its number; none where nothing is counted.
    pub const fn number(self) -> Option<NonZeroU32> {
        self.0
    }

    /// Charges it for frames that are about to be taken. [`OutOfMemory`] where it has as many as it may.
    #[inline(always)]
    pub(super) fn charge(self, frames: u32) -> Result<(), OutOfMemory> {
        if self == Self::NONE { Ok(()) } else { self.charge_some(frames) }
    }

    #[cold]
    #[inline(never)]
    fn charge_some(self, frames: u32) -> Result<(), OutOfMemory> {
        let may = |number| ACCOUNTS.get().is_none_or(|accounts| accounts.charge(number, frames));
        if self.0.is_none_or(may) { Ok(()) } else { Err(OutOfMemory) }
    }

    /// There were no frames to be had that it was charged for.
    #[cold]
    #[inline(never)]
    pub(super) fn give_back(self, frames: u32) {
        give_back(self.in_record(), frames);
    }

    /// What the record of its frames says.
    #[inline(always)]
    pub(super) fn in_record(self) -> u32 {
        self.0.map_or(0, NonZeroU32::get)
    }
}

/// Frames are free again whose record has this number, if it is an account's.
#[cold]
#[inline(never)]
pub(super) fn give_back(number: u32, frames: u32) {
    if let (Some(number), Some(accounts)) = (NonZeroU32::new(number), ACCOUNTS.get()) {
        accounts.give_back(number, frames);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SharedBlock, SharedFrame};
    use super::*;
    use core::sync::atomic::{AtomicU32, Ordering};

    /// What the tests' accounts are charged for, of which each may have 8.
    struct Counts([AtomicU32; 4]);

    static COUNTS: Counts = Counts([const { AtomicU32::new(0) }; 4]);

    impl Counts {
        fn of(&self, account: NonZeroU32) -> &AtomicU32 {
            &self.0[account.get() as usize]
        }
    }

    impl Accounts for Counts {
        fn charge(&self, account: NonZeroU32, frames: u32) -> bool {
            let more = |charged| Some(charged + frames).filter(|&frames| frames <= 8);
            self.of(account).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
        }

        fn give_back(&self, account: NonZeroU32, frames: u32) {
            self.of(account).fetch_sub(frames, Ordering::Relaxed);
        }
    }

    fn account(number: u32) -> (Account, impl Fn() -> u32) {
        keep_accounts(&COUNTS);
        let number = NonZeroU32::new(number).unwrap();
        (Account::new(number), move || COUNTS.of(number).load(Ordering::Relaxed))
    }

    #[test]
    fn a_charge_goes_with_the_last_reference() {
        let (payer, charged) = account(1);
        let frame = SharedFrame::alloc_zeroed(payer).unwrap();
        let other = frame.clone();
        let copy = frame.duplicate(payer).unwrap();
        drop(frame);
        assert_eq!(charged(), 2);
        drop(other);
        assert_eq!(charged(), 1);
        drop(copy);
        assert_eq!(charged(), 0);
    }

    #[test]
    fn a_block_is_given_back_as_a_whole() {
        let (payer, charged) = account(2);
        let block = SharedBlock::alloc_zeroed(3, payer).unwrap();
        assert_eq!((charged(), SharedFrame::alloc_zeroed(payer)), (8, Err(OutOfMemory)));
        let frame = block.frame(5);
        drop(block);
        assert_eq!(charged(), 8);
        drop(frame);
        assert_eq!(charged(), 0);
    }

    #[test]
    fn what_cannot_be_had_is_not_charged() {
        let (payer, charged) = account(3);
        assert!(SharedBlock::alloc_zeroed(0, payer).is_err() && SharedBlock::alloc_zeroed(4, payer).is_err());
        assert_eq!(charged(), 0);
    }
}
