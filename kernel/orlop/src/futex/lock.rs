//! The operations on locks with priority inheritance: `FUTEX_LOCK_PI` and its kin.
//!
//! The word holds the owner's number, or zero: programs take a free lock and give up one that nobody waits for by
//! themselves. All changes that are made here are made under the bucket's lock, by compare-exchange, since programs
//! keep to no lock.

use alloc::sync::Arc;

use abi::Errno;
use abi::futex::{FUTEX_BITSET_MATCH_ANY, FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use hal::task;
use hal::user_copy::{self, Missed};
use libkernel::addr::UserAddr;
use memory::user::UserPtr;
use sched::wait::{Deadline, WaitError};

use super::bucket::{self, Bucket};
use super::inheritance::{Lock, is_circle, pass_on};
use super::key::Key;
use super::queue::Waiter;
use super::{Attempt, Word, retry_with_page, sleep};
use crate::process::{Thread, current};

/// How long to wait for an owner that is about to end.
pub(super) const ENDING_NS: u64 = 1_000_000;

/// Whether to wait for a lock that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until it is given.
    Waits,
    /// EAGAIN at once.
    Tries,
}

/// What became of an attempt to take a lock.
enum Taking {
    /// The thread has it.
    Taken,
    /// The thread waits for it; this is the owner.
    Waits(Arc<Thread>),
    /// The owner is about to end.
    OwnerEnds,
}

/// What a word says of its lock.
pub(super) struct Claim {
    pub(super) value: u32,
}

impl Claim {
    /// The number of the owner, or 0.
    pub(super) fn named(&self) -> u32 {
        self.value & FUTEX_TID_MASK
    }

    /// Whether the word says of the owner what is known here. Not yet, or not any more, where an owner has died.
    pub(super) fn agrees(&self, lock: &Lock) -> bool {
        let has_died = self.named() == 0 && self.value & FUTEX_OWNER_DIED != 0;
        lock.is_inherited || has_died || number(&lock.owner) == self.named()
    }

    /// Reads the word, whose bucket is locked.
    pub(super) fn read(word: Word) -> Result<Claim, Attempt> {
        Ok(Claim { value: word.load()? })
    }

    /// The thread that the word names to the running one. Only where no lock is known: this looks into the process
    /// table.
    pub(super) fn owner(&self) -> Option<Arc<Thread>> {
        current()?.named(self.named().cast_signed())
    }
}

/// Replaces a value of a word, whose bucket is locked, unless it has changed.
pub(super) fn exchange(word: Word, old: u32, new: u32) -> Result<(), Attempt> {
    match user_copy::compare_exchange_u32_nofault(word.address, old, new) {
        Ok(found) if found == old => Ok(()),
        Ok(_) | Err(Missed::Contended) => Err(Attempt::Changed),
        Err(Missed::BadAddress) => Err(Attempt::NeedsWritablePage(word.address)),
    }
}

/// What a thread writes into words: the number that it knows itself by.
pub(super) fn number(thread: &Thread) -> u32 {
    thread.id().number_in(thread.pid_namespace())
}

/// Takes a lock. EDEADLK if the thread has it, or its owner waits for the thread; ESRCH if the word names nobody;
/// EAGAIN if it only tries; EINVAL if the word names another owner than it did when others began to wait.
pub fn lock(
    thread: &Thread,
    word: Word,
    deadline: Deadline,
    patience: Patience,
) -> Result<Result<(), WaitError>, Errno> {
    let key = word.key(thread)?;
    loop {
        match retry_with_page(|| take(&mut bucket::lock(key.bucket()), thread, (word, key), patience))? {
            Taking::Taken => return Ok(Ok(())),
            Taking::Waits(owner) => return wait_for(thread, (word, key), owner, deadline),
            Taking::OwnerEnds => match sched::sleep(Deadline::after(ENDING_NS)) {
                WaitError::TimedOut => {}
                error @ WaitError::Interrupted => return Ok(Err(error)),
            },
        }
    }
}

/// An attempt to take a lock, whose bucket is locked.
fn take(
    bucket: &mut Bucket,
    thread: &Thread,
    (word, key): (Word, Key),
    patience: Patience,
) -> Result<Taking, Attempt> {
    let refuse = |errno| Err(Attempt::Failed(errno));
    let claim = Claim::read(word)?;
    let named = claim.named();
    if named == number(thread) {
        return refuse(Errno::EDEADLK);
    }
    let owner = match bucket.inheriting.find(key) {
        Some(lock) if claim.agrees(lock) => lock.owner.clone(),
        Some(_) => return refuse(Errno::EINVAL),
        None if named == 0 => {
            exchange(word, claim.value, claim.value & FUTEX_OWNER_DIED | number(thread))?;
            return Ok(Taking::Taken);
        }
        None => match claim.owner() {
            Some(owner) => owner,
            None => {
                // It may have given the lock up before it ended.
                exchange(word, claim.value, claim.value)?;
                return refuse(Errno::ESRCH);
            }
        },
    };
    exchange(word, claim.value, claim.value | FUTEX_WAITERS)?;
    if patience == Patience::Tries {
        return refuse(Errno::EAGAIN);
    }
    match bucket.wait_for_lock(key, &owner, Waiter::current(FUTEX_BITSET_MATCH_ANY, None)) {
        Ok(()) => Ok(Taking::Waits(owner)),
        Err((waiter, errno)) => {
            drop(waiter.stand_down());
            if errno == Errno::EAGAIN { Ok(Taking::OwnerEnds) } else { refuse(errno) }
        }
    }
}

/// Waits for a lock, as noted in its bucket.
fn wait_for(
    thread: &Thread,
    place: (Word, Key),
    owner: Arc<Thread>,
    deadline: Deadline,
) -> Result<Result<(), WaitError>, Errno> {
    let waits_for_itself = pass_on(owner, Some(thread)).is_err() && is_circle(thread);
    if waits_for_itself && task::with_current(bucket::withdraw).is_some() {
        return Err(Errno::EDEADLK);
    }
    match sleep(deadline) {
        Ok(()) => settle(thread, place).map(Ok),
        Err((error, _)) => Ok(Err(error)),
    }
}

/// The thread has been given a lock: if its owner died, it writes itself into the word.
pub(super) fn settle(thread: &Thread, (word, key): (Word, Key)) -> Result<(), Errno> {
    retry_with_page(|| {
        let mut bucket = bucket::lock(key.bucket());
        let own = |owner: &Arc<Thread>| core::ptr::eq(&raw const **owner, thread);
        if !bucket.inheriting.find(key).is_some_and(|lock| lock.is_inherited && own(&lock.owner)) {
            return Ok(());
        }
        exchange(word, word.load()?, FUTEX_WAITERS | FUTEX_OWNER_DIED | number(thread))?;
        bucket.inheriting.settle(key);
        Ok(())
    })
}

/// EPERM where the word of a lock that is to be given up names another owner. Linux asks this of addresses that can be
/// no lock, too.
pub fn owned_elsewhere(thread: &Thread, address: UserAddr) -> Result<Option<Errno>, Errno> {
    let value: u32 = UserPtr::new(address).read()?;
    Ok((value & FUTEX_TID_MASK != number(thread)).then_some(Errno::EPERM))
}

/// Gives up a lock, to the waiter with the highest priority. EPERM if the word does not name the thread; EINVAL if
/// somebody else was the owner when others began to wait.
pub fn unlock(thread: &Thread, word: Word) -> Result<(), Errno> {
    let own = number(thread);
    let value = user_copy::load_u32(word.address).map_err(|_| Errno::EFAULT)?;
    if value & FUTEX_TID_MASK != own {
        return Err(Errno::EPERM);
    }
    let key = word.key(thread)?;
    retry_with_page(|| {
        let mut bucket = bucket::lock(key.bucket());
        let value = word.load()?;
        if value & FUTEX_TID_MASK != own {
            return Err(Attempt::Failed(Errno::EINVAL));
        }
        let next = match bucket.inheriting.find(key) {
            Some(lock) if !core::ptr::eq(&raw const *lock.owner, thread) => {
                return Err(Attempt::Failed(Errno::EINVAL));
            }
            Some(_) => bucket.inheriting.next_owner(key),
            None => None,
        };
        exchange(word, value, next.as_ref().map_or(0, |next| FUTEX_WAITERS | next.number))?;
        if let Some(next) = next {
            bucket.hand_over(key, next.order, false);
        }
        Ok(())
    })
}
