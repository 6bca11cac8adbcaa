//! Interval timers: `setitimer`, `alarm`, and POSIX timers.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use abi::Errno;
use abi::signal::{SI_KERNEL, SigInfo};

use super::cpu_alarm::{CpuKey, Listener, Measure};
use super::{Clock, CpuClock, alarm};
use crate::process::{Pid, Process, find_thread};
use crate::sched::Mutex;
use crate::sched::timeouts::Key;
use crate::signal::{Signal, send};

/// The most POSIX timers of a process.
const TIMER_LIMIT: usize = 1024;

/// The timers of one process. The lock is held until the signals of an expiry are sent: who stops a timer hears no more of it.
pub struct IntervalTimers(Mutex<Timers>);

struct Timers {
    /// Those of `setitimer`, by [`Which`].
    classic: [Timer; 3],
    posix: BTreeMap<i32, PosixTimer>,
    next_id: i32,
}

/// A timer of `setitimer`: `ITIMER_*` are the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Time since boot, SIGALRM.
    Real,
    /// User time, SIGVTALRM.
    Virtual,
    /// User and system time, SIGPROF.
    Profiling,
}

impl Which {
    const ALL: [Which; 3] = [Which::Real, Which::Virtual, Which::Profiling];

    /// The timer with a program's number; EINVAL if there is none.
    pub fn from_number(number: u32) -> Result<Which, Errno> {
        usize::try_from(number).ok().and_then(|index| Which::ALL.get(index).copied()).ok_or(Errno::EINVAL)
    }

    fn base(self, process: &Arc<Process>) -> Base {
        match self {
            Which::Real => Base::Monotonic,
            Which::Virtual => Base::Cpu(CpuClock::of_process(process, Measure::User)),
            Which::Profiling => Base::Cpu(CpuClock::of_process(process, Measure::Total)),
        }
    }

    fn signal(self) -> Signal {
        match self {
            Which::Real => Signal::ALRM,
            Which::Virtual => Signal::VTALRM,
            Which::Profiling => Signal::PROF,
        }
    }
}

/// Which timer of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// One of `setitimer`.
    Classic(Which),
    /// The POSIX timer with this number, which no other ever has.
    Posix(i32),
}

/// What moves a timer.
enum Base {
    Monotonic,
    Cpu(CpuClock),
}

impl Base {
    fn now_ns(&self) -> u64 {
        match self {
            Base::Monotonic => hal::time::now_ns(),
            Base::Cpu(clock) => clock.now_ns(),
        }
    }
}

/// Next expiry and period.
struct Timer {
    name: Name,
    base: Base,
    /// When it is due, on its base.
    due_ns: Option<u64>,
    interval_ns: u64,
    alarm: Option<Alarm>,
}

/// What a timer has set.
enum Alarm {
    Monotonic(Key),
    Cpu(CpuKey),
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
            classic: [
                Timer::new(Name::Classic(Which::Real), Base::Monotonic),
                Timer::new(Name::Classic(Which::Virtual), Base::Monotonic),
                Timer::new(Name::Classic(Which::Profiling), Base::Monotonic),
            ],
            posix: BTreeMap::new(),
            next_id: 0,
        }))
    }

    /// Stops all timers: the end of the process.
    pub fn disarm(&self) {
        let mut timers = self.0.lock();
        for timer in &mut timers.classic {
            timer.stop();
            // The clock holds the process.
            timer.base = Base::Monotonic;
        }
        timers.delete_posix();
    }

    /// Deletes the POSIX timers: `execve` keeps those of `setitimer` alone.
    pub fn delete_posix(&self) {
        self.0.lock().delete_posix();
    }

    /// A timer of `setitimer` as it stands.
    pub fn classic(&self, which: Which) -> Setting {
        self.0.lock().classic[which as usize].setting()
    }
}

impl Timers {
    fn delete_posix(&mut self) {
        self.posix.values_mut().for_each(|posix| posix.timer.stop());
        self.posix.clear();
    }
}

impl Timer {
    const fn new(name: Name, base: Base) -> Timer {
        Timer { name, base, due_ns: None, interval_ns: 0, alarm: None }
    }

    fn stop(&mut self) {
        self.due_ns = None;
        match (self.alarm.take(), &self.base) {
            (Some(Alarm::Monotonic(key)), _) => alarm::cancel(key),
            (Some(Alarm::Cpu(key)), Base::Cpu(clock)) => clock.cancel_alarm(key),
            _ => {}
        }
    }

    fn start(&mut self, due_ns: u64, interval_ns: u64, process: &Arc<Process>) -> Result<(), Errno> {
        self.stop();
        self.alarm = Some(match &self.base {
            Base::Monotonic => Alarm::Monotonic(alarm::set(due_ns, process, self.name)?),
            Base::Cpu(clock) => {
                Alarm::Cpu(clock.set_alarm(due_ns, Listener::Timer(Arc::downgrade(process), self.name))?)
            }
        });
        self.due_ns = Some(due_ns);
        self.interval_ns = interval_ns;
        Ok(())
    }

    fn setting(&self) -> Setting {
        let is_gone = matches!(&self.base, Base::Cpu(clock) if clock.is_gone());
        let Some(due_ns) = self.due_ns.filter(|_| !is_gone) else { return Setting::default() };
        // An armed timer never shows zero, which would mean disarmed.
        let remaining_ns = due_ns.saturating_sub(self.base.now_ns()).max(1);
        Setting { remaining_ns, interval_ns: self.interval_ns }
    }

    /// Whether its time has come.
    fn is_due(&self) -> bool {
        self.due_ns.is_some_and(|due| due <= self.base.now_ns())
    }

    /// If it is due, arms it for the next period; how many periods have passed.
    fn expire(&mut self, process: &Arc<Process>) -> Option<u64> {
        let due = self.due_ns?;
        let now = self.base.now_ns();
        if now < due {
            return None;
        }
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

/// Sets a timer of `setitimer`; how it stood.
pub fn set_classic(process: &Arc<Process>, which: Which, new: Setting) -> Result<Setting, Errno> {
    let mut timers = process.timers.0.lock();
    let timer = &mut timers.classic[which as usize];
    let old = timer.setting();
    timer.stop();
    if new.remaining_ns != 0 {
        timer.base = which.base(process);
        let due = timer.base.now_ns().saturating_add(new.remaining_ns);
        timer.start(due, new.interval_ns, process)?;
    }
    Ok(old)
}

/// Makes a POSIX timer; its number. EAGAIN when there are too many.
pub fn create(process: &Process, notification: Notification, clock: Clock) -> Result<i32, Errno> {
    let mut timers = process.timers.0.lock();
    if timers.posix.len() >= TIMER_LIMIT {
        return Err(Errno::EAGAIN);
    }
    let id = timers.next_id;
    timers.next_id = id.checked_add(1).ok_or(Errno::EAGAIN)?;
    let on_wall_clock = matches!(clock, Clock::Wall);
    let base = match clock {
        Clock::Wall | Clock::Monotonic => Base::Monotonic,
        Clock::Cpu(clock) => Base::Cpu(clock),
    };
    timers.posix.insert(
        id,
        PosixTimer { timer: Timer::new(Name::Posix(id), base), notification, on_wall_clock, overrun: 0 },
    );
    Ok(id)
}

/// Sets a POSIX timer; how it stood. EINVAL if there is no such timer, ESRCH if what it counts is gone.
pub fn set(process: &Arc<Process>, id: i32, new: Setting, absolute: bool) -> Result<Setting, Errno> {
    let mut timers = process.timers.0.lock();
    let posix = timers.posix.get_mut(&id).ok_or(Errno::EINVAL)?;
    if let Base::Cpu(clock) = &posix.timer.base
        && clock.is_gone()
    {
        return Err(Errno::ESRCH);
    }
    let old = posix.timer.setting();
    posix.timer.stop();
    if new.remaining_ns == 0 {
        return Ok(old);
    }
    let due = match (absolute, posix.on_wall_clock) {
        (true, true) => new.remaining_ns.saturating_sub(super::clock::wall_offset_ns()),
        (true, false) => new.remaining_ns,
        (false, _) => posix.timer.base.now_ns().saturating_add(new.remaining_ns),
    };
    posix.timer.start(due, new.interval_ns, process)?;
    // Nobody may ever run again for a clock of processor time.
    let has_passed = matches!(posix.timer.base, Base::Cpu(_)) && posix.timer.is_due();
    drop(timers);
    if has_passed {
        expire(process, Name::Posix(id));
    }
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

/// Sends the signal of a timer, if it is due.
pub(super) fn expire(process: &Arc<Process>, name: Name) {
    let mut timers = process.timers.0.lock();
    match name {
        Name::Classic(which) => {
            if timers.classic[which as usize].expire(process).is_some() {
                let signal = which.signal();
                // A standard signal is never refused.
                let _ = send::to_process(process, signal, &SigInfo::new(signal.number(), SI_KERNEL));
            }
        }
        Name::Posix(id) => {
            let Some(posix) = timers.posix.get_mut(&id) else { return };
            if let Some(passed) = posix.timer.expire(process) {
                posix.overrun = i32::try_from(passed - 1).unwrap_or(i32::MAX);
                notify(process, id, posix.overrun, posix.notification);
            }
        }
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
