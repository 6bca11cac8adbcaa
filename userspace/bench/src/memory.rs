//! Mappings and page faults.

use crate::arch::counter;
use crate::measure::repeat;
use abi::Errno;
use abi::memory::{PROT_NONE, PROT_READ, PROT_WRITE};
use libsyscall::file::{close, pipe2, read, write};
use libsyscall::memory::{map_anonymous, mprotect, munmap};
use libsyscall::process::{exit_group, fork, wait4};

const PAGE: usize = 4096;
/// Pages touched for one figure.
const PAGES: usize = 256;

/// Stores a byte into each of the first `count` pages.
///
/// # Safety
/// The pages must be mapped, writable, and nobody else's.
unsafe fn touch(start: *mut u8, count: usize) {
    for page in 0..count {
        // SAFETY: passed on to the caller.
        unsafe { start.add(page * PAGE).write_volatile(1) };
    }
}

pub fn map_touch_unmap() -> Result<u64, Errno> {
    let barrier = Barrier::new()?;
    let result = repeat(300, || {
        let page = map_anonymous(PAGE)?;
        // SAFETY: the page is fresh, and nobody refers to it afterwards.
        unsafe {
            touch(page, 1);
            munmap(page, PAGE)
        }
    });
    drop(barrier);
    result
}

pub fn anonymous_fault() -> Result<u64, Errno> {
    let mut best = u64::MAX;
    for _ in 0..5 {
        let pages = map_anonymous(PAGES * PAGE)?;
        let start = counter();
        // SAFETY: the pages are fresh.
        unsafe { touch(pages, PAGES) };
        best = best.min(counter().wrapping_sub(start));
        // SAFETY: nobody refers to them any more.
        unsafe { munmap(pages, PAGES * PAGE) }?;
    }
    Ok(best / PAGES as u64)
}

/// The child writes to pages that its parent has, too, and reports how long it took.
pub fn copy_on_write_fault() -> Result<u64, Errno> {
    let mut best = u64::MAX;
    for _ in 0..5 {
        let pages = map_anonymous(PAGES * PAGE)?;
        // SAFETY: the pages are fresh.
        unsafe { touch(pages, PAGES) };
        let (reader, writer) = pipe2(0)?;
        // SAFETY: no other thread runs now.
        let pid = unsafe { fork() }?;
        if pid == 0 {
            let start = counter();
            // SAFETY: the child's copy of the mapping is its own.
            unsafe { touch(pages, PAGES) };
            let spent = counter().wrapping_sub(start);
            let _ = write(writer, &spent.to_ne_bytes());
            exit_group(0);
        }
        let mut spent = [0; 8];
        read(reader, &mut spent)?;
        wait4(pid, 0)?;
        close(reader)?;
        close(writer)?;
        // SAFETY: nobody refers to the pages any more.
        unsafe { munmap(pages, PAGES * PAGE) }?;
        best = best.min(u64::from_ne_bytes(spent));
    }
    Ok(best / PAGES as u64)
}

pub fn protect() -> Result<u64, Errno> {
    let barrier = Barrier::new()?;
    let page = barrier.inside();
    // SAFETY: the page is the barrier's, and is written to only while it may be.
    unsafe {
        mprotect(page, PAGE, PROT_READ | PROT_WRITE)?;
        touch(page, 1);
        repeat(500, || {
            mprotect(page, PAGE, PROT_READ)?;
            mprotect(page, PAGE, PROT_READ | PROT_WRITE)
        })
    }
}

/// Pages without access, which no kernel merges with what is mapped beside or inside them: the rows would otherwise
/// depend on what lies there by chance.
struct Barrier(*mut u8);

impl Barrier {
    const PAGES: usize = 3;

    fn new() -> Result<Barrier, Errno> {
        let pages = map_anonymous(Barrier::PAGES * PAGE)?;
        // SAFETY: the pages are fresh.
        unsafe { mprotect(pages, Barrier::PAGES * PAGE, PROT_NONE) }?;
        Ok(Barrier(pages))
    }

    /// The page in the middle.
    fn inside(&self) -> *mut u8 {
        // SAFETY: the offset lies inside the mapping.
        unsafe { self.0.add(PAGE) }
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        // SAFETY: nobody refers to the pages any more.
        let _ = unsafe { munmap(self.0, Barrier::PAGES * PAGE) };
    }
}
