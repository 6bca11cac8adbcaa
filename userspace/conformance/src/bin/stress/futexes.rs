//! Futexes: locks, turns, and an account of every wake-up.

use crate::round::Round;
use crate::teams::{self, until};
use abi::Errno;
use abi::time::Timespec;
use conformance::{Failure, Outcome, check, check_eq};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use libsyscall::thread::{Sharing, futex_wait, futex_wake, sched_yield};
use ulib::sync::Mutex;

/// All threads count under one lock, now and then giving the CPU away while they hold it.
pub fn lock(round: Round) -> Outcome {
    const EACH: u64 = 1500;
    static PAIR: Mutex<(u64, u64)> = Mutex::new((0, 0));
    let threads = round.threads;
    teams::threads(threads, move |worker| {
        let mut random = round.random(worker);
        for _ in 0..EACH {
            let mut pair = PAIR.lock();
            check!(pair.0 == pair.1, "two threads hold the lock: {pair:?}", pair = *pair);
            pair.0 += 1;
            if random.below(16) == 0 {
                sched_yield();
            }
            pair.1 += 1;
        }
        Ok(())
    })?;
    check_eq!(*PAIR.lock(), (threads as u64 * EACH, threads as u64 * EACH));
    Ok(())
}

/// Threads pass a turn around in a ring; each sleeps until it has it. One wake-up lost, and the ring stands still.
pub fn turns(round: Round) -> Outcome {
    const LAPS: u32 = 150;
    const MOST: usize = 64;
    static TURNS: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];
    let threads = round.threads.min(MOST);
    teams::threads(threads, move |worker| {
        let next = &TURNS[(worker + 1) % threads];
        for lap in 0..LAPS {
            if worker > 0 || lap > 0 {
                let expected = if worker == 0 { lap } else { lap + 1 };
                while TURNS[worker].load(Ordering::Acquire) != expected {
                    let _ = futex_wait(&TURNS[worker], expected - 1, None, Sharing::Private);
                }
            }
            next.fetch_add(1, Ordering::Release);
            futex_wake(next, 1, Sharing::Private)?;
        }
        Ok(())
    })
}

/// Threads wait with timeouts that are about as long as it takes to be woken: there are as many waits that a wake-up
/// ended as wake-ups that ended a wait.
pub fn accounts(round: Round) -> Outcome {
    const WAITS: usize = 150;
    static WORD: AtomicU32 = AtomicU32::new(0);
    static WOKEN: AtomicU64 = AtomicU64::new(0);
    static WAKING: AtomicU64 = AtomicU64::new(0);
    static LEFT: AtomicU32 = AtomicU32::new(0);
    let waiters = round.threads.div_ceil(2);
    LEFT.store(waiters as u32, Ordering::SeqCst);
    teams::threads(round.threads.max(waiters + 1), move |worker| {
        let mut random = round.random(worker);
        if worker >= waiters {
            until(|| {
                if random.below(4) == 0 {
                    WORD.fetch_add(1, Ordering::SeqCst);
                }
                let woken = futex_wake(&WORD, 1 + random.below(3) as u32, Sharing::Private);
                WAKING.fetch_add(woken.unwrap_or(1 << 20) as u64, Ordering::SeqCst);
                LEFT.load(Ordering::SeqCst) == 0
            });
            return Ok(());
        }
        for _ in 0..WAITS {
            let timeout = Timespec { tv_sec: 0, tv_nsec: random.below(200_000) as i64 };
            match futex_wait(&WORD, WORD.load(Ordering::SeqCst), Some(timeout), Sharing::Private) {
                Ok(()) => drop(WOKEN.fetch_add(1, Ordering::SeqCst)),
                Err(Errno::EAGAIN | Errno::ETIMEDOUT) => {}
                Err(error) => return Err(Failure::new(error)),
            }
        }
        LEFT.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    })?;
    check_eq!(WOKEN.load(Ordering::SeqCst), WAKING.load(Ordering::SeqCst));
    Ok(())
}
