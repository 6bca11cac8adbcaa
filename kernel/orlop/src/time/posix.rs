//! POSIX timers: `timer_create` and its kin.
//!
//! A timer has one signal under way. It is armed, or its signal waits to be taken, or it has stopped; expiries that
//! come while the signal waits are counted when it is taken (`timer_getoverrun`). What cannot be queued because it is
//! ignored is as if it had been taken at once, but not more often than a tick.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::Errno;
use abi::signal::{SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD_ID, SigInfo};
use libkernel::radix::RadixTree;
use libkernel::text::Text;
use libkernel::timeouts::Base;
use outcome::OrErrno;
use subject::Resource;
use subject::users::SignalCharge;

use super::Clock;
use super::alarm::AlarmNode;
use super::discipline;
use super::interval::{Name, Setting, Source, Timer};
use crate::process::{Process, Thread};
use crate::signal::Signal;
use crate::signal::send::{self, Fate};

/// The shortest period of a timer whose signal is ignored: a tick of Debian's Linux (`CONFIG_HZ=250`).
const TICK_NS: u64 = 4_000_000;

/// Who hears of a POSIX timer, and what.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The signal, if any.
    pub signal: Option<Signal>,
    /// The thread, if not any of the process.
    pub thread: Option<Weak<Thread>>,
    /// The value that travels with the signal; `None` for the timer's own number.
    pub value: Option<u64>,
    /// What was asked for, for who looks at the timers.
    pub asked: Asked,
}

/// What a program asked for when it made a timer, in its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// `sigev_notify`.
    pub notify: i32,
    /// `sigev_signo`, be it used or not.
    pub signal: i32,
    /// The clock.
    pub clock: i32,
}

/// The POSIX timers of a process, by number.
pub(super) struct PosixTimers {
    timers: RadixTree<Box<PosixTimer>>,
    next_id: i32,
    /// What the last one made is known by in its signals.
    last_private: u32,
}

struct PosixTimer {
    timer: Timer,
    notification: Notification,
    /// Whether its absolute times are those of the wall clock.
    is_wall_clock: bool,
    /// Of that, whether its times are told in atomic time.
    is_atomic_time: bool,
    /// What it is known by in its signals.
    private: u32,
    /// What its user is charged for it and its signal.
    charge: Arc<SignalCharge>,
    /// Whether it has a period and waits for its signal to be taken.
    waits: bool,
    /// The signal under way, if it was sent and not taken.
    queued: Option<Queued>,
    /// Expiries since the signal that was taken last, less one.
    overrun: i64,
    /// What `overrun` was when a signal was taken last.
    last_overrun: i64,
}

/// A signal under way.
struct Queued {
    /// As [`Fate::Queued`].
    stamp: u64,
    /// How often the timer, set anew, has expired besides.
    more: i64,
}

impl PosixTimers {
    pub(super) const fn new() -> PosixTimers {
        PosixTimers { timers: RadixTree::new(), next_id: 0, last_private: 0 }
    }

    pub(super) fn delete_all(&mut self) {
        if !self.timers.is_empty() {
            self.timers = RadixTree::new();
        }
    }

    fn find(&mut self, id: i32) -> Option<&mut PosixTimer> {
        self.timers.get_mut(index(id)?).map(Box::as_mut)
    }

    fn get(&mut self, id: i32) -> Result<&mut PosixTimer, Errno> {
        self.find(id).ok_or(Errno::EINVAL)
    }

    /// A number that no timer has. There are fewer timers than numbers.
    fn free_id(&mut self) -> i32 {
        loop {
            let id = self.next_id;
            self.next_id = id.checked_add(1).unwrap_or(0);
            if self.find(id).is_none() {
                return id;
            }
        }
    }

    /// The alarm of a timer has gone off.
    pub(super) fn expire(&mut self, process: &Arc<Process>, id: i32, node: Box<AlarmNode>) {
        if let Some(posix) = self.find(id)
            && posix.timer.has_gone_off(process, node)
        {
            posix.fire(process, id);
        }
    }

    /// The signal of a timer has been taken; how many expiries it stands for besides its own.
    pub(super) fn taken(&mut self, process: &Arc<Process>, id: i32, private: u32) -> i32 {
        let posix = self.find(id).filter(|posix| posix.private == private);
        posix.map_or(0, |posix| posix.taken(process))
    }
}

/// Where a timer stands; no timer has a negative number.
fn index(id: i32) -> Option<u64> {
    u64::try_from(id).ok()
}

fn to_overrun(count: i64) -> i32 {
    i32::try_from(count.max(0)).unwrap_or(i32::MAX)
}

impl PosixTimer {
    fn is_silent(&self) -> bool {
        self.notification.signal.is_none()
    }

    /// Counts the expiries that have passed and moves the next one to after `now_ns`.
    fn catch_up(&mut self, now_ns: u64) {
        let passed = i64::try_from(self.timer.forward(now_ns)).unwrap_or(i64::MAX);
        self.overrun = self.overrun.saturating_add(passed);
    }

    /// It has expired and is not armed: sends its signal.
    fn fire(&mut self, process: &Arc<Process>, id: i32) {
        let is_periodic = self.timer.interval_ns != 0;
        self.waits = is_periodic;
        match self.notify(process, id) {
            Fate::Queued(stamp) => self.queued = Some(Queued { stamp, more: 0 }),
            Fate::StillQueued => {
                if let Some(queued) = &mut self.queued {
                    queued.more = queued.more.saturating_add(1);
                }
            }
            Fate::Lost if is_periodic => {
                let pause = if self.timer.interval_ns < TICK_NS { TICK_NS } else { 0 };
                self.catch_up(self.timer.now_ns().saturating_add(pause));
                self.waits = false;
                self.timer.arm(process);
            }
            Fate::Lost | Fate::NobodyThere => {}
        }
    }

    fn notify(&self, process: &Arc<Process>, id: i32) -> Fate {
        let Some(signal) = self.notification.signal else { return Fate::NobodyThere };
        let value = self.notification.value.unwrap_or(u64::from(id.cast_unsigned()));
        let info = SigInfo::timer(signal.number(), id, self.private, value);
        let stamp = self.queued.as_ref().map(|queued| queued.stamp);
        let target = self.notification.thread.as_ref().map(Weak::upgrade);
        match target {
            Some(None) => Fate::NobodyThere,
            target => send::of_timer(process, target.flatten().as_ref(), signal, &info, stamp, &self.charge),
        }
    }

    fn taken(&mut self, process: &Arc<Process>) -> i32 {
        let more = self.queued.take().map_or(0, |queued| queued.more);
        if !self.waits {
            return to_overrun(more);
        }
        self.waits = false;
        self.catch_up(self.timer.now_ns());
        self.timer.arm(process);
        self.last_overrun = self.overrun;
        self.overrun = -1;
        to_overrun(self.last_overrun.saturating_add(more))
    }

    fn is_gone(&self) -> bool {
        matches!(&self.timer.source, Source::Cpu(clock) if clock.is_gone())
    }

    /// How it stands. One whose signal waits shows when it will expire after that is taken.
    fn setting(&mut self) -> Setting {
        if self.is_gone() {
            return Setting::default();
        }
        let interval_ns = self.timer.interval_ns;
        let is_to_come = self.timer.is_armed() || self.waits || self.is_silent();
        if !is_to_come || self.timer.due_ns == 0 {
            return Setting { remaining_ns: 0, interval_ns };
        }
        let now = self.timer.now_ns();
        if interval_ns != 0 && (self.waits || self.is_silent()) {
            self.catch_up(now);
        }
        let left = self.timer.due_ns.saturating_sub(now);
        // Only a silent timer that is over shows zero, which means disarmed.
        let remaining_ns = if self.is_silent() { left } else { left.max(1) };
        Setting { remaining_ns, interval_ns }
    }

    fn set(&mut self, process: &Arc<Process>, id: i32, new: Setting, absolute: bool) {
        self.timer.stop();
        (self.waits, self.last_overrun) = (false, 0);
        (self.timer.due_ns, self.timer.interval_ns) = (0, 0);
        if new.remaining_ns == 0 {
            return;
        }
        if let Source::Clock(base) = &mut self.timer.source {
            // What is relative does not follow the wall clock.
            *base = if absolute && self.is_wall_clock { Base::Wall } else { Base::Monotonic };
        }
        self.timer.due_ns = match (absolute, self.is_atomic_time) {
            (true, true) => discipline::wall_ns_of_tai(new.remaining_ns),
            (true, false) => new.remaining_ns,
            (false, _) => self.timer.now_ns().saturating_add(new.remaining_ns),
        };
        self.timer.interval_ns = new.interval_ns;
        if self.is_silent() {
            return;
        }
        // Nobody may ever run again for a clock of processor time.
        if matches!(self.timer.source, Source::Cpu(_)) && self.timer.due_ns <= self.timer.now_ns() {
            self.fire(process, id);
        } else {
            self.timer.arm(process);
        }
    }
}

/// Makes a POSIX timer of the running thread's process; its number. EAGAIN when its user has as many and as many queued
/// signals as `RLIMIT_SIGPENDING` allows, since each has a signal that can always be queued.
pub fn create(thread: &Thread, notification: Notification, clock: Clock) -> Result<i32, Errno> {
    let process = thread.process();
    let limit = process.limits().soft(Resource::PendingSignals);
    let charge = thread.with_credentials(|credentials| SignalCharge::take(&credentials.charged, limit));
    let charge = Arc::new(charge.ok_or(Errno::EAGAIN)?);
    let timers = &mut process.timers.lock().posix;
    if timers.timers.len() as u64 >= MOST {
        return Err(Errno::EAGAIN);
    }
    let id = timers.free_id();
    timers.last_private = timers.last_private.checked_add(1).unwrap_or(1);
    let is_atomic_time = matches!(clock, Clock::Tai);
    let is_wall_clock = is_atomic_time || matches!(clock, Clock::Wall);
    let source = match clock {
        Clock::Wall | Clock::Tai | Clock::Monotonic | Clock::Raw => Source::Clock(Base::Monotonic),
        Clock::Cpu(clock) => Source::Cpu(clock),
    };
    let posix = Box::new(PosixTimer {
        timer: Timer::new(Name::Posix(id), source),
        notification,
        is_wall_clock,
        is_atomic_time,
        private: timers.last_private,
        charge,
        waits: false,
        queued: None,
        overrun: -1,
        last_overrun: 0,
    });
    let place = index(id).ok_or(Errno::EAGAIN)?;
    timers.timers.insert(place, posix).map_err(|_| Errno::EAGAIN)?;
    Ok(id)
}

/// As many timers as there are numbers, whatever the limit says.
const MOST: u64 = i32::MAX as u64;

/// Sets a POSIX timer; how it stood. EINVAL if there is no such timer, ESRCH if what it counts is gone.
pub fn set(process: &Arc<Process>, id: i32, new: Setting, absolute: bool) -> Result<Setting, Errno> {
    let mut timers = process.timers.lock();
    let posix = timers.posix.get(id)?;
    if posix.is_gone() {
        return Err(Errno::ESRCH);
    }
    let old = posix.setting();
    posix.set(process, id, new, absolute);
    Ok(old)
}

/// A POSIX timer as it stands.
pub fn get(process: &Process, id: i32) -> Result<Setting, Errno> {
    process.timers.lock().posix.get(id).map(|posix| posix.setting())
}

/// How many expiries the last signal stood for besides its own.
pub fn overrun(process: &Process, id: i32) -> Result<i32, Errno> {
    process.timers.lock().posix.get(id).map(|posix| to_overrun(posix.last_overrun))
}

/// Deletes a POSIX timer. Its signal, if it is under way, arrives.
pub fn delete(process: &Process, id: i32) -> Result<(), Errno> {
    let place = index(id).ok_or(Errno::EINVAL)?;
    process.timers.lock().posix.timers.remove(place).map(drop).ok_or(Errno::EINVAL)
}

/// `/proc/PID/timers`: the latest first. Each is of its process, or of the thread that it signals.
pub fn describe(process: &Process, text: &mut Text) -> Result<(), Errno> {
    let timers = process.timers.lock();
    let mut all = Vec::new();
    all.try_reserve_exact(timers.posix.timers.len()).or_errno()?;
    all.extend(timers.posix.timers.range(0..MOST + 1));
    for (id, posix) in all.into_iter().rev() {
        let Notification { asked, value, ref thread, .. } = posix.notification;
        let kind = match asked.notify & !SIGEV_THREAD_ID {
            SIGEV_SIGNAL => "signal",
            SIGEV_NONE => "none",
            _ => "thread",
        };
        let (scope, number) = match thread {
            Some(thread) => ("tid", thread.upgrade().map_or(0, |thread| process.shown(thread.id()))),
            None => ("pid", process.shown(process.pid())),
        };
        let (signal, value) = (asked.signal, value.unwrap_or(id));
        write!(text, "ID: {id}\nsignal: {signal}/{value:016x}\nnotify: {kind}/{scope}.{number}\n");
        writeln!(text, "ClockID: {}", asked.clock);
    }
    Ok(())
}
