//! What the workers do.

use super::{Row, TIMES, WARM_UP, Work, Workers};
use abi::Errno;
use abi::fs::{O_CREAT, O_RDONLY, O_RDWR};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use core::sync::atomic::AtomicU32;
use libsyscall::file::{close, open, pipe2, read, write};
use libsyscall::memory::{map_anonymous, munmap};
use libsyscall::process::getppid;
use libsyscall::thread::{Sharing, futex_wait, futex_wake};

const PAGE: usize = 4096;

const fn processes(name: &'static str, prepare: fn(usize) -> Result<Work, Errno>) -> Row {
    Row { name, workers: Workers::Processes, prepare }
}

const fn threads(name: &'static str, prepare: fn(usize) -> Result<Work, Errno>) -> Row {
    Row { name, workers: Workers::Threads, prepare }
}

/// The table.
pub const ROWS: [Row; 12] = [
    processes("getppid", parent_of_oneself),
    processes("page fault", page_fault),
    processes("mmap + touch + munmap", map_touch_unmap),
    processes("open + close", open_close),
    processes("pipe write + read", pipe),
    processes("futex wake + wait", futex),
    threads("getppid, threads", parent_of_oneself),
    threads("page fault, threads", page_fault),
    threads("mmap + touch + munmap, threads", map_touch_unmap),
    threads("open + close, threads", open_close),
    threads("pipe write + read, threads", pipe),
    threads("futex wake + wait, threads", futex),
];

fn parent_of_oneself(_: usize) -> Result<Work, Errno> {
    Ok(Box::new(|_| {
        getppid();
        Ok(())
    }))
}

/// Each in a mapping of its own, page by page.
fn page_fault(_: usize) -> Result<Work, Errno> {
    let pages = map_anonymous((WARM_UP + TIMES) * PAGE)?;
    Ok(Box::new(move |number| {
        // SAFETY: the mapping is large enough, and this worker's own.
        unsafe { pages.add(number * PAGE).write_volatile(1) };
        Ok(())
    }))
}

fn map_touch_unmap(_: usize) -> Result<Work, Errno> {
    Ok(Box::new(|_| {
        let page = map_anonymous(PAGE)?;
        // SAFETY: the page is fresh, and nobody refers to it afterwards.
        unsafe {
            page.write_volatile(1);
            munmap(page, PAGE)
        }
    }))
}

/// Files of one directory.
fn open_close(worker: usize) -> Result<Work, Errno> {
    let path = CString::new(format!("/tmp/sharing-{worker}")).map_err(|_| Errno::EINVAL)?;
    close(open(&path, O_RDWR | O_CREAT, 0o600)?)?;
    Ok(Box::new(move |_| close(open(&path, O_RDONLY, 0)?)))
}

fn pipe(_: usize) -> Result<Work, Errno> {
    let (reader, writer) = pipe2(0)?;
    Ok(Box::new(move |_| {
        write(writer, &[0])?;
        read(reader, &mut [0]).map(drop)
    }))
}

/// A word for which nobody waits, and which has not the value that is waited for.
fn futex(_: usize) -> Result<Work, Errno> {
    /// Nothing else lies in its cache line.
    #[repr(align(128))]
    struct Alone(AtomicU32);
    let word: &Alone = Box::leak(Box::new(Alone(AtomicU32::new(0))));
    Ok(Box::new(|_| {
        futex_wake(&word.0, 1, Sharing::Private)?;
        match futex_wait(&word.0, 1, None, Sharing::Private) {
            Err(Errno::EAGAIN) => Ok(()),
            outcome => outcome.and(Err(Errno::EINVAL)),
        }
    }))
}
