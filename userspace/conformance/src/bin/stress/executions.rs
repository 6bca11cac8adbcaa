//! `execve` while the process's other threads run, sleep, make threads and end.

use crate::endings::{Activity, keep_busy};
use crate::round::Round;
use crate::teams::{self, meet};
use abi::Errno;
use abi::process::WaitStatus;
use alloc::ffi::CString;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check_eq, child};
use core::ffi::c_char;
use core::sync::atomic::{AtomicU32, Ordering};
use libsyscall::process::execve;
use libsyscall::thread::gettid;

/// What the executed program ends with, and this less 2 in a child that could not do what it should.
const REACHED: i32 = 42;

/// The executed program: it has one thread, and that is the process.
pub fn end(arguments: &[&'static [u8]]) -> i32 {
    let pid = libsyscall::process::getpid();
    let same = arguments.first().is_some_and(|argument| *argument == alloc::format!("{pid}").as_bytes());
    if same && gettid() == pid { REACHED } else { 1 }
}

/// Executes this program as [`end`]; allocates before and nothing after.
fn execute(ready: impl FnOnce()) -> Errno {
    let Some(path) = ulib::args::args().next() else { return Errno::ENOENT };
    let pid = alloc::format!("{}", libsyscall::process::getpid());
    let words = [path.to_bytes(), b"--helper", b"end", pid.as_bytes()];
    let strings: Vec<_> = words.iter().filter_map(|word| CString::new(*word).ok()).collect();
    let pointers: Vec<*const c_char> =
        strings.iter().map(|word| word.as_ptr()).chain([core::ptr::null()]).collect();
    ready();
    // SAFETY: the array ends with a null pointer, and so does the environment, which is its last word.
    unsafe { execve(path, pointers.as_ptr(), pointers[words.len()..].as_ptr()) }
}

/// One thread, not always the first, executes; the others are at anything.
pub fn among_threads(round: Round) -> Outcome {
    for activity in Activity::ALL {
        let status = child::run(|| {
            if keep_busy(activity, round).is_err() {
                return REACHED - 2;
            }
            if round.number.is_multiple_of(2) {
                execute(|| ());
                return REACHED - 1;
            }
            let other = ulib::thread::spawn(|| {
                execute(|| ());
            });
            other.map_or(REACHED - 2, |thread| {
                thread.join();
                REACHED - 1
            })
        })?;
        check_eq!((activity, status), (activity, WaitStatus::exited(REACHED)));
    }
    Ok(())
}

/// All threads execute at the same time: one of them does, and no other comes back to tell.
pub fn twice(round: Round) -> Outcome {
    static GATE: AtomicU32 = AtomicU32::new(0);
    for _ in 0..4 {
        let status = child::run(|| {
            let outcome = teams::threads(round.threads, move |_| {
                let error = execute(|| meet(&GATE, round.threads));
                Err(Failure::new(error))
            });
            GATE.store(0, Ordering::Relaxed);
            crate::round::end_of(outcome)
        })?;
        check_eq!(status, WaitStatus::exited(REACHED));
    }
    Ok(())
}
