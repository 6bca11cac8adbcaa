//! Locks that lend their owner priority, taken by threads whose priorities change, and left by processes that die.

use crate::round::{Random, Round, end_of};
use crate::teams;
use abi::Errno;
use abi::futex::*;
use abi::native::nr;
use abi::process::{SCHED_FIFO, SCHED_NORMAL, SchedParam, WaitStatus};
use abi::signal::SIGKILL;
use abi::time::CLOCK_MONOTONIC;
use alloc::vec::Vec;
use conformance::processor_time::spent;
use conformance::{Failure, Outcome, check_eq, child, files, raw};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use core::time::Duration;
use libsyscall::process::kill;
use libsyscall::thread::{gettid, sched_yield};
use ulib::time::from_duration;
use zerocopy::FromZeros;

const LOCKS: usize = 4;
const MOST: usize = 64;

fn call(word: &AtomicU32, operation: u32, timeout: u64) -> Result<u64, Errno> {
    raw::call(nr::futex, &[(&raw const *word) as u64, u64::from(operation), 0, timeout])
}

fn schedule(thread: i32, random: &mut Random) -> Result<(), Errno> {
    let (policy, sched_priority) = match random.below(3) {
        0 => (SCHED_NORMAL, 0),
        _ => (SCHED_FIFO, 1 + random.below(6) as i32),
    };
    set_scheduler(thread, policy, sched_priority)
}

fn set_scheduler(thread: i32, policy: u32, sched_priority: i32) -> Result<(), Errno> {
    let parameter = SchedParam { sched_priority };
    raw::call(nr::sched_setscheduler, &[thread as u64, u64::from(policy), (&raw const parameter) as u64])
        .map(drop)
}

/// A lock, and how many of its owners have changed what it guards.
#[derive(FromZeros)]
#[repr(C)]
struct Guarded {
    word: AtomicU32,
    inside: AtomicU32,
    count: AtomicU64,
}

impl Guarded {
    const fn new() -> Guarded {
        Guarded { word: AtomicU32::new(0), inside: AtomicU32::new(0), count: AtomicU64::new(0) }
    }

    /// Takes the lock in one of the ways there are; false if it was not to be had.
    fn take(&self, random: &mut Random, sharing: u32) -> Result<bool, Errno> {
        let own = gettid() as u32;
        let taken = match random.below(5) {
            0 => call(&self.word, FUTEX_TRYLOCK_PI | sharing, 0),
            1 => {
                let length = Duration::from_micros(1 + random.below(2000) as u64);
                let end = from_duration(spent(CLOCK_MONOTONIC)? + length);
                call(&self.word, FUTEX_LOCK_PI2 | sharing, (&raw const end) as u64)
            }
            2 => call(&self.word, FUTEX_LOCK_PI | sharing, 0),
            _ if self.word.compare_exchange(0, own, SeqCst, SeqCst).is_ok() => Ok(0),
            _ => call(&self.word, FUTEX_LOCK_PI | sharing, 0),
        };
        match taken {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::ETIMEDOUT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn give_up(&self, sharing: u32) -> Result<(), Errno> {
        let own = gettid() as u32;
        if self.word.compare_exchange(own, 0, SeqCst, SeqCst).is_ok() {
            return Ok(());
        }
        call(&self.word, FUTEX_UNLOCK_PI | sharing, 0).map(drop)
    }

    /// What the owner does, alone.
    fn change(&self, random: &mut Random) -> Outcome {
        check_eq!(self.inside.fetch_add(1, SeqCst), 0);
        self.count.store(self.count.load(SeqCst) + 1, SeqCst);
        for _ in 0..random.below(3) {
            sched_yield();
        }
        check_eq!(self.inside.fetch_sub(1, SeqCst), 1);
        Ok(())
    }
}

/// The priority that a thread runs with, as `/proc` shows it.
fn inner_priority() -> Result<i64, Failure> {
    let text = files::content(c"/proc/thread-self/stat")?;
    let start = text.iter().rposition(|&byte| byte == b')').unwrap_or_default();
    let field = text[start..].split(|&byte| byte == b' ').nth(16);
    let number = field.and_then(|field| str::from_utf8(field).ok()).and_then(|field| field.parse().ok());
    number.ok_or(Failure::new("no priority"))
}

/// Threads take up to three locks, always in the same order, while everybody's priority changes. Nobody is forgotten,
/// nobody is inside with another, and in the end nobody is lent anything.
pub fn priorities(round: Round) -> Outcome {
    const STEPS: usize = 60;
    static GUARDED: [Guarded; LOCKS] = [const { Guarded::new() }; LOCKS];
    static THREADS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let threads = (2 * round.threads).min(MOST);
    teams::threads(threads, move |worker| {
        let mut random = round.random(worker);
        THREADS[worker].store(gettid(), SeqCst);
        for _ in 0..STEPS {
            let mut held = Vec::new();
            for guarded in GUARDED.iter() {
                if held.len() < 3 && random.below(2) == 0 && guarded.take(&mut random, FUTEX_PRIVATE_FLAG)? {
                    guarded.change(&mut random)?;
                    TAKEN.fetch_add(1, SeqCst);
                    held.push(guarded);
                }
            }
            let other = THREADS[random.below(threads)].load(SeqCst);
            // It may not be there yet, or be gone already.
            let _ = schedule(other, &mut random);
            while !held.is_empty() {
                held.swap_remove(random.below(held.len())).give_up(FUTEX_PRIVATE_FLAG)?;
            }
        }
        Ok(())
    })?;
    for guarded in &GUARDED {
        check_eq!(guarded.word.load(SeqCst), 0);
    }
    check_eq!(GUARDED.iter().map(|guarded| guarded.count.load(SeqCst)).sum::<u64>(), TAKEN.load(SeqCst));
    set_scheduler(0, SCHED_NORMAL, 0)?;
    check_eq!(inner_priority()?, 20);
    Ok(())
}

/// What processes share.
#[derive(FromZeros)]
#[repr(C)]
struct Shared {
    guarded: Guarded,
    is_over: AtomicU32,
}

/// Linux says so now and then while somebody dies who has to do with a lock, and a moment later no more.
fn is_for_now(error: Errno) -> bool {
    matches!(error, Errno::EINVAL | Errno::EAGAIN)
}

impl Guarded {
    /// Gives the lock up, as soon as that is to be had.
    fn give_up_at_last(&self) -> Result<(), Errno> {
        loop {
            match self.give_up(0) {
                Err(error) if is_for_now(error) => sched_yield(),
                outcome => return outcome,
            }
        }
    }

    /// Takes the lock, and clears up after an owner who died.
    fn take_and_mend(&self, random: &mut Random) -> Result<bool, Errno> {
        let taken = match self.take(random, 0) {
            Err(error) if is_for_now(error) => false,
            taken => taken?,
        };
        if taken && self.word.load(SeqCst) & FUTEX_OWNER_DIED != 0 {
            self.inside.store(0, SeqCst);
        }
        Ok(taken)
    }
}

fn work_until_over(shared: &Shared, mut random: Random) -> Outcome {
    // First entry, offset, and the lock that is always about to be taken or given up: nothing is ever in the list.
    static HEAD: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    let head = (&raw const HEAD) as u64;
    HEAD[0].store(head, SeqCst);
    HEAD[2].store((&raw const shared.guarded.word) as u64 | 1, SeqCst);
    raw::call(nr::set_robust_list, &[head, 24])?;
    while shared.is_over.load(SeqCst) == 0 {
        schedule(0, &mut random)?;
        if shared.guarded.take_and_mend(&mut random)? {
            shared.guarded.change(&mut random)?;
            shared.guarded.give_up_at_last()?;
        }
        // Whatever its priority, others have their turn.
        ulib::time::sleep(Duration::from_micros(random.below(100) as u64));
    }
    Ok(())
}

/// Processes share a lock, and are killed wherever they are with it. Who is left gets it.
pub fn deaths(round: Round) -> Outcome {
    const DEATHS: usize = 15;
    let shared = teams::shared::<Shared>()?;
    let mut random = round.random(0);
    let mut born = 0;
    let mut start = || {
        born += 1;
        child::start(|| end_of(work_until_over(shared, round.random(born))))
    };
    let mut children = (0..round.threads).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..DEATHS {
        ulib::time::sleep(Duration::from_micros(random.below(3000) as u64));
        let child = &mut children[random.below(round.threads)];
        kill(*child, SIGKILL)?;
        check_eq!(child::wait(*child)?.term_signal(), Some(SIGKILL));
        *child = start()?;
    }
    shared.is_over.store(1, SeqCst);
    for child in children {
        check_eq!(child::wait(child)?, WaitStatus(0));
    }
    while !shared.guarded.take_and_mend(&mut random)? {}
    shared.guarded.give_up_at_last()?;
    check_eq!(shared.guarded.word.load(SeqCst), 0);
    Ok(())
}
