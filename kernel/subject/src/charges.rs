//! Whom memory and tasks are charged to: one place for each, where a limit is kept.
//!
//! Whatever takes a frame for a program names the [`Payer::account`] that pays; the frame keeps its number until it is
//! free (`hal::frame::Account`). Whatever starts a thread keeps a [`TaskCharge`] with it. All that the kernel runs is
//! charged to [`Payer::EVERYBODY`], which counts nothing; only tests limit others. What will make groups of processes
//! (cgroups) has to say who holds which [`Payer`], and what becomes of the account of one that ends: today accounts are
//! few and stay.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::Errno;
use hal::frame::{self, Account, Accounts};

/// Who pays: the processes that are limited together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payer(Account);

/// What payers that are limited have, by the numbers of their accounts less 1.
static LEDGER: Ledger = Ledger { entries: [const { Entry::new() }; 16], opened: AtomicU32::new(0) };

struct Ledger {
    entries: [Entry; 16],
    /// How many of them are somebody's.
    opened: AtomicU32,
}

/// What one payer has and may have.
struct Entry {
    frames: Tally,
    tasks: Tally,
}

/// How many there are, and how many there may be.
struct Tally {
    used: AtomicU64,
    limit: AtomicU64,
}

impl Entry {
    const fn new() -> Self {
        Self { frames: Tally::new(), tasks: Tally::new() }
    }
}

impl Ledger {
    fn entry(&self, account: NonZeroU32) -> &Entry {
        &self.entries[account.get() as usize - 1]
    }
}

impl Accounts for Ledger {
    fn charge(&self, account: NonZeroU32, frames: u32) -> bool {
        self.entry(account).frames.take(frames.into())
    }

    fn give_back(&self, account: NonZeroU32, frames: u32) {
        self.entry(account).frames.give_back(frames.into());
    }
}

impl Tally {
    const fn new() -> Self {
        Self { used: AtomicU64::new(0), limit: AtomicU64::new(0) }
    }

    /// So many more; false where that would be too many.
    fn take(&self, count: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: u64| (used + count <= limit).then_some(used + count);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, count: u64) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Payer {
    /// All processes together, without a limit and uncounted.
    pub const EVERYBODY: Self = Self(Account::NONE);

    /// A payer of its own, who may have so many frames and tasks; `None` where there are too many payers.
    pub fn limited(frames: u64, tasks: u64) -> Option<Self> {
        frame::keep_accounts(&LEDGER);
        let more = |opened: u32| (opened < LEDGER.entries.len() as u32).then_some(opened + 1);
        let before = LEDGER.opened.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        let number = NonZeroU32::new(before + 1)?;
        LEDGER.entry(number).frames.limit.store(frames, Ordering::Relaxed);
        LEDGER.entry(number).tasks.limit.store(tasks, Ordering::Relaxed);
        Some(Self(Account::new(number)))
    }

    /// What frames are charged to.
    #[inline(always)]
    pub fn account(self) -> Account {
        self.0
    }

    fn entry(self) -> Option<&'static Entry> {
        self.0.number().map(|number| LEDGER.entry(number))
    }

    /// Frames and tasks that are charged; none where nothing is counted.
    pub fn used(self) -> (u64, u64) {
        let used = |tally: &Tally| tally.used.load(Ordering::Relaxed);
        self.entry().map_or((0, 0), |entry| (used(&entry.frames), used(&entry.tasks)))
    }
}

/// One thread that somebody pays for; no more when it is dropped.
#[derive(Debug)]
pub struct TaskCharge(Payer);

impl TaskCharge {
    /// A thread is about to start. EAGAIN where those who pay for it have as many as they may.
    #[inline(always)]
    pub fn take(payer: Payer) -> Result<Self, Errno> {
        if payer.entry().is_none_or(|entry| entry.tasks.take(1)) {
            Ok(Self(payer))
        } else {
            Err(Errno::EAGAIN)
        }
    }
}

impl Drop for TaskCharge {
    fn drop(&mut self) {
        if let Some(entry) = self.0.entry() {
            entry.tasks.give_back(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal::frame::{OutOfMemory, SharedFrame};

    #[test]
    fn what_is_limited_ends_there_and_goes_on_when_some_is_given_back() {
        let payer = Payer::limited(2, 1).unwrap();
        let take = || SharedFrame::alloc_zeroed(payer.account());
        let (first, second) = (take().unwrap(), take().unwrap());
        assert_eq!((take(), payer.used()), (Err(OutOfMemory), (2, 0)));
        drop(first);
        let third = take().unwrap();
        assert_eq!(payer.used(), (2, 0));
        drop((second, third));
        let thread = TaskCharge::take(payer).unwrap();
        assert_eq!((TaskCharge::take(payer).err(), payer.used()), (Some(Errno::EAGAIN), (0, 1)));
        drop(thread);
        assert_eq!(payer.used(), (0, 0));
    }

    #[test]
    fn everybody_may_have_all_there_is() {
        let frames: [_; 9] = core::array::from_fn(|_| SharedFrame::alloc_zeroed(Payer::EVERYBODY.account()));
        assert!(frames.iter().all(Result::is_ok));
        assert_eq!(Payer::EVERYBODY.used(), (0, 0));
    }
}
