//! Pages that are copied while other threads use them: every page ends with its owner's words, in parent and child, and
//! who has seen a later store has seen the earlier one.

use crate::mappings::{PAGE, map, unmap};
use crate::round::Round;
use crate::teams::{self, meet, threads, until};
use abi::process::WaitStatus;
use conformance::{Outcome, attempt, check, check_eq, child};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use libsyscall::process::{exit_group, fork};
use libsyscall::thread::sched_yield;

const PAGES: usize = 16;
const FORKS: u64 = 4;
const JUNK: u64 = 0x0bad_0bad;

/// Writers that have written each page once.
static WARM: AtomicU32 = AtomicU32::new(0);
static OVER: AtomicBool = AtomicBool::new(false);

/// One thread forks, the others count in their words of shared pages. Each finds its own last word, always; a child
/// finds what stands still, and its own stores are seen by nobody.
pub fn fork_while_writing(round: Round) -> Outcome {
    let writers = (round.threads - 1).min(PAGE / 8 - 1);
    let base = map(PAGES)?;
    let team = teams::start(writers, move |worker| write(base + 8 * (worker + 1)))?;
    until(|| WARM.load(Ordering::Acquire) as usize == writers);
    let outcome = (1..=FORKS).try_for_each(|number| one_fork(base, writers, number));
    OVER.store(true, Ordering::Release);
    outcome?;
    team.into_iter().try_for_each(|writer| writer.join())
}

/// Counts in the word at `offset` of each page until the forks are over.
fn write(first: usize) -> Outcome {
    let mut count = 0;
    while !OVER.load(Ordering::Acquire) {
        for address in (0..PAGES).map(|page| first + page * PAGE) {
            let found = attempt::load(address);
            check!(found == Some(count), "a writer's word is {found:x?} and not {count:x}");
            check!(attempt::store(address, count + 1), "a page refuses a store");
        }
        count += 1;
        if count == 1 {
            WARM.fetch_add(1, Ordering::Release);
        }
    }
    Ok(())
}

fn one_fork(base: usize, writers: usize, number: u64) -> Outcome {
    // The forking thread's own words are as they were, in both.
    for page in 0..PAGES {
        check!(attempt::store(base + page * PAGE, number), "a page refuses a store");
    }
    // SAFETY: the child allocates nothing and takes no lock.
    let pid = unsafe { fork() }?;
    if pid == 0 {
        exit_group(look(base, writers, number));
    }
    for page in 0..PAGES {
        check!(attempt::store(base + page * PAGE, number + 1), "a page refuses a store");
    }
    check_eq!(child::wait(pid)?, WaitStatus(0));
    for page in 0..PAGES {
        check_eq!(attempt::load(base + page * PAGE), Some(number + 1));
    }
    Ok(())
}

/// The child: 0, or what was wrong.
fn look(base: usize, writers: usize, number: u64) -> i32 {
    let words = || (0..PAGES).flat_map(|page| (0..=writers).map(move |word| base + page * PAGE + 8 * word));
    let sum =
        || words().fold(0, |sum: u64, address| sum.wrapping_add(attempt::load(address).unwrap_or(JUNK)));
    if (0..PAGES).any(|page| attempt::load(base + page * PAGE) != Some(number)) {
        return 10;
    }
    let before = sum();
    (0..2).for_each(|_| sched_yield());
    if sum() != before {
        return 11;
    }
    if !words().all(|address| attempt::store(address, JUNK)) {
        return 12;
    }
    (0..2).for_each(|_| sched_yield());
    i32::from(words().any(|address| attempt::load(address) != Some(JUNK))) * 13
}

/// Pages of zeros that are written for the first time, one after the other.
const FIRST_WRITES: usize = 16;
/// Looks of a reader before it gives way to others.
const LOOKS: usize = 64;

static BASE: AtomicUsize = AtomicUsize::new(0);
static BEGINNING: AtomicU32 = AtomicU32::new(0);
/// How many pages the second writer has written.
static WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// Two threads write at the same time to a page that all have read, so that it gets a frame of its own; the second one
/// says so elsewhere. Who has heard it finds what it wrote, whatever the page was to it before.
pub fn first_writes(round: Round) -> Outcome {
    let team = round.threads.max(3);
    BASE.store(map(FIRST_WRITES)?, Ordering::Release);
    threads(team, move |worker| (0..FIRST_WRITES).try_for_each(|number| first_write(worker, number, team)))?;
    let base = BASE.load(Ordering::Acquire);
    for page in (0..FIRST_WRITES).map(|number| base + number * PAGE) {
        check_eq!((attempt::load(page), attempt::load(page + 8)), (Some(1), Some(1)));
    }
    unmap(base, FIRST_WRITES)
}

fn first_write(worker: usize, number: usize, team: usize) -> Outcome {
    let page = BASE.load(Ordering::Acquire) + number * PAGE;
    check_eq!((attempt::load(page), attempt::load(page + 8)), (Some(0), Some(0)));
    meet(&BEGINNING, (number + 1) * team);
    match worker {
        0 => check!(attempt::store(page, 1), "a page refuses a store"),
        1 => {
            check!(attempt::store(page + 8, 1), "a page refuses a store");
            WRITTEN.store(number + 1, Ordering::Release);
        }
        _ => until(|| {
            (0..LOOKS).any(|_| {
                attempt::load(page + 8);
                WRITTEN.load(Ordering::Acquire) > number
            })
        }),
    }
    if worker != 0 {
        check_eq!(attempt::load(page + 8), Some(1));
    }
    Ok(())
}
