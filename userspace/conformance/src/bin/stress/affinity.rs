//! Threads that are sent from CPU to CPU, by themselves and by each other.

use crate::round::Round;
use crate::teams::{self, meet};
use abi::Errno;
use abi::native::nr;
use conformance::{Outcome, check_eq, raw};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use libsyscall::thread::{allowed_cpus, gettid, sched_yield};

const MOST: usize = 64;

fn set_affinity(thread: i32, mask: u64) -> Result<(), Errno> {
    raw::call(nr::sched_setaffinity, &[thread as u64, 8, (&raw const mask) as u64]).map(drop)
}

/// The CPU that the thread was on when it asked.
fn current_cpu() -> Result<u32, Errno> {
    let mut cpu = u32::MAX;
    raw::call(nr::getcpu, &[(&raw mut cpu) as u64, 0, 0]).map(|_| cpu)
}

/// Half of the threads choose their CPU and stay on it; the others are moved by their neighbours and must still run.
pub fn churn(round: Round) -> Outcome {
    const STEPS: usize = 60;
    static THREADS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];
    static GATE: AtomicU32 = AtomicU32::new(0);
    let allowed = allowed_cpus().unwrap_or(1);
    let cpus: alloc::vec::Vec<u32> = (0..64).filter(|cpu| allowed & 1 << cpu != 0).collect();
    let threads = round.threads.next_multiple_of(2).min(MOST);
    teams::threads(threads, move |worker| {
        let mut random = round.random(worker);
        THREADS[worker].store(gettid(), Ordering::SeqCst);
        meet(&GATE, threads);
        for _ in 0..STEPS {
            let cpu = cpus[random.below(cpus.len())];
            if worker % 2 == 1 {
                // The neighbour runs on, wherever; this thread is on no particular CPU either.
                set_affinity(THREADS[worker - 1].load(Ordering::SeqCst), 1 << cpu)?;
                sched_yield();
                continue;
            }
            let before = current_cpu()?;
            check_eq!(cpus.contains(&before), true);
            sched_yield();
        }
        meet(&GATE, 2 * threads);
        for _ in 0..STEPS {
            let cpu = cpus[random.below(cpus.len())];
            set_affinity(0, 1 << cpu)?;
            check_eq!(current_cpu()?, cpu);
            (0..random.below(3)).for_each(|_| sched_yield());
            check_eq!(current_cpu()?, cpu);
        }
        check_eq!(set_affinity(0, 0), Err(Errno::EINVAL));
        set_affinity(0, allowed)?;
        meet(&GATE, 3 * threads);
        Ok(())
    })
}
