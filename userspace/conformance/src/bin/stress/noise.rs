//! Calls that make no sense together, on words that anybody overwrites.

use crate::round::{Random, Round};
use crate::teams;
use abi::Errno;
use abi::futex::*;
use abi::native::nr;
use abi::time::{CLOCK_MONOTONIC, CLOCK_REALTIME};
use conformance::processor_time::spent;
use conformance::{Outcome, raw};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};
use core::time::Duration;
use libsyscall::thread::gettid;
use ulib::time::from_duration;

const WORDS: usize = 4;
const MOST: usize = 64;

static PLACES: [AtomicU32; WORDS] = [const { AtomicU32::new(0) }; WORDS];
static THREADS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];

/// What a word may hold: nothing, a number that programs use, or a thread's, with any of the flags.
fn value(random: &mut Random) -> u32 {
    let number = match random.below(4) {
        0 => 0,
        1 => random.below(3) as u32,
        2 => gettid() as u32,
        _ => THREADS[random.below(MOST)].load(SeqCst) as u32,
    };
    let flags = [0, 0, FUTEX_WAITERS, FUTEX_OWNER_DIED, FUTEX_WAITERS | FUTEX_OWNER_DIED];
    number | flags[random.below(flags.len())]
}

/// Any operation with any arguments; all waits end by themselves.
fn call(random: &mut Random) -> Result<u64, Errno> {
    let command = random.below(15) as u32;
    let flags = [0, FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME, FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME];
    let operation = command | flags[random.below(4)];
    let on_wall = command == FUTEX_LOCK_PI || operation & FUTEX_CLOCK_REALTIME != 0;
    let length = Duration::from_micros(random.below(500) as u64);
    let timeout = match command {
        FUTEX_WAIT => length,
        _ => spent(if on_wall { CLOCK_REALTIME } else { CLOCK_MONOTONIC })? + length,
    };
    let timeout = from_duration(timeout);
    let waits = matches!(
        command,
        FUTEX_WAIT | FUTEX_WAIT_BITSET | FUTEX_LOCK_PI | FUTEX_LOCK_PI2 | FUTEX_WAIT_REQUEUE_PI
    );
    let word = |random: &mut Random| (&raw const PLACES[random.below(WORDS)]) as u64;
    let first = &PLACES[random.below(WORDS)];
    let expected = if random.below(2) == 0 { first.load(SeqCst) } else { value(random) };
    let fourth = if waits { (&raw const timeout) as u64 } else { random.below(4) as u64 };
    let count = if waits { expected } else { random.below(3) as u32 };
    let arguments =
        [(&raw const *first) as u64, operation.into(), count.into(), fourth, word(random), expected.into()];
    raw::call(nr::futex, &arguments)
}

/// Threads make futex calls of all kinds on the same few words, and overwrite them, until they are tired of it. Nothing
/// can be said of the answers, but that there are some.
pub fn futex_noise(round: Round) -> Outcome {
    const CALLS: usize = 400;
    teams::threads((2 * round.threads).min(MOST), move |worker| {
        let mut random = round.random(worker);
        THREADS[worker].store(gettid(), SeqCst);
        for _ in 0..CALLS {
            if random.below(8) == 0 {
                PLACES[random.below(WORDS)].store(value(&mut random), SeqCst);
            }
            let _ = call(&mut random);
        }
        Ok(())
    })
}
