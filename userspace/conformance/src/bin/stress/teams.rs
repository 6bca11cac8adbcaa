//! Threads or processes that start together, and memory that processes share.

use crate::round::end_of;
use abi::memory::{MAP_ANONYMOUS, MAP_SHARED, PROT_READ, PROT_WRITE};
use abi::process::WaitStatus;
use alloc::sync::Arc;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, child};
use core::sync::atomic::{AtomicU32, Ordering};
use libsyscall::memory::mmap;
use libsyscall::process::exit_group;
use libsyscall::thread::sched_yield;
use ulib::thread::{JoinHandle, spawn};
use zerocopy::FromZeros;

/// Waits until the condition holds, without the help of what is tested.
pub fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        sched_yield();
    }
}

/// Waits until `count` threads or processes have come here.
pub fn meet(gate: &AtomicU32, count: usize) {
    gate.fetch_add(1, Ordering::AcqRel);
    until(|| gate.load(Ordering::Acquire) as usize >= count);
}

/// Runs `body` in `count` threads at once, each with its number; a failure of any of them ends the process.
pub fn threads(count: usize, body: impl Fn(usize) -> Outcome + Send + Sync + 'static) -> Outcome {
    let members = start(count, body)?;
    members.into_iter().try_for_each(JoinHandle::join)
}

/// Starts what [`threads`] waits for.
pub fn start(
    count: usize,
    body: impl Fn(usize) -> Outcome + Send + Sync + 'static,
) -> Result<Vec<JoinHandle<Outcome>>, Failure> {
    let team = Arc::new((AtomicU32::new(0), body));
    let member = |number| {
        let team = Arc::clone(&team);
        spawn(move || {
            meet(&team.0, count);
            let outcome = (team.1)(number);
            if outcome.is_err() {
                // The others may be waiting for what this thread will not do.
                exit_group(end_of(outcome));
            }
            outcome
        })
    };
    Ok((0..count).map(member).collect::<Result<_, _>>()?)
}

/// Runs `body` in `count` processes at once, each with its number; all have to end well.
pub fn processes(count: usize, body: impl Fn(usize) -> Outcome) -> Outcome {
    wait_for(start_processes(count, body)?)
}

/// Starts what [`processes`] waits for.
pub fn start_processes(count: usize, body: impl Fn(usize) -> Outcome) -> Result<usize, Failure> {
    let gate = shared::<AtomicU32>()?;
    for number in 0..count {
        child::start(|| {
            meet(gate, count);
            end_of(body(number))
        })?;
    }
    Ok(count)
}

/// Waits for `count` children, which have to end well, whoever is first: others may be waiting for one that failed.
pub fn wait_for(count: usize) -> Outcome {
    for _ in 0..count {
        let status = child::wait(-1)?;
        check!(status == WaitStatus(0), "a process ended with {status:?}");
    }
    Ok(())
}

/// Zeroed memory that children of this process share with it; it is never given back.
pub fn shared<T: FromZeros + Sync>() -> Result<&'static T, Failure> {
    let flags = MAP_SHARED | MAP_ANONYMOUS;
    // SAFETY: the kernel chooses a free range.
    let place = unsafe { mmap(core::ptr::null_mut(), size_of::<T>(), PROT_READ | PROT_WRITE, flags, -1, 0) }?;
    // SAFETY: the range is fresh, large enough, aligned to a page, stays for ever, and zeros are a `T`, which is
    // `Sync`.
    Ok(unsafe { &*place.cast::<T>() })
}
