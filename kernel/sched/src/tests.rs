//! The scheduler, wait queues and sleeping locks, on the CPUs that hal makes of the host's threads.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use hal::sync::{IrqLock, SpinLock, preempt};
use libkernel::command_line::CommandLine;
use libkernel::sched::{Arrival, Parameters, Policy};

use super::arrival::Comer;
use super::hosted::Run;
use super::run_queue::QUEUES;
use super::wait::{Deadline, Observer, PollEvents, Share, Subscription, WaitError, WaitQueue};
use super::work;
use super::{Mutex, RwLock, placement, settings, yield_now};

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

/// It stands first in the queue when the wake-up comes, and another one behind it.
#[test]
fn who_gives_up_passes_the_wake_up_on() {
    let state = Arc::new((AtomicUsize::new(0), WaitQueue::new()));
    let mut run = Run::new();
    let other = state.clone();
    run.task(move || {
        let ((stage, queue), task) = (&*state, hal::task::current_ref());
        task.work.fetch_or(work::SIGNAL, SeqCst);
        let mut looks = 0;
        let outcome = queue.wait_until(Deadline::NEVER, || {
            looks += 1;
            if looks == 2 {
                stage.store(1, SeqCst);
                while stage.load(SeqCst) == 1 {
                    yield_now();
                }
                stage.store(3, SeqCst);
                queue.wake_one();
            }
            None::<()>
        });
        assert_eq!((outcome, looks), (Err(WaitError::Interrupted), 2));
        task.work.fetch_and(!work::SIGNAL, SeqCst);
    });
    run.task(move || {
        let (stage, queue) = &*other;
        while stage.load(SeqCst) == 0 {
            yield_now();
        }
        stage.store(2, SeqCst);
        queue.wait_uninterruptibly(|| (stage.load(SeqCst) == 3).then_some(()));
    });
    run.run_until_the_end();
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
        fn notify(&self, _events: PollEvents) -> bool {
            self.0.fetch_add(1, SeqCst);
            true
        }
    }
    let queue = Arc::new(WaitQueue::new());
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let subscription = Subscription::new(queue.clone(), count.clone(), Share::All);
    queue.notify(PollEvents::IN);
    queue.wake_one();
    drop(subscription);
    queue.wake_all();
    assert_eq!(count.0.load(SeqCst), 2);
}

/// More observers than one batch: all hear, of the exclusive ones only as many as it takes.
#[test]
fn exclusive_observers_are_told_in_turn() {
    struct Count {
        heard: AtomicUsize,
        wakes: bool,
    }
    impl Observer for Count {
        fn notify(&self, _events: PollEvents) -> bool {
            self.heard.fetch_add(1, SeqCst);
            self.wakes
        }
    }
    let queue = Arc::new(WaitQueue::new());
    let new = |wakes| Arc::new(Count { heard: AtomicUsize::new(0), wakes });
    let (plain, idle, busy, last) = (new(true), new(false), new(true), new(true));
    let enter = |count: &Arc<Count>, share| Subscription::new(queue.clone(), count.clone(), share);
    let plain_ones: Vec<_> = (0..100).map(|_| enter(&plain, Share::All)).collect();
    let idle_ones: Vec<_> = (0..100).map(|_| enter(&idle, Share::Exclusive)).collect();
    let _others = [enter(&busy, Share::Exclusive), enter(&last, Share::Exclusive)];
    let heard = || [&plain, &idle, &busy, &last].map(|count| count.heard.load(SeqCst));
    queue.notify(PollEvents::IN);
    assert_eq!(heard(), [100, 100, 1, 0]);
    assert!(!queue.notify_one(PollEvents::IN));
    assert_eq!(heard(), [200, 200, 2, 0]);
    queue.pass_on();
    drop((plain_ones, idle_ones));
    queue.wake_all();
    assert_eq!(heard(), [200, 200, 3, 1]);
}

/// The CPUs of a mask.
fn each(cpus: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |cpu| cpus & 1 << cpu != 0)
}

#[test]
fn no_wake_up_is_lost_between_cpus() {
    let mut run = Run::on_cpus(4);
    for _ in 0..6 {
        let state = Arc::new((AtomicUsize::new(0), WaitQueue::new()));
        for (own, next) in [(0, 1), (1, 2), (2, 0)] {
            let state = state.clone();
            run.task(move || {
                for _ in 0..500 {
                    let (turn, queue) = &*state;
                    queue.wait_uninterruptibly(|| (turn.load(SeqCst) == own).then_some(()));
                    turn.store(next, SeqCst);
                    queue.wake_all();
                }
            });
        }
    }
    run.run_until_the_end();
}

#[test]
fn tasks_spread_over_idle_cpus() {
    const CPUS: usize = 4;
    let mut run = Run::on_cpus(CPUS);
    let running = Arc::new(AtomicUsize::new(0));
    for _ in 0..CPUS {
        let running = running.clone();
        run.task(move || {
            running.fetch_add(1, SeqCst);
            // None gives way: it ends only if each has a CPU.
            while running.load(SeqCst) < CPUS {
                std::thread::yield_now();
            }
        });
    }
    run.run_until_the_end();
}

#[test]
fn a_cpu_that_falls_idle_takes_waiting_tasks() {
    let mut run = Run::on_cpus(2);
    let home = 1 << hal::cpu::id();
    let both = run.cpus();
    let ended = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let ended = ended.clone();
        run.task(move || {
            // All gather on one CPU; from there they are taken.
            hal::task::with_current(|task| settings::set_affinity(task, home));
            hal::task::with_current(|task| settings::set_affinity(task, both));
            ended.fetch_add(1, SeqCst);
            while ended.load(SeqCst) < 3 && hal::cpu::id() == home.trailing_zeros() as usize {
                std::thread::yield_now();
                super::reschedule();
            }
        });
    }
    run.run_until_the_end();
}

#[test]
fn a_task_that_is_queued_behind_another_is_offered_to_an_idle_cpu() {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
    // Its tick would let the other CPU look.
    super::watchdog::configure(CommandLine::new(b"nowatchdog"));
    let mut run = Run::on_cpus(2);
    let (home, both) = (hal::cpu::id(), run.cpus());
    let ran = Arc::new(AtomicBool::new(false));
    run.task(move || {
        hal::task::with_current(|task| settings::set_affinity(task, 1 << home));
        // The other CPU has looked for work, and sleeps.
        while placement::idle() & both & !(1 << home) == 0 {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        let task_ran = ran.clone();
        let entry = Box::new(move || task_ran.store(true, SeqCst));
        let runnable = hal::task::Task::new_kernel(entry).expect("memory");
        runnable.task().sched.allowed.store(both, SeqCst);
        super::TASKS.fetch_add(1, SeqCst);
        // As if the other CPU had not been idle yet when this one was chosen.
        let guard = preempt::disable();
        QUEUES.get(&guard).arrive(home, Comer::new(runnable), Arrival::Placed);
        drop(guard);
        // No tick, and no way for others onto this CPU.
        let start = std::time::Instant::now();
        while !ran.load(SeqCst) {
            assert!(start.elapsed() < PATIENCE, "it waits although a CPU is idle");
            std::thread::yield_now();
        }
    });
    run.run_until_the_end();
}

#[test]
fn a_task_runs_where_it_is_allowed() {
    let mut run = Run::on_cpus(4);
    let cpus = run.cpus();
    for shift in 0..6 {
        run.task(move || {
            let own = hal::task::current_ref();
            for round in 0..200 {
                let cpu = each(cpus).nth((shift + round) % 4).expect("four");
                settings::set_affinity(&own, 1 << cpu);
                assert_eq!(hal::cpu::id(), cpu);
                super::yield_now();
                assert_eq!(hal::cpu::id(), cpu);
            }
        });
    }
    run.run_until_the_end();
}

#[test]
fn others_are_moved_while_they_run_wait_and_sleep() {
    let mut run = Run::on_cpus(4);
    let cpus = run.cpus();
    let queue = Arc::new(WaitQueue::new());
    let over = Arc::new(AtomicBool::new(false));
    let tasks = Arc::new(SpinLock::new(Vec::new()));
    for number in 0..5 {
        let (queue, over, tasks) = (queue.clone(), over.clone(), tasks.clone());
        run.task(move || {
            tasks.lock().push(hal::task::current_ref());
            while !over.load(SeqCst) {
                if number % 2 == 0 {
                    let _ = queue.wait_until(Deadline::after(100_000), || over.load(SeqCst).then_some(()));
                }
                // What an interrupt does at the way out.
                super::reschedule();
                std::thread::yield_now();
            }
        });
    }
    run.task(move || {
        for round in 0..600 {
            let Some(task) = tasks.lock().get(round % 5).cloned() else { continue };
            let allowed = 1 << each(cpus).nth(round / 5 % 4).expect("four");
            settings::set_affinity(&task, allowed);
            let nice = (round % 40) as i8 - 20;
            settings::set_parameters(&task, Parameters { nice, ..Parameters::default() });
            queue.wake_all();
            super::yield_now();
        }
        over.store(true, SeqCst);
        queue.wake_all();
    });
    run.run_until_the_end();
}

#[test]
fn the_mutex_excludes_between_cpus() {
    let value = Arc::new(Mutex::new(0));
    let mut run = Run::on_cpus(4);
    for _ in 0..8 {
        let value = value.clone();
        run.task(move || {
            for _ in 0..300 {
                let mut guard = value.lock();
                let before = *guard;
                super::yield_now();
                *guard = before + 1;
            }
        });
    }
    run.run_until_the_end();
    assert_eq!(*value.lock(), 2400);
}

fn fifo(priority: u8) -> Parameters {
    Parameters { policy: Policy::Fifo, priority, ..Parameters::default() }
}

#[test]
fn the_highest_priorities_run_on_all_cpus() {
    const TASKS: usize = 7;
    let mut run = Run::on_cpus(4);
    let over = Arc::new(AtomicBool::new(false));
    let tasks = Arc::new(SpinLock::new(Vec::new()));
    for _ in 0..TASKS {
        let (over, tasks) = (over.clone(), tasks.clone());
        run.task(move || {
            tasks.lock().push(hal::task::current_ref());
            while !over.load(SeqCst) {
                // What an interrupt does at the way out.
                super::reschedule();
                std::thread::yield_now();
            }
        });
    }
    run.task(move || {
        hal::task::with_current(|task| settings::set_parameters(task, fifo(99)));
        let all = hal::task::with_current(settings::affinity);
        while tasks.lock().len() < TASKS {
            // Others need this CPU, perhaps.
            hal::task::with_current(|task| settings::set_parameters(task, Parameters::default()));
            super::reschedule();
            hal::task::with_current(|task| settings::set_parameters(task, fifo(99)));
        }
        let tasks: Vec<_> = tasks.lock().clone();
        for round in 0..200 {
            for (number, task) in tasks.iter().enumerate() {
                settings::set_parameters(task, fifo(1 + ((number * 3 + round) % TASKS) as u8));
                if round % 3 == 0 {
                    settings::set_affinity(task, all);
                }
            }
            let runs = |number: usize| (number * 3 + round) % TASKS >= TASKS - 3;
            while !tasks.iter().enumerate().all(|(number, task)| task.is_on_cpu() == runs(number)) {
                std::thread::yield_now();
            }
        }
        over.store(true, SeqCst);
        for task in tasks {
            settings::set_parameters(&task, Parameters::default());
        }
    });
    run.run_until_the_end();
}

/// What happens in which order where a task wakes another on the same CPU, under guards that it drops one by one.
fn order_of_waking(woken: Parameters) -> Vec<&'static str> {
    let state = Arc::new((AtomicBool::new(false), WaitQueue::new(), SpinLock::new(Vec::new())));
    let mut run = Run::new();
    let waker = state.clone();
    let sleeper = state.clone();
    run.task(move || {
        let (awake, queue, order) = &*sleeper;
        hal::task::with_current(|task| settings::set_parameters(task, woken));
        queue.wait_uninterruptibly(|| awake.load(SeqCst).then_some(()));
        order.lock().push("woken");
    });
    run.task(move || {
        let (awake, queue, order) = &*waker;
        while !queue.has_waiters() {
            yield_now();
        }
        let (inner, outer) = (IrqLock::new(()), preempt::disable());
        let guard = inner.lock();
        awake.store(true, SeqCst);
        queue.wake_all();
        order.lock().push("locked");
        drop(guard);
        order.lock().push("guarded");
        drop(outer);
        order.lock().push("free");
    });
    run.run_until_the_end();
    state.2.lock().clone()
}

#[test]
fn a_real_time_task_runs_as_soon_as_the_last_guard_is_dropped() {
    assert_eq!(order_of_waking(fifo(1)), ["locked", "guarded", "woken", "free"]);
}

#[test]
fn a_fair_task_waits_for_the_waker_to_come_to_an_end() {
    assert_eq!(order_of_waking(Parameters::default()), ["locked", "guarded", "free", "woken"]);
}
