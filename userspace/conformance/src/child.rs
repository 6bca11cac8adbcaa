//! Child processes of a test.

use crate::Failure;
use abi::process::WaitStatus;
use abi::signal::SIGKILL;
use libsyscall::process::{exit_group, fork, kill, wait4};

/// Starts a process that runs `body` and ends with its result.
pub fn start(body: impl FnOnce() -> i32) -> Result<i32, Failure> {
    // SAFETY: tests that fork have no other thread, or let the child use none of their locks.
    let pid = unsafe { fork() }?;
    if pid == 0 {
        exit_group(body());
    }
    Ok(pid)
}

/// Starts a process that sleeps until it is killed; see [`end`].
pub fn sleeper() -> Result<i32, Failure> {
    start(|| {
        loop {
            ulib::time::sleep(core::time::Duration::from_secs(1000));
        }
    })
}

/// Kills a child and waits for it.
#[track_caller]
pub fn end(pid: i32) -> crate::Outcome {
    kill(pid, SIGKILL)?;
    wait(pid)?;
    Ok(())
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
