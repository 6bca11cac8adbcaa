//! Pages that `fallocate` made and nobody has used: room that is taken, and a hole to who looks for data.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use conformance::{Failure, Outcome, check_eq, files, raw, scratch};
use core::hint::black_box;
use libsyscall::file::*;

conformance::tests!(&[
    ("they_are_holes_that_take_room", they_are_holes_that_take_room),
    ("a_write_uses_them", a_write_uses_them),
    ("a_write_of_nothing_that_can_be_had_does_not", a_write_of_nothing_that_can_be_had_does_not),
    ("a_read_does_not", a_read_does_not),
    ("a_touch_by_a_mapping_does", a_touch_by_a_mapping_does),
    ("data_stays_data", data_stays_data),
    ("they_go_and_come", they_go_and_come),
    ("files_in_memory", files_in_memory),
]);

const PAGE: u64 = 4096;

fn fallocate(fd: i32, mode: u32, start: u64, count: u64) -> Result<(), Errno> {
    raw::call(nr::fallocate, &[fd as u64, mode.into(), start * PAGE, count * PAGE]).map(drop)
}

/// A file in a tmpfs of its own, of eight pages that nobody has used; `None` where this process may not mount.
fn allocated() -> Result<Option<i32>, Failure> {
    if libsyscall::process::geteuid() != 0 {
        return Ok(None);
    }
    scratch::enter_tmpfs()?;
    let fd = files::create(c"file", b"")?;
    fallocate(fd, 0, 0, 8)?;
    Ok(Some(fd))
}

fn map(fd: i32, prot: u64, flags: u64) -> Result<*mut u8, Errno> {
    raw::call(nr::mmap, &[0, 8 * PAGE, prot, flags, fd as u64, 0]).map(|address| address as *mut u8)
}

/// Which of the first eight pages of a file are in memory, as bits, by a mapping that touches none.
fn resident(fd: i32) -> Result<u32, Errno> {
    let memory = map(fd, 1, 1)?;
    let mut pages = [0u8; 8];
    raw::call(nr::mincore, &[memory as u64, 8 * PAGE, pages.as_mut_ptr() as u64])?;
    raw::call(nr::munmap, &[memory as u64, 8 * PAGE])?;
    Ok(black_box(pages).iter().rev().fold(0, |bits, page| bits << 1 | u32::from(page & 1)))
}

fn data(fd: i32, from: u64) -> Result<u64, Errno> {
    lseek(fd, (from * PAGE) as i64, SEEK_DATA).map(|offset| offset / PAGE)
}

fn hole(fd: i32, from: u64) -> Result<u64, Errno> {
    lseek(fd, (from * PAGE) as i64, SEEK_HOLE).map(|offset| offset / PAGE)
}

fn they_are_holes_that_take_room() -> Outcome {
    let Some(fd) = allocated()? else { return Ok(()) };
    check_eq!((fstat(fd)?.st_size, fstat(fd)?.st_blocks), (8 * PAGE as i64, 64));
    check_eq!((resident(fd)?, data(fd, 0), hole(fd, 0)), (0, Err(Errno::ENXIO), Ok(0)));
    Ok(())
}

fn a_write_uses_them() -> Outcome {
    let Some(fd) = allocated()? else { return Ok(()) };
    raw::call(nr::pwrite64, &[fd as u64, b"x".as_ptr() as u64, 1, 3 * PAGE + 7])?;
    check_eq!((resident(fd)?, data(fd, 0), hole(fd, 3), data(fd, 4)), (8, Ok(3), Ok(4), Err(Errno::ENXIO)));
    check_eq!(fstat(fd)?.st_blocks, 64);
    // Across two of them.
    raw::call(nr::pwrite64, &[fd as u64, b"xy".as_ptr() as u64, 2, 6 * PAGE - 1])?;
    check_eq!((resident(fd)?, data(fd, 4), hole(fd, 5)), (0x68, Ok(5), Ok(7)));
    Ok(())
}

fn a_write_of_nothing_that_can_be_had_does_not() -> Outcome {
    let Some(fd) = allocated()? else { return Ok(()) };
    let nowhere = PAGE;
    let write = |address: u64, offset| raw::call(nr::pwrite64, &[fd as u64, address, 8, offset]);
    check_eq!(write(nowhere, 3 * PAGE), Err(Errno::EFAULT));
    check_eq!((resident(fd)?, data(fd, 0)), (0, Err(Errno::ENXIO)));
    // Where there is no page, none comes; the size stays.
    check_eq!(
        (write(nowhere, 20 * PAGE), write(nowhere, 8 * PAGE)),
        (Err(Errno::EFAULT), Err(Errno::EFAULT))
    );
    check_eq!((fstat(fd)?.st_size, fstat(fd)?.st_blocks), (8 * PAGE as i64, 64));
    // What can be had of several pieces is written, and no page made for the rest.
    let bytes = [b'x'; PAGE as usize];
    let pieces = [[bytes.as_ptr() as u64, PAGE], [nowhere, PAGE]];
    let written = raw::call(nr::pwritev, &[fd as u64, pieces.as_ptr() as u64, 2, 8 * PAGE]);
    check_eq!(
        (written, fstat(fd)?.st_size, fstat(fd)?.st_blocks),
        (Ok(PAGE as i64 as _), 9 * PAGE as i64, 72)
    );
    Ok(())
}

fn a_read_does_not() -> Outcome {
    let Some(fd) = allocated()? else { return Ok(()) };
    let mut bytes = [1u8; 100];
    check_eq!((lseek(fd, 0, SEEK_SET), read(fd, &mut bytes), bytes), (Ok(0), Ok(100), [0; 100]));
    check_eq!((resident(fd)?, data(fd, 0)), (0, Err(Errno::ENXIO)));
    Ok(())
}

fn a_touch_by_a_mapping_does() -> Outcome {
    let Some(fd) = allocated()? else { return Ok(()) };
    // SAFETY: within what was mapped.
    let load = |memory: *mut u8, page: u64| unsafe { memory.add((page * PAGE) as usize).read_volatile() };
    let shared = map(fd, 3, 1)?;
    check_eq!((load(shared, 2), resident(fd)?, data(fd, 0), hole(fd, 2)), (0, 4, Ok(2), Ok(3)));
    // SAFETY: as above.
    unsafe { shared.add(4 * PAGE as usize).write_volatile(1) };
    check_eq!((resident(fd)?, data(fd, 3)), (0x14, Ok(4)));
    let private = map(fd, 3, 2)?;
    check_eq!((load(private, 6), resident(fd)?, data(fd, 5)), (0, 0x54, Ok(6)));
    Ok(())
}

fn data_stays_data() -> Outcome {
    let Some(fd) = allocated()? else { return Ok(()) };
    raw::call(nr::pwrite64, &[fd as u64, b"x".as_ptr() as u64, 1, PAGE])?;
    fallocate(fd, 0, 0, 12)?;
    // What was allocated before is used by now, and what is new is not.
    check_eq!((resident(fd)?, data(fd, 0), hole(fd, 1), data(fd, 8)), (255, Ok(0), Ok(8), Err(Errno::ENXIO)));
    check_eq!((fstat(fd)?.st_size, fstat(fd)?.st_blocks), (12 * PAGE as i64, 96));
    // Beyond the end, too.
    fallocate(fd, FALLOC_FL_KEEP_SIZE, 12, 2)?;
    check_eq!((fstat(fd)?.st_size, fstat(fd)?.st_blocks), (12 * PAGE as i64, 112));
    Ok(())
}

fn they_go_and_come() -> Outcome {
    let Some(fd) = allocated()? else { return Ok(()) };
    fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 2, 3)?;
    check_eq!(fstat(fd)?.st_blocks, 40);
    raw::call(nr::pwrite64, &[fd as u64, b"x".as_ptr() as u64, 1, 3 * PAGE])?;
    check_eq!((resident(fd)?, data(fd, 0), hole(fd, 3)), (8, Ok(3), Ok(4)));
    raw::call(nr::ftruncate, &[fd as u64, 0])?;
    raw::call(nr::ftruncate, &[fd as u64, 8 * PAGE])?;
    check_eq!((fstat(fd)?.st_blocks, data(fd, 0)), (0, Err(Errno::ENXIO)));
    raw::call(nr::pwrite64, &[fd as u64, b"x".as_ptr() as u64, 1, 0])?;
    check_eq!((resident(fd)?, data(fd, 0), hole(fd, 0)), (1, Ok(0), Ok(1)));
    Ok(())
}

fn files_in_memory() -> Outcome {
    let fd = raw::call(nr::memfd_create, &[c"m".as_ptr() as u64, 0])? as i32;
    fallocate(fd, 0, 0, 8)?;
    check_eq!((resident(fd)?, data(fd, 0), fstat(fd)?.st_blocks), (0, Err(Errno::ENXIO), 64));
    write(fd, b"x")?;
    check_eq!((resident(fd)?, data(fd, 0), hole(fd, 0)), (1, Ok(0), Ok(1)));
    Ok(())
}
