//! Futexes: sleeping on a word of user memory.
//!
//! A word is known by its [`Key`]: the address space and address where it is private, the memory object and offset
//! where processes share it. Waiters stand in buckets by hash of the key, in each by key, priority and coming
//! ([`queue`]). The word is looked at under the bucket's lock, by a copy that does not fault; where it would, the lock
//! is dropped, the page is brought in and all is tried again. A thread waits for one futex at a time, so a word in its
//! task says in which bucket it stands, or that it has been woken.
//!
//! Locks whose owner is boosted are in [`inheritance`], [`lock`] and [`transfer`].
//!
//! Lock order: buckets by index → run queue.

mod bucket;
mod inheritance;
mod key;
pub mod lock;
pub mod operation;
mod queue;
pub mod robust;
#[cfg(test)]
mod tests;
pub mod transfer;

use abi::Errno;
use abi::futex::FUTEX_BITSET_MATCH_ANY;
use hal::sync::SpinGuard;
use hal::task;
use hal::user_copy;
use libkernel::addr::UserAddr;
use sched::timer::Timeout;
use sched::wait::{Deadline, WaitError};
use sched::work;

pub use inheritance::{ContendedLocks, Future, Left, priority_changed};
pub use key::{Key, Sharing, draw_secret};

use crate::process::Thread;
use bucket::{Bucket, Walk};
use queue::Waiter;

/// How often an update of a contended word is tried before it counts as failed.
const ATTEMPTS: usize = 1024;

/// What a wait needs to know of its word.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Where it is.
    pub address: UserAddr,
    /// Whether other processes use it too.
    pub sharing: Sharing,
}

impl Word {
    /// EINVAL unless the address is aligned.
    pub fn new(address: UserAddr, sharing: Sharing) -> Result<Word, Errno> {
        if !address.as_u64().is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        Ok(Word { address, sharing })
    }

    /// What the word holds, under its bucket's lock.
    #[inline]
    fn load(&self) -> Result<u32, Attempt> {
        user_copy::load_u32_nofault(self.address).map_err(|_| Attempt::NeedsPage(self.address))
    }

    /// EAGAIN unless the word holds this, under its bucket's lock.
    #[inline]
    fn expect(&self, expected: u32) -> Result<(), Attempt> {
        if self.load()? == expected { Ok(()) } else { Err(Attempt::Failed(Errno::EAGAIN)) }
    }

    #[inline]
    fn key(&self, thread: &Thread) -> Result<Key, Errno> {
        Key::of(thread, self.address, self.sharing)
    }
}

/// Runs `locked` until it does not ask for the page of the word it failed to reach, which is then brought in, or to
/// look again: then with the lock let go of, as a program may change a word for ever.
fn retry_with_page<T>(mut locked: impl FnMut() -> Result<T, Attempt>) -> Result<T, Errno> {
    loop {
        match locked() {
            Ok(value) => return Ok(value),
            Err(Attempt::Failed(errno)) => return Err(errno),
            Err(Attempt::Changed) if is_to_end() => return Err(Errno::EINTR),
            Err(Attempt::Changed) => {}
            Err(Attempt::NeedsPage(address)) => {
                user_copy::load_u32(address).map_err(|_| Errno::EFAULT)?;
            }
            Err(Attempt::NeedsWritablePage(address)) => {
                user_copy::make_writable(address).map_err(|_| Errno::EFAULT)?;
            }
        }
    }
}

fn is_to_end() -> bool {
    task::own_work() & work::KILL != 0
}

/// Why an attempt under the lock did not succeed.
enum Attempt {
    Failed(Errno),
    /// The word has changed meanwhile.
    Changed,
    NeedsPage(UserAddr),
    NeedsWritablePage(UserAddr),
}

/// Sleeps while the word holds `expected`, until somebody wakes one of `bits`. EAGAIN if it holds something else.
pub fn wait(
    thread: &Thread,
    word: Word,
    expected: u32,
    bits: u32,
    deadline: Deadline,
) -> Result<Result<(), WaitError>, Errno> {
    // Before the bucket's lock: a shared word is found under the lock of its address space, which sleeps.
    let key = word.key(thread)?;
    retry_with_page(|| {
        // The word is compared under the lock that a waker takes after it has changed the word. So either the change is
        // seen here, or the waker finds this waiter. Without the lock both could miss each other.
        let mut bucket = bucket::lock(key.bucket());
        word.expect(expected)?;
        bucket.push(key, Waiter::current(bits, None));
        Ok(())
    })?;
    Ok(sleep_in_place(deadline).map_err(|(error, _)| error))
}

/// Sleeps until somebody takes the running thread out of its bucket; else says where it stood in the end.
fn sleep(deadline: Deadline) -> Result<(), (WaitError, Left)> {
    sleep_in_place(deadline)
}

/// [`sleep`] for the wait that matters most.
#[inline(always)]
fn sleep_in_place(deadline: Deadline) -> Result<(), (WaitError, Left)> {
    let _timeout = Timeout::start(deadline);
    let is_woken = || task::with_current(queue::is_woken);
    let interrupted = || work::signal_is_pending();
    loop {
        sched::block_unless(|| is_woken() || interrupted() || deadline.has_passed());
        // A wake-up before all else: the waker has counted this thread among those that it woke.
        let error = if is_woken() {
            break;
        } else if interrupted() {
            WaitError::Interrupted
        } else if deadline.has_passed() {
            WaitError::TimedOut
        } else {
            continue;
        };
        match task::with_current(bucket::withdraw) {
            Some(left) => return Err((error, left)),
            // A waker was faster.
            None => break,
        }
    }
    Ok(())
}

/// Wakes up to `count` waiters that wait for one of `bits`; how many there were. EINVAL if somebody waits for a lock
/// there.
#[inline(always)]
pub fn wake(thread: &Thread, word: Word, count: usize, bits: u32) -> Result<usize, Errno> {
    let key = word.key(thread)?;
    let mut bucket = bucket::lock(key.bucket());
    bucket.all_are_plain(key)?;
    if count != 0 && bucket.wake_only(key, bits) {
        return Ok(1);
    }
    Ok(wake_in_turn(bucket, key, count, bits))
}

/// Wakes up to `count` of the waiters of a bucket; how many there were.
#[inline(never)]
fn wake_in_turn(mut bucket: SpinGuard<'_, Bucket>, key: Key, count: usize, bits: u32) -> usize {
    let mut walk = Walk::new();
    let woken = bucket.wake(key, count, bits, &mut walk);
    drop(bucket);
    if walk.is_over() { woken } else { woken + wake_rest(key, count - woken, bits, walk) }
}

/// Goes on with a walk, piece by piece; how many were woken.
#[cold]
fn wake_rest(key: Key, count: usize, bits: u32, mut walk: Walk) -> usize {
    let mut woken = 0;
    while !walk.is_over() {
        walk.begin_piece();
        woken += bucket::lock(key.bucket()).wake(key, count - woken, bits, &mut walk);
    }
    woken
}

/// Wakes one waiter, if there is one: a robust lock that is given up.
fn wake_one(thread: &Thread, word: Word) {
    // Without a mapping there is nobody to wake.
    let _ = wake(thread, word, 1, FUTEX_BITSET_MATCH_ANY);
}

/// Wakes one who waits for a word: a thread leaves its memory. Private memory has the same key either way.
pub fn wake_one_of(thread: &Thread, address: UserAddr) -> Result<(), Errno> {
    wake(thread, Word::new(address, Sharing::Shared)?, 1, FUTEX_BITSET_MATCH_ANY).map(drop)
}

/// The thread leaves its memory, and holds no locks there any longer.
#[inline]
pub fn leave_memory(thread: &Thread, future: Future) {
    robust::release_all(thread);
    inheritance::give_all_away(thread, future);
}
