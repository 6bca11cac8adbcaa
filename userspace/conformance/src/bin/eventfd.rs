//! Event files: what a write has added, and what a write that fails has not.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::memory::*;
use abi::native::nr;
use abi::poll::*;
use abi::process::WaitStatus;
use abi::signal::{SA_RESTART, SIGUSR1};
use conformance::handler::{count, record_signal};
use conformance::{Outcome, check_eq, child, raw};
use core::time::Duration;
use libsyscall::file::*;
use libsyscall::process::{getpid, kill};

conformance::tests!(&[
    ("values_are_added_and_taken", values_are_added_and_taken),
    ("a_full_counter_refuses", a_full_counter_refuses),
    ("what_is_no_value_is_refused", what_is_no_value_is_refused),
    ("half_a_value_is_a_fault", half_a_value_is_a_fault),
    ("an_interrupted_write_adds_nothing", an_interrupted_write_adds_nothing),
    ("a_restarted_write_adds_once", a_restarted_write_adds_once),
]);

/// The largest value that a counter reaches.
const MOST: u64 = u64::MAX - 1;

fn event_file(count: u32, flags: u32) -> Result<i32, Errno> {
    raw::call(nr::eventfd2, &[u64::from(count), u64::from(flags)]).map(|fd| fd as i32)
}

fn add(fd: i32, value: u64) -> Result<usize, Errno> {
    write(fd, &value.to_ne_bytes())
}

fn take(fd: i32) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    read(fd, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn values_are_added_and_taken() -> Outcome {
    let fd = event_file(3, EFD_NONBLOCK)?;
    check_eq!(add(fd, 4), Ok(8));
    check_eq!(add(fd, 0), Ok(8));
    check_eq!((take(fd), take(fd)), (Ok(7), Err(Errno::EAGAIN)));
    let fd = event_file(2, EFD_NONBLOCK | EFD_SEMAPHORE)?;
    check_eq!((take(fd), take(fd), take(fd)), (Ok(1), Ok(1), Err(Errno::EAGAIN)));
    Ok(())
}

fn a_full_counter_refuses() -> Outcome {
    let fd = event_file(0, EFD_NONBLOCK)?;
    check_eq!(add(fd, MOST), Ok(8));
    check_eq!((add(fd, 1), add(fd, 5), add(fd, 0)), (Err(Errno::EAGAIN), Err(Errno::EAGAIN), Ok(8)));
    check_eq!(take(fd), Ok(MOST));
    check_eq!(add(fd, MOST - 1), Ok(8));
    // More than there is room for is refused as a whole.
    check_eq!((add(fd, 2), add(fd, 1)), (Err(Errno::EAGAIN), Ok(8)));
    check_eq!(take(fd), Ok(MOST));
    Ok(())
}

fn what_is_no_value_is_refused() -> Outcome {
    let fd = event_file(1, EFD_NONBLOCK)?;
    check_eq!(add(fd, u64::MAX), Err(Errno::EINVAL));
    check_eq!(write(fd, &[0; 7]), Err(Errno::EINVAL));
    // What follows the value is not looked at.
    let mut long = [0; 12];
    long[0] = 1;
    check_eq!(write(fd, &long), Ok(8));
    check_eq!(read(fd, &mut [0; 7]), Err(Errno::EINVAL));
    check_eq!(read(fd, &mut [0; 12]), Ok(8));
    Ok(())
}

/// A value that lies across the end of what is mapped.
fn half_a_value_is_a_fault() -> Outcome {
    const PAGE: usize = 4096;
    let pages = libsyscall::memory::map_anonymous(2 * PAGE)?;
    // SAFETY: the second page is this test's own, and nothing refers to it.
    unsafe { libsyscall::memory::mprotect(pages.wrapping_add(PAGE), PAGE, PROT_NONE) }?;
    let across = pages.wrapping_add(PAGE - 4) as u64;
    let fd = event_file(0, EFD_NONBLOCK)?;
    check_eq!(raw::call(nr::write, &[fd as u64, across, 8]), Err(Errno::EFAULT));
    check_eq!(take(fd), Err(Errno::EAGAIN));
    check_eq!(add(fd, 1), Ok(8));
    check_eq!(raw::call(nr::read, &[fd as u64, across, 8]), Err(Errno::EFAULT));
    Ok(())
}

/// Starts a process that signals this one again and again.
fn start_signaller() -> Result<i32, conformance::Failure> {
    let parent = getpid();
    child::start(|| {
        loop {
            ulib::time::sleep(Duration::from_millis(2));
            let _ = kill(parent, SIGUSR1);
        }
    })
}

fn an_interrupted_write_adds_nothing() -> Outcome {
    let fd = event_file(0, 0)?;
    check_eq!(add(fd, MOST), Ok(8));
    record_signal(SIGUSR1, 0)?;
    let signaller = start_signaller()?;
    check_eq!((add(fd, 1), add(fd, MOST)), (Err(Errno::EINTR), Err(Errno::EINTR)));
    kill(signaller, abi::signal::SIGKILL)?;
    child::wait(signaller)?;
    check_eq!(take(fd), Ok(MOST));
    Ok(())
}

fn a_restarted_write_adds_once() -> Outcome {
    let fd = event_file(0, 0)?;
    check_eq!(add(fd, MOST), Ok(8));
    record_signal(SIGUSR1, SA_RESTART)?;
    let parent = getpid();
    let taker = child::start(|| {
        for _ in 0..3 {
            ulib::time::sleep(Duration::from_millis(2));
            let _ = kill(parent, SIGUSR1);
        }
        ulib::time::sleep(Duration::from_millis(2));
        i32::from(take(fd) != Ok(MOST))
    })?;
    check_eq!((add(fd, 7), count() > 0), (Ok(8), true));
    check_eq!(child::wait(taker)?, WaitStatus(0));
    check_eq!(take(fd), Ok(7));
    Ok(())
}
