//! Seals of files in memory (`F_ADD_SEALS`), and hints of lifetimes (`F_SET_RW_HINT`).
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::memory::*;
use abi::native::nr;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;

conformance::tests!(&[
    ("what_has_seals", what_has_seals),
    ("odd_arguments", odd_arguments),
    ("a_sealed_size", a_sealed_size),
    ("a_sealed_content", a_sealed_content),
    ("mappings_and_seals", mappings_and_seals),
    ("no_future_writes", no_future_writes),
    ("no_more_seals", no_more_seals),
    ("a_child_maps_it_too", a_child_maps_it_too),
    ("hints", hints),
]);

const PAGE: u64 = 4096;
const READ: u64 = PROT_READ as u64;
const READ_WRITE: u64 = (PROT_READ | PROT_WRITE) as u64;
const SHARED: u64 = MAP_SHARED as u64;
const PRIVATE: u64 = MAP_PRIVATE as u64;

fn memory(flags: u32) -> Result<i32, Errno> {
    raw::call(nr::memfd_create, &[c"sealed".as_ptr() as u64, flags.into()]).map(|fd| fd as i32)
}

/// A file in memory of a page and a half, which can be sealed.
fn begin() -> Result<i32, Failure> {
    let fd = memory(MFD_ALLOW_SEALING)?;
    size(fd, PAGE + PAGE / 2)?;
    Ok(fd)
}

fn seals(fd: i32) -> Result<u64, Errno> {
    fcntl(fd, F_GET_SEALS, 0)
}

fn add(fd: i32, seals: u32) -> Result<u64, Errno> {
    fcntl(fd, F_ADD_SEALS, seals.into())
}

fn size(fd: i32, size: u64) -> Result<(), Errno> {
    raw::call(nr::ftruncate, &[fd as u64, size]).map(drop)
}

fn put(fd: i32, count: usize, offset: u64) -> Result<u64, Errno> {
    let bytes = [7u8; 3 * PAGE as usize];
    raw::call(nr::pwrite64, &[fd as u64, bytes.as_ptr() as u64, count as u64, offset])
}

fn allocate(fd: i32, mode: u32, offset: u64, length: u64) -> Result<(), Errno> {
    raw::call(nr::fallocate, &[fd as u64, mode.into(), offset, length]).map(drop)
}

fn map(fd: i32, prot: u64, flags: u64) -> Result<u64, Errno> {
    raw::call(nr::mmap, &[0, PAGE, prot, flags, fd as u64, 0])
}

fn unmap(address: u64) -> Result<(), Errno> {
    raw::call(nr::munmap, &[address, PAGE]).map(drop)
}

/// The file once more, opened by its place in `/proc`.
fn again(fd: i32, flags: u32) -> Result<i32, Failure> {
    let path = alloc_path(fd);
    Ok(open(CStr::from_bytes_until_nul(&path).map_err(|_| Errno::EINVAL)?, flags, 0)?)
}

fn alloc_path(fd: i32) -> [u8; 32] {
    let mut path = [0; 32];
    path[..14].copy_from_slice(b"/proc/self/fd/");
    path[14] = b'0' + (fd / 10) as u8;
    path[15] = b'0' + (fd % 10) as u8;
    if fd < 10 {
        path[14] = b'0' + fd as u8;
        path[15] = 0;
    }
    path
}

fn what_has_seals() -> Outcome {
    check_eq!((seals(memory(0)?), seals(memory(MFD_ALLOW_SEALING | MFD_CLOEXEC)?)), (Ok(1), Ok(0)));
    check_eq!(memory(1 << 3).err(), Some(Errno::EINVAL));
    let (reader, writer) = pipe2(0)?;
    let directory = open(c"/", O_RDONLY, 0)?;
    check_eq!((seals(reader), seals(directory)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    // Who may not write may add none; then it counts whether there are any.
    check_eq!((add(reader, 0), add(directory, 0)), (Err(Errno::EPERM), Err(Errno::EPERM)));
    check_eq!(add(writer, 0), Err(Errno::EINVAL));
    check_eq!((seals(-1), add(-1, 0)), (Err(Errno::EBADF), Err(Errno::EBADF)));
    if libsyscall::process::geteuid() == 0 {
        scratch::enter_tmpfs()?;
        let file = files::create(c"file", b"some")?;
        check_eq!((seals(file), add(file, F_SEAL_WRITE)), (Ok(1), Err(Errno::EPERM)));
        let place = open(c"file", O_PATH, 0)?;
        check_eq!((seals(place), add(place, 0)), (Err(Errno::EBADF), Err(Errno::EBADF)));
        let nameless = open(c".", O_TMPFILE | O_RDWR, 0o600)?;
        check_eq!((seals(nameless), add(nameless, 0)), (Ok(1), Err(Errno::EPERM)));
    }
    Ok(())
}

fn odd_arguments() -> Outcome {
    let fd = begin()?;
    check_eq!((add(fd, 1 << 5), add(fd, u32::MAX)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    check_eq!(fcntl(fd, F_ADD_SEALS, 1 << 32), Err(Errno::EINVAL));
    check_eq!((add(fd, 0), seals(fd)), (Ok(0), Ok(0)));
    // Whoever has it open for reading alone seals nothing, and what is unknown is not looked at before.
    let reader = again(fd, O_RDONLY)?;
    check_eq!((add(reader, F_SEAL_GROW), add(reader, 1 << 5)), (Err(Errno::EPERM), Err(Errno::EPERM)));
    check_eq!(fcntl(reader, F_ADD_SEALS, 1 << 32), Err(Errno::EINVAL));
    Ok(())
}

fn a_sealed_size() -> Outcome {
    let fd = begin()?;
    check_eq!((add(fd, F_SEAL_SHRINK), seals(fd)), (Ok(0), Ok(2)));
    check_eq!(
        (size(fd, 1), size(fd, PAGE + PAGE / 2), size(fd, 2 * PAGE)),
        (Err(Errno::EPERM), Ok(()), Ok(()))
    );
    let path = alloc_path(fd);
    let truncates = raw::call(nr::truncate, &[path.as_ptr() as u64, 0]);
    let reopens = again(fd, O_RDWR | O_TRUNC).map(drop);
    check_eq!((truncates, reopens.is_err()), (Err(Errno::EPERM), true));
    // Holes may be made, and content be changed.
    check_eq!((allocate(fd, 3, 0, PAGE), put(fd, 9, 0)), (Ok(()), Ok(9)));
    check_eq!((add(fd, F_SEAL_GROW), seals(fd)), (Ok(0), Ok(6)));
    check_eq!((size(fd, 2 * PAGE + 1), size(fd, 2 * PAGE)), (Err(Errno::EPERM), Ok(())));
    check_eq!((put(fd, 10, 2 * PAGE - 10), put(fd, 10, 2 * PAGE)), (Ok(10), Err(Errno::EPERM)));
    check_eq!(put(fd, 0, 2 * PAGE), Ok(0));
    // What fits is written by page.
    check_eq!((put(fd, 3 * PAGE as usize, 0), put(fd, 11, 2 * PAGE - 10)), (Ok(2 * PAGE), Ok(10)));
    check_eq!((allocate(fd, 0, 0, 2 * PAGE), allocate(fd, 0, 0, 2 * PAGE + 1)), (Ok(()), Err(Errno::EPERM)));
    // Even what leaves the size alone.
    check_eq!(allocate(fd, 1, 2 * PAGE, PAGE), Err(Errno::EPERM));
    Ok(())
}

fn a_sealed_content() -> Outcome {
    let fd = begin()?;
    check_eq!((put(fd, 4, 0), add(fd, F_SEAL_WRITE), seals(fd)), (Ok(4), Ok(0), Ok(8)));
    check_eq!(
        (put(fd, 1, 0), put(fd, 0, 0), put(fd, 1, 9 * PAGE)),
        (Err(Errno::EPERM), Ok(0), Err(Errno::EPERM))
    );
    check_eq!((allocate(fd, 3, 0, PAGE), allocate(fd, 0, 0, 2 * PAGE)), (Err(Errno::EPERM), Ok(())));
    check_eq!((size(fd, PAGE), size(fd, 3 * PAGE)), (Ok(()), Ok(())));
    let (reader, writer) = pipe2(0)?;
    write(writer, b"through a pipe")?;
    let zero = 0u64;
    let splice = [reader as u64, 0, fd as u64, (&raw const zero) as u64, 4, 0];
    check_eq!(raw::call(nr::splice, &splice), Err(Errno::EPERM));
    check_eq!(raw::call(nr::pread64, &[fd as u64, (&raw const zero) as u64, 4, 0]), Ok(4));
    Ok(())
}

fn mappings_and_seals() -> Outcome {
    let fd = begin()?;
    // A shared mapping could be made writable, whatever it is now; a private one stores nothing.
    let shared = map(fd, READ, SHARED)?;
    check_eq!((add(fd, F_SEAL_WRITE), seals(fd)), (Err(Errno::EBUSY), Ok(0)));
    check_eq!(raw::call(nr::madvise, &[shared, PAGE, MADV_REMOVE.into()]).err(), None);
    unmap(shared)?;
    let private = map(fd, READ_WRITE, PRIVATE)?;
    let reader = again(fd, O_RDONLY)?;
    let seen = map(reader, READ, SHARED)?;
    check_eq!((add(fd, F_SEAL_WRITE), seals(fd)), (Ok(0), Ok(8)));
    check_eq!(map(fd, READ_WRITE, SHARED), Err(Errno::EPERM));
    // One that never stores may be had.
    let kept = map(fd, READ, SHARED)?;
    check_eq!(raw::call(nr::mprotect, &[kept, PAGE, READ_WRITE]).err(), Some(Errno::EACCES));
    unmap(kept)?;
    unmap(map(fd, READ_WRITE, PRIVATE)?)?;
    unmap(map(reader, READ, SHARED)?)?;
    check_eq!(raw::call(nr::mprotect, &[seen, PAGE, READ_WRITE]).err(), Some(Errno::EACCES));
    check_eq!((unmap(seen), unmap(private)), (Ok(()), Ok(())));
    Ok(())
}

fn no_future_writes() -> Outcome {
    let fd = begin()?;
    let before = map(fd, READ_WRITE, SHARED)?;
    check_eq!((add(fd, F_SEAL_FUTURE_WRITE), seals(fd)), (Ok(0), Ok(16)));
    // The mapping that there is goes on.
    // SAFETY: the page is mapped for writing, and nothing else uses it.
    unsafe { (before as *mut u8).write_volatile(5) };
    check_eq!((put(fd, 1, 0), allocate(fd, 3, 0, PAGE)), (Err(Errno::EPERM), Err(Errno::EPERM)));
    check_eq!((size(fd, PAGE), size(fd, 3 * PAGE)), (Ok(()), Ok(())));
    check_eq!(map(fd, READ_WRITE, SHARED), Err(Errno::EPERM));
    let seen = map(fd, READ, SHARED)?;
    check_eq!(raw::call(nr::mprotect, &[seen, PAGE, READ_WRITE]).err(), Some(Errno::EACCES));
    // SAFETY: the page is mapped for reading.
    check_eq!(unsafe { (seen as *const u8).read_volatile() }, 5);
    let private = map(fd, READ_WRITE, PRIVATE)?;
    // Of these two only the first stores.
    check_eq!((unmap(private), add(fd, F_SEAL_WRITE)), (Ok(()), Err(Errno::EBUSY)));
    check_eq!((unmap(before), add(fd, F_SEAL_WRITE), seals(fd)), (Ok(()), Ok(0), Ok(24)));
    check_eq!(unmap(seen), Ok(()));
    Ok(())
}

fn no_more_seals() -> Outcome {
    let fd = begin()?;
    check_eq!((add(fd, F_SEAL_SEAL | F_SEAL_GROW), seals(fd)), (Ok(0), Ok(5)));
    check_eq!(
        (add(fd, F_SEAL_SHRINK), add(fd, 0), add(fd, F_SEAL_GROW)),
        (Err(Errno::EPERM), Err(Errno::EPERM), Err(Errno::EPERM))
    );
    check_eq!(add(fd, 1 << 5), Err(Errno::EINVAL));
    Ok(())
}

/// Copies of a mapping count, those that `fork`, a split and a move make, too.
fn a_child_maps_it_too() -> Outcome {
    let fd = begin()?;
    let shared = map(fd, READ_WRITE, SHARED)?;
    let moved = raw::call(nr::mremap, &[shared, PAGE, 2 * PAGE, 1, 0])?;
    check_eq!(add(fd, F_SEAL_WRITE), Err(Errno::EBUSY));
    raw::call(nr::mprotect, &[moved, PAGE, READ])?;
    check_eq!(unmap(moved), Ok(()));
    let busy = child::run(|| i32::from(add(fd, F_SEAL_WRITE) != Err(Errno::EBUSY)))?;
    check_eq!(busy.0, 0);
    check_eq!((unmap(moved + PAGE), add(fd, F_SEAL_WRITE)), (Ok(()), Ok(0)));
    Ok(())
}

fn hints() -> Outcome {
    scratch::enter()?;
    let file = files::create(c"file", b"")?;
    let get = |fd: i32| {
        let hint = 99u64;
        fcntl(fd, F_GET_RW_HINT, (&raw const hint) as u64).map(|_| core::hint::black_box(hint))
    };
    let set = |fd: i32, hint: u64| fcntl(fd, F_SET_RW_HINT, (&raw const hint) as u64);
    check_eq!(get(file), Ok(0));
    for hint in [5, 3, 0, 2] {
        check_eq!((hint, set(file, hint), get(file)), (hint, Ok(0), Ok(hint)));
    }
    for hint in [6, 1 << 31, u32::MAX.into(), 1 << 32 | 1] {
        check_eq!((hint, set(file, hint), get(file)), (hint, Err(Errno::EINVAL), Ok(2)));
    }
    // It is the file's, by whatever it is reached, and whatever it is opened for.
    let reader = open(c"file", O_RDONLY, 0)?;
    check_eq!((set(reader, 4), get(file)), (Ok(0), Ok(4)));
    let (pipe, _other) = pipe2(0)?;
    check_eq!((set(pipe, 1), get(pipe), get(open(c".", O_RDONLY, 0)?)), (Ok(0), Ok(1), Ok(0)));
    for command in [F_GET_RW_HINT, F_SET_RW_HINT] {
        check_eq!(fcntl(file, command, 8), Err(Errno::EFAULT));
        check_eq!(fcntl(open(c"file", O_PATH, 0)?, command, 8), Err(Errno::EBADF));
    }
    // Those of an open file are no more.
    check_eq!((fcntl(file, 1037, 8), fcntl(file, 1038, 8)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    check!(get(file) == Ok(4));
    Ok(())
}
