//! Locks whose owner runs with the priority of whoever waits for it (`FUTEX_LOCK_PI` and its kin).
#![no_std]
#![no_main]

extern crate alloc;

mod endings;
mod lending;
mod moving;
mod taking;

use abi::Errno;
use abi::futex::*;
use abi::native::nr;
use abi::process::{SCHED_FIFO, SchedParam};
use abi::signal::{SIGKILL, SIGUSR1};
use abi::time::*;
use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use conformance::handler::{count, record_signal};
use conformance::processor_time::{MS, spin_until};
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::SeqCst};
use core::time::Duration;
use libsyscall::memory::mmap;
use libsyscall::process::{getpid, kill};
use libsyscall::thread::gettid;
use libsyscall::time::clock_gettime;
use ulib::thread::{JoinHandle, spawn};
use ulib::time::{from_duration, sleep, to_duration};

conformance::tests!(&[
    ("a_free_lock_is_taken", taking::a_free_lock_is_taken),
    ("a_taken_lock_is_handed_over", taking::a_taken_lock_is_handed_over),
    ("a_taken_lock_can_be_tried", taking::a_taken_lock_can_be_tried),
    ("a_lock_of_nobody_is_refused", taking::a_lock_of_nobody_is_refused),
    ("waiting_has_an_end", taking::waiting_has_an_end),
    ("signals_do_not_end_a_wait", taking::signals_do_not_end_a_wait),
    ("an_owner_is_lent_the_highest_priority", lending::an_owner_is_lent_the_highest_priority),
    ("priority_is_lent_along_a_chain", lending::priority_is_lent_along_a_chain),
    ("who_gives_up_lends_no_more", lending::who_gives_up_lends_no_more),
    ("owners_of_two_locks_keep_what_one_lends", lending::owners_of_two_locks_keep_what_one_lends),
    ("the_highest_priority_gets_the_lock", lending::the_highest_priority_gets_the_lock),
    ("a_circle_is_refused", lending::a_circle_is_refused),
    ("a_low_priority_holds_up_nobody", lending::a_low_priority_holds_up_nobody),
    ("locks_of_the_dead_are_handed_over", endings::locks_of_the_dead_are_handed_over),
    ("robust_locks_of_the_dead_are_taken", endings::robust_locks_of_the_dead_are_taken),
    ("processes_share_locks", endings::processes_share_locks),
    ("programs_leave_their_locks", endings::programs_leave_their_locks),
    ("waiters_are_moved_to_a_lock", moving::waiters_are_moved_to_a_lock),
    ("waiters_are_moved_to_a_taken_lock", moving::waiters_are_moved_to_a_taken_lock),
    ("moving_refuses", moving::moving_refuses),
    ("the_clock_is_chosen_where_it_can_be", taking::the_clock_is_chosen_where_it_can_be),
]);

/// A word that is used as a lock.
struct Lock(AtomicU32);

impl Lock {
    const fn new() -> Lock {
        Lock(AtomicU32::new(0))
    }

    fn address(&self) -> u64 {
        (&raw const self.0) as u64
    }

    fn value(&self) -> u32 {
        self.0.load(SeqCst)
    }

    fn call(&self, operation: u32, timeout: u64) -> Result<u64, Errno> {
        futex(&self.0, operation, 0, timeout, 0, 0)
    }

    fn lock(&self) -> Result<u64, Errno> {
        self.call(FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0)
    }

    fn unlock(&self) -> Result<u64, Errno> {
        self.call(FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG, 0)
    }
}

fn futex(
    word: &AtomicU32,
    operation: u32,
    value: u32,
    timeout: u64,
    second: u64,
    third: u32,
) -> Result<u64, Errno> {
    let arguments = [
        (&raw const *word) as u64,
        u64::from(operation),
        u64::from(value),
        timeout,
        second,
        u64::from(third),
    ];
    raw::call(nr::futex, &arguments)
}

fn own() -> u32 {
    gettid() as u32
}

fn set_fifo(thread: i32, priority: i32) -> Result<(), Errno> {
    let parameter = SchedParam { sched_priority: priority };
    let (policy, parameter) = (u64::from(SCHED_FIFO), (&raw const parameter) as u64);
    raw::call(nr::sched_setscheduler, &[thread as u64, policy, parameter]).map(drop)
}

/// The fields of a thread's `stat` after its name.
fn stat(thread: i32) -> Result<Vec<i64>, Failure> {
    let path =
        CString::new(format!("/proc/{thread}/task/{thread}/stat")).map_err(|_| Failure::new("a path"))?;
    let text = files::content(&path)?;
    let start = text.iter().rposition(|&byte| byte == b')').ok_or(Failure::new("no name"))? + 2;
    let text = core::str::from_utf8(&text[start..]).map_err(|_| Failure::new("not text"))?;
    let number = |field: &str| field.parse().unwrap_or(i64::from(field.as_bytes()[0]));
    Ok(text.trim_end().split(' ').map(number).collect())
}

/// The priority with which a thread runs: -1 and below for the real-time priorities from 0.
fn inner_priority(thread: i32) -> i64 {
    stat(thread).map_or(i64::MAX, |fields| fields[15])
}

/// Waits asleep: with a priority that it is lent, a thread that spins can keep those from running for whom it waits.
fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        sleep(MS);
    }
}

fn until_asleep(thread: i32) {
    wait_until(|| stat(thread).is_ok_and(|fields| fields[0] == i64::from(b'S')));
}

/// Starts a thread that does `body` with a priority, 0 for none, and returns once it sleeps there. And its number.
fn start_asleep(
    priority: i32,
    body: impl FnOnce() -> Result<(), Errno> + Send + 'static,
) -> Result<(JoinHandle<Result<(), Errno>>, i32), Failure> {
    let number = alloc::sync::Arc::new(AtomicI32::new(0));
    let told = number.clone();
    let thread = spawn(move || {
        if priority != 0 {
            set_fifo(0, priority)?;
        }
        told.store(gettid(), SeqCst);
        body()
    })?;
    wait_until(|| number.load(SeqCst) != 0);
    let number = number.load(SeqCst);
    until_asleep(number);
    Ok((thread, number))
}

/// Starts a thread that takes a lock with a priority, and gives it up again. Returns once it waits.
fn contender(lock: &'static Lock, priority: i32) -> Result<(JoinHandle<Result<(), Errno>>, i32), Failure> {
    start_asleep(priority, || {
        lock.lock()?;
        lock.unlock().map(drop)
    })
}

/// A thread that does what it is told, one thing at a time.
struct Servant {
    step: &'static AtomicU32,
    number: i32,
    thread: JoinHandle<Result<(), Errno>>,
}

impl Servant {
    /// One that takes `locks` in order, told each time, and at last gives all of them up.
    fn taking<const N: usize>(
        step: &'static AtomicU32,
        locks: [&'static Lock; N],
    ) -> Result<Servant, Failure> {
        static NUMBER: AtomicI32 = AtomicI32::new(0);
        NUMBER.store(0, SeqCst);
        let thread = spawn(move || {
            NUMBER.store(gettid(), SeqCst);
            for (index, lock) in locks.iter().enumerate() {
                spin_until(|| step.load(SeqCst) > 2 * index as u32);
                lock.lock()?;
                step.fetch_add(1, SeqCst);
            }
            spin_until(|| step.load(SeqCst) > 2 * locks.len() as u32);
            locks.iter().rev().try_for_each(|lock| lock.unlock().map(drop))
        })?;
        wait_until(|| NUMBER.load(SeqCst) != 0);
        Ok(Servant { step, number: NUMBER.load(SeqCst), thread })
    }

    /// Tells it to go on.
    fn go_on(&self) {
        self.step.fetch_add(1, SeqCst);
    }

    /// Tells it to take its next lock, and waits until it has that.
    fn takes(&self) {
        let before = self.step.fetch_add(1, SeqCst);
        wait_until(|| self.step.load(SeqCst) == before + 2);
    }
}
