//! `fork` while other threads write: every page ends with its owner's words, in parent and child.

use crate::mappings::{PAGE, map};
use crate::round::Round;
use crate::teams::{self, until};
use abi::process::WaitStatus;
use conformance::{Outcome, attempt, check, check_eq, child};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
