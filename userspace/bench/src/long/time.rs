//! Timers, sleepers and waiters beside many others.

use super::MANY;
use crate::Operation;
use crate::measure::repeat;
use abi::Errno;
use abi::futex::{FUTEX_LOCK_PI, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_WAIT_BITSET, FUTEX_WAKE};
use abi::native::nr;
use abi::resource::{RLIMIT_SIGPENDING, Rlimit};
use abi::signal::{SIGEV_SIGNAL, Sigevent};
use abi::time::{CLOCK_MONOTONIC, Itimerspec, Timespec};
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};
use libsyscall::syscall;
use libsyscall::thread::sched_yield;
use libsyscall::time::nanosleep;
use ulib::thread::{JoinHandle, spawn};

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("timer_create, _settime, _delete beside 10,000", timers),
    ("nanosleep beside 2,000 sleepers", sleepers),
    ("futex wake of one of 2,000, which waits again", wake_one),
    ("futex requeue of one of 2,000", requeue_one),
    ("lock with inheritance, given up beside 1,000", give_up),
];

/// As many threads as Linux lets there be in the benchmark's memory, and some room.
const THREADS: usize = 2000;
const LOCKERS: usize = 1000;

/// The condition of a word: they wait while it is this.
const WAITS: u32 = 0;
const OVER: u32 = 1;

fn call(number: u64, arguments: [u64; 6]) -> Result<u64, Errno> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the calls below hand over memory that lives until they return.
    Errno::from_return(unsafe { syscall(number, a, b, c, d, e, f) })
}

fn create() -> Result<i32, Errno> {
    let event = Sigevent { sigev_notify: SIGEV_SIGNAL, sigev_signo: 40, ..Sigevent::default() };
    let mut id = 0_i32;
    let pointers = ((&raw const event) as u64, (&raw mut id) as u64);
    call(nr::timer_create, [CLOCK_MONOTONIC as u64, pointers.0, pointers.1, 0, 0, 0])?;
    Ok(black_box(id))
}

fn start(id: i32, seconds: i64) -> Result<(), Errno> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let setting = Itimerspec { it_interval: Timespec::default(), it_value: time };
    call(nr::timer_settime, [id as u64, 0, (&raw const setting) as u64, 0, 0, 0]).map(drop)
}

fn delete(id: i32) -> Result<(), Errno> {
    call(nr::timer_delete, [id as u64, 0, 0, 0, 0, 0]).map(drop)
}

fn timers() -> Result<u64, Errno> {
    let limit = Rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    call(nr::prlimit64, [0, u64::from(RLIMIT_SIGPENDING), (&raw const limit) as u64, 0, 0, 0])?;
    let mut ids = Vec::new();
    for index in 0..MANY {
        let id = create()?;
        start(id, 10_000 + index as i64)?;
        ids.push(id);
    }
    let result = repeat(100, || {
        let id = create()?;
        start(id, 15_000)?;
        delete(id)
    });
    ids.into_iter().try_for_each(delete)?;
    result
}

fn futex(word: &AtomicU32, operation: u32, value: u32, fourth: u64, second: u64) -> Result<u64, Errno> {
    let operation = u64::from(operation | FUTEX_PRIVATE_FLAG);
    let word = (&raw const *word) as u64;
    call(nr::futex, [word, operation, u64::from(value), fourth, second, u64::from(u32::MAX)])
}

/// Waits at a word until the end of all, with a deadline that does not come; woken before, it waits again.
fn wait(word: &AtomicU32) {
    let deadline = Timespec { tv_sec: 1_000_000, tv_nsec: 0 };
    READY.fetch_add(1, Ordering::Relaxed);
    while word.load(Ordering::Relaxed) == WAITS {
        let _ = futex(word, FUTEX_WAIT_BITSET, WAITS, (&raw const deadline) as u64, 0);
    }
}

static READY: AtomicU32 = AtomicU32::new(0);
static WORD: AtomicU32 = AtomicU32::new(WAITS);
static OTHER: AtomicU32 = AtomicU32::new(WAITS);

fn wake_all(word: &AtomicU32) -> Result<(), Errno> {
    futex(word, FUTEX_WAKE, u32::MAX >> 1, 0, 0).map(drop)
}

/// Runs `operation` beside so many threads that are in `body`, which `end` ends.
fn beside<R>(
    count: usize,
    body: fn(),
    operation: impl FnOnce() -> Result<R, Errno>,
    end: fn() -> Result<(), Errno>,
) -> Result<R, Errno> {
    READY.store(0, Ordering::Relaxed);
    let threads = (0..count).map(|_| spawn(body)).collect::<Result<Vec<JoinHandle<()>>, Errno>>()?;
    while (READY.load(Ordering::Relaxed) as usize) < count {
        sched_yield();
    }
    // What is ready is about to wait.
    for _ in 0..10 {
        let _ = nanosleep(Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
    }
    let result = operation();
    end()?;
    threads.into_iter().for_each(|thread| thread.join());
    result
}

fn beside_waiters(operation: impl FnOnce() -> Result<u64, Errno>) -> Result<u64, Errno> {
    WORD.store(WAITS, Ordering::Relaxed);
    OTHER.store(WAITS, Ordering::Relaxed);
    beside(
        THREADS,
        || wait(&WORD),
        operation,
        || {
            WORD.store(OVER, Ordering::Relaxed);
            wake_all(&WORD)?;
            wake_all(&OTHER)
        },
    )
}

fn sleepers() -> Result<u64, Errno> {
    beside_waiters(|| {
        repeat(100, || nanosleep(Timespec { tv_sec: 0, tv_nsec: 1 }).map_err(|(errno, _)| errno))
    })
}

fn wake_one() -> Result<u64, Errno> {
    beside_waiters(|| {
        repeat(100, || {
            futex(&WORD, FUTEX_WAKE, 1, 0, 0)?;
            // The only CPU is for the woken one now.
            sched_yield();
            Ok(())
        })
    })
}

fn requeue_one() -> Result<u64, Errno> {
    let second = (&raw const OTHER) as u64;
    beside_waiters(|| repeat(100, || futex(&WORD, FUTEX_REQUEUE, 0, 1, second).map(drop)))
}

/// The first thread that comes has the lock until the end; the others wait for it, and give up then.
static LOCK: AtomicU32 = AtomicU32::new(0);

fn give_up() -> Result<u64, Errno> {
    let attempt = |deadline: Timespec| futex(&LOCK, FUTEX_LOCK_PI, 0, (&raw const deadline) as u64, 0);
    attempt(Timespec { tv_sec: i64::MAX / 2_000_000_000, tv_nsec: 0 })?;
    let lockers = || {
        READY.fetch_add(1, Ordering::Relaxed);
        if futex(&LOCK, FUTEX_LOCK_PI, 0, 0, 0).is_ok() {
            let _ = futex(&LOCK, abi::futex::FUTEX_UNLOCK_PI, 0, 0, 0);
        }
    };
    beside(
        LOCKERS,
        lockers,
        || {
            // Another thread than the owner tries, after the deadline has passed.
            spawn(|| {
                repeat(100, || {
                    let past = Timespec { tv_sec: 1, tv_nsec: 0 };
                    match futex(&LOCK, FUTEX_LOCK_PI, 0, (&raw const past) as u64, 0) {
                        Err(Errno::ETIMEDOUT) => Ok(()),
                        Err(errno) => Err(errno),
                        Ok(_) => Err(Errno::EINVAL),
                    }
                })
            })?
            .join()
        },
        || futex(&LOCK, abi::futex::FUTEX_UNLOCK_PI, 0, 0, 0).map(drop),
    )
}
