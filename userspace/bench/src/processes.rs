//! Processes: switching between two, and making and ending one.

use crate::measure::repeat;
use abi::Errno;
use abi::signal::SIGKILL;
use core::ffi::CStr;
use libsyscall::file::{close, pipe2, read, write};
use libsyscall::process::{execve, exit_group, fork, kill, wait4};
use libsyscall::thread::sched_yield;

/// The name under which [`fork_exec_wait`] executes this program, to end at once.
const END_AT_ONCE: &CStr = c"bench-end";

/// True in a program that was executed only to end.
pub fn is_executed_for_its_end() -> bool {
    ulib::args::args().next() == Some(END_AT_ONCE)
}

/// Starts a process that runs `body` and ends.
///
/// The program has one thread, so that the child of `fork` finds no lock held.
fn child(body: impl FnOnce()) -> Result<i32, Errno> {
    // SAFETY: no other thread runs now.
    let pid = unsafe { fork() }?;
    if pid == 0 {
        body();
        exit_group(0);
    }
    Ok(pid)
}

pub fn pipe_round_trip() -> Result<u64, Errno> {
    let (ping_read, ping_write) = pipe2(0)?;
    let (pong_read, pong_write) = pipe2(0)?;
    let pid = child(|| {
        let _ = close(ping_write);
        while let Ok(1) = read(ping_read, &mut [0]) {
            let _ = write(pong_write, &[0]);
        }
    })?;
    let result = repeat(300, || {
        write(ping_write, &[0])?;
        read(pong_read, &mut [0]).map(drop)
    });
    for fd in [ping_read, ping_write, pong_read, pong_write] {
        close(fd)?;
    }
    wait4(pid, 0)?;
    result
}

/// One yield is one switch: between two calls of this process the other one runs through one of its own.
pub fn yield_between() -> Result<u64, Errno> {
    let pid = child(|| {
        loop {
            sched_yield();
        }
    })?;
    let result = repeat(1000, || {
        sched_yield();
        Ok(())
    });
    kill(pid, SIGKILL)?;
    wait4(pid, 0)?;
    result.map(|both| both / 2)
}

pub fn fork_wait() -> Result<u64, Errno> {
    repeat(50, || {
        let pid = child(|| ())?;
        wait4(pid, 0).map(drop)
    })
}

pub fn fork_exec_wait() -> Result<u64, Errno> {
    let path = ulib::args::args().next().ok_or(Errno::EINVAL)?;
    let arguments = [END_AT_ONCE.as_ptr(), core::ptr::null()];
    let environment = [core::ptr::null()];
    repeat(50, || {
        let pid = child(|| {
            // SAFETY: both arrays hold NUL-terminated strings and end with a null pointer.
            unsafe { execve(path, arguments.as_ptr(), environment.as_ptr()) };
            exit_group(127);
        })?;
        match wait4(pid, 0)? {
            Some((_, status)) if status.0 == 0 => Ok(()),
            _ => Err(Errno::ENOEXEC),
        }
    })
}
