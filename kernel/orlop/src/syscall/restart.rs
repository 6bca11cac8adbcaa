//! `restart_syscall`: how an interrupted wait with a timeout goes on.

use abi::Errno;
use libkernel::addr::UserAddr;
use sched::wait::Deadline;

use super::{Caller, Failure};
use crate::futex::Word;
use crate::time::CpuClock;

/// What `restart_syscall` continues. Times are points of the monotonic clock, so that a wait does not grow by being
/// interrupted.
pub enum Resume {
    /// `nanosleep`, relative `clock_nanosleep`.
    Sleep {
        /// When it ends.
        deadline: Deadline,
        /// Where the remaining time goes, if anywhere.
        remaining: UserAddr,
    },
    /// `clock_nanosleep` on a clock of processor time.
    CpuSleep {
        /// The clock.
        clock: CpuClock,
        /// What it shows when it ends.
        due_ns: u64,
        /// Where the remaining time goes, if anywhere.
        remaining: UserAddr,
    },
    /// `poll`.
    Poll {
        /// The descriptors.
        descriptors: UserAddr,
        /// How many.
        count: u32,
        /// When it ends.
        deadline: Deadline,
    },
    /// `futex` with a relative timeout.
    Futex {
        /// The word.
        word: Word,
        /// What it held.
        expected: u32,
        /// Which wake-ups count.
        bits: u32,
        /// When it ends.
        deadline: Deadline,
    },
}

/// Continues what the last system call left unfinished; EINTR if there is nothing.
pub fn restart_syscall(caller: &mut Caller<'_>) -> Result<u64, Failure> {
    let resume = caller.thread.resume.lock().take();
    match resume.map(|resume| *resume) {
        Some(Resume::Sleep { deadline, remaining }) => {
            super::time::sleep(caller, deadline, Some(remaining)).map(|()| 0)
        }
        Some(Resume::CpuSleep { clock, due_ns, remaining }) => {
            super::time::sleep_on_cpu_clock(caller, clock, due_ns, Some(remaining)).map(|()| 0)
        }
        Some(Resume::Poll { descriptors, count, deadline }) => {
            super::poll::resumable_poll(caller, descriptors, count, deadline).map(|ready| ready as u64)
        }
        Some(Resume::Futex { word, expected, bits, deadline }) => {
            super::futex::wait(caller, word, expected, bits, Some(deadline)).map(|()| 0)
        }
        None => Err(Failure::Errno(Errno::EINTR)),
    }
}
