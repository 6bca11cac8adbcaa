//! Sleeping for a time, interval timers, and giving the CPU away.

use crate::round::Round;
use crate::teams::{self, until};
use abi::Errno;
use abi::native::nr;
use abi::signal::{SA_RESTART, SIGALRM, SIGUSR1, SigInfo, UContext};
use abi::time::{ITIMER_REAL, Itimerval, Timespec, Timeval};
use conformance::handler::install;
use conformance::{Outcome, check, raw};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use core::time::Duration;
use libsyscall::process::getpid;
use libsyscall::signal::tgkill;
use libsyscall::thread::{gettid, sched_yield};
use libsyscall::time::nanosleep;

const MOST: usize = 64;

extern "C" fn nothing(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {}

/// Threads sleep for short times while others interrupt them: nobody wakes early.
pub fn sleepers(round: Round) -> Outcome {
    const SLEEPS: usize = 25;
    static THREADS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];
    static LEFT: AtomicU32 = AtomicU32::new(0);
    install(SIGUSR1, nothing, 0)?;
    let sleepers = round.threads.min(MOST);
    LEFT.store(sleepers as u32, Ordering::SeqCst);
    teams::threads(sleepers + 1, move |worker| {
        let mut random = round.random(worker);
        if worker == sleepers {
            until(|| {
                let thread = THREADS[random.below(sleepers)].load(Ordering::SeqCst);
                // It may just have ended.
                let _ = if thread == 0 { Ok(()) } else { tgkill(getpid(), thread, SIGUSR1) };
                nanosleep(Timespec { tv_sec: 0, tv_nsec: 100_000 }).is_err()
                    || LEFT.load(Ordering::SeqCst) == 0
            });
            return Ok(());
        }
        THREADS[worker].store(gettid(), Ordering::SeqCst);
        for _ in 0..SLEEPS {
            sleep_at_least(Duration::from_micros(1 + random.below(600) as u64))?;
        }
        LEFT.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    })
}

fn sleep_at_least(length: Duration) -> Outcome {
    let start = ulib::time::monotonic();
    let mut left = ulib::time::from_duration(length);
    loop {
        match nanosleep(left) {
            Ok(()) => break,
            // Linux counts its timer slack into what is left, which may be more than was asked for.
            Err((Errno::EINTR, rest)) => left = rest,
            Err((error, _)) => return Err(error.into()),
        }
    }
    let slept = ulib::time::monotonic() - start;
    check!(slept >= length, "slept {slept:?} instead of {length:?}");
    Ok(())
}

/// Processes have interval timers, set and unset while they fire: each fires again and again, and not once it is unset.
pub fn interval_timers(round: Round) -> Outcome {
    static FIRED: AtomicU32 = AtomicU32::new(0);
    extern "C" fn fired(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
        FIRED.fetch_add(1, Ordering::SeqCst);
    }
    const TIMES: u32 = 5;
    let set = |microseconds: usize| {
        let time = Timeval { tv_sec: 0, tv_usec: microseconds as i64 };
        let value = Itimerval { it_interval: time, it_value: time };
        raw::call(nr::setitimer, &[ITIMER_REAL as u64, (&raw const value) as u64, 0])
    };
    teams::processes(round.threads, |worker| {
        let mut random = round.random(worker);
        install(SIGALRM, fired, SA_RESTART)?;
        for _ in 0..4 {
            FIRED.store(0, Ordering::SeqCst);
            set(300 + random.below(700))?;
            until(|| FIRED.load(Ordering::SeqCst) >= TIMES);
            set(0)?;
            // An expiry on another CPU has sent its signal by now, or never will.
            let last = FIRED.load(Ordering::SeqCst);
            let undisturbed = nanosleep(Timespec { tv_sec: 0, tv_nsec: 1_500_000 }).is_ok();
            check!(undisturbed && FIRED.load(Ordering::SeqCst) == last, "a stopped timer fired");
        }
        Ok(())
    })
}

/// Threads that only give the CPU away, and one that computes: all of them come to their end.
pub fn yields(round: Round) -> Outcome {
    const YIELDS: u32 = 60;
    static OVER: AtomicBool = AtomicBool::new(false);
    static LEFT: AtomicU32 = AtomicU32::new(0);
    let yielding = round.threads;
    LEFT.store(yielding as u32, Ordering::SeqCst);
    teams::threads(yielding + 1, move |worker| {
        if worker < yielding {
            (0..YIELDS).for_each(|_| sched_yield());
            if LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
                OVER.store(true, Ordering::SeqCst);
            }
            return Ok(());
        }
        while !OVER.load(Ordering::SeqCst) {
            core::hint::spin_loop();
        }
        Ok(())
    })
}
