//! Real-time tasks on several processors.
//!
//! The tests run on the first processor; their workers have the others, [`lanes`], for themselves. What is expected of
//! workers that run at once is asked for until it is so: nothing here is measured.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::process::*;
use alloc::boxed::Box;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, raw};
use core::hint::black_box;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use core::time::Duration;
use libsyscall::thread::{Sharing, futex_wait, futex_wake, gettid};
use ulib::thread::spawn;

conformance::tests!(&[
    ("the_highest_priorities_run", the_highest_priorities_run),
    ("a_displaced_task_moves_on", a_displaced_task_moves_on),
    ("a_woken_task_goes_where_a_lower_one_runs", a_woken_task_goes_where_a_lower_one_runs),
    ("a_free_processor_takes_who_waits", a_free_processor_takes_who_waits),
    ("equals_take_turns", equals_take_turns),
    ("others_run_where_no_real_time_task_does", others_run_where_no_real_time_task_does),
    ("crowded_tasks_spread_where_they_may", crowded_tasks_spread_where_they_may),
    ("a_change_of_priority_acts_at_once", a_change_of_priority_acts_at_once),
    ("a_change_of_priority_acts_elsewhere", a_change_of_priority_acts_elsewhere),
    ("a_waiting_task_is_moved", a_waiting_task_is_moved),
    ("a_running_task_is_moved", a_running_task_is_moved),
]);

/// How long workers may take to come to what is expected.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long workers are watched to see which of them run.
const WATCH: Duration = Duration::from_millis(10);
/// So many turns never end.
const FOREVER: u32 = u32::MAX;

/// A thread that counts the turns it was given, and sleeps without.
struct Worker {
    thread: AtomicI32,
    given: AtomicU32,
    turns: AtomicU64,
    processor: AtomicU32,
}

impl Worker {
    /// Starts one, which sleeps.
    fn start(policy: u32, priority: i32, processors: u64) -> Result<&'static Worker, Failure> {
        let worker: &Worker = Box::leak(Box::new(Worker {
            thread: AtomicI32::new(0),
            given: AtomicU32::new(0),
            turns: AtomicU64::new(0),
            processor: AtomicU32::new(u32::MAX),
        }));
        drop(spawn(|| worker.work())?);
        eventually("a worker starts", || worker.thread.load(SeqCst) != 0)?;
        worker.confine(processors)?;
        worker.schedule(policy, priority)?;
        Ok(worker)
    }

    fn work(&self) {
        self.thread.store(gettid(), SeqCst);
        loop {
            match self.given.load(SeqCst) {
                0 => drop(futex_wait(&self.given, 0, None, Sharing::Private)),
                FOREVER => self.turn(),
                given => {
                    self.turn();
                    let _ = self.given.compare_exchange(given, given - 1, SeqCst, SeqCst);
                }
            }
        }
    }

    fn turn(&self) {
        let mut processor = u32::MAX;
        let _ = raw::call(nr::getcpu, &[(&raw mut processor) as u64, 0, 0]);
        self.processor.store(black_box(processor), SeqCst);
        self.turns.fetch_add(1, SeqCst);
    }

    fn give(&self, turns: u32) -> Outcome {
        self.given.store(turns, SeqCst);
        futex_wake(&self.given, 1, Sharing::Private)?;
        Ok(())
    }

    fn schedule(&self, policy: u32, priority: i32) -> Outcome {
        Ok(set_scheduler(self.thread.load(SeqCst), policy, priority)?)
    }

    fn confine(&self, processors: u64) -> Outcome {
        Ok(set_affinity(self.thread.load(SeqCst), processors)?)
    }

    fn is_on(&self, processor: u64) -> bool {
        let own = self.processor.load(SeqCst);
        own < 64 && processor == 1 << own
    }
}

fn set_scheduler(thread: i32, policy: u32, priority: i32) -> Result<(), Errno> {
    let mut parameter = SchedParam { sched_priority: priority };
    let address = (&raw mut parameter) as u64;
    raw::call(nr::sched_setscheduler, &[thread as u64, u64::from(policy), address]).map(drop)
}

fn set_affinity(thread: i32, processors: u64) -> Result<(), Errno> {
    let mut mask = processors;
    raw::call(nr::sched_setaffinity, &[thread as u64, 8, (&raw mut mask) as u64]).map(drop)
}

/// Moves the test to the first processor; the others, a mask for each.
fn lanes() -> Result<Vec<u64>, Failure> {
    let mut mask = [0u64; 16];
    raw::call(nr::sched_getaffinity, &[0, 128, (&raw mut mask) as u64])?;
    let all = black_box(mask)[0];
    let mut processors = (0..64).map(|number| 1 << number).filter(|processor| all & processor != 0);
    set_affinity(0, processors.next().unwrap_or(1))?;
    Ok(processors.collect())
}

/// Asks until the answer is yes.
#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> Outcome {
    let start = ulib::time::monotonic();
    while !condition() {
        check!(ulib::time::monotonic().saturating_sub(start) < PATIENCE, "not so: {what}");
        ulib::time::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Which of the workers make turns.
fn moving(workers: &[&Worker]) -> Vec<bool> {
    let turns = || workers.iter().map(|worker| worker.turns.load(SeqCst)).collect::<Vec<_>>();
    let before = turns();
    ulib::time::sleep(WATCH);
    turns().iter().zip(before).map(|(after, before)| *after != before).collect()
}

fn the_highest_priorities_run() -> Outcome {
    let lanes = lanes()?;
    let count = lanes.len();
    let all = lanes.iter().sum();
    let workers: Vec<_> = (0..2 * count)
        .map(|number| Worker::start(SCHED_FIFO, 10 + number as i32, all))
        .collect::<Result<_, _>>()?;
    let (low, high) = workers.split_at(count);
    let high_run = || moving(&workers).iter().enumerate().all(|(number, runs)| *runs == (number >= count));
    for worker in &workers {
        worker.give(FOREVER)?;
    }
    eventually("the higher half runs", high_run)?;
    for worker in high {
        worker.give(0)?;
    }
    eventually("the lower half runs", || !moving(low).contains(&false))?;
    for worker in high.iter().rev() {
        worker.give(FOREVER)?;
    }
    eventually("the higher half runs again", high_run)
}

fn a_displaced_task_moves_on() -> Outcome {
    let &[one, other, ..] = &lanes()?[..] else { return Ok(()) };
    let fair = Worker::start(SCHED_NORMAL, 0, other)?;
    fair.give(FOREVER)?;
    let low = Worker::start(SCHED_FIFO, 10, one)?;
    low.give(FOREVER)?;
    eventually("both run", || moving(&[fair, low]) == [true, true])?;
    low.confine(one | other)?;
    let high = Worker::start(SCHED_FIFO, 20, one)?;
    high.give(FOREVER)?;
    eventually("the lower one moves", || {
        low.is_on(other) && moving(&[low, high, fair]) == [true, true, false]
    })
}

fn a_woken_task_goes_where_a_lower_one_runs() -> Outcome {
    let &[one, other, ..] = &lanes()?[..] else { return Ok(()) };
    let low = Worker::start(SCHED_FIFO, 10, one)?;
    low.give(1)?;
    eventually("it has been on the one", || low.is_on(one))?;
    low.confine(one | other)?;
    let high = Worker::start(SCHED_FIFO, 20, one)?;
    high.give(FOREVER)?;
    for (policy, priority) in [(SCHED_NORMAL, 0), (SCHED_RR, 5)] {
        let lower = Worker::start(policy, priority, other)?;
        lower.give(FOREVER)?;
        eventually("both run", || moving(&[high, lower]) == [true, true])?;
        low.give(FOREVER)?;
        let runs_there = || low.is_on(other) && moving(&[low, high, lower]) == [true, true, false];
        eventually("it runs on the other", runs_there)?;
        low.give(0)?;
        lower.give(0)?;
    }
    Ok(())
}

fn a_free_processor_takes_who_waits() -> Outcome {
    let &[one, other, ..] = &lanes()?[..] else { return Ok(()) };
    let high = [Worker::start(SCHED_FIFO, 20, one)?, Worker::start(SCHED_FIFO, 20, other)?];
    let low = Worker::start(SCHED_FIFO, 10, one | other)?;
    let workers = [high[0], high[1], low];
    for worker in workers {
        worker.give(FOREVER)?;
    }
    eventually("the higher ones run", || moving(&workers) == [true, true, false])?;
    for _ in 0..5 {
        high[1].give(0)?;
        eventually("it runs on the other", || low.is_on(other) && moving(&workers) == [true, false, true])?;
        high[1].give(FOREVER)?;
        eventually("the higher ones run again", || moving(&workers) == [true, true, false])?;
        high[0].give(0)?;
        eventually("it runs on the one", || low.is_on(one) && moving(&workers) == [false, true, true])?;
        high[0].give(FOREVER)?;
        eventually("the higher ones run again", || moving(&workers) == [true, true, false])?;
    }
    Ok(())
}

fn equals_take_turns() -> Outcome {
    let Some(&one) = lanes()?.first() else { return Ok(()) };
    let workers = [Worker::start(SCHED_RR, 10, one)?, Worker::start(SCHED_RR, 10, one)?];
    for worker in workers {
        worker.give(FOREVER)?;
    }
    let mut order = Vec::new();
    eventually("they run in turn", || {
        for (number, runs) in moving(&workers).into_iter().enumerate() {
            if runs && order.last() != Some(&number) {
                order.push(number);
            }
        }
        order.len() >= 5
    })
}

fn others_run_where_no_real_time_task_does() -> Outcome {
    let lanes = lanes()?;
    let Some((&free, taken)) = lanes.split_last() else { return Ok(()) };
    for &processor in taken {
        Worker::start(SCHED_FIFO, 10, processor)?.give(FOREVER)?;
    }
    let all = lanes.iter().sum();
    let fair: Vec<_> = (0..3).map(|_| Worker::start(SCHED_NORMAL, 0, all)).collect::<Result<_, _>>()?;
    for worker in &fair {
        worker.give(FOREVER)?;
    }
    let mut seen = Vec::from([false; 3]);
    eventually("all have been on the free one", || {
        for (seen, worker) in seen.iter_mut().zip(&fair) {
            *seen |= worker.is_on(free);
        }
        !seen.contains(&false)
    })?;
    // Whoever sleeps comes back.
    for worker in fair.iter().cycle().take(30) {
        worker.give(0)?;
        eventually("it sleeps", || moving(&[worker]) == [false])?;
        worker.give(FOREVER)?;
        eventually("it runs", || moving(&[worker]) == [true])?;
    }
    Ok(())
}

/// The processor with the least to do is one that they may not use.
fn crowded_tasks_spread_where_they_may() -> Outcome {
    let lanes = lanes()?;
    let &[crowded, other, ..] = &lanes[..] else { return Ok(()) };
    Worker::start(SCHED_NORMAL, 0, other)?.give(FOREVER)?;
    let workers: Vec<_> =
        (0..3).map(|_| Worker::start(SCHED_NORMAL, 0, crowded)).collect::<Result<_, _>>()?;
    for worker in &workers {
        worker.give(FOREVER)?;
    }
    for worker in &workers {
        worker.confine(crowded | other)?;
    }
    eventually("one has been on the other", || workers.iter().any(|worker| worker.is_on(other)))
}

fn a_change_of_priority_acts_at_once() -> Outcome {
    let Some(&one) = lanes()?.first() else { return Ok(()) };
    // The spinners of another test may have used up what real-time tasks get of this second (`sched_rt_runtime_us`);
    // then a worker would have to wait for a thread of no such class, on Linux too.
    ulib::time::sleep(Duration::from_millis(1100));
    let worker = Worker::start(SCHED_FIFO, 10, one)?;
    let turns = || worker.turns.load(SeqCst);
    set_affinity(0, one)?;
    set_scheduler(0, SCHED_FIFO, 50)?;
    worker.give(1)?;
    check_eq!(turns(), 0);
    worker.schedule(SCHED_FIFO, 60)?;
    check_eq!(turns(), 1);
    worker.schedule(SCHED_RR, 40)?;
    worker.give(1)?;
    check_eq!(turns(), 1);
    set_scheduler(0, SCHED_FIFO, 30)?;
    check_eq!(turns(), 2);
    worker.schedule(SCHED_FIFO, 1)?;
    worker.give(1)?;
    check_eq!(turns(), 2);
    set_scheduler(0, SCHED_NORMAL, 0)?;
    check_eq!(turns(), 3);
    worker.give(1)?;
    check_eq!(turns(), 4);
    Ok(())
}

fn a_change_of_priority_acts_elsewhere() -> Outcome {
    let &[one, other, ..] = &lanes()?[..] else { return Ok(()) };
    let workers = [(10, one), (20, other), (5, one | other)];
    let workers = workers.map(|(priority, processors)| Worker::start(SCHED_FIFO, priority, processors));
    let [one, other, free] = workers;
    let workers = [one?, other?, free?];
    for worker in workers {
        worker.give(FOREVER)?;
    }
    eventually("the lowest waits", || moving(&workers) == [true, true, false])?;
    // One that waits rises, one that runs falls, and both the other way.
    for (changed, priority, expected) in [
        (2, 15, [false, true, true]),
        (1, 12, [false, true, true]),
        (0, 16, [true, false, true]),
        (2, 1, [true, true, false]),
        (1, 0, [true, false, true]),
        (1, 99, [true, true, false]),
    ] {
        let policy = if priority == 0 { SCHED_NORMAL } else { SCHED_FIFO };
        workers[changed].schedule(policy, priority)?;
        eventually("the highest run", || moving(&workers) == expected)?;
    }
    Ok(())
}

fn a_waiting_task_is_moved() -> Outcome {
    let &[one, other, ..] = &lanes()?[..] else { return Ok(()) };
    let high = Worker::start(SCHED_FIFO, 20, one)?;
    let low = Worker::start(SCHED_FIFO, 10, one)?;
    let fair = Worker::start(SCHED_NORMAL, 0, other)?;
    for worker in [high, low, fair] {
        worker.give(FOREVER)?;
    }
    eventually("the lower one waits", || moving(&[high, low, fair]) == [true, false, true])?;
    low.confine(one | other)?;
    eventually("it moves", || low.is_on(other) && moving(&[high, low, fair]) == [true, true, false])?;
    low.confine(one)?;
    eventually("it is back", || moving(&[high, low, fair]) == [true, false, true])?;
    low.confine(other)?;
    eventually("it moves again", || low.is_on(other) && moving(&[high, low, fair]) == [true, true, false])
}

fn a_running_task_is_moved() -> Outcome {
    let &[one, other, ..] = &lanes()?[..] else { return Ok(()) };
    let high = Worker::start(SCHED_FIFO, 20, one)?;
    let low = Worker::start(SCHED_FIFO, 10, other)?;
    let least = Worker::start(SCHED_RR, 5, one | other)?;
    for worker in [high, low, least] {
        worker.give(FOREVER)?;
    }
    eventually("the highest run", || moving(&[high, low, least]) == [true, true, false])?;
    high.confine(other)?;
    let moved =
        || high.is_on(other) && least.is_on(one) && moving(&[high, low, least]) == [true, false, true];
    eventually("it has another's place, and leaves its own", moved)?;
    low.confine(one | other)?;
    eventually("the displaced one follows", || {
        low.is_on(one) && moving(&[high, low, least]) == [true, true, false]
    })
}
