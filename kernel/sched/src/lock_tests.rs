//! Sleeping locks are handed to those who wait, on one CPU, where tasks run when they are let.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use hal::sync::SpinLock;

use super::hosted::Run;
use super::{Mutex, RwLock, yield_now};

/// Gives way until a task has come to this stage.
fn await_stage(stage: &AtomicUsize, wanted: usize) {
    while stage.load(SeqCst) < wanted {
        yield_now();
    }
    // It goes on until it sleeps.
    yield_now();
}

#[test]
fn who_has_found_the_mutex_taken_twice_gets_it_next() {
    let shared = Arc::new((Mutex::new(()), AtomicUsize::new(0)));
    let mut run = Run::new();
    let waiter = shared.clone();
    run.task(move || {
        let (lock, stage) = &*shared;
        let first = lock.lock();
        await_stage(stage, 1);
        drop(first);
        // Nobody has run: whoever is quick gets it, once.
        let second = lock.try_lock().expect("it was opened");
        yield_now();
        drop(second);
        assert!(lock.try_lock().is_none(), "it was not handed on");
        drop(lock.lock());
        assert_eq!(stage.load(SeqCst), 2);
    });
    run.task(move || {
        let (lock, stage) = &*waiter;
        stage.store(1, SeqCst);
        let guard = lock.lock();
        stage.store(2, SeqCst);
        drop(guard);
    });
    run.run_until_the_end();
}

#[test]
fn a_reader_comes_after_the_writers_before_it() {
    let shared = Arc::new((RwLock::new(()), AtomicUsize::new(0), SpinLock::new(Vec::new())));
    let mut run = Run::new();
    let first = shared.clone();
    run.task(move || {
        let (lock, stage, order) = &*first;
        let guard = lock.write();
        await_stage(stage, 4);
        drop(guard);
        drop(lock.write());
        order.lock().push('w');
    });
    for name in ['a', 'r', 's', 'b'] {
        let shared = shared.clone();
        run.task(move || {
            let (lock, stage, order) = &*shared;
            stage.fetch_add(1, SeqCst);
            if name == 'r' || name == 's' {
                let guard = lock.read();
                order.lock().push(name);
                // The other one is inside, too.
                while order.lock().len() < 3 {
                    yield_now();
                }
                drop(guard);
            } else {
                let guard = lock.write();
                order.lock().push(name);
                drop(guard);
            }
        });
    }
    run.run_until_the_end();
    let order = shared.2.lock().clone();
    assert_eq!(order.iter().filter(|name| **name != 'w').collect::<Vec<_>>(), [&'a', &'r', &'s', &'b']);
}

#[test]
fn a_reader_that_waits_keeps_writers_from_passing_for_ever() {
    let shared = Arc::new((RwLock::new(()), AtomicUsize::new(0)));
    let mut run = Run::new();
    let reader = shared.clone();
    run.task(move || {
        let (lock, stage) = &*shared;
        let mut writes = 0;
        while stage.load(SeqCst) < 2 {
            let guard = lock.write();
            yield_now();
            drop(guard);
            writes += 1;
            assert!(writes < 10, "a reader starves");
        }
    });
    run.task(move || {
        let (lock, stage) = &*reader;
        stage.store(1, SeqCst);
        drop(lock.read());
        stage.store(2, SeqCst);
    });
    run.run_until_the_end();
}
