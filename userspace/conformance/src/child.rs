//! Child processes of a test.

use crate::Failure;
use abi::process::WaitStatus;
use libsyscall::process::{exit_group, fork, wait4};

/// Starts a process that runs `body` and ends with its result.
pub fn start(body: impl FnOnce() -> i32) -> Result<i32, Failure> {
    // SAFETY: tests that fork have no other thread, or let the child use none of their locks.
    let pid = unsafe { fork() }?;
    if pid == 0 {
        exit_group(body());
    }
    Ok(pid)
}

/// Runs `body` in a process and returns how it ended.
pub fn run(body: impl FnOnce() -> i32) -> Result<WaitStatus, Failure> {
    let pid = start(body)?;
    wait(pid)
}

/// Waits for one child, whatever signals come.
#[track_caller]
pub fn wait(pid: i32) -> Result<WaitStatus, Failure> {
    loop {
        match wait4(pid, 0) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) => return Err(Failure::new("wait4 returned no child")),
            Err(abi::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Runs `body` in a process; 0 if it returns `Ok`, else it prints why and ends with 1.
pub fn succeeds(body: impl FnOnce() -> crate::Outcome) -> Result<bool, Failure> {
    let status = run(|| match body() {
        Ok(()) => 0,
        Err(failure) => {
            ulib::eprintln!("in a child: {failure}");
            1
        }
    })?;
    Ok(status == WaitStatus(0))
}
