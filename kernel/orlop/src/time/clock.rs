//! The clocks that programs can read.

use alloc::boxed::Box;
use alloc::sync::Arc;

use abi::Errno;
use abi::time::{
    CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_REALTIME_ALARM, CLOCK_REALTIME_COARSE, CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID, Timezone,
};
use hal::sync::SpinLock;
use sched::deadline::{Deadline, set_wall_offset};
use sched::timer::clocks_changed;
use sched::wait::Patience;
use subject::capability;

use super::alarm::{AlarmNode, Listener};
use super::cpu_alarm::{CpuAlarms, CpuKey, Measure};
use super::{SECOND_NS, discipline};
use crate::process::{Process, Thread, find_process, find_thread};
pub use sched::deadline::{wall_clock_ns, wall_offset_ns};

/// Takes the wall clock from the machine. Once, at boot.
pub fn start() {
    set_wall_offset(hal::time::wall_clock_at_boot_ns());
}

/// What the wall clock may be set to: a time that would not overflow within 30 years (Linux: `TIME_SETTOD_SEC_MAX`).
pub const LIMIT_NS: u64 = (i64::MAX as u64 / SECOND_NS - 30 * 365 * 24 * 3600) * SECOND_NS;

/// Sets the wall clock, and lets end what waits for a time that it shows by now. EINVAL for a time before the machine
/// was started at 1970.
pub fn set_wall_clock(ns: u64) -> Result<(), Errno> {
    change_wall_offset(|_| ns.checked_sub(hal::time::now_ns()))?;
    discipline::wall_clock_was_set();
    Ok(())
}

/// Sets the wall clock so much on, as [`set_wall_clock`] does. EINVAL for a time that it cannot show.
pub(super) fn step(ns: i64) -> Result<(), Errno> {
    move_wall_clock(ns)?;
    discipline::wall_clock_was_set();
    Ok(())
}

/// Moves the wall clock on, by whoever disciplines it. EINVAL for a time that it cannot show.
pub(super) fn move_wall_clock(ns: i64) -> Result<(), Errno> {
    change_wall_offset(|offset| {
        let offset = offset.checked_add_signed(ns)?;
        (offset.saturating_add(hal::time::now_ns()) < LIMIT_NS).then_some(offset)
    })
}

/// Lets everybody go by another wall clock, made of the one that they went by, and whoever that makes due wake. EINVAL
/// if there is none. One change at a time: what it is made of stays until it is there.
fn change_wall_offset(change: impl FnOnce(u64) -> Option<u64>) -> Result<(), Errno> {
    let changed = crate::vdso::while_clocks_change(|| change(wall_offset_ns()).map(set_wall_offset));
    changed.ok_or(Errno::EINVAL)?;
    clocks_changed();
    super::alarm::look_again();
    Ok(())
}

/// What `settimeofday` said of the time zone. Nothing in the kernel reads it.
static ZONE: SpinLock<Timezone> = SpinLock::new(Timezone { tz_minuteswest: 0, tz_dsttime: 0 });

/// The time zone that was set last.
pub fn zone() -> Timezone {
    *ZONE.lock()
}

/// Sets the time zone. EINVAL if it is further from Greenwich than 15 hours.
pub fn set_zone(zone: Timezone) -> Result<(), Errno> {
    if zone.tz_minuteswest.unsigned_abs() > 15 * 60 {
        return Err(Errno::EINVAL);
    }
    *ZONE.lock() = zone;
    Ok(())
}

/// A clock of the system or of a process.
#[derive(Clone)]
pub enum Clock {
    /// Time of day.
    Wall,
    /// International atomic time: the wall clock, a few seconds ahead.
    Tai,
    /// Time since boot.
    Monotonic,
    /// Time since boot by the counter alone, which nobody can wait for.
    Raw,
    /// Processor time.
    Cpu(CpuClock),
}

/// A clock of processor time.
#[derive(Clone)]
pub struct CpuClock {
    subject: Subject,
    measure: Measure,
}

/// Whose time is counted.
#[derive(Clone)]
enum Subject {
    Process(Arc<Process>),
    Thread(Arc<Thread>),
}

/// `clockid_t` of processor times: the complement of the number above three bits (`clock_getcpuclockid(3)`), of which
/// two say what is counted: user and system time, user time, or time on a CPU (Linux: `CPUCLOCK_PROF`, `CPUCLOCK_VIRT`,
/// `CPUCLOCK_SCHED`).
const PER_THREAD: i32 = 4;
const KIND: i32 = 3;
const KIND_EXACT: i32 = 2;

impl Clock {
    /// The clock with a program's number, seen by this thread; EINVAL if there is none.
    pub fn from_id(id: i32, thread: &Arc<Thread>) -> Result<Clock, Errno> {
        match id {
            CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_REALTIME_ALARM => Ok(Clock::Wall),
            CLOCK_TAI => Ok(Clock::Tai),
            CLOCK_MONOTONIC_RAW => Ok(Clock::Raw),
            CLOCK_MONOTONIC | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => {
                Ok(Clock::Monotonic)
            }
            CLOCK_PROCESS_CPUTIME_ID => {
                Ok(Clock::Cpu(CpuClock::of_process(thread.process(), Measure::Total)))
            }
            CLOCK_THREAD_CPUTIME_ID => {
                Ok(Clock::Cpu(CpuClock { subject: Subject::Thread(thread.clone()), measure: Measure::Total }))
            }
            id if id < 0 => CpuClock::from_id(id, thread).map(Clock::Cpu),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What it shows, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        match self {
            Clock::Wall => wall_clock_ns(),
            Clock::Tai => wall_clock_ns().saturating_add_signed(discipline::tai_offset_ns()),
            Clock::Monotonic => hal::time::now_ns(),
            Clock::Raw => hal::time::raw_ns(),
            Clock::Cpu(clock) => clock.now_ns(),
        }
    }

    /// The deadline at a point of this clock, or after a span; EOPNOTSUPP for processor time and the raw clock, which
    /// have none.
    pub fn deadline(&self, ns: u64, absolute: bool) -> Result<Deadline, Errno> {
        match self {
            Clock::Wall if absolute => Ok(Deadline::at_wall(ns)),
            Clock::Tai if absolute => Ok(Deadline::at_wall(discipline::wall_ns_of_tai(ns))),
            Clock::Monotonic if absolute => Ok(Deadline::at(ns)),
            Clock::Wall | Clock::Tai | Clock::Monotonic => Ok(Deadline::after(ns)),
            Clock::Raw | Clock::Cpu(_) => Err(Errno::EOPNOTSUPP),
        }
    }
}

/// The resolution of a clock with a program's number, which is valid: a nanosecond, but for those that Linux moves by
/// ticks (`CONFIG_HZ=250`). What such a clock shows here is finer.
pub fn resolution_ns(id: i32) -> u64 {
    const TICK_NS: u64 = 4_000_000;
    let by_tick = match id {
        CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => true,
        id => id < 0 && id & KIND != KIND_EXACT,
    };
    if by_tick { TICK_NS } else { 1 }
}

/// EOPNOTSUPP for a clock that can be read but not waited for, or that a file would be; EINVAL if the number is
/// nobody's. Whose processor time a negative number stands for, [`Clock::from_id`] says.
pub fn require_timers(id: i32) -> Result<(), Errno> {
    /// Linux: `CLOCKFD`.
    const FILE: i32 = 3;
    match id {
        CLOCK_MONOTONIC_RAW | CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => Err(Errno::EOPNOTSUPP),
        CLOCK_REALTIME | CLOCK_TAI | CLOCK_MONOTONIC | CLOCK_BOOTTIME => Ok(()),
        CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM => Ok(()),
        CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID => Ok(()),
        id if id >= 0 => Err(Errno::EINVAL),
        id if id & (PER_THREAD | KIND) == FILE => Err(Errno::EOPNOTSUPP),
        _ => Ok(()),
    }
}

/// Whether a sleep on this clock would wake the machine.
pub fn is_alarm(id: i32) -> bool {
    matches!(id, CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM)
}

/// EPERM for a clock that would wake the machine, unless the thread may do that.
pub fn require_alarms(id: i32, thread: &Thread) -> Result<(), Errno> {
    if !is_alarm(id) {
        return Ok(());
    }
    thread.with_credentials(|credentials| credentials.require(capability::WAKE_ALARM))
}

impl CpuClock {
    /// The time of a process.
    pub fn of_process(process: &Arc<Process>, measure: Measure) -> CpuClock {
        CpuClock { subject: Subject::Process(process.clone()), measure }
    }

    fn from_id(id: i32, thread: &Arc<Thread>) -> Result<CpuClock, Errno> {
        let measure = match id & KIND {
            0 | 2 => Measure::Total,
            1 => Measure::User,
            _ => return Err(Errno::EINVAL),
        };
        let subject = match (thread.pid_namespace().find(!(id >> 3)), id & PER_THREAD != 0) {
            (None, true) => Subject::Thread(thread.clone()),
            (None, false) => Subject::Process(thread.process().clone()),
            (Some(pid), true) => find_thread(pid)
                .filter(|other| Arc::ptr_eq(other.process(), thread.process()))
                .map(Subject::Thread)
                .ok_or(Errno::EINVAL)?,
            (Some(pid), false) => find_process(pid).map(Subject::Process).ok_or(Errno::EINVAL)?,
        };
        Ok(CpuClock { subject, measure })
    }

    /// What it shows, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        match (&self.subject, self.measure) {
            (Subject::Process(process), Measure::Total) => process.runtime_ns(),
            (Subject::Thread(thread), Measure::Total) => thread.runtime_ns(),
            (Subject::Process(process), Measure::User) => process.times().cpu.user_ns,
            (Subject::Thread(thread), Measure::User) => thread.times().cpu.user_ns,
        }
    }

    /// Whether nothing will move it any more: a thread that has ended, a process that was waited for.
    pub fn is_gone(&self) -> bool {
        match &self.subject {
            Subject::Process(process) => process.is_reaped(),
            Subject::Thread(thread) => thread.has_ended(),
        }
    }

    /// Whether it is the clock of this thread alone.
    pub fn is_of_thread(&self, thread: &Arc<Thread>) -> bool {
        matches!(&self.subject, Subject::Thread(own) if Arc::ptr_eq(own, thread))
    }

    fn alarms(&self) -> &CpuAlarms {
        match &self.subject {
            Subject::Process(process) => &process.cpu_alarms,
            Subject::Thread(thread) => &thread.cpu_alarms,
        }
    }

    /// Lets somebody hear when the clock shows this time.
    pub(super) fn set_alarm(&self, node: Box<AlarmNode>, due_ns: u64, listener: Listener) -> CpuKey {
        self.alarms().set(self.measure, node, due_ns, listener)
    }

    /// Takes an alarm back, if it has not been served.
    pub(super) fn cancel_alarm(&self, key: CpuKey) -> Option<(Box<AlarmNode>, Listener)> {
        self.alarms().cancel(key)
    }

    /// Sleeps until the clock shows this time. EINTR for a signal, which alone ends a sleep on a clock that nothing
    /// moves any more.
    pub fn sleep_until(&self, due_ns: u64) -> Result<(), Errno> {
        let task = hal::task::current_ref();
        let is_over = || self.now_ns() >= due_ns;
        let is_interrupted = || Patience::Interruptible.is_exhausted();
        while !is_over() {
            if is_interrupted() {
                return Err(Errno::EINTR);
            }
            let key = self.set_alarm(AlarmNode::new(), due_ns, Listener::Sleeper(task.clone()));
            sched::block_unless(|| is_over() || is_interrupted());
            drop(self.cancel_alarm(key));
        }
        Ok(())
    }
}
