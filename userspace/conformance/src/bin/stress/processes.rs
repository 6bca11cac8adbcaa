//! Processes: more than allowed, without a parent, and waited for by many.

use crate::round::{Round, end_of};
use crate::teams::{self, meet, shared, until};
use abi::Errno;
use abi::native::nr;
use abi::process::{PR_SET_CHILD_SUBREAPER, WaitStatus};
use abi::resource::{RLIMIT_NPROC, Rlimit};
use conformance::{Failure, Outcome, check, check_eq, child, raw};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use libsyscall::file::{close, pipe2, read};
use libsyscall::process::*;

/// Users that nobody else is, one for each round.
const FIRST_USER: u64 = 60_000;
const DEPTH: u32 = 4;
const CHILDREN: usize = 3;

/// What the processes of a bomb count together.
#[derive(zerocopy::FromZeros)]
#[repr(C)]
struct Census {
    born: AtomicU32,
    reaped: AtomicU32,
    alive: AtomicU32,
}

/// A user's processes multiply as fast as they can, and never exceed the limit.
pub fn fork_bomb(round: Round) -> Outcome {
    let user = FIRST_USER + round.number % 5000;
    let limit = 4 * round.threads as u64 + 4;
    let census = shared::<Census>()?;
    // The limit does not bind root.
    let alone = geteuid() == 0;
    prlimit64(0, RLIMIT_NPROC, Some(&Rlimit { rlim_cur: limit, rlim_max: limit }))?;
    if alone {
        raw::call(nr::setresuid, &[user, user, user])?;
        check_eq!(fill()?, limit - 1);
    }
    grow(census, DEPTH, limit)?;
    check_eq!(census.born.load(Ordering::Relaxed), census.reaped.load(Ordering::Relaxed));
    if alone {
        // What is gone does not count any more.
        check_eq!(fill()?, limit - 1);
    }
    Ok(())
}

/// Makes children until there may be no more, ends them, and tells how many there were.
fn fill() -> Result<u64, Failure> {
    let (reader, writer) = pipe2(0)?;
    let mut children = alloc::vec::Vec::new();
    loop {
        // SAFETY: this process has one thread.
        match unsafe { fork() } {
            Ok(0) => {
                let _ = close(writer);
                let _ = read(reader, &mut [0]);
                exit_group(0);
            }
            Ok(pid) => children.push(pid),
            Err(Errno::EAGAIN) => break,
            Err(error) => return Err(error.into()),
        }
    }
    close(writer)?;
    close(reader)?;
    let count = children.len() as u64;
    for child in children {
        check_eq!(child::wait(child)?, WaitStatus(0));
    }
    Ok(count)
}

/// One process of the bomb: has children, who have children, and waits for its own.
fn grow(census: &Census, depth: u32, limit: u64) -> Outcome {
    let mut children = 0;
    for _ in 0..CHILDREN {
        // SAFETY: this process has one thread.
        match unsafe { fork() } {
            Ok(0) => {
                census.born.fetch_add(1, Ordering::Relaxed);
                let alive = u64::from(census.alive.fetch_add(1, Ordering::Relaxed)) + 1;
                let grown = if depth > 1 { grow(census, depth - 1, limit) } else { Ok(()) };
                census.alive.fetch_sub(1, Ordering::Relaxed);
                exit_group(if alive < limit || geteuid() == 0 { end_of(grown) } else { 3 });
            }
            Ok(_) => children += 1,
            Err(Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for _ in 0..children {
        check_eq!(child::wait(-1)?, WaitStatus(0));
        census.reaped.fetch_add(1, Ordering::Relaxed);
    }
    check_eq!(wait4(-1, 0), Err(Errno::ECHILD));
    Ok(())
}

/// Parents end while their children do; every orphan comes to the one that asked for them, once.
pub fn orphans(round: Round) -> Outcome {
    const EACH: usize = 4;
    raw::call(nr::prctl, &[PR_SET_CHILD_SUBREAPER.into(), 1])?;
    let me = getpid();
    let adopted = shared::<AtomicU32>()?;
    let mut parents = 0;
    for parent in 0..round.threads {
        let mut random = round.random(parent);
        child::start(|| {
            for _ in 0..EACH {
                let delay = random.below(4);
                let old = getpid();
                let orphan = child::start(|| {
                    (0..delay).for_each(|_| libsyscall::thread::sched_yield());
                    until(|| getppid() != old);
                    adopted.fetch_add(1, Ordering::Relaxed);
                    i32::from(getppid() != me)
                });
                if orphan.is_err() {
                    return 2;
                }
            }
            0
        })?;
        parents += 1;
    }
    for _ in 0..parents * (1 + EACH) {
        check_eq!(child::wait(-1)?, WaitStatus(0));
    }
    check_eq!(wait4(-1, 0), Err(Errno::ECHILD));
    check_eq!(adopted.load(Ordering::Relaxed) as usize, round.threads * EACH);
    Ok(())
}

/// Threads wait for any child while children end: each child is told to one thread.
pub fn waiting_siblings(round: Round) -> Outcome {
    const EACH: usize = 6;
    static REAPED: AtomicU32 = AtomicU32::new(0);
    static STATUSES: AtomicU64 = AtomicU64::new(0);
    let gate = shared::<AtomicU32>()?;
    let children = round.threads * EACH;
    for number in 0..children {
        child::start(|| {
            meet(gate, 1);
            number as i32 % 64
        })?;
    }
    teams::threads(round.threads, |_| {
        loop {
            match wait4(-1, 0) {
                Ok(Some((_, status))) => {
                    let code = status.exit_code().unwrap_or(255);
                    check!(code < 64, "a child ended with {status:?}");
                    REAPED.fetch_add(1, Ordering::Relaxed);
                    STATUSES.fetch_add(code.into(), Ordering::Relaxed);
                }
                Ok(None) => return Err(Failure::new("wait4 returned no child")),
                Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    })?;
    check_eq!(REAPED.load(Ordering::Relaxed) as usize, children);
    check_eq!(STATUSES.load(Ordering::Relaxed), (0..children as u64).map(|number| number % 64).sum::<u64>());
    Ok(())
}
