//! `/proc/PID/task` of a process with many threads: each is listed once, and found by its number.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::{AT_FDCWD, O_DIRECTORY, O_RDONLY};
use abi::native::nr;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use conformance::files::mount_proc;
use conformance::{Outcome, check, check_eq, child, raw};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, Ordering};
use libsyscall::file::{close, newfstatat, open, pipe2, read, write};
use libsyscall::process::getpid;
use libsyscall::thread::gettid;
use ulib::thread::spawn;

conformance::tests!(&[
    ("every_thread_once", every_thread_once),
    ("only_its_own_threads", only_its_own_threads),
]);

/// More than what anybody would look at in one go.
const THREADS: usize = 150;

/// The names of a directory, read some at a time, but for `.` and `..`.
fn numbers(path: &CStr) -> Result<Vec<i32>, conformance::Failure> {
    const NAME: usize = 19;
    let fd = open(path, O_RDONLY | O_DIRECTORY, 0)?;
    let (mut numbers, mut buffer) = (Vec::new(), [0_u8; 300]);
    loop {
        let place = buffer.as_mut_ptr() as u64;
        let count = raw::call(nr::getdents64, &[fd as u64, place, buffer.len() as u64])? as usize;
        if count == 0 {
            break;
        }
        let mut rest = &buffer[..count];
        while rest.len() > NAME {
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let name = CStr::from_bytes_until_nul(&rest[NAME..length]).unwrap_or_default();
            numbers.extend(name.to_str().ok().and_then(|name| name.parse::<i32>().ok()));
            rest = &rest[length..];
        }
    }
    close(fd)?;
    Ok(numbers)
}

fn is_listed(path: &str) -> Result<(), Errno> {
    let path = format!("{path}\0");
    newfstatat(AT_FDCWD, CStr::from_bytes_with_nul(path.as_bytes()).unwrap_or_default(), 0).map(drop)
}

fn every_thread_once() -> Outcome {
    mount_proc()?;
    let (reader, writer) = pipe2(0)?;
    let ids: Arc<[AtomicU32]> = (0..THREADS).map(|_| AtomicU32::new(0)).collect();
    let (told, tell) = pipe2(0)?;
    let mut threads = Vec::new();
    for index in 0..THREADS {
        let ids = ids.clone();
        threads.push(spawn(move || {
            ids[index].store(gettid() as u32, Ordering::SeqCst);
            let _ = write(tell, b"x");
            let _ = read(reader, &mut [0]);
        })?);
    }
    let mut started = 0;
    while started < THREADS {
        started += read(told, &mut [0; THREADS])?;
    }
    let mut made: Vec<i32> = ids.iter().map(|id| id.load(Ordering::SeqCst) as i32).collect();
    made.push(gettid());
    made.sort_unstable();
    let mut listed = numbers(c"/proc/self/task")?;
    check_eq!(listed.first(), Some(&getpid()));
    listed.sort_unstable();
    check!(listed == made, "each thread once");
    for id in made {
        check_eq!(is_listed(&format!("/proc/self/task/{id}")), Ok(()));
    }
    close(writer)?;
    threads.into_iter().for_each(|thread| thread.join());
    Ok(())
}

fn only_its_own_threads() -> Outcome {
    mount_proc()?;
    let (reader, writer) = pipe2(0)?;
    let other = child::start(move || {
        let _ = close(writer);
        let _ = read(reader, &mut [0]);
        0
    })?;
    check_eq!(is_listed(&format!("/proc/{other}/task/{other}")), Ok(()));
    check_eq!(is_listed(&format!("/proc/self/task/{other}")), Err(Errno::ENOENT));
    check_eq!(is_listed(&format!("/proc/{other}/task/{}", getpid())), Err(Errno::ENOENT));
    check_eq!(is_listed(&format!("/proc/{other}/task/0{other}")), Err(Errno::ENOENT));
    close(writer)?;
    child::wait(other)?;
    Ok(())
}
