//! Mappings of files: what the descriptor and the mount allow, and what the file is told.

use crate::{EXECUTE, PAGE, READ, WRITE, map_file, protect, remap, unmap};
use abi::Errno;
use abi::fs::*;
use abi::memory::*;
use abi::native::nr;
use conformance::fault::store;
use conformance::{Failure, Outcome, check, check_eq, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::{close, fstat, ftruncate, open, pread64, pwrite64};

/// Mounts a tmpfs with `flags` and `options` on `m` in a folder of the test's own.
fn mount(flags: u64, options: &CStr) -> Result<(), Failure> {
    scratch::enter()?;
    libsyscall::file::mkdirat(AT_FDCWD, c"m", 0o777)?;
    let words = [
        c"t".as_ptr() as u64,
        c"m".as_ptr() as u64,
        c"tmpfs".as_ptr() as u64,
        flags,
        options.as_ptr() as u64,
    ];
    raw::call(nr::mount, &words)?;
    Ok(())
}

fn unmount() -> Result<(), Errno> {
    raw::call(nr::umount2, &[c"m".as_ptr() as u64, 2]).map(drop)
}

pub fn no_execution_from_such_a_mount() -> Outcome {
    const MS_NOEXEC: u64 = 8;
    mount(MS_NOEXEC, c"")?;
    let fd = open(c"m/file", O_RDWR | O_CREAT, 0o755)?;
    ftruncate(fd, 2 * PAGE)?;
    for kind in [MAP_PRIVATE, MAP_SHARED] {
        check_eq!(map_file(0, PAGE, EXECUTE, kind, fd), Err(Errno::EPERM));
        check_eq!(map_file(0, PAGE, PROT_EXEC, kind, fd), Err(Errno::EPERM));
        let memory = map_file(0, 2 * PAGE, WRITE, kind, fd)?;
        check_eq!(protect(memory, PAGE, EXECUTE), Err(Errno::EACCES));
        let moved = remap(memory, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory + 16 * PAGE)?;
        check_eq!(protect(moved, PAGE, EXECUTE), Err(Errno::EACCES));
        check_eq!(protect(moved, PAGE, READ), Ok(()));
    }
    // The rights of the descriptor come first.
    let write_only = open(c"m/file", O_WRONLY, 0)?;
    check_eq!(map_file(0, PAGE, EXECUTE, MAP_PRIVATE, write_only), Err(Errno::EACCES));
    close(write_only)?;
    close(fd)?;
    unmount()?;
    Ok(())
}

pub fn no_writing_through_a_read_only_descriptor() -> Outcome {
    scratch::enter()?;
    let fd = open(c"file", O_RDWR | O_CREAT, 0o644)?;
    ftruncate(fd, 2 * PAGE)?;
    let read_only = open(c"file", O_RDONLY, 0)?;
    check_eq!(map_file(0, PAGE, WRITE, MAP_SHARED, read_only), Err(Errno::EACCES));
    check_eq!(map_file(0, PAGE, WRITE, MAP_SHARED_VALIDATE, read_only), Err(Errno::EACCES));
    let shared = map_file(0, 2 * PAGE, READ, MAP_SHARED, read_only)?;
    check_eq!(protect(shared, PAGE, WRITE), Err(Errno::EACCES));
    let moved = remap(shared, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, shared + 16 * PAGE)?;
    check_eq!(protect(moved, PAGE, WRITE), Err(Errno::EACCES));
    let second = remap(moved, 0, PAGE, MREMAP_MAYMOVE, 0)?;
    check_eq!(protect(second, PAGE, WRITE), Err(Errno::EACCES));
    check_eq!(crate::advise(moved, PAGE, MADV_REMOVE), Err(Errno::EACCES));
    // A private one is the program's own, and none may be had without the right to read.
    let private = map_file(0, PAGE, READ, MAP_PRIVATE, read_only)?;
    check_eq!(protect(private, PAGE, WRITE), Ok(()));
    let write_only = open(c"file", O_WRONLY, 0)?;
    for kind in [MAP_SHARED, MAP_PRIVATE] {
        check_eq!(map_file(0, PAGE, PROT_WRITE, kind, write_only), Err(Errno::EACCES));
    }
    let path_only = open(c"file", O_PATH, 0)?;
    check_eq!(map_file(0, PAGE, READ, MAP_PRIVATE, path_only), Err(Errno::EBADF));
    let folder = open(c".", O_RDONLY, 0)?;
    check_eq!(map_file(0, PAGE, READ, MAP_PRIVATE, folder), Err(Errno::ENODEV));
    Ok(())
}

fn modified(fd: i32) -> Result<i64, Errno> {
    Ok(fstat(fd)?.st_mtime)
}

/// As tmpfs does it: the first write to a page that is not there yet counts, one to a page that was only read does not.
pub fn a_write_through_a_mapping_is_a_modification() -> Outcome {
    scratch::enter()?;
    let fd = open(c"file", O_RDWR | O_CREAT, 0o644)?;
    ftruncate(fd, 4 * PAGE)?;
    let old = || -> Outcome {
        let past = [1000u64, 0, 1000, 0];
        raw::call(nr::utimensat, &[fd as u64, 0, past.as_ptr() as u64, 0])?;
        check_eq!(modified(fd)?, 1000);
        Ok(())
    };
    let at = |address: u64| core::ptr::without_provenance_mut(address as usize);
    old()?;
    let shared = map_file(0, 4 * PAGE, WRITE, MAP_SHARED, fd)?;
    check_eq!(modified(fd)?, 1000);
    store(at(shared));
    check!(modified(fd)? > 1000, "a store");
    old()?;
    // A system call's store.
    let zero = open(c"/dev/zero", O_RDONLY, 0)?;
    check_eq!(raw::call(nr::read, &[zero as u64, shared + PAGE, 10]), Ok(10));
    check!(modified(fd)? > 1000, "a call's store");
    old()?;
    // Private copies are nobody's business.
    let private = map_file(0, 4 * PAGE, WRITE, MAP_PRIVATE, fd)?;
    store(at(private + 2 * PAGE));
    check_eq!(modified(fd)?, 1000);
    // Nor is a read.
    conformance::fault::load(at(shared + 3 * PAGE));
    check_eq!(modified(fd)?, 1000);
    check_eq!(raw::call(nr::msync, &[shared, 4 * PAGE, 4]), Ok(0));
    check_eq!(modified(fd)?, 1000);
    unmap(shared, 4 * PAGE)?;
    Ok(())
}

/// On a file system without room, `fallocate` takes back what it has made and nothing else.
pub fn a_failed_allocation_keeps_what_was_there() -> Outcome {
    mount(0, c"size=64k")?;
    let fd = open(c"m/file", O_RDWR | O_CREAT, 0o644)?;
    // Pages behind the end, by FALLOC_FL_KEEP_SIZE, and one that is written.
    check_eq!(pwrite64(fd, b"one", 0), Ok(3));
    raw::call(nr::fallocate, &[fd as u64, 1, 4 * PAGE, 2 * PAGE])?;
    let before = fstat(fd)?.st_blocks;
    check_eq!(before, 3 * 8);
    check_eq!(raw::call(nr::fallocate, &[fd as u64, 0, 0, 64 * PAGE]), Err(Errno::ENOSPC));
    check_eq!(raw::call(nr::fallocate, &[fd as u64, 1, 2 * PAGE, 16 * PAGE]), Err(Errno::ENOSPC));
    check_eq!(fstat(fd)?.st_blocks, before);
    let mut bytes = [0; 3];
    check_eq!(pread64(fd, &mut bytes, 0), Ok(3));
    check_eq!(&bytes, b"one");
    // What was there can be used: nothing more is needed for it.
    let other = open(c"m/other", O_RDWR | O_CREAT, 0o644)?;
    raw::call(nr::fallocate, &[other as u64, 0, 0, 13 * PAGE])?;
    check_eq!(pwrite64(fd, b"two", 4 * PAGE), Ok(3));
    check_eq!(pwrite64(fd, b"two", 6 * PAGE), Err(Errno::ENOSPC));
    close(other)?;
    close(fd)?;
    unmount()?;
    Ok(())
}
