//! Futex words that the kernel changes while a program writes to them, or beside them, all the time.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::futex::*;
use abi::native::nr;
use conformance::{Failure, Outcome, check_eq, raw};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use ulib::thread::spawn;

conformance::tests!(&[
    ("no_change_of_a_busy_word_is_lost", no_change_of_a_busy_word_is_lost),
    ("a_lock_beside_a_busy_word_is_taken_and_left", a_lock_beside_a_busy_word_is_taken_and_left),
]);

/// Two words in one line of the cache.
#[repr(align(64))]
struct Line {
    busy: AtomicU32,
    lock: AtomicU32,
    is_over: AtomicBool,
}

static LINE: Line =
    Line { busy: AtomicU32::new(0), lock: AtomicU32::new(0), is_over: AtomicBool::new(false) };

const ROUNDS: u32 = 300;

fn futex(word: &AtomicU32, operation: u32, second: &AtomicU32, third: u64) -> Result<u64, Errno> {
    let address = |word: &AtomicU32| (&raw const *word) as u64;
    let operation = u64::from(operation | FUTEX_PRIVATE_FLAG);
    raw::call(nr::futex, &[address(word), operation, 0, 0, address(second), third])
}

/// Adds to the busy word while `action` runs; how often.
fn while_written(action: impl FnOnce() -> Outcome) -> Result<u32, Failure> {
    LINE.is_over.store(false, SeqCst);
    let writer = spawn(|| {
        let mut count = 0;
        while !LINE.is_over.load(SeqCst) {
            LINE.busy.fetch_add(1, SeqCst);
            count += 1;
        }
        count
    })?;
    let outcome = action();
    LINE.is_over.store(true, SeqCst);
    let count = writer.join();
    outcome.map(|()| count)
}

fn no_change_of_a_busy_word_is_lost() -> Outcome {
    /// Adds one, and compares what was there with -1, which wakes nobody.
    const ADD_ONE: u64 = 1 << 28 | 1 << 12 | 0xfff;
    LINE.busy.store(0, SeqCst);
    let written = while_written(|| {
        for _ in 0..ROUNDS {
            check_eq!(futex(&LINE.lock, FUTEX_WAKE_OP, &LINE.busy, ADD_ONE), Ok(0));
        }
        Ok(())
    })?;
    check_eq!(LINE.busy.load(SeqCst), written.wrapping_add(ROUNDS));
    Ok(())
}

fn a_lock_beside_a_busy_word_is_taken_and_left() -> Outcome {
    while_written(|| {
        for _ in 0..ROUNDS {
            check_eq!(futex(&LINE.lock, FUTEX_LOCK_PI, &LINE.lock, 0), Ok(0));
            check_eq!(futex(&LINE.lock, FUTEX_UNLOCK_PI, &LINE.lock, 0), Ok(0));
            check_eq!(LINE.lock.load(SeqCst), 0);
        }
        Ok(())
    })?;
    Ok(())
}
