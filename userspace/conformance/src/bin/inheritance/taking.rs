//! Taking a lock, waiting for it, giving it up.

use crate::*;
use abi::time::NANOSECONDS_PER_SECOND;

pub fn a_free_lock_is_taken() -> Outcome {
    static LOCK: Lock = Lock::new();
    for operation in [FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI] {
        for sharing in [0, FUTEX_PRIVATE_FLAG] {
            check_eq!(LOCK.call(operation | sharing, 0), Ok(0));
            check_eq!(LOCK.value(), own());
            check_eq!(LOCK.call(operation | sharing, 0), Err(Errno::EDEADLK));
            check_eq!(LOCK.call(FUTEX_UNLOCK_PI | sharing, 0), Ok(0));
            check_eq!(LOCK.value(), 0);
            check_eq!(LOCK.call(FUTEX_UNLOCK_PI | sharing, 0), Err(Errno::EPERM));
        }
    }
    // Nobody waits, whatever the word says.
    LOCK.0.store(own() | FUTEX_WAITERS, SeqCst);
    check_eq!(LOCK.unlock(), Ok(0));
    check_eq!(LOCK.value(), 0);
    LOCK.0.store(FUTEX_OWNER_DIED, SeqCst);
    check_eq!(LOCK.lock(), Ok(0));
    check_eq!(LOCK.value(), own() | FUTEX_OWNER_DIED);
    check_eq!(raw::call(nr::futex, &[LOCK.address() + 1, u64::from(FUTEX_LOCK_PI)]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::futex, &[8, u64::from(FUTEX_LOCK_PI)]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::futex, &[8, u64::from(FUTEX_UNLOCK_PI)]), Err(Errno::EFAULT));
    Ok(())
}

pub fn a_taken_lock_is_handed_over() -> Outcome {
    static LOCK: Lock = Lock::new();
    LOCK.lock()?;
    let (other, number) = contender(&LOCK, 0)?;
    check_eq!(LOCK.value(), own() | FUTEX_WAITERS);
    check_eq!(futex(&LOCK.0, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0), Err(Errno::EINVAL));
    check_eq!(LOCK.unlock(), Ok(0));
    let value = LOCK.value();
    check!(value == 0 || value == number as u32 | FUTEX_WAITERS, "{value:#x}");
    other.join()?;
    check_eq!(LOCK.value(), 0);
    Ok(())
}

pub fn a_taken_lock_can_be_tried() -> Outcome {
    static LOCK: Lock = Lock::new();
    LOCK.lock()?;
    let tried = spawn(|| LOCK.call(FUTEX_TRYLOCK_PI | FUTEX_PRIVATE_FLAG, 0))?.join();
    check_eq!(tried, Err(Errno::EAGAIN));
    check_eq!(spawn(|| LOCK.unlock())?.join(), Err(Errno::EPERM));
    check_eq!(LOCK.unlock(), Ok(0));
    check_eq!(LOCK.value(), 0);
    Ok(())
}

pub fn a_lock_of_nobody_is_refused() -> Outcome {
    static LOCK: Lock = Lock::new();
    let dead = spawn(own)?.join();
    for number in [dead, FUTEX_TID_MASK] {
        LOCK.0.store(number, SeqCst);
        let mut refused = LOCK.lock();
        while refused == Err(Errno::EDEADLK) {
            refused = LOCK.lock();
        }
        check_eq!(refused, Err(Errno::ESRCH));
    }
    Ok(())
}

pub fn waiting_has_an_end() -> Outcome {
    static LOCK: Lock = Lock::new();
    static OTHER: AtomicU32 = AtomicU32::new(0);
    let servant = Servant::taking(&OTHER, [&LOCK])?;
    servant.takes();
    for (operation, clock) in [
        (FUTEX_LOCK_PI, CLOCK_REALTIME),
        (FUTEX_LOCK_PI2, CLOCK_MONOTONIC),
        (FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME, CLOCK_REALTIME),
    ] {
        let end = to_duration(clock_gettime(clock)?) + 20 * MS;
        let timeout = from_duration(end);
        check_eq!(
            LOCK.call(operation | FUTEX_PRIVATE_FLAG, (&raw const timeout) as u64),
            Err(Errno::ETIMEDOUT)
        );
        check!(to_duration(clock_gettime(clock)?) >= end);
    }
    let past = Timespec { tv_sec: 0, tv_nsec: 1 };
    check_eq!(LOCK.call(FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, (&raw const past) as u64), Err(Errno::ETIMEDOUT));
    let wrong = Timespec { tv_sec: 0, tv_nsec: NANOSECONDS_PER_SECOND };
    check_eq!(LOCK.call(FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, (&raw const wrong) as u64), Err(Errno::EINVAL));
    check_eq!(LOCK.value(), servant.number as u32 | FUTEX_WAITERS);
    servant.go_on();
    servant.thread.join()?;
    check_eq!(LOCK.value(), 0);
    Ok(())
}

pub fn signals_do_not_end_a_wait() -> Outcome {
    static LOCK: Lock = Lock::new();
    LOCK.lock()?;
    record_signal(SIGUSR1, 0)?;
    let (other, number) = contender(&LOCK, 0)?;
    for sent in 1..=3 {
        raw::call(nr::tgkill, &[getpid() as u64, number as u64, u64::from(SIGUSR1)])?;
        wait_until(|| count() == sent);
        until_asleep(number);
    }
    LOCK.unlock()?;
    check_eq!(other.join(), Ok(()));
    Ok(())
}

pub fn the_clock_is_chosen_where_it_can_be() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let past = Timespec { tv_sec: 0, tv_nsec: 1 };
    let timeout = (&raw const past) as u64;
    for operation in
        [FUTEX_WAIT, FUTEX_WAKE, FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI, FUTEX_CMP_REQUEUE_PI]
    {
        check_eq!(futex(&WORD, operation | FUTEX_CLOCK_REALTIME, 0, timeout, 0, 0), Err(Errno::ENOSYS));
    }
    let any = FUTEX_BITSET_MATCH_ANY;
    for clock in [0, FUTEX_CLOCK_REALTIME] {
        check_eq!(futex(&WORD, FUTEX_WAIT_BITSET | clock, 0, timeout, 0, any), Err(Errno::ETIMEDOUT));
    }
    Ok(())
}
