//! Whose priority the owner of a lock runs with.

use crate::*;

pub fn an_owner_is_lent_the_highest_priority() -> Outcome {
    static LOCK: Lock = Lock::new();
    let me = gettid();
    check_eq!(inner_priority(me), 20);
    LOCK.lock()?;
    let (first, first_number) = contender(&LOCK, 20)?;
    check_eq!(inner_priority(me), -21);
    // What it asked for is what it has.
    let fields = stat(me)?;
    check_eq!((fields[16], fields[37], fields[38]), (0, 0, 0));
    check_eq!(raw::call(nr::sched_getscheduler, &[0]), Ok(0));
    let (second, _) = contender(&LOCK, 30)?;
    check_eq!(inner_priority(me), -31);
    set_fifo(first_number, 40)?;
    check_eq!(inner_priority(me), -41);
    // A child borrows nothing.
    check!(child::succeeds(|| {
        check_eq!(inner_priority(gettid()), 20);
        Ok(())
    })?);
    set_fifo(me, 60)?;
    check_eq!(inner_priority(me), -61);
    LOCK.unlock()?;
    first.join()?;
    second.join()?;
    check_eq!(inner_priority(me), -61);
    Ok(())
}

/// Each of three threads, this one first, has a lock; the other two are about to take that of the one before.
fn chain(locks: &'static [Lock; 3], steps: &'static [AtomicU32; 2]) -> Result<[Servant; 2], Failure> {
    locks[0].lock()?;
    let middle = Servant::taking(&steps[0], [&locks[1], &locks[0]])?;
    middle.takes();
    let last = Servant::taking(&steps[1], [&locks[2], &locks[1]])?;
    last.takes();
    Ok([middle, last])
}

pub fn priority_is_lent_along_a_chain() -> Outcome {
    static LOCKS: [Lock; 3] = [const { Lock::new() }; 3];
    static STEPS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    let [middle, last] = chain(&LOCKS, &STEPS)?;
    for servant in [&last, &middle] {
        servant.go_on();
        until_asleep(servant.number);
    }
    let all = || [gettid(), middle.number, last.number].map(inner_priority);
    check_eq!(all(), [20, 20, 20]);
    let (waiter, number) = contender(&LOCKS[2], 25)?;
    check_eq!(all(), [-26, -26, -26]);
    set_fifo(number, 35)?;
    check_eq!(all(), [-36, -36, -36]);
    set_fifo(number, 15)?;
    check_eq!(all(), [-16, -16, -16]);
    LOCKS[0].unlock()?;
    check_eq!(inner_priority(gettid()), 20);
    for servant in [&middle, &last] {
        servant.go_on();
    }
    middle.thread.join()?;
    last.thread.join()?;
    waiter.join()?;
    check!(LOCKS.iter().all(|lock| lock.value() == 0));
    Ok(())
}

pub fn who_gives_up_lends_no_more() -> Outcome {
    static LOCK: Lock = Lock::new();
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    LOCK.lock()?;
    let (other, _) = contender(&LOCK, 10)?;
    let waiter = spawn(|| {
        set_fifo(0, 30)?;
        let end = from_duration(to_duration(clock_gettime(CLOCK_MONOTONIC)?) + 300 * MS);
        NUMBER.store(gettid(), SeqCst);
        LOCK.call(FUTEX_LOCK_PI2 | FUTEX_PRIVATE_FLAG, (&raw const end) as u64)
    })?;
    wait_until(|| NUMBER.load(SeqCst) != 0);
    until_asleep(NUMBER.load(SeqCst));
    let lent = inner_priority(gettid());
    check_eq!(waiter.join(), Err(Errno::ETIMEDOUT));
    check!(lent == -31 || lent == -11, "{lent}");
    check_eq!(inner_priority(gettid()), -11);
    LOCK.unlock()?;
    other.join()?;
    Ok(())
}

pub fn owners_of_two_locks_keep_what_one_lends() -> Outcome {
    static LOCKS: [Lock; 2] = [const { Lock::new() }; 2];
    LOCKS[0].lock()?;
    LOCKS[1].lock()?;
    let (low, _) = contender(&LOCKS[0], 10)?;
    let (high, _) = contender(&LOCKS[1], 20)?;
    check_eq!(inner_priority(gettid()), -21);
    LOCKS[1].unlock()?;
    check_eq!(inner_priority(gettid()), -11);
    LOCKS[0].unlock()?;
    check_eq!(inner_priority(gettid()), 20);
    low.join()?;
    high.join()?;
    Ok(())
}

pub fn the_highest_priority_gets_the_lock() -> Outcome {
    static LOCK: Lock = Lock::new();
    static ORDER: [AtomicI32; 5] = [const { AtomicI32::new(0) }; 5];
    static NEXT: AtomicU32 = AtomicU32::new(0);
    LOCK.lock()?;
    let mut threads = Vec::new();
    for (index, priority) in [0, 10, 30, 20, 10].into_iter().enumerate() {
        let (thread, _) = start_asleep(priority, move || {
            LOCK.lock()?;
            ORDER[NEXT.fetch_add(1, SeqCst) as usize].store(index as i32, SeqCst);
            LOCK.unlock().map(drop)
        })?;
        threads.push(thread);
    }
    LOCK.unlock()?;
    for thread in threads {
        thread.join()?;
    }
    check_eq!(ORDER.each_ref().map(|order| order.load(SeqCst)), [2, 3, 1, 4, 0]);
    Ok(())
}

pub fn a_circle_is_refused() -> Outcome {
    static LOCKS: [Lock; 3] = [const { Lock::new() }; 3];
    static STEPS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    let [middle, last] = chain(&LOCKS, &STEPS)?;
    for servant in [&middle, &last] {
        servant.go_on();
        until_asleep(servant.number);
    }
    check_eq!(LOCKS[2].lock(), Err(Errno::EDEADLK));
    check_eq!(LOCKS[1].lock(), Err(Errno::EDEADLK));
    LOCKS[0].unlock()?;
    middle.go_on();
    last.go_on();
    middle.thread.join()?;
    last.thread.join()?;
    check!(LOCKS.iter().all(|lock| lock.value() == 0));
    Ok(())
}

/// On one processor: a thread of low priority has the lock, one of middle priority never sleeps.
pub fn a_low_priority_holds_up_nobody() -> Outcome {
    static LOCK: Lock = Lock::new();
    static READY: AtomicBool = AtomicBool::new(false);
    static OVER: AtomicBool = AtomicBool::new(false);
    let mask = 1u64;
    raw::call(nr::sched_setaffinity, &[0, 8, (&raw const mask) as u64])?;
    set_fifo(0, 90)?;
    let low = spawn(|| {
        set_fifo(0, 10)?;
        LOCK.lock()?;
        READY.store(true, SeqCst);
        wait_until(|| LOCK.value() & FUTEX_WAITERS != 0);
        LOCK.unlock().map(drop)
    })?;
    wait_until(|| READY.load(SeqCst));
    let middle = spawn(|| {
        set_fifo(0, 20)?;
        spin_until(|| OVER.load(SeqCst));
        Ok::<_, Errno>(())
    })?;
    sleep(5 * MS);
    LOCK.lock()?;
    OVER.store(true, SeqCst);
    LOCK.unlock()?;
    low.join()?;
    middle.join()?;
    Ok(())
}
