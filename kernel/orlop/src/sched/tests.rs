//! The scheduler, wait queues and sleeping locks, on the CPUs that hal makes of the host's threads.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use hal::sync::SpinLock;

use super::wait::{Deadline, Observer, PollEvents, Subscription, WaitError, WaitQueue};
use super::{Mutex, RwLock, idle_once, spawn, yield_now};
use crate::kernel::Kernel;

/// Runs tasks on this thread's CPU until `count` of them have called `done`.
pub(crate) struct Run {
    finished: Arc<AtomicUsize>,
    started: usize,
}

impl Run {
    pub(crate) fn new() -> Run {
        hal::register(&Kernel);
        super::timer::forget();
        Run { finished: Arc::new(AtomicUsize::new(0)), started: 0 }
    }

    pub(crate) fn task(&mut self, body: impl FnOnce() + Send + 'static) {
        let finished = self.finished.clone();
        self.started += 1;
        spawn(Box::new(move || {
            body();
            finished.fetch_add(1, SeqCst);
        }))
        .expect("memory");
    }

    pub(crate) fn run_until_the_end(self) {
        while self.finished.load(SeqCst) < self.started {
            idle_once();
        }
    }
}

#[test]
fn tasks_take_turns() {
    let order = Arc::new(SpinLock::new(Vec::new()));
    let mut run = Run::new();
    for name in ['a', 'b'] {
        let order = order.clone();
        run.task(move || {
            for _ in 0..3 {
                order.lock().push(name);
                yield_now();
            }
        });
    }
    run.run_until_the_end();
    assert_eq!(*order.lock(), ['a', 'b', 'a', 'b', 'a', 'b']);
}

#[test]
fn a_waiter_hears_of_the_change() {
    let state = Arc::new((AtomicUsize::new(0), WaitQueue::new()));
    let mut run = Run::new();
    for (own, next) in [(0, 1), (1, 2), (2, 0)] {
        let state = state.clone();
        run.task(move || {
            for round in 0..100 {
                let (turn, queue) = &*state;
                let waited =
                    queue.wait_until(Deadline::NEVER, || (turn.load(SeqCst) % 3 == own).then_some(round));
                assert_eq!(waited, Ok(round));
                turn.store(next, SeqCst);
                queue.wake_all();
            }
        });
    }
    run.run_until_the_end();
    assert!(!state.1.has_waiters());
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let mut run = Run::new();
    run.task(|| {
        let queue = WaitQueue::new();
        let outcome = queue.wait_until(Deadline::after(2_000_000), || None::<()>);
        assert_eq!(outcome, Err(WaitError::TimedOut));
        assert!(!queue.has_waiters());
    });
    run.run_until_the_end();
}

#[test]
fn one_wake_up_reaches_one_waiter() {
    let state = Arc::new((AtomicUsize::new(0), WaitQueue::new()));
    let mut run = Run::new();
    for _ in 0..4 {
        let state = state.clone();
        run.task(move || {
            let take = || state.0.fetch_update(SeqCst, SeqCst, |tokens| tokens.checked_sub(1)).ok();
            state.1.wait_uninterruptibly(take);
        });
    }
    let giver = state.clone();
    run.task(move || {
        for _ in 0..4 {
            giver.0.fetch_add(1, SeqCst);
            giver.1.wake_one();
            yield_now();
        }
    });
    run.run_until_the_end();
    assert_eq!(state.0.load(SeqCst), 0);
}

#[test]
fn the_mutex_excludes() {
    let value = Arc::new(Mutex::new(0));
    let mut run = Run::new();
    for _ in 0..5 {
        let value = value.clone();
        run.task(move || {
            for _ in 0..50 {
                let mut guard = value.lock();
                let before = *guard;
                yield_now();
                *guard = before + 1;
            }
        });
    }
    run.run_until_the_end();
    assert_eq!(*value.lock(), 250);
}

#[test]
fn readers_share_and_writers_do_not() {
    let lock = Arc::new(RwLock::new((0, 0)));
    let mut run = Run::new();
    for writer in [true, false, true, false, false] {
        let lock = lock.clone();
        run.task(move || {
            for _ in 0..30 {
                if writer {
                    let mut pair = lock.write();
                    pair.0 += 1;
                    yield_now();
                    pair.1 += 1;
                } else {
                    let pair = lock.read();
                    yield_now();
                    assert_eq!(pair.0, pair.1);
                }
            }
        });
    }
    run.run_until_the_end();
    assert_eq!(*lock.read(), (60, 60));
}

#[test]
fn an_observer_hears_until_it_unsubscribes() {
    struct Count(AtomicUsize);
    impl Observer for Count {
        fn notify(&self, _events: PollEvents) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let queue = Arc::new(WaitQueue::new());
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let subscription = Subscription::new(queue.clone(), count.clone()).expect("memory");
    queue.notify(PollEvents::IN);
    queue.wake_one();
    drop(subscription);
    queue.wake_all();
    assert_eq!(count.0.load(SeqCst), 2);
}
