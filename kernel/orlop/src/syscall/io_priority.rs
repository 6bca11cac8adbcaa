//! Priorities of input and output: `ioprio_set` and `ioprio_get`. Source: ioprio_set(2), Linux 6.1's `block/ioprio.c`.
//!
//! They are kept for each thread and inherited, or shared (`CLONE_IO`). Nothing here waits in a device's queue that
//! they would order.

use abi::Errno;
use abi::resource::{
    IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE, IOPRIO_CLASS_NONE, IOPRIO_CLASS_RT, IOPRIO_CLASS_SHIFT,
    IOPRIO_NR_LEVELS, IOPRIO_WHO_PGRP, IOPRIO_WHO_PROCESS, IOPRIO_WHO_USER, PRIO_PGRP, PRIO_PROCESS,
    PRIO_USER,
};
use libkernel::sched::Policy;
use subject::{Credentials, capability};

use super::priority::for_each_selected;
use super::{Caller, Failure};
use crate::process::Thread;

/// What `getpriority` calls the threads that are meant. EINVAL for anything else.
fn kind_of(which: u32) -> Result<u32, Errno> {
    match which {
        IOPRIO_WHO_PROCESS => Ok(PRIO_PROCESS),
        IOPRIO_WHO_PGRP => Ok(PRIO_PGRP),
        IOPRIO_WHO_USER => Ok(PRIO_USER),
        _ => Err(Errno::EINVAL),
    }
}

/// Class and level. Between them are hints, which Debian's 6.1 knows of and keeps.
fn parts(priority: u16) -> (u32, u32) {
    let priority = u32::from(priority);
    (priority >> IOPRIO_CLASS_SHIFT, priority % IOPRIO_NR_LEVELS)
}

fn check(priority: u16, credentials: &Credentials) -> Result<(), Errno> {
    let (class, level) = parts(priority);
    let may_be_first =
        credentials.has_capability(capability::SYS_ADMIN) || credentials.has_capability(capability::SYS_NICE);
    match class {
        IOPRIO_CLASS_RT if !may_be_first => Err(Errno::EPERM),
        IOPRIO_CLASS_RT | IOPRIO_CLASS_BE | IOPRIO_CLASS_IDLE => Ok(()),
        IOPRIO_CLASS_NONE if level == 0 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// `ioprio_set`: the first refusal ends it.
pub fn ioprio_set(caller: &mut Caller<'_>, which: u32, who: i32, priority: u32) -> Result<(), Failure> {
    // Bits above the class mean nothing.
    let priority = (priority & 0xffff) as u16;
    let own = caller.thread.credentials();
    check(priority, &own)?;
    let mut result = Ok(());
    for_each_selected(caller, kind_of(which)?, who, |thread| {
        if result.is_ok() {
            result = set(thread, priority, &own);
        }
    })?;
    Ok(result?)
}

fn set(thread: &Thread, priority: u16, own: &Credentials) -> Result<(), Errno> {
    let real = thread.with_credentials(|other| other.user.real);
    if ![own.user.effective, own.user.real].contains(&real) {
        own.require(capability::SYS_NICE)?;
    }
    if thread.is_ending() {
        return Err(Errno::ESRCH);
    }
    thread.io_context.set_priority(priority);
    Ok(())
}

/// `ioprio_get`: of a thread what was set, of several the best that holds.
pub fn ioprio_get(caller: &mut Caller<'_>, which: u32, who: i32) -> Result<u32, Failure> {
    let kind = kind_of(which)?;
    let mut best = u16::MAX;
    for_each_selected(caller, kind, who, |thread| {
        let priority = if kind == PRIO_PROCESS { thread.io_context.priority() } else { effective(thread) };
        best = best.min(priority);
    })?;
    Ok(best.into())
}

/// What holds of a thread: where nothing is set, what its nice value says.
fn effective(thread: &Thread) -> u16 {
    let priority = thread.io_context.priority();
    if parts(priority).0 != IOPRIO_CLASS_NONE {
        return priority;
    }
    let scheduling = thread.scheduling();
    let class = match scheduling.policy {
        Policy::Idle => IOPRIO_CLASS_IDLE,
        _ if scheduling.is_real_time() => IOPRIO_CLASS_RT,
        _ => IOPRIO_CLASS_BE,
    };
    let level = u16::from((scheduling.nice + 20).unsigned_abs() / 5);
    ((class << IOPRIO_CLASS_SHIFT) as u16) | level
}
