//! Threads that map, touch, protect and unmap in one address space, each beside the others.

use crate::round::{Random, Round};
use crate::teams;
use abi::memory::*;
use alloc::vec::Vec;
use conformance::{Outcome, attempt, check, check_eq};
use core::sync::atomic::{AtomicUsize, Ordering};
use libsyscall::memory::*;

/// The smallest pages that there are.
pub const PAGE: usize = 4096;
const SLOTS: usize = 6;
const STEPS: usize = 60;
const LONGEST: usize = 12;

/// One mapping and what must be in it.
struct Slot {
    base: usize,
    pages: usize,
    stamp: u64,
    writable: bool,
}

/// Maps `pages` fresh pages.
pub fn map(pages: usize) -> Result<usize, conformance::Failure> {
    Ok(map_anonymous(pages * PAGE)?.expose_provenance())
}

/// Unmaps them.
pub fn unmap(base: usize, pages: usize) -> Outcome {
    // SAFETY: the tests keep nothing of Rust's in what they map.
    Ok(unsafe { munmap(core::ptr::with_exposed_provenance_mut(base), pages * PAGE) }?)
}

/// Changes what may be done with them.
pub fn protect(base: usize, pages: usize, protection: u32) -> Outcome {
    // SAFETY: the tests keep nothing of Rust's in what they map.
    Ok(unsafe { mprotect(core::ptr::with_exposed_provenance_mut(base), pages * PAGE, protection) }?)
}

/// Gives their content back.
pub fn discard(base: usize, pages: usize) -> Outcome {
    // SAFETY: the tests keep nothing of Rust's in what they map.
    Ok(unsafe { madvise(core::ptr::with_exposed_provenance_mut(base), pages * PAGE, MADV_DONTNEED) }?)
}

/// Moves or grows them; the new address.
pub fn resize(base: usize, old: usize, new: usize) -> Result<usize, conformance::Failure> {
    let address = core::ptr::with_exposed_provenance_mut(base);
    // SAFETY: the tests keep nothing of Rust's in what they map.
    Ok(unsafe { mremap(address, old * PAGE, new * PAGE, MREMAP_MAYMOVE) }?.expose_provenance())
}

/// What page `page` of a mapping stamped `stamp` holds.
const fn word(stamp: u64, page: usize) -> u64 {
    (stamp << 16) | page as u64
}

impl Slot {
    fn new(random: &mut Random, stamp: u64) -> Result<Slot, conformance::Failure> {
        let pages = 1 + random.below(LONGEST);
        let mut slot = Slot { base: map(pages)?, pages, stamp, writable: true };
        slot.check_pages(0, pages, Some(0))?;
        slot.fill(0)?;
        Ok(slot)
    }

    /// Writes the stamp into the pages from `first` on.
    fn fill(&mut self, first: usize) -> Outcome {
        for page in first..self.pages {
            check!(attempt::store(self.base + page * PAGE, word(self.stamp, page)), "a page refuses a store");
        }
        Ok(())
    }

    /// Every page holds what was written; in `first..last`, if `instead` is there, that.
    fn check_pages(&self, first: usize, last: usize, instead: Option<u64>) -> Outcome {
        for page in 0..self.pages {
            let expected = match instead {
                Some(value) if (first..last).contains(&page) => value,
                _ => word(self.stamp, page),
            };
            let found = attempt::load(self.base + page * PAGE);
            check!(found == Some(expected), "page {page} holds {found:x?} and not {expected:x}");
        }
        Ok(())
    }

    /// One step; false when the mapping is gone.
    fn step(&mut self, random: &mut Random) -> Result<bool, conformance::Failure> {
        self.check_pages(0, 0, None)?;
        let first = random.below(self.pages);
        let count = 1 + random.below(self.pages - first);
        let (base, last) = (self.base + first * PAGE, first + count);
        match random.below(5) {
            0 => {
                unmap(self.base, self.pages)?;
                return Ok(false);
            }
            1 => {
                protect(base, count, PROT_NONE)?;
                for page in first..last {
                    check_eq!(attempt::load(self.base + page * PAGE), None);
                }
                protect(base, count, if self.writable { PROT_READ | PROT_WRITE } else { PROT_READ })?;
            }
            2 if self.writable => {
                protect(self.base, self.pages, PROT_READ)?;
                check!(!attempt::store(base, 1), "a page for reading takes a store");
                self.writable = false;
            }
            3 => {
                protect(self.base, self.pages, PROT_READ | PROT_WRITE)?;
                self.writable = true;
                discard(base, count)?;
                self.check_pages(first, last, Some(0))?;
                self.fill(0)?;
            }
            _ if self.writable => {
                let pages = 1 + random.below(LONGEST);
                self.base = resize(self.base, self.pages, pages)?;
                let old = core::mem::replace(&mut self.pages, pages);
                self.check_pages(old, pages, Some(0))?;
                self.fill(old.min(pages))?;
            }
            _ => {}
        }
        self.check_pages(0, 0, None)?;
        Ok(true)
    }
}

/// Each thread changes its own mappings at random and always finds in them what it wrote.
pub fn own(round: Round) -> Outcome {
    attempt::prepare()?;
    teams::threads(round.threads, move |worker| {
        let mut random = round.random(worker);
        let mut slots: Vec<Option<Slot>> = (0..SLOTS).map(|_| None).collect();
        for step in 0..STEPS {
            let stamp = ((worker as u64) << 32) | (step as u64 + 1);
            let place = random.below(SLOTS);
            let kept = match &mut slots[place] {
                None => {
                    slots[place] = Some(Slot::new(&mut random, stamp)?);
                    true
                }
                Some(slot) => slot.step(&mut random)?,
            };
            if !kept {
                slots[place] = None;
            }
        }
        for slot in slots.into_iter().flatten() {
            slot.check_pages(0, 0, None)?;
            unmap(slot.base, slot.pages)?;
        }
        Ok(())
    })
}

/// All threads fault in the pages of one mapping at once: no page is given twice, no write is lost.
pub fn parallel_faults(round: Round) -> Outcome {
    const PAGES: usize = 64;
    static BASE: AtomicUsize = AtomicUsize::new(0);
    attempt::prepare()?;
    let threads = round.threads.min(PAGE / 16);
    BASE.store(map(PAGES)?, Ordering::Release);
    teams::threads(threads, move |worker| {
        let base = BASE.load(Ordering::Acquire);
        let mut random = round.random(worker);
        let (start, mine) = (random.below(PAGES), worker * 16);
        for page in (0..PAGES).map(|page| (start + page) % PAGES) {
            let address = base + page * PAGE + mine;
            if random.below(2) == 0 {
                check_eq!(attempt::load(address), Some(0));
            }
            check!(attempt::store(address, word(worker as u64 + 1, page)), "a page refuses a store");
        }
        Ok(())
    })?;
    let base = BASE.load(Ordering::Acquire);
    for page in 0..PAGES {
        for worker in 0..threads {
            let found = attempt::load(base + page * PAGE + worker * 16);
            check_eq!(found, Some(word(worker as u64 + 1, page)));
        }
    }
    unmap(base, PAGES)
}
