//! Clocks, sleeping and interval timers.

use alloc::boxed::Box;
use alloc::sync::Arc;

use abi::Errno;
use abi::process::Rusage;
use abi::signal::{SIGALRM, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID, Sigevent};
use abi::time::{
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, Itimerspec, Itimerval, TIMER_ABSTIME,
    Timespec, Timeval, Timex, Timezone, Tms, USER_HZ,
};
use libkernel::addr::UserAddr;
use memory::user::UserPtr;
use sched::wait::{Deadline, WaitError};
use subject::capability;

use super::{Caller, Failure, Restart, Resume};
use crate::signal::Signal;
use crate::time::interval::{self, Setting, Which};
use crate::time::posix::{self, Asked, Notification};
use crate::time::{Clock, CpuClock, SECOND_NS, clock, discipline, from_timespec, from_timeval, to_timeval};

/// `clock_gettime`.
pub fn clock_gettime(caller: &mut Caller<'_>, id: i32, time: UserPtr<Timespec>) -> Result<(), Failure> {
    let now = Clock::from_id(id, caller.thread)?.now_ns();
    time.write(&Timespec::of_ns(now))?;
    Ok(())
}

/// `clock_getres`.
pub fn clock_getres(caller: &mut Caller<'_>, id: i32, resolution: UserPtr<Timespec>) -> Result<(), Failure> {
    Clock::from_id(id, caller.thread)?;
    if let Some(resolution) = resolution.optional() {
        resolution.write(&Timespec::of_ns(clock::resolution_ns(id)))?;
    }
    Ok(())
}

/// `clock_settime`: the wall clock only. EPERM for a valid clock of processor time.
pub fn clock_settime(caller: &mut Caller<'_>, id: i32, time: UserPtr<Timespec>) -> Result<(), Failure> {
    if id != CLOCK_REALTIME && id >= 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let ns = from_timespec(&time.read()?);
    if id < 0 {
        Clock::from_id(id, caller.thread)?;
        return Err(Failure::Errno(Errno::EPERM));
    }
    set_wall_clock(caller, Some(ns?), None)
}

/// `adjtimex`.
pub fn adjtimex(caller: &mut Caller<'_>, wish: UserPtr<Timex>) -> Result<i32, Failure> {
    let is_privileged =
        caller.thread.with_credentials(|credentials| credentials.require(capability::SYS_TIME)).is_ok();
    let mut told = wish.read()?;
    let state = discipline::adjust(&mut told, is_privileged)?;
    wish.write(&told)?;
    Ok(state)
}

/// `clock_adjtime`: the wall clock only. EINVAL for a number that is no clock's, EOPNOTSUPP for another clock.
pub fn clock_adjtime(caller: &mut Caller<'_>, id: i32, wish: UserPtr<Timex>) -> Result<i32, Failure> {
    if id == CLOCK_REALTIME {
        return adjtimex(caller, wish);
    }
    wish.read()?;
    Clock::from_id(id, caller.thread)?;
    Err(Failure::Errno(Errno::EOPNOTSUPP))
}

/// Sets the wall clock, the time zone, or both. EINVAL for a time that would overflow within 30 years, or a zone that
/// is none.
fn set_wall_clock(caller: &Caller<'_>, ns: Option<u64>, zone: Option<Timezone>) -> Result<(), Failure> {
    if ns.is_some_and(|ns| ns >= clock::LIMIT_NS) {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    caller.thread.with_credentials(|credentials| credentials.require(capability::SYS_TIME))?;
    if let Some(zone) = zone {
        clock::set_zone(zone)?;
    }
    if let Some(ns) = ns {
        clock::set_wall_clock(ns)?;
    }
    Ok(())
}

/// `gettimeofday`.
pub fn gettimeofday(
    _caller: &mut Caller<'_>,
    time: UserPtr<Timeval>,
    zone: UserPtr<Timezone>,
) -> Result<(), Failure> {
    if let Some(time) = time.optional() {
        time.write(&to_timeval(clock::wall_clock_ns()))?;
    }
    if let Some(zone) = zone.optional() {
        zone.write(&clock::zone())?;
    }
    Ok(())
}

/// `settimeofday`. A time zone is kept for `gettimeofday`; the clock itself is never moved by it.
pub fn settimeofday(
    caller: &mut Caller<'_>,
    time: UserPtr<Timeval>,
    zone: UserPtr<Timezone>,
) -> Result<(), Failure> {
    let ns = match time.optional() {
        Some(time) => Some(time.read()?),
        None => None,
    };
    // Only the microseconds are looked at before the zone is read.
    if ns.as_ref().is_some_and(|time| !(0..1_000_000).contains(&time.tv_usec)) {
        return Err(Errno::EINVAL.into());
    }
    let zone = zone.optional().map(UserPtr::read).transpose()?;
    set_wall_clock(caller, ns.map(|time| from_timeval(&time)).transpose()?, zone)
}

/// `time`.
pub fn time(_caller: &mut Caller<'_>, seconds: UserPtr<i64>) -> Result<i64, Failure> {
    let now = (clock::wall_clock_ns() / SECOND_NS).cast_signed();
    if let Some(seconds) = seconds.optional() {
        seconds.write(&now)?;
    }
    Ok(now)
}

/// `times`: ticks since boot.
pub fn times(caller: &mut Caller<'_>, buffer: UserPtr<Tms>) -> Result<i64, Failure> {
    let ticks = |ns: u64| (ns / (SECOND_NS / USER_HZ.cast_unsigned())).cast_signed();
    if let Some(buffer) = buffer.optional() {
        let process = caller.thread.process();
        let (own, children) = (process.times().cpu, process.children_times().cpu);
        buffer.write(&Tms {
            tms_utime: ticks(own.user_ns),
            tms_stime: ticks(own.system_ns),
            tms_cutime: ticks(children.user_ns),
            tms_cstime: ticks(children.system_ns),
        })?;
    }
    Ok(ticks(hal::time::now_ns()))
}

/// `nanosleep`.
pub fn nanosleep(
    caller: &mut Caller<'_>,
    request: UserPtr<Timespec>,
    remaining: UserAddr,
) -> Result<(), Failure> {
    let ns = from_timespec(&request.read()?)?;
    sleep(caller, Deadline::after(ns), Some(remaining))
}

/// `clock_nanosleep`. What is wrong is looked for in Linux's order.
pub fn clock_nanosleep(
    caller: &mut Caller<'_>,
    id: i32,
    flags: u32,
    request: UserPtr<Timespec>,
    remaining: UserAddr,
) -> Result<(), Failure> {
    clock::require_timers(id)?;
    // Only its own sleeper could end it. By its long number, below, it is another error.
    if id == CLOCK_THREAD_CPUTIME_ID {
        return Err(Failure::Errno(Errno::EOPNOTSUPP));
    }
    let ns = from_timespec(&request.read()?)?;
    if clock::is_alarm(id) && flags & !TIMER_ABSTIME != 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    clock::require_alarms(id, caller.thread)?;
    let clock = Clock::from_id(id, caller.thread)?;
    let absolute = flags & TIMER_ABSTIME != 0;
    let remaining = (!absolute).then_some(remaining);
    match clock {
        Clock::Cpu(clock) if clock.is_of_thread(caller.thread) => Err(Failure::Errno(Errno::EINVAL)),
        Clock::Cpu(clock) => {
            let due_ns = if absolute { ns } else { clock.now_ns().saturating_add(ns) };
            sleep_on_cpu_clock(caller, clock, due_ns, remaining)
        }
        clock => sleep(caller, clock.deadline(ns, absolute)?, remaining),
    }
}

/// As [`sleep`], until a clock of processor time shows `due_ns`.
pub(super) fn sleep_on_cpu_clock(
    caller: &mut Caller<'_>,
    clock: CpuClock,
    due_ns: u64,
    remaining: Option<UserAddr>,
) -> Result<(), Failure> {
    match clock.sleep_until(due_ns) {
        Err(Errno::EINTR) => {}
        other => return Ok(other?),
    }
    let Some(remaining) = remaining else { return Err(Failure::Restart(Restart::UnlessHandled)) };
    if !remaining.is_null() {
        UserPtr::new(remaining).write(&Timespec::of_ns(due_ns.saturating_sub(clock.now_ns())))?;
    }
    *caller.thread.resume.lock() = Some(Box::new(Resume::CpuSleep { clock, due_ns, remaining }));
    Err(Failure::Restart(Restart::Resume))
}

/// Sleeps. A relative sleep that a signal interrupts is continued by `restart_syscall`, and tells a handler's program
/// how much was left; an absolute one is simply run again.
pub(super) fn sleep(
    caller: &mut Caller<'_>,
    deadline: Deadline,
    remaining: Option<UserAddr>,
) -> Result<(), Failure> {
    if sched::sleep(deadline) == WaitError::TimedOut {
        return Ok(());
    }
    let Some(remaining) = remaining else { return Err(Failure::Restart(Restart::UnlessHandled)) };
    if !remaining.is_null() {
        let left = deadline.left_ns().unwrap_or(u64::MAX);
        UserPtr::new(remaining).write(&Timespec::of_ns(left))?;
    }
    *caller.thread.resume.lock() = Some(Box::new(Resume::Sleep { deadline, remaining }));
    Err(Failure::Restart(Restart::Resume))
}

fn to_itimerval(setting: Setting) -> Itimerval {
    // A timer that is armed never shows zero.
    let rounded = setting.remaining_ns.div_ceil(1000) * 1000;
    Itimerval { it_interval: to_timeval(setting.interval_ns), it_value: to_timeval(rounded) }
}

/// `getitimer`.
pub fn getitimer(caller: &mut Caller<'_>, which: u32, value: UserPtr<Itimerval>) -> Result<(), Failure> {
    let which = Which::from_number(which)?;
    value.write(&to_itimerval(caller.thread.process().timers.classic(which)))?;
    Ok(())
}

/// `setitimer`.
pub fn setitimer(
    caller: &mut Caller<'_>,
    which: u32,
    new: UserPtr<Itimerval>,
    old: UserPtr<Itimerval>,
) -> Result<(), Failure> {
    let new = match new.optional() {
        Some(new) => new.read()?,
        None => Itimerval::default(),
    };
    let setting =
        Setting { remaining_ns: from_timeval(&new.it_value)?, interval_ns: from_timeval(&new.it_interval)? };
    let which = Which::from_number(which)?;
    let before = interval::set_classic(caller.thread.process(), which, setting);
    if let Some(old) = old.optional() {
        old.write(&to_itimerval(before))?;
    }
    Ok(())
}

/// `alarm`: the seconds that were left, rounded, but never to none.
pub fn alarm(caller: &mut Caller<'_>, seconds: u32) -> Result<u64, Failure> {
    let setting = Setting { remaining_ns: u64::from(seconds) * SECOND_NS, interval_ns: 0 };
    let left_ns = interval::set_classic(caller.thread.process(), Which::Real, setting).remaining_ns;
    let rounded = left_ns.saturating_add(SECOND_NS / 2) / SECOND_NS;
    Ok(if left_ns == 0 { 0 } else { rounded.max(1) })
}

/// `timer_create`.
pub fn timer_create(
    caller: &mut Caller<'_>,
    id: i32,
    event: UserPtr<Sigevent>,
    timer: UserPtr<i32>,
) -> Result<(), Failure> {
    let event = event.optional().map(UserPtr::read).transpose()?;
    clock::require_timers(id)?;
    let notification = match event {
        None => {
            let asked = Asked { notify: SIGEV_SIGNAL, signal: SIGALRM.cast_signed(), clock: shown_clock(id) };
            Notification { signal: Some(Signal::ALRM), thread: None, value: None, asked }
        }
        Some(event) => notification(caller, &event, id)?,
    };
    let process = caller.thread.process();
    let clock = clock::require_alarms(id, caller.thread).and_then(|()| Clock::from_id(id, caller.thread));
    // As on Linux the number is told before the clock is asked, and so also of a timer that there will not be.
    let number = posix::create(caller.thread, notification, clock.clone().unwrap_or(Clock::Monotonic))?;
    if let Err(errno) = timer.write(&number).and_then(|()| clock.map(|_| ())) {
        posix::delete(process, number)?;
        return Err(Failure::Errno(errno));
    }
    Ok(())
}

/// Who is to hear of a timer. `SIGEV_THREAD` is the C library's: to the kernel it is a signal, as on Linux.
fn notification(caller: &Caller<'_>, event: &Sigevent, clock: i32) -> Result<Notification, Errno> {
    let signal = u32::try_from(event.sigev_signo).ok().and_then(Signal::new).ok_or(Errno::EINVAL);
    let value = Some(event.sigev_value);
    let asked = Asked { notify: event.sigev_notify, signal: event.sigev_signo, clock: shown_clock(clock) };
    match event.sigev_notify {
        SIGEV_NONE => Ok(Notification { signal: None, thread: None, value, asked }),
        SIGEV_SIGNAL | SIGEV_THREAD => Ok(Notification { signal: Some(signal?), thread: None, value, asked }),
        SIGEV_THREAD_ID => {
            let thread = caller.thread.named(event.sigev_tid).ok_or(Errno::EINVAL)?;
            if !Arc::ptr_eq(thread.process(), caller.thread.process()) {
                return Err(Errno::EINVAL);
            }
            Ok(Notification { signal: Some(signal?), thread: Some(Arc::downgrade(&thread)), value, asked })
        }
        _ => Err(Errno::EINVAL),
    }
}

/// A clock as `/proc/PID/timers` shows it: the caller's own processor times by the numbers that all clocks of such have
/// (`clock_getcpuclockid(3)`).
fn shown_clock(id: i32) -> i32 {
    match id {
        CLOCK_PROCESS_CPUTIME_ID => -6,
        CLOCK_THREAD_CPUTIME_ID => -2,
        other => other,
    }
}

fn to_itimerspec(setting: Setting) -> Itimerspec {
    Itimerspec {
        it_interval: Timespec::of_ns(setting.interval_ns),
        it_value: Timespec::of_ns(setting.remaining_ns),
    }
}

/// `timer_settime`.
pub fn timer_settime(
    caller: &mut Caller<'_>,
    timer: i32,
    flags: u32,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> Result<(), Failure> {
    let new = new.optional().ok_or(Errno::EINVAL)?.read()?;
    let setting = Setting {
        remaining_ns: from_timespec(&new.it_value)?,
        interval_ns: from_timespec(&new.it_interval)?,
    };
    let before = posix::set(caller.thread.process(), timer, setting, flags & TIMER_ABSTIME != 0)?;
    if let Some(old) = old.optional() {
        old.write(&to_itimerspec(before))?;
    }
    Ok(())
}

/// `timer_gettime`.
pub fn timer_gettime(caller: &mut Caller<'_>, timer: i32, value: UserPtr<Itimerspec>) -> Result<(), Failure> {
    value.write(&to_itimerspec(posix::get(caller.thread.process(), timer)?))?;
    Ok(())
}

/// `timer_getoverrun`.
pub fn timer_getoverrun(caller: &mut Caller<'_>, timer: i32) -> Result<i32, Failure> {
    Ok(posix::overrun(caller.thread.process(), timer)?)
}

/// `timer_delete`.
pub fn timer_delete(caller: &mut Caller<'_>, timer: i32) -> Result<(), Failure> {
    Ok(posix::delete(caller.thread.process(), timer)?)
}

/// `getrusage`.
pub fn getrusage(caller: &mut Caller<'_>, who: i32, usage: UserPtr<Rusage>) -> Result<(), Failure> {
    let process = caller.thread.process();
    let mut times = match who {
        abi::process::RUSAGE_SELF => process.times(),
        abi::process::RUSAGE_CHILDREN => process.children_times(),
        abi::process::RUSAGE_THREAD => caller.thread.times(),
        _ => return Err(Failure::Errno(Errno::EINVAL)),
    };
    if who != abi::process::RUSAGE_CHILDREN {
        // Of all threads, also for one (Linux: `getrusage`).
        times.peak_pages = process.peak_pages();
    }
    usage.write(&super::system::rusage_of(times))?;
    Ok(())
}
