//! In which order waiters are woken and moved, how many, and what a futex call makes of addresses that are none.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::futex::*;
use abi::memory::*;
use abi::native::nr;
use abi::process::{SCHED_FIFO, SchedParam};
use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use conformance::processor_time::MS;
use conformance::{Failure, Outcome, check_eq, files, raw};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};
use libsyscall::memory::mmap;
use libsyscall::thread::gettid;
use ulib::thread::{JoinHandle, spawn};
use ulib::time::sleep;

conformance::tests!(&[
    ("the_highest_priority_is_woken_first", the_highest_priority_is_woken_first),
    ("bits_come_before_priority", bits_come_before_priority),
    ("waiters_are_moved_by_priority", waiters_are_moved_by_priority),
    ("many_waiters_are_woken_and_moved", many_waiters_are_woken_and_moved),
    ("moving_to_the_same_word_counts", moving_to_the_same_word_counts),
    ("giving_up_leaves_the_others", giving_up_leaves_the_others),
    ("addresses_are_checked", addresses_are_checked),
    ("shared_words_can_be_read", shared_words_can_be_read),
]);

fn futex(word: u64, operation: u32, value: u64, fourth: u64, second: u64, third: u64) -> Result<u64, Errno> {
    raw::call(nr::futex, &[word, u64::from(operation), value, fourth, second, third])
}

fn private(
    word: &AtomicU32,
    operation: u32,
    value: u64,
    fourth: u64,
    second: &AtomicU32,
    third: u64,
) -> Result<u64, Errno> {
    let address = |word: &AtomicU32| (&raw const *word) as u64;
    futex(address(word), operation | FUTEX_PRIVATE_FLAG, value, fourth, address(second), third)
}

fn wake(word: &AtomicU32, count: u64) -> Result<u64, Errno> {
    private(word, FUTEX_WAKE, count, 0, word, 0)
}

/// What the woken have written, in the order of their waking.
static ORDER: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];
static WOKEN: AtomicU32 = AtomicU32::new(0);

fn order() -> Vec<i32> {
    let count = WOKEN.swap(0, SeqCst) as usize;
    ORDER[..count].iter().map(|place| place.load(SeqCst)).collect()
}

fn until(mut condition: impl FnMut() -> Result<bool, Failure>) -> Outcome {
    while !condition()? {
        sleep(MS);
    }
    Ok(())
}

fn is_asleep(thread: i32) -> Result<bool, Failure> {
    let path = CString::new(format!("/proc/self/task/{thread}/stat")).map_err(|_| Failure::new("a path"))?;
    let text = files::content(&path)?;
    Ok(text.windows(3).any(|part| part == b") S"))
}

type Waiter = JoinHandle<Result<u64, Errno>>;

/// Starts a thread with a real-time priority, or none (0), that waits at a word, and returns once it does.
fn waiter(word: &'static AtomicU32, priority: i32, bits: u32) -> Result<Waiter, Failure> {
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    NUMBER.store(0, SeqCst);
    let thread = spawn(move || {
        if priority != 0 {
            let parameter = SchedParam { sched_priority: priority };
            raw::call(nr::sched_setscheduler, &[0, u64::from(SCHED_FIFO), (&raw const parameter) as u64])?;
        }
        NUMBER.store(gettid(), SeqCst);
        let result = private(word, FUTEX_WAIT_BITSET, 0, 0, word, u64::from(bits));
        ORDER[WOKEN.fetch_add(1, SeqCst) as usize % ORDER.len()].store(priority, SeqCst);
        result
    })?;
    until(|| Ok(NUMBER.load(SeqCst) != 0 && is_asleep(NUMBER.load(SeqCst))?))?;
    Ok(thread)
}

fn waiters(word: &'static AtomicU32, priorities: &[i32]) -> Result<Vec<Waiter>, Failure> {
    priorities.iter().map(|&priority| waiter(word, priority, FUTEX_BITSET_MATCH_ANY)).collect()
}

fn join(waiters: Vec<Waiter>) -> Outcome {
    for waiter in waiters {
        check_eq!(waiter.join(), Ok(0));
    }
    Ok(())
}

/// Wakes one after the other; the order in which they were.
fn wake_each(word: &'static AtomicU32, count: u32) -> Result<Vec<i32>, Failure> {
    for turn in 1..=count {
        check_eq_or(wake(word, 1), Ok(1))?;
        until(|| Ok(WOKEN.load(SeqCst) == turn))?;
    }
    Ok(order())
}

fn check_eq_or(found: Result<u64, Errno>, expected: Result<u64, Errno>) -> Outcome {
    check_eq!(found, expected);
    Ok(())
}

fn the_highest_priority_is_woken_first() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waiting = waiters(&WORD, &[0, 10, 20, 30, 20, 0])?;
    check_eq!(wake_each(&WORD, 6)?, [30, 20, 20, 10, 0, 0]);
    check_eq!(wake(&WORD, 1), Ok(0));
    join(waiting)
}

fn bits_come_before_priority() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let mut waiting = Vec::new();
    for (priority, bits) in [(30, 1), (20, 2), (10, 2), (0, 3)] {
        waiting.push(waiter(&WORD, priority, bits)?);
    }
    check_eq!(private(&WORD, FUTEX_WAKE_BITSET, 1, 0, &WORD, 4), Ok(0));
    for (bits, priority) in [(2, 20), (2, 10), (1, 30), (2, 0)] {
        check_eq!(private(&WORD, FUTEX_WAKE_BITSET, 1, 0, &WORD, bits), Ok(1));
        until(|| Ok(WOKEN.load(SeqCst) == 1))?;
        check_eq!(order(), [priority]);
    }
    join(waiting)
}

fn waiters_are_moved_by_priority() -> Outcome {
    static FROM: AtomicU32 = AtomicU32::new(0);
    static TO: AtomicU32 = AtomicU32::new(0);
    let waiting = waiters(&FROM, &[10, 0, 30, 20])?;
    // One is woken and two are moved.
    check_eq!(private(&FROM, FUTEX_REQUEUE, 1, 2, &TO, 0), Ok(3));
    until(|| Ok(WOKEN.load(SeqCst) == 1))?;
    check_eq!(order(), [30]);
    check_eq!(wake_each(&FROM, 1)?, [0]);
    check_eq!(wake_each(&TO, 2)?, [20, 10]);
    join(waiting)
}

/// More than anybody looks at in one go.
const MANY: usize = 300;

/// Starts many threads that wait at a word, and returns once they do.
fn many(word: &'static AtomicU32) -> Result<Vec<Waiter>, Failure> {
    static READY: AtomicU32 = AtomicU32::new(0);
    READY.store(0, SeqCst);
    static NUMBERS: [AtomicI32; MANY] = [const { AtomicI32::new(0) }; MANY];
    let waiting = (0..MANY).map(|index| {
        spawn(move || {
            NUMBERS[index].store(gettid(), SeqCst);
            READY.fetch_add(1, SeqCst);
            private(word, FUTEX_WAIT, 0, 0, word, 0)
        })
    });
    let waiting = waiting.collect::<Result<Vec<_>, _>>()?;
    until(|| Ok(READY.load(SeqCst) as usize == MANY))?;
    for number in &NUMBERS {
        until(|| is_asleep(number.load(SeqCst)))?;
    }
    Ok(waiting)
}

fn many_waiters_are_woken_and_moved() -> Outcome {
    static FROM: AtomicU32 = AtomicU32::new(0);
    static TO: AtomicU32 = AtomicU32::new(0);
    let all = MANY as u64;
    let waiting = many(&FROM)?;
    check_eq!(private(&FROM, FUTEX_CMP_REQUEUE, 1, 1000, &TO, 1), Err(Errno::EAGAIN));
    check_eq!(private(&FROM, FUTEX_CMP_REQUEUE, 100, 150, &TO, 0), Ok(250));
    check_eq!(wake(&FROM, 1000), Ok(all - 250));
    // FUTEX_OP_SET to 0; the old value is 0, so the waiters of both words are woken.
    check_eq!(private(&FROM, FUTEX_WAKE_OP, 1000, 1000, &TO, 0), Ok(150));
    join(waiting)
}

fn moving_to_the_same_word_counts() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waiting = waiters(&WORD, &[0, 0, 0, 0])?;
    check_eq!(private(&WORD, FUTEX_REQUEUE, 1, 2, &WORD, 0), Ok(3));
    check_eq!(private(&WORD, FUTEX_REQUEUE, 0, 100, &WORD, 0), Ok(3));
    check_eq!(wake(&WORD, 100), Ok(3));
    join(waiting)?;
    order();
    Ok(())
}

fn giving_up_leaves_the_others() -> Outcome {
    static FROM: AtomicU32 = AtomicU32::new(0);
    static TO: AtomicU32 = AtomicU32::new(0);
    let short = abi::time::Timespec { tv_sec: 0, tv_nsec: 30_000_000 };
    let hurried = spawn(move || private(&FROM, FUTEX_WAIT, 0, (&raw const short) as u64, &FROM, 0))?;
    let waiting = waiters(&FROM, &[20, 10])?;
    // Whether the hurried one is moved, too, depends on time; that it gives up where it is does not.
    let moved = private(&FROM, FUTEX_REQUEUE, 0, 100, &TO, 0)?;
    check_eq!((2..=3).contains(&moved), true);
    check_eq!(hurried.join(), Err(Errno::ETIMEDOUT));
    check_eq!(wake_each(&TO, 2)?, [20, 10]);
    check_eq!(wake(&TO, 100), Ok(0));
    join(waiting)
}

/// An operation, and which of its two addresses it looks at.
const OPERATIONS: [(u32, bool); 10] = [
    (FUTEX_WAIT, false),
    (FUTEX_WAKE, false),
    (FUTEX_WAIT_BITSET, false),
    (FUTEX_WAKE_BITSET, false),
    (FUTEX_REQUEUE, true),
    (FUTEX_CMP_REQUEUE, true),
    (FUTEX_WAKE_OP, true),
    (FUTEX_LOCK_PI, false),
    (FUTEX_TRYLOCK_PI, false),
    (FUTEX_CMP_REQUEUE_PI, true),
];

fn addresses_are_checked() -> Outcome {
    let good = AtomicU32::new(1);
    let good = (&raw const good) as u64;
    for (operation, has_second) in OPERATIONS {
        for flag in [0, FUTEX_PRIVATE_FLAG] {
            // The timeout is none, and the number of those to be moved.
            let call = |first, second| futex(first, operation | flag, 1, 0, second, 1);
            check_eq!((operation, call(good + 1, good)), (operation, Err(Errno::EINVAL)));
            check_eq!((operation, call(1 << 63, good)), (operation, Err(Errno::EFAULT)));
            if has_second {
                check_eq!((operation, call(good, good + 2)), (operation, Err(Errno::EINVAL)));
                check_eq!((operation, call(good, 1 << 63)), (operation, Err(Errno::EFAULT)));
            }
            if flag == 0 {
                check_eq!((operation, call(0, good)), (operation, Err(Errno::EFAULT)));
                check_eq!((operation, call(4096, good)), (operation, Err(Errno::EFAULT)));
            }
        }
    }
    check_eq!(futex(good, 99, 0, 0, 0, 0), Err(Errno::ENOSYS));
    check_eq!(futex(good + 1, 99, 0, 0, 0, 0), Err(Errno::ENOSYS));
    check_eq!(futex(good, FUTEX_WAIT_BITSET, 1, 0, 0, 0), Err(Errno::EINVAL));
    check_eq!(futex(good, FUTEX_WAKE_BITSET, 1, 0, 0, 0), Err(Errno::EINVAL));
    check_eq!(futex(good, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0), Err(Errno::ENOSYS));
    check_eq!(futex(good, FUTEX_WAIT, 1, 8, 0, 0), Err(Errno::EFAULT));
    check_eq!(futex(good + 1, FUTEX_WAIT, 1, 8, 0, 0), Err(Errno::EFAULT));
    check_eq!(futex(good, FUTEX_REQUEUE, u64::from(u32::MAX), 1, good, 0), Err(Errno::EINVAL));
    check_eq!(futex(good, FUTEX_REQUEUE, 1, u64::from(u32::MAX), good, 0), Err(Errno::EINVAL));
    // An unknown change and an unknown comparison.
    check_eq!(futex(good, FUTEX_WAKE_OP, 1, 1, good, 5 << 28), Err(Errno::ENOSYS));
    check_eq!(futex(good, FUTEX_WAKE_OP, 1, 1, good, 6 << 24), Err(Errno::ENOSYS));
    Ok(())
}

fn map(protection: u32, flags: u32) -> Result<u64, Errno> {
    // SAFETY: a new place, which nothing refers to.
    unsafe { mmap(core::ptr::null_mut(), 4096, protection, flags | MAP_ANONYMOUS, -1, 0) }
        .map(|address| address as u64)
}

fn shared_words_can_be_read() -> Outcome {
    let shared = |word| futex(word, FUTEX_WAKE, 1, 0, 0, 0);
    let private = |word| futex(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0);
    let nothing = map(0, MAP_PRIVATE)?;
    check_eq!((shared(nothing), private(nothing)), (Err(Errno::EFAULT), Ok(0)));
    let nothing = map(0, MAP_SHARED)?;
    check_eq!((shared(nothing), private(nothing)), (Err(Errno::EFAULT), Ok(0)));
    // What is private and read-only can never change.
    let constant = map(PROT_READ, MAP_PRIVATE)?;
    check_eq!((shared(constant), private(constant)), (Err(Errno::EFAULT), Ok(0)));
    check_eq!(futex(constant, FUTEX_WAIT, 1, 0, 0, 0), Err(Errno::EFAULT));
    check_eq!(futex(constant, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0), Err(Errno::EAGAIN));
    let readable = map(PROT_READ, MAP_SHARED)?;
    check_eq!((shared(readable), private(readable)), (Ok(0), Ok(0)));
    let writable = map(PROT_READ | PROT_WRITE, MAP_PRIVATE)?;
    check_eq!((shared(writable), private(writable)), (Ok(0), Ok(0)));
    // A lock is written to.
    for flag in [0, FUTEX_PRIVATE_FLAG] {
        for word in [constant, readable] {
            check_eq!(futex(word, FUTEX_LOCK_PI | flag, 0, 0, 0, 0), Err(Errno::EFAULT));
        }
    }
    // Where a program's own constants lie, a file is behind them.
    static CONSTANT: u32 = 1;
    check_eq!(shared((&raw const CONSTANT) as u64), Ok(0));
    Ok(())
}
