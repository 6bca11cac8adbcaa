//! Interval timers: `setitimer`, `alarm`, and POSIX timers.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::signal::{SI_KERNEL, SigInfo};

use super::alarm;
use crate::process::{Pid, Process, find_thread};
use crate::sched::Mutex;
use crate::sched::timeouts::Key;
use crate::signal::{Signal, send};

/// The most POSIX timers of a process.
const TIMER_LIMIT: usize = 1024;

/// The timers of one process. The lock is held until the signals of an expiry are sent: who stops a timer hears no more of it.
pub struct IntervalTimers(Mutex<Timers>);

struct Timers {
    real: Timer,
    posix: BTreeMap<i32, PosixTimer>,
    next_id: i32,
}

/// Next expiry and period.
#[derive(Clone, Copy, Debug, Default)]
struct Timer {
    /// When it is due, on the monotonic clock.
    due_ns: Option<u64>,
    interval_ns: u64,
    alarm: Option<Key>,
}

/// Time to the next expiry, 0 when disarmed, and the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Nanoseconds to the next expiry.
    pub remaining_ns: u64,
    /// The period.
    pub interval_ns: u64,
}

/// Who hears of a POSIX timer, and what.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    /// The signal, if any.
    pub signal: Option<Signal>,
    /// The thread, if not any of the process.
    pub thread: Option<Pid>,
    /// The value that travels with the signal; `None` for the timer's own number.
    pub value: Option<u64>,
}

struct PosixTimer {
    timer: Timer,
    notification: Notification,
    /// Whether its clock is the wall clock, for absolute settings.
    on_wall_clock: bool,
    overrun: i32,
}

impl IntervalTimers {
    /// No timer runs.
    pub const fn new() -> IntervalTimers {
        IntervalTimers(Mutex::new(Timers {
            real: Timer { due_ns: None, interval_ns: 0, alarm: None },
            posix: BTreeMap::new(),
            next_id: 0,
        }))
    }

    /// Stops all timers: the end of the process, and for POSIX timers `execve`.
    pub fn disarm(&self) {
        let mut timers = self.0.lock();
        timers.real.stop();
        timers.posix.values_mut().for_each(|posix| posix.timer.stop());
        timers.posix.clear();
    }

    /// Deletes the POSIX timers: `execve` keeps only `ITIMER_REAL`.
    pub fn delete_posix(&self) {
        let mut timers = self.0.lock();
        timers.posix.values_mut().for_each(|posix| posix.timer.stop());
        timers.posix.clear();
    }

    /// `ITIMER_REAL` as it stands.
    pub fn real(&self) -> Setting {
        self.0.lock().real.setting()
    }
}

impl Timer {
    fn stop(&mut self) {
        self.due_ns = None;
        if let Some(key) = self.alarm.take() {
            alarm::cancel(key);
        }
    }

    fn start(&mut self, due_ns: u64, interval_ns: u64, process: &Arc<Process>) -> Result<(), Errno> {
        self.stop();
        self.alarm = Some(alarm::set(due_ns, process)?);
        self.due_ns = Some(due_ns);
        self.interval_ns = interval_ns;
        Ok(())
    }

    fn setting(&self) -> Setting {
        let now = hal::time::now_ns();
        // An armed timer never shows zero, which would mean disarmed.
        let remaining_ns = self.due_ns.map_or(0, |due| due.saturating_sub(now).max(1));
        Setting { remaining_ns, interval_ns: if self.due_ns.is_some() { self.interval_ns } else { 0 } }
    }

    /// If it is due, arms it for the next period; how many periods have passed.
    fn expire(&mut self, now: u64, process: &Arc<Process>) -> Option<u64> {
        let due = self.due_ns.filter(|&due| due <= now)?;
        self.stop();
        if self.interval_ns == 0 {
            return Some(1);
        }
        let passed = (now - due) / self.interval_ns + 1;
        let next = due.saturating_add(passed.saturating_mul(self.interval_ns));
        // Without memory for the next alarm the timer stops; the program sees it disarmed.
        let _ = self.start(next, self.interval_ns, process);
        Some(passed)
    }
}

/// Sets `ITIMER_REAL`; how it stood.
pub fn set_real(process: &Arc<Process>, new: Setting) -> Result<Setting, Errno> {
    let mut timers = process.timers.0.lock();
    let old = timers.real.setting();
    if new.remaining_ns == 0 {
        timers.real.stop();
    } else {
        let due = hal::time::now_ns().saturating_add(new.remaining_ns);
        timers.real.start(due, new.interval_ns, process)?;
    }
    Ok(old)
}

/// Makes a POSIX timer; its number. EAGAIN when there are too many.
pub fn create(process: &Process, notification: Notification, on_wall_clock: bool) -> Result<i32, Errno> {
    let mut timers = process.timers.0.lock();
    if timers.posix.len() >= TIMER_LIMIT {
        return Err(Errno::EAGAIN);
    }
    let id = timers.next_id;
    timers.next_id = id.checked_add(1).ok_or(Errno::EAGAIN)?;
    timers.posix.insert(id, PosixTimer { timer: Timer::default(), notification, on_wall_clock, overrun: 0 });
    Ok(id)
}

/// Sets a POSIX timer; how it stood. EINVAL if there is no such timer.
pub fn set(process: &Arc<Process>, id: i32, new: Setting, absolute: bool) -> Result<Setting, Errno> {
    let mut timers = process.timers.0.lock();
    let posix = timers.posix.get_mut(&id).ok_or(Errno::EINVAL)?;
    let old = posix.timer.setting();
    if new.remaining_ns == 0 {
        posix.timer.stop();
        return Ok(old);
    }
    let due = match (absolute, posix.on_wall_clock) {
        (true, true) => new.remaining_ns.saturating_sub(super::clock::wall_offset_ns()),
        (true, false) => new.remaining_ns,
        (false, _) => hal::time::now_ns().saturating_add(new.remaining_ns),
    };
    posix.timer.start(due, new.interval_ns, process)?;
    Ok(old)
}

/// A POSIX timer as it stands.
pub fn get(process: &Process, id: i32) -> Result<Setting, Errno> {
    process.timers.0.lock().posix.get(&id).map(|posix| posix.timer.setting()).ok_or(Errno::EINVAL)
}

/// How many expiries the last signal stood for besides its own.
pub fn overrun(process: &Process, id: i32) -> Result<i32, Errno> {
    process.timers.0.lock().posix.get(&id).map(|posix| posix.overrun).ok_or(Errno::EINVAL)
}

/// Deletes a POSIX timer.
pub fn delete(process: &Process, id: i32) -> Result<(), Errno> {
    let mut posix = process.timers.0.lock().posix.remove(&id).ok_or(Errno::EINVAL)?;
    posix.timer.stop();
    Ok(())
}

/// Sends the signals of every timer that is due.
pub(super) fn expire(process: &Arc<Process>) {
    let now = hal::time::now_ns();
    let mut timers = process.timers.0.lock();
    let real = timers.real.expire(now, process).is_some();
    let mut due = Vec::new();
    for (&id, posix) in &mut timers.posix {
        if let Some(passed) = posix.timer.expire(now, process) {
            posix.overrun = i32::try_from(passed - 1).unwrap_or(i32::MAX);
            due.push((id, posix.overrun, posix.notification));
        }
    }
    if real {
        // A standard signal is never refused.
        let _ = send::to_process(process, Signal::ALRM, &SigInfo::new(Signal::ALRM.number(), SI_KERNEL));
    }
    for (id, overrun, notification) in due {
        notify(process, id, overrun, notification);
    }
}

fn notify(process: &Arc<Process>, id: i32, overrun: i32, notification: Notification) {
    let Some(signal) = notification.signal else { return };
    let value = notification.value.unwrap_or(u64::from(id.cast_unsigned()));
    let info = SigInfo::timer(signal.number(), id, overrun, value);
    // A full queue loses the expiry, as on Linux.
    let _ = match notification.thread.and_then(find_thread) {
        Some(thread) => send::to_thread(&thread, signal, &info),
        None => send::to_process(process, signal, &info),
    };
}
