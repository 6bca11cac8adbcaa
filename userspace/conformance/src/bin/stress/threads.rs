//! Threads that come and go.

use crate::round::Round;
use crate::teams;
use conformance::{Failure, Outcome, check, check_eq};
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use libsyscall::thread::{gettid, sched_yield};
use ulib::thread::{JoinHandle, spawn};

const MOST: usize = 256;

/// The threads that live.
static ALIVE: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];

/// Every thread makes threads and waits for them; no two that live have the same id, and each does its work once.
pub fn creation(round: Round) -> Outcome {
    const EACH: usize = 20;
    static WORK: AtomicU64 = AtomicU64::new(0);
    let threads = round.threads.min(MOST / 2);
    teams::threads(threads, move |worker| {
        let mut random = round.random(worker);
        for number in 0..EACH {
            let delay = random.below(3);
            let thread = spawn(move || live(2 * worker, delay))?;
            let other = spawn(move || live(2 * worker + 1, 0))?;
            (0..random.below(3)).for_each(|_| sched_yield());
            // Sometimes nobody waits, and the mapping goes later.
            if number % 5 == 4 {
                other.join()?;
                thread.join()?;
            } else {
                thread.join()?;
                other.join()?;
            }
            WORK.fetch_add(2, Ordering::Relaxed);
        }
        Ok(())
    })?;
    check_eq!(WORK.load(Ordering::Relaxed) as usize, 2 * EACH * threads);
    Ok(())
}

fn live(place: usize, delay: usize) -> Outcome {
    let me = gettid();
    check!(ALIVE.iter().all(|other| other.load(Ordering::SeqCst) != me), "two threads are {me}");
    ALIVE[place].store(me, Ordering::SeqCst);
    (0..delay).for_each(|_| sched_yield());
    check_eq!(ALIVE[place].swap(0, Ordering::SeqCst), me);
    Ok(())
}

/// Threads make two threads each, to a depth; the tree's leaves are counted at its root.
pub fn trees(round: Round) -> Outcome {
    const DEPTH: u32 = 4;
    let trees = round.threads.div_ceil(2);
    teams::threads(trees, |_| {
        check_eq!(tree(DEPTH)?, 1 << DEPTH);
        Ok(())
    })
}

fn tree(depth: u32) -> Result<u64, Failure> {
    if depth == 0 {
        return Ok(1);
    }
    let branches = [spawn(move || tree(depth - 1))?, spawn(move || tree(depth - 1))?];
    branches.map(JoinHandle::join).into_iter().sum()
}
