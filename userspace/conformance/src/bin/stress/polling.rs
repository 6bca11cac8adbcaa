//! `epoll` over counters that many threads change while others change what is watched.

use crate::round::Round;
use crate::teams;
use abi::Errno;
use abi::native::nr;
use abi::poll::*;
use conformance::{Outcome, check, check_eq, raw};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use libsyscall::file::{close, pipe2, read, write};
use libsyscall::thread::sched_yield;

const COUNTERS: usize = 4;

static EPOLL: AtomicI32 = AtomicI32::new(-1);
static DESCRIPTORS: [AtomicI32; COUNTERS] = [const { AtomicI32::new(-1) }; COUNTERS];

fn control(operation: u32, fd: i32, events: u32, data: u64) -> Result<(), Errno> {
    let event = EpollEvent::new(events, data);
    let epoll = EPOLL.load(Ordering::Relaxed) as u64;
    raw::call(nr::epoll_ctl, &[epoll, operation.into(), fd as u64, (&raw const event) as u64]).map(drop)
}

/// Waits for events, without a limit; the data of those that came.
fn wait(timeout: i32) -> Result<([u64; COUNTERS], usize), Errno> {
    let mut events = [EpollEvent::new(0, 0); COUNTERS];
    let epoll = EPOLL.load(Ordering::Relaxed) as u64;
    let arguments = [epoll, events.as_mut_ptr() as u64, COUNTERS as u64, i64::from(timeout) as u64];
    let count = raw::call(nr::epoll_pwait, &arguments)? as usize;
    Ok((events.map(|event| event.data), count))
}

fn prepare(events: u32) -> Outcome {
    EPOLL.store(raw::call(nr::epoll_create1, &[0])? as i32, Ordering::Relaxed);
    for (number, descriptor) in DESCRIPTORS.iter().enumerate() {
        let counter = raw::call(nr::eventfd2, &[0, EFD_NONBLOCK.into()])? as i32;
        descriptor.store(counter, Ordering::Relaxed);
        control(EPOLL_CTL_ADD, counter, events, number as u64)?;
    }
    Ok(())
}

/// Reads a counter; 0 where somebody was faster.
fn take(number: usize) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    match read(DESCRIPTORS[number].load(Ordering::Relaxed), &mut bytes) {
        Ok(_) => Ok(u64::from_ne_bytes(bytes)),
        Err(Errno::EAGAIN) => Ok(0),
        Err(error) => Err(error),
    }
}

fn add(number: usize) -> Result<(), Errno> {
    write(DESCRIPTORS[number].load(Ordering::Relaxed), &1_u64.to_ne_bytes()).map(drop)
}

/// Half of the threads add to counters, the others wait for them all with one `epoll`, edge-triggered or not: what was
/// added is what was taken.
pub fn event_counters(round: Round) -> Outcome {
    const EACH: u64 = 150;
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let writers = round.threads.div_ceil(2);
    let total = writers as u64 * EACH;
    prepare(u32::from(POLLIN) | if round.number.is_multiple_of(2) { 0 } else { EPOLLET })?;
    teams::threads(2 * writers, move |worker| {
        let mut random = round.random(worker);
        if worker < writers {
            for _ in 0..EACH {
                add(random.below(COUNTERS))?;
            }
            return Ok(());
        }
        while TAKEN.load(Ordering::SeqCst) < total {
            let (ready, count) = wait(-1)?;
            for &number in &ready[..count] {
                TAKEN.fetch_add(take(number as usize)?, Ordering::SeqCst);
            }
            if TAKEN.load(Ordering::SeqCst) >= total {
                // Lets the next waiter see that all is done, and that one the next.
                add(0)?;
            }
        }
        add(0)?;
        Ok(())
    })?;
    let taken = TAKEN.load(Ordering::SeqCst);
    let farewells = 2 * writers as u64;
    check!((total..=total + farewells).contains(&taken), "{taken} were taken of {total}");
    Ok(())
}

/// Counters are taken out of the set and put back while they are written and waited for; what is ready when it comes
/// back is told.
pub fn changing_interest(round: Round) -> Outcome {
    const EACH: usize = 150;
    static OVER: AtomicBool = AtomicBool::new(false);
    static LEFT: AtomicU32 = AtomicU32::new(0);
    static ADDED: AtomicU64 = AtomicU64::new(0);
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    prepare(POLLIN.into())?;
    let (reader, writer) = pipe2(0)?;
    control(EPOLL_CTL_ADD, reader, POLLIN.into(), COUNTERS as u64)?;
    let changers = round.threads.min(COUNTERS);
    LEFT.store(changers as u32, Ordering::SeqCst);
    teams::threads(changers + 1, move |worker| {
        if worker < changers {
            let counter = DESCRIPTORS[worker].load(Ordering::Relaxed);
            for step in 0..EACH {
                control(EPOLL_CTL_DEL, counter, 0, 0)?;
                check_eq!(control(EPOLL_CTL_MOD, counter, POLLIN.into(), 0), Err(Errno::ENOENT));
                add(worker)?;
                ADDED.fetch_add(1, Ordering::SeqCst);
                let events = if step % 2 == 0 { POLLIN.into() } else { u32::from(POLLIN) | EPOLLET };
                control(EPOLL_CTL_ADD, counter, events, worker as u64)?;
                if step % 8 == 0 {
                    sched_yield();
                }
            }
            if LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
                OVER.store(true, Ordering::SeqCst);
                write(writer, b"x")?;
            }
            return Ok(());
        }
        while !OVER.load(Ordering::SeqCst) || TAKEN.load(Ordering::SeqCst) < ADDED.load(Ordering::SeqCst) {
            let (ready, count) = wait(-1)?;
            for &number in ready[..count].iter().filter(|number| **number < COUNTERS as u64) {
                TAKEN.fetch_add(take(number as usize)?, Ordering::SeqCst);
            }
        }
        Ok(())
    })?;
    check_eq!(TAKEN.load(Ordering::SeqCst), ADDED.load(Ordering::SeqCst));
    close(reader)?;
    close(writer)?;
    Ok(())
}
