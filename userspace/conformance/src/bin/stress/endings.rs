//! Processes that end while their threads do anything.

use crate::mappings::{PAGE, map, unmap};
use crate::round::Round;
use crate::teams::until;
use abi::process::WaitStatus;
use abi::signal::{SIGKILL, SIGTERM};
use conformance::{Outcome, attempt, check, check_eq, child};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use libsyscall::file::{pipe2, read};
use libsyscall::process::{exit_group, fork, getpid, kill, wait4};
use libsyscall::thread::{Sharing, exit, futex_wait, sched_yield};
use ulib::thread::spawn;

/// What the other threads of a process are at while it ends or executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Computing.
    Running,
    /// Asleep in a futex, a pipe, or until a time.
    Sleeping,
    /// Making threads, which end at once.
    Spawning,
    /// Making processes and waiting for them.
    Forking,
    /// Mapping and touching memory.
    Mapping,
}

impl Activity {
    /// All of them.
    pub const ALL: [Activity; 5] =
        [Activity::Running, Activity::Sleeping, Activity::Spawning, Activity::Forking, Activity::Mapping];

    fn go_on(self, worker: usize) -> ! {
        static NEVER: AtomicU32 = AtomicU32::new(0);
        loop {
            match self {
                Activity::Running => (0..1000).for_each(|_| core::hint::spin_loop()),
                Activity::Sleeping if worker.is_multiple_of(3) => {
                    let _ = futex_wait(&NEVER, 0, None, Sharing::Private);
                }
                Activity::Sleeping if worker % 3 == 1 => ulib::time::sleep(Duration::from_secs(1000)),
                Activity::Sleeping => {
                    if let Ok((reader, _)) = pipe2(0) {
                        let _ = read(reader, &mut [0]);
                    }
                }
                Activity::Spawning => drop(spawn(sched_yield).map(|thread| thread.join())),
                Activity::Forking => fork_and_wait(),
                Activity::Mapping => map_and_touch(),
            }
        }
    }
}

fn fork_and_wait() {
    // SAFETY: the child does nothing but end.
    match unsafe { fork() } {
        Ok(0) => exit_group(0),
        Ok(pid) => drop(wait4(pid, 0)),
        Err(_) => sched_yield(),
    }
}

fn map_and_touch() {
    if let Ok(base) = map(4) {
        let _ = (0..4).all(|page| attempt::store(base + page * PAGE, 1));
        let _ = unmap(base, 4);
    }
}

/// Starts the other threads; returns when each of them has begun.
pub fn keep_busy(activity: Activity, round: Round) -> Outcome {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    BEGUN.store(0, Ordering::Relaxed);
    for worker in 0..round.threads {
        let thread = spawn(move || -> () {
            BEGUN.fetch_add(1, Ordering::Release);
            activity.go_on(worker)
        })?;
        core::mem::forget(thread);
    }
    until(|| BEGUN.load(Ordering::Acquire) as usize == round.threads);
    let mut random = round.random(activity as usize);
    (0..random.below(5)).for_each(|_| sched_yield());
    Ok(())
}

/// One thread ends the process; its status is told, whatever the others were at.
pub fn exit_among_threads(round: Round) -> Outcome {
    for activity in Activity::ALL {
        let status = child::run(|| match keep_busy(activity, round) {
            Ok(()) => 7,
            Err(_) => 8,
        })?;
        check_eq!((activity, status), (activity, WaitStatus::exited(7)));
    }
    Ok(())
}

/// A signal from inside or outside ends the process; every thread of it is gone when its parent knows.
pub fn death_among_threads(round: Round) -> Outcome {
    for activity in Activity::ALL {
        let (reader, writer) = pipe2(0)?;
        let pid = child::start(|| {
            let begun = keep_busy(activity, round).is_ok() && libsyscall::file::write(writer, b"x") == Ok(1);
            if begun && round.number.is_multiple_of(2) {
                let _ = kill(getpid(), SIGTERM);
            }
            until(|| !begun);
            9
        })?;
        libsyscall::file::close(writer)?;
        check_eq!(read(reader, &mut [0]), Ok(1));
        if !round.number.is_multiple_of(2) {
            kill(pid, SIGKILL)?;
        }
        let signal = child::wait(pid)?.term_signal();
        check!(signal == Some(SIGTERM) || signal == Some(SIGKILL), "{activity:?}: ended by {signal:?}");
        // The last thread of it that could write is gone; children that it was making may not be yet.
        check_eq!(read(reader, &mut [0]), Ok(0));
        libsyscall::file::close(reader)?;
    }
    Ok(())
}

/// First threads end before the others, whose last one says what the process ends with.
pub fn first_thread_ends_first(round: Round) -> Outcome {
    static LEFT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..6 {
        let status = child::run(|| {
            LEFT.store(round.threads as u32, Ordering::SeqCst);
            for worker in 0..round.threads {
                let mut random = round.random(worker);
                let thread = spawn(move || {
                    (0..random.below(6)).for_each(|_| sched_yield());
                    if LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
                        exit_group(5);
                    }
                });
                core::mem::forget(thread);
            }
            exit(3)
        })?;
        check_eq!(status, WaitStatus::exited(5));
    }
    Ok(())
}
