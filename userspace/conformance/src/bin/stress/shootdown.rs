//! Translations that other CPUs still hold when one thread changes a mapping.

use crate::mappings::{PAGE, discard, map, protect, resize, unmap};
use crate::round::Round;
use crate::teams::{meet, threads, until};
use abi::memory::{PROT_NONE, PROT_READ, PROT_WRITE};
use conformance::{Failure, Outcome, attempt, check};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

const STEPS: u64 = 15;
/// Written into fresh frames after each change: who reads it through the old page has a stale translation.
const JUNK: u64 = 0xdead_dead_dead_dead;

/// The page that is handed around.
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
/// Twice the step while the page is there, and one more when it has been changed.
static PHASE: AtomicU64 = AtomicU64::new(0);
/// Readers that have seen the phase.
static SEEN: AtomicU32 = AtomicU32::new(0);
/// Threads that are through with the step.
static DONE: AtomicU32 = AtomicU32::new(0);

/// What the owner does with the page that all others have just read.
#[derive(Clone, Copy)]
enum Change {
    Unmap,
    Forbid,
    ForbidWrites,
    Discard,
    Move,
}

impl Change {
    fn of(step: u64) -> Change {
        match step % 5 {
            0 => Change::Unmap,
            1 => Change::Forbid,
            2 => Change::ForbidWrites,
            3 => Change::Discard,
            _ => Change::Move,
        }
    }

    /// Makes the change; what is to be unmapped afterwards.
    fn make(self, page: usize) -> Result<Option<usize>, Failure> {
        match self {
            Change::Unmap => unmap(page, 1).map(|()| None),
            Change::Forbid => protect(page, 1, PROT_NONE).map(|()| Some(page)),
            Change::ForbidWrites => protect(page, 1, PROT_READ).map(|()| Some(page)),
            Change::Discard => discard(page, 1).map(|()| Some(page)),
            // Growing does not fit between neighbours, so it moves.
            Change::Move => resize(page, 1, 2).map(Some),
        }
    }

    /// What a load gives after the change, from where the page was.
    fn leaves(self, value: u64) -> Option<u64> {
        match self {
            Change::Unmap | Change::Forbid | Change::Move => None,
            Change::ForbidWrites => Some(value),
            Change::Discard => Some(0),
        }
    }
}

const fn value(step: u64) -> u64 {
    (step << 8) | 0x55
}

/// One thread changes a page that the others read: once the change has been made they see nothing else, and never
/// somebody else's frame.
pub fn handed_around(round: Round) -> Outcome {
    attempt::prepare()?;
    let readers = round.threads - 1;
    threads(round.threads, move |worker| {
        (1..=STEPS).try_for_each(|step| if worker == 0 { change(step, readers) } else { watch(step) })
    })
}

fn change(step: u64, readers: usize) -> Outcome {
    let change = Change::of(step);
    // Between two pages of others, so that it cannot grow where it is.
    let block = map(3)?;
    let page = block + PAGE;
    check!(attempt::store(page, value(step)), "a fresh page refuses a store");
    SEEN.store(0, Ordering::Relaxed);
    DONE.store(0, Ordering::Relaxed);
    ADDRESS.store(page, Ordering::Relaxed);
    PHASE.store(2 * step, Ordering::Release);
    until(|| SEEN.load(Ordering::Acquire) as usize == readers);
    let left = change.make(page)?;
    let fresh = map(4)?;
    for number in 0..4 {
        check!(attempt::store(fresh + number * PAGE, JUNK), "a fresh page refuses a store");
    }
    PHASE.store(2 * step + 1, Ordering::Release);
    until(|| DONE.load(Ordering::Acquire) as usize == readers);
    if let Some(left) = left {
        if let Change::Move = change {
            check!(attempt::load(left) == Some(value(step)), "a page has lost its content on the way");
            unmap(left, 2)?;
        } else {
            protect(left, 1, PROT_READ | PROT_WRITE)?;
            unmap(left, 1)?;
        }
    }
    unmap(block, 1)?;
    unmap(block + 2 * PAGE, 1)?;
    unmap(fresh, 4)
}

fn watch(step: u64) -> Outcome {
    until(|| PHASE.load(Ordering::Acquire) >= 2 * step);
    let (page, change) = (ADDRESS.load(Ordering::Relaxed), Change::of(step));
    let first = attempt::load(page);
    check!(first == Some(value(step)), "step {step}: a page that is there gives {first:x?}");
    let also_stored = attempt::store(page + 8, step);
    check!(also_stored, "step {step}: a page that is there refuses a store");
    meet(&SEEN, 1);
    while PHASE.load(Ordering::Acquire) == 2 * step {
        let found = attempt::load(page);
        let allowed = found == Some(value(step)) || found == change.leaves(value(step));
        check!(allowed, "step {step}: a page that is being changed gives {found:x?}");
    }
    let last = attempt::load(page);
    let expected = change.leaves(value(step));
    check!(last == expected, "step {step}: a page that was changed gives {last:x?} and not {expected:x?}");
    let stored = attempt::store(page + 8, JUNK);
    check!(
        stored == matches!(change, Change::Discard),
        "step {step}: a changed page takes a store: {stored}"
    );
    DONE.fetch_add(1, Ordering::Release);
    Ok(())
}
