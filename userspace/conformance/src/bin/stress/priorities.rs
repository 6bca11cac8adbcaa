//! Threads that change each other's priority and processors while they wake each other.

use crate::round::{Random, Round};
use crate::teams;
use abi::Errno;
use abi::native::nr;
use abi::process::{SCHED_FIFO, SCHED_NORMAL, SCHED_RR, SchedParam};
use conformance::{Outcome, raw};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use libsyscall::thread::{Sharing, allowed_cpus, futex_wait, futex_wake, gettid};

const MOST: usize = 64;

fn schedule(thread: i32, policy: u32, priority: i32) -> Result<(), Errno> {
    let parameter = SchedParam { sched_priority: priority };
    let address = (&raw const parameter) as u64;
    raw::call(nr::sched_setscheduler, &[thread as u64, u64::from(policy), address]).map(drop)
}

fn confine(thread: i32, mask: u64) -> Result<(), Errno> {
    raw::call(nr::sched_setaffinity, &[thread as u64, 8, (&raw const mask) as u64]).map(drop)
}

fn change(thread: i32, random: &mut Random, allowed: u64) -> Outcome {
    match random.below(4) {
        0 => schedule(thread, SCHED_NORMAL, 0)?,
        1 => schedule(thread, SCHED_FIFO, 1 + random.below(6) as i32)?,
        2 => schedule(thread, SCHED_RR, 1 + random.below(6) as i32)?,
        _ => match random.next() & allowed {
            0 => confine(thread, allowed)?,
            mask => confine(thread, mask)?,
        },
    }
    Ok(())
}

/// Waits until the turn is `own`, asleep.
fn take(turn: &AtomicU32, own: u32) {
    loop {
        match turn.load(Ordering::Acquire) {
            found if found == own => return,
            found => drop(futex_wait(turn, found, None, Sharing::Private)),
        }
    }
}

/// Pairs of threads change themselves and each other, and pass a turn to and fro. Whoever is not woken, or waits for a
/// processor for ever, keeps the round from ending.
pub fn churn(round: Round) -> Outcome {
    const STEPS: usize = 100;
    static THREADS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];
    static TURNS: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];
    let allowed = allowed_cpus().unwrap_or(1);
    // More than run at once, so that some wait.
    let threads = (2 * round.threads).next_multiple_of(2).min(MOST);
    teams::threads(threads, move |worker| {
        let mut random = round.random(worker);
        THREADS[worker].store(gettid(), Ordering::SeqCst);
        let (turn, own) = (&TURNS[worker / 2], worker as u32 % 2);
        for step in 1..=STEPS {
            take(turn, own);
            // In the last step the other may have ended; in the first it may not have said who it is: then it is this
            // one, 0.
            let other = if step == STEPS { worker } else { worker ^ random.below(2) };
            change(THREADS[other].load(Ordering::SeqCst), &mut random, allowed)?;
            turn.store(1 - own, Ordering::Release);
            futex_wake(turn, 1, Sharing::Private)?;
        }
        schedule(0, SCHED_NORMAL, 0)?;
        confine(0, allowed)?;
        Ok(())
    })
}
