//! Interval timers of a process: what `setitimer` and POSIX timers have in common, and those of `setitimer`.
//!
//! A timer whose signal waits to be taken is not armed: however short its period, it costs nothing meanwhile. Who takes
//! the signal ([`taken`]) arms it for the next period to come and counts those that were missed. Timers that count
//! processor time by `setitimer` are the exception, as on Linux: their signals merge, and a tick is the shortest
//! period.
//!
//! Lock order: a process's timers (sleeping) → what has gone off; alarms, signals.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering, fence};

use abi::Errno;
use abi::signal::{SI_KERNEL, SigInfo};
use hal::sync::SpinLock;
use libkernel::timeouts::{Base, Timeouts};
use sched::Mutex;
use sched::deadline::wall_offset_ns;
use sched::mutex::MutexGuard;

use super::CpuClock;
use super::alarm::{Alarm, AlarmNode, Listener};
use super::cpu_alarm::Measure;
use super::posix::PosixTimers;
use crate::process::Process;
use crate::signal::{Signal, send};

/// The timers of one process. The lock is held until the signals of an expiry are sent: who stops a timer hears no more
/// of it.
///
/// A program holds the lock when it likes, and one task serves the alarms of all. So that one waits for no lock: what
/// has gone off is noted, and served by whoever unlocks the timers next, if they are locked ([`Locked`]).
pub struct IntervalTimers {
    timers: Mutex<Timers>,
    gone_off: SpinLock<Timeouts<Listener>>,
    /// Something has been noted. Stored after the note; whoever stores it looks at the lock afterwards, and whoever
    /// unlocks looks at it afterwards, each with a fence between.
    is_noted: AtomicBool,
    /// `ITIMER_REAL` has a period and waits for its signal to be taken. Changed with `timers` locked.
    real_waits: AtomicBool,
}

pub(super) struct Timers {
    /// Those of `setitimer`, by [`Which`].
    classic: [Timer; 3],
    pub(super) posix: PosixTimers,
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

    fn source(self, process: &Arc<Process>) -> Source {
        match self {
            Which::Real => Source::Clock(Base::Monotonic),
            Which::Virtual => Source::Cpu(CpuClock::of_process(process, Measure::User)),
            Which::Profiling => Source::Cpu(CpuClock::of_process(process, Measure::Total)),
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
    /// The POSIX timer with this number.
    Posix(i32),
}

/// What moves a timer.
pub(super) enum Source {
    /// The monotonic or the wall clock.
    Clock(Base),
    /// Processor time.
    Cpu(CpuClock),
}

impl Source {
    fn now_ns(&self) -> u64 {
        match self {
            Source::Clock(Base::Monotonic) => hal::time::now_ns(),
            Source::Clock(Base::Wall) => hal::time::now_ns().saturating_add(wall_offset_ns()),
            Source::Cpu(clock) => clock.now_ns(),
        }
    }
}

/// Next expiry and period.
pub(super) struct Timer {
    pub(super) name: Name,
    pub(super) source: Source,
    /// When it is due, or was last, by its source; 0 for never.
    pub(super) due_ns: u64,
    /// Zero for a timer that is due once.
    pub(super) interval_ns: u64,
    alarm: Alarm,
}

/// Time to the next expiry, 0 when disarmed, and the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Nanoseconds to the next expiry.
    pub remaining_ns: u64,
    /// The period.
    pub interval_ns: u64,
}

impl IntervalTimers {
    /// No timer runs.
    pub const fn new() -> IntervalTimers {
        IntervalTimers {
            timers: Mutex::new(Timers {
                classic: [
                    Timer::new(Name::Classic(Which::Real), Source::Clock(Base::Monotonic)),
                    Timer::new(Name::Classic(Which::Virtual), Source::Clock(Base::Monotonic)),
                    Timer::new(Name::Classic(Which::Profiling), Source::Clock(Base::Monotonic)),
                ],
                posix: PosixTimers::new(),
            }),
            gone_off: SpinLock::new(Timeouts::new()),
            is_noted: AtomicBool::new(false),
            real_waits: AtomicBool::new(false),
        }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        let timers = self.timers.lock();
        Locked { timers, _after: ServeNoted(self) }
    }

    /// Serves what has been noted, unless somebody holds the lock, who will.
    #[cold]
    fn serve_noted(&self) {
        while self.is_noted.load(Ordering::Relaxed) {
            let Some(mut timers) = self.timers.try_lock() else { return };
            // Before the notes are looked at.
            self.is_noted.store(false, Ordering::SeqCst);
            while let Some((node, listener)) = self.next_noted() {
                if let Listener::Timer(process, name) = listener
                    && let Some(process) = process.upgrade()
                {
                    timers.expire(&process, name, node);
                }
            }
            drop(timers);
            fence(Ordering::SeqCst);
        }
    }

    fn next_noted(&self) -> Option<(Box<AlarmNode>, Listener)> {
        self.gone_off.lock().pop_expired(u64::MAX, 0)
    }

    /// Stops all timers: the end of the process.
    pub fn disarm(&self) {
        let mut timers = self.lock();
        for timer in &mut timers.classic {
            timer.stop();
            // The clock holds the process.
            timer.source = Source::Clock(Base::Monotonic);
        }
        timers.posix.delete_all();
    }

    /// Deletes the POSIX timers: `execve` keeps those of `setitimer` alone.
    pub fn delete_posix(&self) {
        self.lock().posix.delete_all();
    }

    /// A timer of `setitimer` as it stands.
    pub fn classic(&self, which: Which) -> Setting {
        self.lock().classic[which as usize].setting()
    }
}

/// The timers, locked. The fields drop in order: first they are unlocked, then what has gone off meanwhile is served.
pub(super) struct Locked<'a> {
    timers: MutexGuard<'a, Timers>,
    _after: ServeNoted<'a>,
}

struct ServeNoted<'a>(&'a IntervalTimers);

impl Drop for ServeNoted<'_> {
    #[inline]
    fn drop(&mut self) {
        fence(Ordering::SeqCst);
        if self.0.is_noted.load(Ordering::Relaxed) {
            self.0.serve_noted();
        }
    }
}

impl Deref for Locked<'_> {
    type Target = Timers;
    fn deref(&self) -> &Timers {
        &self.timers
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Timers {
        &mut self.timers
    }
}

impl Timer {
    pub(super) const fn new(name: Name, source: Source) -> Timer {
        Timer { name, source, due_ns: 0, interval_ns: 0, alarm: Alarm::new() }
    }

    #[inline]
    pub(super) fn stop(&mut self) {
        if self.alarm.is_set() {
            self.alarm.cancel(&self.source);
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.source.now_ns()
    }

    pub(super) const fn is_armed(&self) -> bool {
        self.alarm.is_set()
    }

    /// Arms it for what [`Timer::due_ns`] says. It is not armed.
    pub(super) fn arm(&mut self, process: &Arc<Process>) {
        self.alarm.set(&self.source, self.due_ns, process, self.name);
    }

    /// Moves the expiry, which has come, by whole periods to after `now_ns`; how many.
    pub(super) fn forward(&mut self, now_ns: u64) -> u64 {
        if now_ns < self.due_ns {
            return 0;
        }
        let passed = (now_ns - self.due_ns) / self.interval_ns.max(1) + 1;
        self.due_ns = self.due_ns.saturating_add(passed.saturating_mul(self.interval_ns));
        passed
    }

    fn setting(&self) -> Setting {
        // An armed timer never shows zero, which would mean disarmed.
        let left = || self.due_ns.saturating_sub(self.now_ns()).max(1);
        Setting { remaining_ns: if self.is_armed() { left() } else { 0 }, interval_ns: self.interval_ns }
    }

    /// Its alarm has gone off: whether its time has come. It is not armed then; if it was set anew meanwhile, it stays
    /// so.
    pub(super) fn has_gone_off(&mut self, process: &Arc<Process>, node: Box<AlarmNode>) -> bool {
        self.alarm.give_back(node);
        if !self.is_armed() {
            return false;
        }
        self.stop();
        let is_due = self.due_ns <= self.now_ns();
        if !is_due {
            self.arm(process);
        }
        is_due
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sets a timer of `setitimer`; how it stood.
pub fn set_classic(process: &Arc<Process>, which: Which, new: Setting) -> Setting {
    let mut timers = process.timers.lock();
    let timer = &mut timers.classic[which as usize];
    let old = timer.setting();
    timer.stop();
    // Linux forgets the period of a real timer that is stopped, and keeps that of the others.
    let keeps_period = new.remaining_ns != 0 || which != Which::Real;
    timer.interval_ns = if keeps_period { new.interval_ns } else { 0 };
    if new.remaining_ns != 0 {
        timer.source = which.source(process);
        timer.due_ns = timer.now_ns().saturating_add(new.remaining_ns);
        timer.arm(process);
    }
    if which == Which::Real {
        process.timers.real_waits.store(false, Ordering::Relaxed);
    }
    old
}

/// The alarm of a timer has gone off: sends its signal, if it is due. Waits for nobody.
pub(super) fn expire(process: &Arc<Process>, name: Name, node: Box<AlarmNode>) {
    let timers = &process.timers;
    let listener = Listener::Timer(Arc::downgrade(process), name);
    timers.gone_off.lock().insert(node, Base::Monotonic, 0, listener);
    timers.is_noted.store(true, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    timers.serve_noted();
}

impl Timers {
    fn expire(&mut self, process: &Arc<Process>, name: Name, node: Box<AlarmNode>) {
        match name {
            Name::Classic(which) => {
                let timer = &mut self.classic[which as usize];
                if timer.has_gone_off(process, node) {
                    expire_classic(process, which, timer);
                }
            }
            Name::Posix(id) => self.posix.expire(process, id, node),
        }
    }
}

fn expire_classic(process: &Arc<Process>, which: Which, timer: &mut Timer) {
    match which {
        _ if timer.interval_ns == 0 => {}
        Which::Real => process.timers.real_waits.store(true, Ordering::Relaxed),
        Which::Virtual | Which::Profiling => {
            timer.forward(timer.now_ns());
            timer.arm(process);
        }
    }
    let signal = which.signal();
    // A standard signal is never refused.
    let _ = send::to_process(process, signal, &SigInfo::new(signal.number(), SI_KERNEL));
}

/// A signal of the process has been taken: the timer that sent it goes on. The information is what the program may see.
#[inline]
pub fn taken(process: &Arc<Process>, signal: Signal, info: &mut SigInfo) {
    if let Some((id, private)) = info.sent_by_timer() {
        let overrun = process.timers.lock().posix.taken(process, id, private);
        info.set_overrun(overrun);
    } else if signal == Signal::ALRM && process.timers.real_waits.load(Ordering::Relaxed) {
        go_on(process);
    }
}

/// `ITIMER_REAL` goes on.
#[cold]
fn go_on(process: &Arc<Process>) {
    let mut timers = process.timers.lock();
    if process.timers.real_waits.swap(false, Ordering::Relaxed) {
        let timer = &mut timers.classic[Which::Real as usize];
        timer.forward(timer.now_ns());
        timer.arm(process);
    }
}
