//! The operations on locks with priority inheritance: `FUTEX_LOCK_PI` and its kin.
//!
//! The word holds the owner's number, or zero: programs take a free lock and give up one that nobody waits for by themselves. All
//! changes that are made here are made under the bucket's lock, by compare-exchange, since programs keep to no lock.

use alloc::sync::Arc;

use abi::Errno;
use abi::futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use hal::{task, user_copy};

use super::bucket::{self, Bucket};
use super::inheritance::{Lock, Waiter, is_circle, pass_on};
use super::key::Key;
use super::{Attempt, Word, retry_with_page, sleep};
use crate::process::{Pid, Thread, find_thread};
use crate::sched;
use crate::sched::wait::{Deadline, WaitError};

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
    /// Something has changed: from the start.
    Again,
    /// The owner is about to end.
    OwnerEnds,
}

/// What a word says of its lock.
pub(super) struct Claim {
    pub(super) value: u32,
    /// The thread that the word names, if there is one.
    pub(super) owner: Option<Arc<Thread>>,
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

    /// Reads the word, which may page it in, and looks its owner up.
    pub(super) fn read(word: Word) -> Result<Claim, Errno> {
        let value = user_copy::load_u32(word.address).map_err(|_| Errno::EFAULT)?;
        Ok(Claim { value, owner: owner_of(value) })
    }
}

/// The thread that a word names.
fn owner_of(value: u32) -> Option<Arc<Thread>> {
    Pid::from_program((value & FUTEX_TID_MASK).cast_signed()).and_then(find_thread)
}

/// Replaces a value of a word; false if it holds another.
pub(super) fn exchange(word: Word, old: u32, new: u32) -> Result<bool, Attempt> {
    user_copy::compare_exchange_u32_nofault(word.address, old, new)
        .map(|found| found == old)
        .map_err(|_| Attempt::NeedsWritablePage(word.address))
}

pub(super) fn number(thread: &Thread) -> u32 {
    thread.id().number()
}

pub(super) fn waiter(thread: &Thread) -> Result<Waiter, Errno> {
    let thread = thread.to_ref().ok_or(Errno::ESRCH)?;
    Ok(Waiter { thread, task: task::current().to_ref() })
}

/// Takes a lock. EDEADLK if the thread has it, or its owner waits for the thread; ESRCH if the word names nobody; EAGAIN if it
/// only tries; EINVAL if the word names another owner than it did when others began to wait.
pub fn lock(
    thread: &Thread,
    word: Word,
    deadline: Deadline,
    patience: Patience,
) -> Result<Result<(), WaitError>, Errno> {
    let key = word.key(thread)?;
    loop {
        let claim = Claim::read(word)?;
        match retry_with_page(|| {
            take(&mut bucket::lock(key.bucket()), thread, (word, key), &claim, patience)
        })? {
            Taking::Taken => return Ok(Ok(())),
            Taking::Waits(owner) => return wait_for(thread, (word, key), owner, deadline),
            Taking::Again => {}
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
    claim: &Claim,
    patience: Patience,
) -> Result<Taking, Attempt> {
    let named = claim.named();
    if named == number(thread) {
        return Err(Attempt::Failed(Errno::EDEADLK));
    }
    let owner = match bucket.inheriting.find(key) {
        Some(lock) if claim.agrees(lock) => lock.owner.clone(),
        Some(_) => return still(word, claim.value, Errno::EINVAL),
        None if named == 0 => {
            let taken = exchange(word, claim.value, claim.value & FUTEX_OWNER_DIED | number(thread))?;
            return Ok(if taken { Taking::Taken } else { Taking::Again });
        }
        None => match &claim.owner {
            Some(owner) => owner.clone(),
            None => return still(word, claim.value, Errno::ESRCH),
        },
    };
    if !exchange(word, claim.value, claim.value | FUTEX_WAITERS)? {
        return Ok(Taking::Again);
    }
    if patience == Patience::Tries {
        return Err(Attempt::Failed(Errno::EAGAIN));
    }
    match bucket.wait_for_lock(key, &owner, waiter(thread).map_err(Attempt::Failed)?) {
        Ok(()) => Ok(Taking::Waits(owner)),
        Err((_, Errno::EAGAIN)) => Ok(Taking::OwnerEnds),
        Err((_, errno)) => Err(Attempt::Failed(errno)),
    }
}

/// The error, unless the word has changed meanwhile.
fn still(word: Word, value: u32, error: Errno) -> Result<Taking, Attempt> {
    if exchange(word, value, value)? { Err(Attempt::Failed(error)) } else { Ok(Taking::Again) }
}

/// Waits for a lock, as noted in its bucket.
fn wait_for(
    thread: &Thread,
    place: (Word, Key),
    owner: Arc<Thread>,
    deadline: Deadline,
) -> Result<Result<(), WaitError>, Errno> {
    let waits_for_itself = pass_on(owner, Some(thread)).is_err() && is_circle(thread);
    if waits_for_itself && bucket::withdraw(&task::current()).is_some() {
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
        loop {
            let value =
                user_copy::load_u32_nofault(word.address).map_err(|_| Attempt::NeedsPage(word.address))?;
            if exchange(word, value, FUTEX_WAITERS | FUTEX_OWNER_DIED | number(thread))? {
                bucket.inheriting.settle(key);
                return Ok(());
            }
        }
    })
}

/// Gives up a lock, to the waiter with the highest priority. EPERM if the word does not name the thread; EINVAL if somebody else
/// was the owner when others began to wait.
pub fn unlock(thread: &Thread, word: Word) -> Result<(), Errno> {
    let own = number(thread);
    let value = user_copy::load_u32(word.address).map_err(|_| Errno::EFAULT)?;
    if value & FUTEX_TID_MASK != own {
        return Err(Errno::EPERM);
    }
    let key = word.key(thread)?;
    retry_with_page(|| {
        let mut bucket = bucket::lock(key.bucket());
        loop {
            let value =
                user_copy::load_u32_nofault(word.address).map_err(|_| Attempt::NeedsPage(word.address))?;
            if value & FUTEX_TID_MASK != own {
                return Err(Attempt::Failed(Errno::EINVAL));
            }
            let next = match bucket.inheriting.find(key) {
                Some(lock) if !core::ptr::eq(&raw const *lock.owner, thread) => {
                    return Err(Attempt::Failed(Errno::EINVAL));
                }
                Some(lock) => lock.next().map(|next| (next, FUTEX_WAITERS | lock.number_of(next))),
                None => None,
            };
            if exchange(word, value, next.map_or(0, |(_, new)| new))? {
                if let Some((next, _)) = next {
                    bucket.hand_over(key, next, false);
                }
                return Ok(());
            }
        }
    })
}
