//! Waiters that are moved from a word to a lock.

use crate::*;

/// Starts threads that wait at `word` to be moved to `lock`, one after the other. They then hold the lock for a moment.
fn wait_to_be_moved(
    word: &'static AtomicU32,
    lock: &'static Lock,
    priority: i32,
) -> Result<(JoinHandle<Result<(), Errno>>, i32), Failure> {
    start_asleep(priority, || {
        futex(word, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 7, 0, lock.address(), 0)?;
        lock.unlock().map(drop)
    })
}

fn move_to(word: &AtomicU32, lock: &Lock, wake: u32, more: u64, expected: u32) -> Result<u64, Errno> {
    futex(word, FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, wake, more, lock.address(), expected)
}

pub fn waiters_are_moved_to_a_lock() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(7);
    static LOCK: Lock = Lock::new();
    check_eq!(move_to(&WORD, &LOCK, 1, 10, 7), Ok(0));
    let threads = [
        wait_to_be_moved(&WORD, &LOCK, 0)?,
        wait_to_be_moved(&WORD, &LOCK, 20)?,
        wait_to_be_moved(&WORD, &LOCK, 0)?,
    ];
    check_eq!(move_to(&WORD, &LOCK, 1, 10, 8), Err(Errno::EAGAIN));
    check_eq!(move_to(&WORD, &LOCK, 1, 1, 7), Ok(2));
    check_eq!(move_to(&WORD, &LOCK, 1, 10, 7), Ok(1));
    for (thread, _) in threads {
        thread.join()?;
    }
    check_eq!(LOCK.value(), 0);
    Ok(())
}

pub fn waiters_are_moved_to_a_taken_lock() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(7);
    static LOCK: Lock = Lock::new();
    record_signal(SIGUSR1, 0)?;
    LOCK.lock()?;
    let threads = [wait_to_be_moved(&WORD, &LOCK, 0)?, wait_to_be_moved(&WORD, &LOCK, 20)?];
    // A signal before the move changes nothing.
    raw::call(nr::tgkill, &[getpid() as u64, threads[0].1 as u64, u64::from(SIGUSR1)])?;
    wait_until(|| count() == 1);
    until_asleep(threads[0].1);
    check_eq!(inner_priority(gettid()), 20);
    check_eq!(move_to(&WORD, &LOCK, 1, 10, 7), Ok(2));
    check_eq!(inner_priority(gettid()), -21);
    check_eq!(LOCK.value(), own() | FUTEX_WAITERS);
    // One after it ends the wait.
    raw::call(nr::tgkill, &[getpid() as u64, threads[0].1 as u64, u64::from(SIGUSR1)])?;
    let [first, second] = threads;
    check_eq!(first.0.join(), Err(Errno::EAGAIN));
    LOCK.unlock()?;
    second.0.join()?;
    check_eq!(inner_priority(gettid()), 20);
    Ok(())
}

pub fn moving_refuses() -> Outcome {
    static WORDS: [AtomicU32; 2] = [const { AtomicU32::new(7) }; 2];
    static LOCKS: [Lock; 2] = [const { Lock::new() }; 2];
    let [word, plain] = &WORDS;
    let (thread, _) = wait_to_be_moved(word, &LOCKS[0], 0)?;
    check_eq!(move_to(word, &LOCKS[0], 2, 10, 7), Err(Errno::EINVAL));
    check_eq!(move_to(word, &LOCKS[0], 0, 10, 7), Err(Errno::EINVAL));
    check_eq!(move_to(word, &LOCKS[1], 1, 10, 7), Err(Errno::EINVAL));
    check_eq!(move_to(word, &Lock(AtomicU32::new(0)), 1, 10, 7), Err(Errno::EINVAL));
    check_eq!(
        futex(word, FUTEX_CMP_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 1, 1, (&raw const *word) as u64, 7),
        Err(Errno::EINVAL)
    );
    check_eq!(futex(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0), Err(Errno::EINVAL));
    check_eq!(
        futex(word, FUTEX_REQUEUE | FUTEX_PRIVATE_FLAG, 1, 1, (&raw const *plain) as u64, 0),
        Err(Errno::EINVAL)
    );
    check_eq!(
        futex(word, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 8, 0, LOCKS[0].address(), 0),
        Err(Errno::EAGAIN)
    );
    check_eq!(
        futex(word, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 7, 0, (&raw const *word) as u64, 0),
        Err(Errno::EINVAL)
    );
    let end = from_duration(to_duration(clock_gettime(CLOCK_MONOTONIC)?) + 10 * MS);
    let timeout = (&raw const end) as u64;
    check_eq!(
        futex(plain, FUTEX_WAIT_REQUEUE_PI | FUTEX_PRIVATE_FLAG, 7, timeout, LOCKS[0].address(), 0),
        Err(Errno::ETIMEDOUT)
    );
    // Somebody who only wants to be woken cannot be moved.
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    let sleeper = spawn(|| {
        NUMBER.store(gettid(), SeqCst);
        futex(&WORDS[1], FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 7, 0, 0, 0)
    })?;
    wait_until(|| NUMBER.load(SeqCst) != 0);
    until_asleep(NUMBER.load(SeqCst));
    check_eq!(move_to(plain, &LOCKS[0], 1, 10, 7), Err(Errno::EINVAL));
    check_eq!(futex(plain, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0), Ok(1));
    sleeper.join()?;
    check_eq!(move_to(word, &LOCKS[0], 1, 10, 7), Ok(1));
    thread.join()?;
    Ok(())
}
