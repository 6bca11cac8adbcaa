//! Clocks of processor time, read while what they count goes on.

use crate::round::Round;
use crate::teams;
use abi::time::{CLOCK_PROCESS_CPUTIME_ID, Timespec};
use conformance::processor_time::{Kind, clock_of_thread, spent};
use conformance::{Outcome, check};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use libsyscall::thread::{gettid, sched_yield};
use libsyscall::time::nanosleep;
use ulib::thread::spawn;
use ulib::time::monotonic;

const MOST: usize = 64;

/// Threads work, sleep, give way, make threads and end, while others read the clocks of the process and of its threads:
/// no clock ever runs backwards, whoever looks.
pub fn processor_clocks(round: Round) -> Outcome {
    const TURNS: usize = 40;
    static LEFT: AtomicU32 = AtomicU32::new(0);
    static THREADS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];
    static PROCESS_NS: AtomicU64 = AtomicU64::new(0);
    static THREAD_NS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
    let workers = round.threads.min(MOST);
    LEFT.store(workers as u32, Ordering::SeqCst);
    teams::threads(workers + 2, move |worker| {
        let mut random = round.random(worker);
        if worker >= workers {
            while LEFT.load(Ordering::SeqCst) != 0 {
                has_not_run_backwards(CLOCK_PROCESS_CPUTIME_ID, &PROCESS_NS)?;
                let number = random.below(workers);
                let thread = THREADS[number].load(Ordering::SeqCst);
                if thread != 0 {
                    has_not_run_backwards(clock_of_thread(thread, Kind::Scheduled), &THREAD_NS[number])?;
                }
            }
            return Ok(());
        }
        THREADS[worker].store(gettid(), Ordering::SeqCst);
        for _ in 0..TURNS {
            match random.below(4) {
                0 => nanosleep(Timespec { tv_sec: 0, tv_nsec: 1 + random.below(100_000) as i64 })
                    .map_err(|(error, _)| error)?,
                1 => sched_yield(),
                2 => work(random.below(200)),
                _ => {
                    let length = random.below(200);
                    spawn(move || work(length))?.join();
                }
            }
        }
        LEFT.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    })
}

/// Reads a clock after `seen`, which others may have read, and notes what it shows. A thread's clock may be gone.
fn has_not_run_backwards(clock: i32, seen: &AtomicU64) -> Outcome {
    let before = seen.load(Ordering::SeqCst);
    let Ok(now) = spent(clock) else { return Ok(()) };
    let now = now.as_nanos() as u64;
    check!(now >= before, "clock {clock} went from {before} ns to {now} ns");
    seen.fetch_max(now, Ordering::SeqCst);
    Ok(())
}

fn work(microseconds: usize) {
    let start = monotonic();
    while (monotonic() - start).as_micros() < microseconds as u128 {
        core::hint::spin_loop();
    }
}
