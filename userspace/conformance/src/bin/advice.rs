//! `madvise`: flags on parts of mappings, which are cut and joined again.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::memory::*;
use abi::process::WaitStatus;
use conformance::{Outcome, check, check_eq, child};
use libsyscall::memory::{madvise, map_anonymous, munmap};

conformance::tests!(&[
    ("a_part_joins_the_one_behind_it", a_part_joins_the_one_behind_it),
    ("every_page_by_itself", every_page_by_itself),
    ("a_gap_is_told_and_the_rest_advised", a_gap_is_told_and_the_rest_advised),
    ("what_a_child_gets", what_a_child_gets),
]);

const PAGE: usize = 4096;

fn advise(memory: *mut u8, first: usize, pages: usize, advice: u32) -> Result<(), Errno> {
    // SAFETY: the tests advise on mappings of their own, whose content they do not rely on.
    unsafe { madvise(memory.wrapping_add(first * PAGE), pages * PAGE, advice) }
}

/// The page behind has the flag already, so that both become one mapping that reaches beyond what is advised.
fn a_part_joins_the_one_behind_it() -> Outcome {
    let memory = map_anonymous(4 * PAGE)?;
    advise(memory, 2, 1, MADV_DONTFORK)?;
    advise(memory, 1, 1, MADV_DONTFORK)?;
    advise(memory, 0, 4, MADV_DOFORK)?;
    advise(memory, 3, 1, MADV_DONTFORK)?;
    advise(memory, 0, 3, MADV_DONTFORK)?;
    Ok(())
}

fn every_page_by_itself() -> Outcome {
    const PAGES: usize = 512;
    let memory = map_anonymous(PAGES * PAGE)?;
    for round in 0..4 {
        for number in 0..PAGES {
            // Some order in which neighbours before and behind come first.
            let page = (number * 167 + round) % PAGES;
            advise(memory, page, 1, if page & round == 0 { MADV_DONTFORK } else { MADV_DOFORK })?;
        }
    }
    advise(memory, 0, PAGES, MADV_DOFORK)?;
    let status = child::run(|| {
        // SAFETY: the child's copy of the mapping, which is zero.
        let byte = unsafe { memory.add((PAGES - 1) * PAGE).read_volatile() };
        byte.into()
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn a_gap_is_told_and_the_rest_advised() -> Outcome {
    let memory = map_anonymous(3 * PAGE)?;
    // SAFETY: nobody refers to the page.
    unsafe { munmap(memory.add(PAGE), PAGE) }?;
    check_eq!(advise(memory, 0, 3, MADV_DONTFORK), Err(Errno::ENOMEM));
    let status = child::run(|| {
        let missing = |page| advise(memory, page, 1, MADV_NORMAL) == Err(Errno::ENOMEM);
        i32::from(!(missing(0) && missing(1) && missing(2)))
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn what_a_child_gets() -> Outcome {
    let memory = map_anonymous(3 * PAGE)?;
    for page in 0..3 {
        // SAFETY: the mapping is this test's own.
        unsafe { memory.add(page * PAGE).write_volatile(7) };
    }
    advise(memory, 1, 1, MADV_WIPEONFORK)?;
    advise(memory, 2, 1, MADV_WIPEONFORK)?;
    advise(memory, 2, 1, MADV_KEEPONFORK)?;
    let status = child::run(|| {
        // SAFETY: the child's copies.
        let byte = |page: usize| unsafe { memory.add(page * PAGE).read_volatile() };
        i32::from((byte(0), byte(1), byte(2)) != (7, 0, 7))
    })?;
    check_eq!(status, WaitStatus(0));
    // SAFETY: the mapping is this test's own.
    check!(unsafe { memory.add(PAGE).read_volatile() } == 7);
    Ok(())
}
