//! Work for tests of processor time.

use crate::{Outcome, check};
use abi::Errno;
use abi::fs::O_RDONLY;
use abi::process::RUSAGE_SELF;
use abi::time::{CLOCK_PROCESS_CPUTIME_ID, Timeval};
use alloc::vec;
use core::hint::black_box;
use core::time::Duration;
use libsyscall::file::{close, open, read};
use libsyscall::process::getrusage;
use libsyscall::time::clock_gettime;
use ulib::time::to_duration;

/// A millisecond.
pub const MS: Duration = Duration::from_millis(1);

/// What a clock shows.
pub fn spent(clock: i32) -> Result<Duration, Errno> {
    clock_gettime(clock).map(to_duration)
}

/// Seconds and microseconds as one.
pub fn duration(time: Timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}

/// User and system time, of `RUSAGE_*`.
pub fn usage(who: i32) -> Result<(Duration, Duration), Errno> {
    getrusage(who).map(|usage| (duration(usage.ru_utime), duration(usage.ru_stime)))
}

/// Far more processor time than anything here needs: what is not seen by then does not come. Less than a test may take.
const ENOUGH: Duration = Duration::from_secs(10);

/// Works in user mode until `done`.
///
/// User and system time are told apart by samples, so what is to be seen of them may need many.
pub fn work_until(done: impl FnMut() -> Result<bool, Errno>) -> Outcome {
    until(done, || {
        for number in 0..50_000u32 {
            black_box(number);
        }
        Ok(())
    })
}

/// Lets the kernel work until `done`; see [`work_until`].
pub fn call_until(done: impl FnMut() -> Result<bool, Errno>) -> Outcome {
    let zero = open(c"/dev/zero", O_RDONLY, 0)?;
    let mut buffer = vec![0; 256 << 10];
    until(done, || (0..8).try_for_each(|_| read(zero, &mut buffer).map(drop)))?;
    close(zero)?;
    Ok(())
}

fn until(
    mut done: impl FnMut() -> Result<bool, Errno>,
    mut step: impl FnMut() -> Result<(), Errno>,
) -> Outcome {
    let end = spent(CLOCK_PROCESS_CPUTIME_ID)? + ENOUGH;
    while !done()? {
        step()?;
        let now = spent(CLOCK_PROCESS_CPUTIME_ID)?;
        check!(now < end, "not in {ENOUGH:?} of processor time: {:?}", usage(RUSAGE_SELF)?);
    }
    Ok(())
}

/// Works in user mode until the process has used so much more processor time.
pub fn work(length: Duration) -> Outcome {
    let end = spent(CLOCK_PROCESS_CPUTIME_ID)? + length;
    work_until(|| Ok(spent(CLOCK_PROCESS_CPUTIME_ID)? >= end))
}

/// Lets the kernel work until the process has used so much more processor time.
pub fn call(length: Duration) -> Outcome {
    let end = spent(CLOCK_PROCESS_CPUTIME_ID)? + length;
    call_until(|| Ok(spent(CLOCK_PROCESS_CPUTIME_ID)? >= end))
}

/// Waits without sleeping.
pub fn spin_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        core::hint::spin_loop();
    }
}

/// What the clock of a thread or process counts (`CPUCLOCK_*` of Linux's `posix-timers.h`).
#[derive(Clone, Copy)]
pub enum Kind {
    /// User and system time.
    Profiled,
    /// User time.
    Virtual,
    /// Time on a processor.
    Scheduled,
}

/// The clock of a process (`clock_getcpuclockid(3)`): the complement of its number above three bits.
pub fn clock_of_process(pid: i32, kind: Kind) -> i32 {
    !pid << 3 | kind as i32
}

/// The clock of a thread (`pthread_getcpuclockid(3)`).
pub fn clock_of_thread(thread: i32, kind: Kind) -> i32 {
    !thread << 3 | 4 | kind as i32
}
