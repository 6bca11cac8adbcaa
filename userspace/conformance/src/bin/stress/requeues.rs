//! A condition variable that moves its sleepers to the lock (`FUTEX_CMP_REQUEUE`).

use crate::round::Round;
use crate::teams;
use abi::Errno;
use abi::futex::{FUTEX_CMP_REQUEUE, FUTEX_PRIVATE_FLAG};
use abi::native::nr;
use conformance::{Outcome, check, check_eq, raw};
use core::sync::atomic::{AtomicU32, Ordering};
use libsyscall::thread::{Sharing, futex_wait, futex_wake};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

static LOCK: AtomicU32 = AtomicU32::new(FREE);
/// The condition's sequence: a change of the condition is a change of it.
static SEQUENCE: AtomicU32 = AtomicU32::new(0);
/// Under the lock: generations begun, and threads that have come to the end of this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static ARRIVED: AtomicU32 = AtomicU32::new(0);

fn take(mark: u32) {
    if mark == HELD && LOCK.compare_exchange(FREE, HELD, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        return;
    }
    while LOCK.swap(CONTENDED, Ordering::SeqCst) != FREE {
        let _ = futex_wait(&LOCK, CONTENDED, None, Sharing::Private);
    }
}

fn give() -> Result<(), Errno> {
    if LOCK.swap(FREE, Ordering::SeqCst) == CONTENDED {
        futex_wake(&LOCK, 1, Sharing::Private)?;
    }
    Ok(())
}

/// Gives the lock back, sleeps until the sequence changes, and takes the lock again. Who was moved to the lock does not
/// know whether others were, so it takes it as contended.
fn wait() -> Result<(), Errno> {
    let sequence = SEQUENCE.load(Ordering::SeqCst);
    give()?;
    let _ = futex_wait(&SEQUENCE, sequence, None, Sharing::Private);
    take(CONTENDED);
    Ok(())
}

/// Wakes one sleeper and moves all others to the lock, which the caller holds.
fn wake_all() -> Result<(), Errno> {
    loop {
        let sequence = SEQUENCE.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        let operation = u64::from(FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG);
        let (from, to) = (SEQUENCE.as_ptr() as u64, LOCK.as_ptr() as u64);
        // What is moved waits for the lock, so the lock's owner has to know.
        LOCK.store(CONTENDED, Ordering::SeqCst);
        let all = i32::MAX as u64;
        match raw::call(nr::futex, &[from, operation, 1, all, to, sequence.into()]) {
            Err(Errno::EAGAIN) => {}
            other => return other.map(drop),
        }
    }
}

/// All threads meet again and again at a barrier made of lock and condition; a sleeper that is lost on its way from one
/// to the other stops them all.
pub fn broadcast(round: Round) -> Outcome {
    const GENERATIONS: u32 = 120;
    let threads = round.threads as u32;
    teams::threads(round.threads, move |_| {
        for generation in 0..GENERATIONS {
            take(HELD);
            check_eq!(GENERATION.load(Ordering::SeqCst), generation);
            if ARRIVED.fetch_add(1, Ordering::SeqCst) + 1 == threads {
                ARRIVED.store(0, Ordering::SeqCst);
                GENERATION.fetch_add(1, Ordering::SeqCst);
                wake_all()?;
            } else {
                while GENERATION.load(Ordering::SeqCst) == generation {
                    wait()?;
                }
            }
            let now = GENERATION.load(Ordering::SeqCst);
            check!(now == generation + 1, "generation {now} while one thread is in {generation}");
            give()?;
        }
        Ok(())
    })
}
