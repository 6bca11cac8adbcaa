//! Processes: switching between two, and making and ending one.

use crate::arch;
use crate::measure::repeat;
use abi::Errno;
use abi::memory::{MAP_ANONYMOUS, MAP_SHARED, PROT_READ, PROT_WRITE};
use abi::signal::SIGKILL;
use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};
use libsyscall::file::{close, pipe2, read, write};
use libsyscall::memory::mmap;
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

/// One yield of either process. Both are counted, because a scheduler may let one of them yield several times in turn.
pub fn yield_between() -> Result<u64, Errno> {
    const YIELDS: u64 = 10_000;
    let counter = SharedCounter::new()?;
    let pid = child(|| {
        loop {
            sched_yield();
            counter.add();
        }
    })?;
    // The child of `fork` has to catch up with what its parent has run so far.
    while counter.get() < YIELDS {
        sched_yield();
    }
    let (start, theirs) = (arch::counter(), counter.get());
    (0..YIELDS).for_each(|_| sched_yield());
    let spent = arch::counter().wrapping_sub(start);
    let theirs = counter.get() - theirs;
    kill(pid, SIGKILL)?;
    wait4(pid, 0)?;
    Ok(spent / (YIELDS + theirs))
}

/// A number that two processes share.
struct SharedCounter(&'static AtomicU64);

impl SharedCounter {
    fn new() -> Result<SharedCounter, Errno> {
        let flags = MAP_SHARED | MAP_ANONYMOUS;
        // SAFETY: the kernel chooses a free range, which is never unmapped.
        unsafe {
            let page = mmap(core::ptr::null_mut(), 4096, PROT_READ | PROT_WRITE, flags, -1, 0)?;
            Ok(SharedCounter(&*page.cast::<AtomicU64>()))
        }
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
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
