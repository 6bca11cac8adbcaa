//! Waiting in buckets and being woken, moved and given up, by tasks on hal's host.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::bucket::{self, Pair, Walk};
use super::key::Key;
use super::queue::Waiter;
use super::sleep;
use abi::futex::FUTEX_BITSET_MATCH_ANY;
use sched::hosted::Run;
use sched::wait::{Deadline, WaitError};
use sched::yield_now;

fn wait_at(key: Key, bits: u32, deadline: Deadline) -> Result<(), WaitError> {
    bucket::lock(key.bucket()).push(key, Waiter::current(bits, None));
    sleep(deadline).map_err(|(error, _)| error)
}

fn wake(key: Key, count: usize, bits: u32) -> usize {
    bucket::lock(key.bucket()).wake(key, count, bits, &mut Walk::new())
}

/// Wakes until `wanted` waiters have been, giving them time to come.
fn wake_in_all(key: Key, wanted: usize, bits: u32) {
    let mut woken = 0;
    while woken < wanted {
        woken += wake(key, wanted - woken, bits);
        yield_now();
    }
}

#[test]
fn waiters_are_woken_by_their_bits() {
    let key = Key::invented(0x1000, 4);
    let mut run = Run::new();
    for bits in [1, 2, 1] {
        run.task(move || assert_eq!(wait_at(key, bits, Deadline::NEVER), Ok(())));
    }
    run.task(move || {
        wake_in_all(key, 2, 1);
        assert_eq!(wake(key, usize::MAX, 1), 0);
        wake_in_all(key, 1, 2);
    });
    run.run_until_the_end();
}

#[test]
fn a_wait_that_times_out_leaves_nothing_behind() {
    let key = Key::invented(0x2000, 8);
    let mut run = Run::new();
    run.task(move || {
        assert_eq!(wait_at(key, 1, Deadline::after(1_000_000)), Err(WaitError::TimedOut));
        assert_eq!(wake(key, 1, FUTEX_BITSET_MATCH_ANY), 0);
    });
    run.run_until_the_end();
}

#[test]
fn a_moved_waiter_is_woken_at_its_new_place() {
    let (from, to) = (Key::invented(0x3000, 0), Key::invented(0x3000, 64));
    let woken = Arc::new(AtomicUsize::new(0));
    let mut run = Run::new();
    let waiter_woken = woken.clone();
    run.task(move || {
        assert_eq!(wait_at(from, 1, Deadline::NEVER), Ok(()));
        waiter_woken.fetch_add(1, SeqCst);
    });
    run.task(move || {
        let (order, waiter) = loop {
            if let Some(next) = Pair::lock(from, to).of(from).take_next(from, 1, &mut Walk::new()) {
                break next;
            }
            yield_now();
        };
        Pair::lock(from, to).of(to).push_moved(to, order, waiter);
        assert_eq!(wake(from, 1, 1), 0);
        assert_eq!(woken.load(SeqCst), 0);
        wake_in_all(to, 1, 1);
    });
    run.run_until_the_end();
}
