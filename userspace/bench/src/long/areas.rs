//! An address space of many areas, with gaps that are too small, with none, and with one that is touched.

use super::MANY;
use crate::Operation;
use crate::measure::repeat;
use abi::Errno;
use abi::fs::{O_CREAT, O_RDWR};
use abi::memory::*;
use core::ptr::without_provenance_mut;
use libsyscall::file::{close, ftruncate, open};
use libsyscall::memory::{mmap, mprotect, munmap};

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("mmap + munmap beside 10,000 areas, gaps too small", || beside(1, in_small_gaps)),
    ("mmap + munmap beside 10,000 areas, no gaps", || beside(0, in_small_gaps)),
    ("mmap + munmap beside 60,000 areas, gaps too small", || beside_many(60_000, 1, in_small_gaps)),
    ("munmap + mmap among 10,000 areas", || beside(1, one_of_them)),
    ("mprotect there and back among 10,000 areas", || beside(1, one_of_them_protected)),
    ("page fault among 10,000 areas", || beside(1, touched)),
    ("MADV_DONTNEED of 1 GiB that nothing is in", nothing_there),
    ("munmap of 1 GiB with one page in it", one_page_there),
    ("ftruncate of a file with 10,000 mappings", many_mappings_cut),
];

const PAGE: usize = 4096;
/// Each area; alternating rights keep neighbours apart.
const MAP_PAGES: usize = 2;
const FLAGS: u32 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

fn map(address: usize, length: usize, protection: u32, flags: u32) -> Result<usize, Errno> {
    // SAFETY: fixed addresses lie in ranges that the rows mapped for it.
    let address = unsafe { mmap(without_provenance_mut(address), length, protection, FLAGS | flags, -1, 0) }?;
    Ok(address.addr())
}

fn unmap(address: usize, length: usize) -> Result<(), Errno> {
    // SAFETY: as above.
    unsafe { munmap(without_provenance_mut(address), length) }
}

/// Where the areas begin, and how far apart they are.
struct Areas {
    start: usize,
    stride: usize,
}

fn beside(gap: usize, operation: fn(&Areas) -> Result<u64, Errno>) -> Result<u64, Errno> {
    beside_many(MANY, gap, operation)
}

/// Runs `operation` beside `count` areas with `gap` free pages behind each.
fn beside_many(count: usize, gap: usize, operation: fn(&Areas) -> Result<u64, Errno>) -> Result<u64, Errno> {
    let stride = (MAP_PAGES + gap) * PAGE;
    let start = map(0, count * stride, PROT_NONE, 0)?;
    unmap(start, count * stride)?;
    for number in 0..count {
        let protection = if number % 2 == 0 { PROT_READ | PROT_WRITE } else { PROT_READ };
        map(start + number * stride, MAP_PAGES * PAGE, protection, MAP_FIXED)?;
    }
    let result = operation(&Areas { start, stride });
    unmap(start, count * stride)?;
    result
}

fn in_small_gaps(_areas: &Areas) -> Result<u64, Errno> {
    repeat(300, || {
        let memory = map(0, 2 * PAGE, PROT_READ | PROT_WRITE, 0)?;
        unmap(memory, 2 * PAGE)
    })
}

fn one_of_them(areas: &Areas) -> Result<u64, Errno> {
    let mut number = 0;
    repeat(300, || {
        number = (number + 2 * 1237) % MANY;
        let address = areas.start + number * areas.stride;
        unmap(address, MAP_PAGES * PAGE)?;
        map(address, MAP_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED).map(drop)
    })
}

fn one_of_them_protected(areas: &Areas) -> Result<u64, Errno> {
    let mut number = 0;
    repeat(300, || {
        number = (number + 2 * 1237) % MANY;
        let address = without_provenance_mut::<u8>(areas.start + number * areas.stride);
        // SAFETY: the area is the row's own.
        unsafe {
            mprotect(address, PAGE, PROT_READ)?;
            mprotect(address, PAGE, PROT_READ | PROT_WRITE)
        }
    })
}

fn touched(areas: &Areas) -> Result<u64, Errno> {
    let mut number = 0;
    repeat(300, || {
        number = (number + 2 * 1237) % MANY;
        let address = without_provenance_mut::<u8>(areas.start + number * areas.stride);
        // SAFETY: the area is the row's own and can be written.
        unsafe { address.write_volatile(1) };
        // SAFETY: as above; nobody needs what is in it.
        unsafe { libsyscall::memory::madvise(address, PAGE, MADV_DONTNEED) }
    })
}

const GIBIBYTE: usize = 1 << 30;

fn nothing_there() -> Result<u64, Errno> {
    let memory = map(0, GIBIBYTE, PROT_READ | PROT_WRITE, 0)?;
    let address = without_provenance_mut::<u8>(memory);
    let result = repeat(300, || {
        // SAFETY: the memory is the row's own.
        unsafe { libsyscall::memory::madvise(address, GIBIBYTE, MADV_DONTNEED) }
    });
    unmap(memory, GIBIBYTE)?;
    result
}

fn one_page_there() -> Result<u64, Errno> {
    repeat(100, || {
        let memory = map(0, GIBIBYTE, PROT_READ | PROT_WRITE, 0)?;
        // SAFETY: just mapped.
        unsafe { without_provenance_mut::<u8>(memory + GIBIBYTE / 2).write_volatile(1) };
        unmap(memory, GIBIBYTE)
    })
}

fn many_mappings_cut() -> Result<u64, Errno> {
    let fd = open(c"/tmp/mapped", O_RDWR | O_CREAT, 0o600)?;
    let size = 2 * MANY * PAGE;
    ftruncate(fd, size as u64)?;
    let start = map(0, size, PROT_NONE, 0)?;
    for number in 0..MANY {
        // Every second page, so that neighbours stay apart.
        let offset = 2 * number * PAGE;
        let address = without_provenance_mut(start + offset);
        // SAFETY: the range is the row's own.
        unsafe { mmap(address, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, offset as u64) }?;
    }
    let result = repeat(2, || {
        ftruncate(fd, 0)?;
        ftruncate(fd, size as u64)
    });
    unmap(start, size)?;
    close(fd)?;
    result
}
