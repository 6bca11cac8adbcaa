//! The models: a few threads, few steps, every order with a few forced changes of thread.
use crate::machine::atomic::{AtomicU32, AtomicUsize};
use crate::sched::wait::{Deadline, WaitQueue};
use crate::sched::{Mutex, RwLock, Turns};
use crate::sync::{IrqLock, Once, SpinLock, SpinRwLock, TryLock, TryRwLock};
use crate::task;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

/// Runs `body` in every order with at most `switches` forced changes of thread.
fn explore(switches: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(body);
}

/// A counter whose increments are lost, and whose reads are old, unless a lock orders them.
struct Fragile(AtomicUsize);

impl Fragile {
    fn new() -> Fragile {
        Fragile(AtomicUsize::new(0))
    }

    fn increment(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// So many threads, and this one, increment once each through `increment`.
fn increment_together<L: Send + Sync + 'static>(others: usize, lock: L, increment: fn(&L)) -> Arc<L> {
    let lock = Arc::new(lock);
    let threads: Vec<_> = (0..others)
        .map(|_| {
            let lock = lock.clone();
            loom::thread::spawn(move || increment(&lock))
        })
        .collect();
    increment(&lock);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    lock
}

#[test]
fn spin_locks_exclude_and_publish() {
    explore(3, || {
        let lock = increment_together(1, SpinLock::new(Fragile::new()), |lock| lock.lock().increment());
        assert_eq!(lock.lock().get(), 2);
    });
}

#[test]
fn interrupt_locks_exclude_and_publish() {
    explore(3, || {
        let lock = increment_together(1, IrqLock::new(Fragile::new()), |lock| lock.lock().increment());
        assert_eq!(lock.lock().get(), 2);
    });
}

#[test]
fn a_try_lock_has_one_holder() {
    explore(3, || {
        let lock = Arc::new((TryLock::new(Fragile::new(), ()), AtomicUsize::new(0)));
        let attempt = |pair: &(TryLock<Fragile>, AtomicUsize)| {
            if let Some(guard) = pair.0.try_lock() {
                guard.increment();
                pair.1.fetch_add(1, Relaxed);
            }
        };
        let other = lock.clone();
        let thread = loom::thread::spawn(move || attempt(&other));
        attempt(&lock);
        thread.join().unwrap();
        let guard = lock.0.try_lock().unwrap();
        assert_eq!(guard.get(), lock.1.load(Relaxed));
    });
}

#[test]
fn readers_never_see_half_a_write() {
    explore(3, || {
        let lock = Arc::new(TryRwLock::new((Fragile::new(), Fragile::new()), ()));
        let other = lock.clone();
        let writer = loom::thread::spawn(move || {
            if let Some(pair) = other.try_write() {
                pair.0.increment();
                pair.1.increment();
            }
        });
        if let Some(pair) = lock.try_read() {
            assert_eq!(pair.0.get(), pair.1.get());
        }
        writer.join().unwrap();
    });
}

/// As above, while the lock begins to count per CPU, by readers on two CPUs.
#[test]
fn readers_counted_per_cpu_never_see_half_a_write() {
    explore(3, || {
        let lock = Arc::new(TryRwLock::new((Fragile::new(), Fragile::new()), ()));
        let look = |lock: &TryRwLock<(Fragile, Fragile)>, cpu| {
            crate::machine::cpu::THIS.with(|this| this.set(cpu));
            if let Some(pair) = lock.try_read() {
                assert_eq!(pair.0.get(), pair.1.get());
            }
        };
        let (for_writer, for_reader) = (lock.clone(), lock.clone());
        let writer = loom::thread::spawn(move || {
            for_writer.count_per_cpu(|| {
                loop {
                    match for_writer.try_write() {
                        Some(guard) => break guard,
                        None => loom::thread::yield_now(),
                    }
                }
            });
            if let Some(pair) = for_writer.try_write() {
                pair.0.increment();
                pair.1.increment();
            }
        });
        let reader = loom::thread::spawn(move || look(&for_reader, 1));
        look(&lock, 0);
        writer.join().unwrap();
        reader.join().unwrap();
        let pair = lock.try_write().unwrap();
        assert_eq!(pair.0.get(), pair.1.get());
    });
}

#[test]
fn a_once_cell_is_seen_whole_or_not_at_all() {
    explore(3, || {
        let cell = Arc::new(Once::new());
        let other = cell.clone();
        let set = |cell: &Once<Fragile>| {
            let value = Fragile::new();
            value.increment();
            cell.set(value).is_ok()
        };
        let thread = loom::thread::spawn(move || set(&other));
        if let Some(value) = cell.get() {
            assert_eq!(value.get(), 1);
        }
        let own = set(&cell);
        assert!(own != thread.join().unwrap());
        assert_eq!(cell.get().map(Fragile::get), Some(1));
    });
}

#[test]
fn whoever_wants_a_once_cell_full_gets_the_same_value() {
    explore(3, || {
        let cell = Arc::new(Once::new());
        let other = cell.clone();
        let get = |cell: &Once<Fragile>| {
            let value = cell.get_or_init(|| {
                let value = Fragile::new();
                value.increment();
                value
            });
            assert_eq!(value.get(), 1);
            core::ptr::from_ref(value).addr()
        };
        let thread = loom::thread::spawn(move || get(&other));
        let own = get(&cell);
        assert_eq!(own, thread.join().unwrap());
    });
}

#[test]
fn a_wait_queue_loses_no_wake_up() {
    explore(2, || {
        let shared = Arc::new((AtomicU32::new(0), WaitQueue::new()));
        let other = shared.clone();
        let waker = loom::thread::spawn(move || {
            other.0.store(1, Relaxed);
            other.1.wake_all();
        });
        shared.1.wait_uninterruptibly(|| (shared.0.load(Relaxed) != 0).then_some(()));
        waker.join().unwrap();
        assert!(!shared.1.has_waiters());
    });
}

#[test]
fn a_signal_ends_a_wait() {
    explore(2, || {
        let sleeper = task::current_ref();
        let signaller = loom::thread::spawn(move || {
            sleeper.work.fetch_or(crate::sched::work::SIGNAL, SeqCst);
            crate::sched::wake(&sleeper);
        });
        let queue = WaitQueue::new();
        assert!(queue.wait_until(Deadline::NEVER, || None::<()>).is_err());
        signaller.join().unwrap();
    });
}

#[test]
fn sleeping_mutexes_exclude_and_hand_on() {
    explore(2, || {
        let lock = increment_together(2, Mutex::new(Fragile::new()), |lock| lock.lock().increment());
        assert_eq!(lock.lock().get(), 3);
    });
}

#[test]
fn who_waits_for_its_turn_gets_it_or_dies() {
    explore(2, || {
        let turns = Arc::new(Turns::new(Fragile::new()));
        let (other, waiter) = (turns.clone(), task::current_ref());
        loom::thread::spawn(move || {
            let turn = other.take().unwrap();
            turn.increment();
            waiter.work.fetch_or(crate::sched::work::KILL, SeqCst);
            crate::sched::wake(&waiter);
        });
        let taken = turns.take().map_or(0, |turn| {
            turn.increment();
            1
        });
        // Not by `join`, which a wake-up that comes late would disturb.
        while turns.try_take().is_none_or(|turn| turn.get() != 1 + taken) {
            loom::thread::yield_now();
        }
    });
}

/// It may be the first in line, and called already.
#[test]
fn who_dies_in_line_leaves_the_turn_to_the_next() {
    explore(2, || {
        let turns = Arc::new(Turns::new(Fragile::new()));
        let turn = turns.take().unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (turns, taken, own) = (turns.clone(), taken.clone(), Arc::new(Once::new()));
                let task = own.clone();
                loom::thread::spawn(move || {
                    let _ = task.set(task::current_ref());
                    drop(turns.take());
                    taken.fetch_add(1, SeqCst);
                });
                own
            })
            .collect();
        drop(turn);
        if let Some(task) = tasks[0].get() {
            task.work.fetch_or(crate::sched::work::KILL, SeqCst);
            crate::sched::wake(task);
        }
        // Not by `join`, which a wake-up that comes late would disturb.
        while taken.load(SeqCst) != 2 {
            loom::thread::yield_now();
        }
    });
}

/// The try turns the readers away, who then wait; nobody else comes to wake them.
#[test]
fn a_failed_try_to_write_leaves_no_reader_behind() {
    explore(3, || {
        let lock = Arc::new(RwLock::new(Fragile::new()));
        let inside = lock.read();
        let (other, third) = (lock.clone(), lock.clone());
        let reader = loom::thread::spawn(move || other.read().get());
        let writer = loom::thread::spawn(move || third.try_write().map(|value| value.increment()));
        drop(inside);
        assert!(reader.join().unwrap() <= 1);
        let wrote = usize::from(writer.join().unwrap().is_some());
        assert_eq!(lock.read().get(), wrote);
    });
}

#[test]
fn two_writers_and_a_reader_of_a_sleeping_lock_all_get_in() {
    explore(2, || {
        let lock = increment_together(1, RwLock::new(Fragile::new()), |lock| {
            lock.write().increment();
            assert!(lock.read().get() >= 1);
        });
        assert_eq!(lock.read().get(), 2);
    });
}

#[test]
fn a_writer_and_a_reader_of_a_sleeping_lock_both_get_in() {
    explore(2, || {
        let lock = Arc::new(RwLock::new((Fragile::new(), Fragile::new())));
        let other = lock.clone();
        let writer = loom::thread::spawn(move || {
            let pair = other.write();
            pair.0.increment();
            pair.1.increment();
        });
        let pair = lock.read();
        assert_eq!(pair.0.get(), pair.1.get());
        drop(pair);
        writer.join().unwrap();
        assert_eq!(lock.read().0.get(), 1);
    });
}

/// Spread before or after the others have come.
#[test]
fn a_spinning_lock_keeps_readers_and_writer_apart() {
    explore(3, || {
        let lock = Arc::new(SpinRwLock::new((Fragile::new(), Fragile::new())));
        let other = lock.clone();
        let writer = loom::thread::spawn(move || {
            other.count_per_cpu();
            let pair = other.write();
            pair.0.increment();
            pair.1.increment();
        });
        crate::machine::cpu::THIS.with(|this| this.set(1));
        for _ in 0..2 {
            let pair = lock.read();
            assert_eq!(pair.0.get(), pair.1.get());
        }
        writer.join().unwrap();
        assert_eq!(lock.write().0.get(), 1);
    });
}

/// A reader that a writer saw for a moment must wake it: neither may sleep for ever.
#[test]
fn a_sleeping_lock_that_counts_per_cpu_lets_everybody_in() {
    explore(2, || {
        let lock = Arc::new(RwLock::new(Fragile::new()));
        lock.count_per_cpu();
        let other = lock.clone();
        let writer = loom::thread::spawn(move || other.write().increment());
        crate::machine::cpu::THIS.with(|this| this.set(1));
        lock.read().get();
        writer.join().unwrap();
        assert_eq!(lock.read().get(), 1);
    });
}

/// The models are worth something: without an order in memory they fail.
#[test]
#[should_panic]
fn a_counter_without_a_lock_loses_increments() {
    explore(2, || {
        let counter = increment_together(1, Fragile::new(), Fragile::increment);
        assert_eq!(counter.get(), 2);
    });
}

/// A flag that is set after the queue was looked at is the mistake that `has_waiters` exists to prevent.
#[test]
#[should_panic]
fn waking_before_the_change_loses_the_wake_up() {
    explore(2, || {
        let shared = Arc::new((AtomicU32::new(0), WaitQueue::new()));
        let other = shared.clone();
        let waker = loom::thread::spawn(move || {
            other.1.wake_all();
            other.0.store(1, Release);
        });
        shared.1.wait_uninterruptibly(|| (shared.0.load(Relaxed) != 0).then_some(()));
        waker.join().unwrap();
    });
}
