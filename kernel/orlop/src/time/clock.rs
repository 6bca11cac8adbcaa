//! The clocks that programs can read.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use abi::time::{
    CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_REALTIME_ALARM, CLOCK_REALTIME_COARSE, CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID, Timespec,
};

use super::to_timespec;
use crate::process::{Pid, Process, Thread, find_process, find_thread};
use crate::sched::wait::Deadline;

/// Nanoseconds since 1970 at the monotonic clock's zero.
static WALL_OFFSET_NS: AtomicU64 = AtomicU64::new(0);

/// Takes the wall clock from the machine. Once, at boot.
pub fn start() {
    WALL_OFFSET_NS.store(hal::time::wall_clock_at_boot_ns(), Ordering::Relaxed);
}

/// Nanoseconds since 1970.
pub fn wall_clock_ns() -> u64 {
    WALL_OFFSET_NS.load(Ordering::Relaxed).wrapping_add(hal::time::now_ns())
}

/// Nanoseconds from 1970 to the monotonic clock's zero.
pub fn wall_offset_ns() -> u64 {
    WALL_OFFSET_NS.load(Ordering::Relaxed)
}

/// The wall clock.
pub fn wall_clock() -> Timespec {
    to_timespec(wall_clock_ns())
}

/// Sets the wall clock. EINVAL for a time before the machine was started at 1970.
pub fn set_wall_clock(ns: u64) -> Result<(), Errno> {
    let offset = ns.checked_sub(hal::time::now_ns()).ok_or(Errno::EINVAL)?;
    WALL_OFFSET_NS.store(offset, Ordering::Relaxed);
    crate::vdso::set_wall_offset(offset);
    Ok(())
}

/// A clock of the system or of a process.
#[derive(Clone)]
pub enum Clock {
    /// Time of day.
    Wall,
    /// Time since boot.
    Monotonic,
    /// Processor time of a process.
    Process(Arc<Process>),
    /// Processor time of a thread.
    Thread(Arc<Thread>),
}

/// `clockid_t` of processor times: the complement of the number above three bits (`clock_getcpuclockid(3)`).
const PER_THREAD: i32 = 4;
const SCHEDULED_TIME: i32 = 2;

impl Clock {
    /// The clock with a program's number, seen by this thread; EINVAL if there is none.
    pub fn from_id(id: i32, thread: &Arc<Thread>) -> Result<Clock, Errno> {
        match id {
            CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_REALTIME_ALARM | CLOCK_TAI => Ok(Clock::Wall),
            CLOCK_MONOTONIC
            | CLOCK_MONOTONIC_RAW
            | CLOCK_MONOTONIC_COARSE
            | CLOCK_BOOTTIME
            | CLOCK_BOOTTIME_ALARM => Ok(Clock::Monotonic),
            CLOCK_PROCESS_CPUTIME_ID => Ok(Clock::Process(thread.process().clone())),
            CLOCK_THREAD_CPUTIME_ID => Ok(Clock::Thread(thread.clone())),
            id if id < 0 => Clock::of_other(id, thread),
            _ => Err(Errno::EINVAL),
        }
    }

    fn of_other(id: i32, thread: &Arc<Thread>) -> Result<Clock, Errno> {
        if id & 3 != SCHEDULED_TIME {
            return Err(Errno::EINVAL);
        }
        let number = Pid::from_program(!(id >> 3));
        match (number, id & PER_THREAD != 0) {
            (None, true) => Ok(Clock::Thread(thread.clone())),
            (None, false) => Ok(Clock::Process(thread.process().clone())),
            (Some(pid), true) => find_thread(pid)
                .filter(|other| Arc::ptr_eq(other.process(), thread.process()))
                .map(Clock::Thread)
                .ok_or(Errno::EINVAL),
            (Some(pid), false) => find_process(pid).map(Clock::Process).ok_or(Errno::EINVAL),
        }
    }

    /// What it shows, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        match self {
            Clock::Wall => wall_clock_ns(),
            Clock::Monotonic => hal::time::now_ns(),
            Clock::Process(process) => process.times().runtime_ns,
            Clock::Thread(thread) => thread.times().runtime_ns,
        }
    }

    /// The deadline at a point of this clock, or after a span; processor times cannot be waited for: EOPNOTSUPP.
    pub fn deadline(&self, ns: u64, absolute: bool) -> Result<Deadline, Errno> {
        match self {
            Clock::Wall if absolute => Ok(Deadline::at(ns.saturating_sub(wall_offset_ns()))),
            Clock::Monotonic if absolute => Ok(Deadline::at(ns)),
            Clock::Wall | Clock::Monotonic => Ok(Deadline::after(ns)),
            Clock::Process(_) | Clock::Thread(_) => Err(Errno::EOPNOTSUPP),
        }
    }
}
