//! Nice values: `getpriority` and `setpriority`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::resource::{PRIO_PGRP, PRIO_PROCESS, PRIO_USER};
use libkernel::sched::Parameters;

use super::{Caller, Failure};
use crate::process::{Pid, Resource, Thread, capability, find_thread, for_each_process, table};

/// The threads that a call means, leaders that have ended included; ESRCH without any.
fn selected(caller: &Caller<'_>, kind: u32, who: i32) -> Result<Vec<Arc<Thread>>, Errno> {
    let threads = match kind {
        PRIO_PROCESS if who == 0 => Vec::from([caller.thread.clone()]),
        PRIO_PROCESS => Pid::from_program(who).and_then(find_thread).into_iter().collect(),
        PRIO_PGRP if who == 0 => threads_of_group(caller.thread.process().group())?,
        PRIO_PGRP => Pid::from_program(who).map_or(Ok(Vec::new()), threads_of_group)?,
        PRIO_USER => threads_of_user(caller, who)?,
        _ => return Err(Errno::EINVAL),
    };
    if threads.is_empty() { Err(Errno::ESRCH) } else { Ok(threads) }
}

/// A process's threads, its leader first: that stays even if it has ended.
fn threads_of(leader: &Arc<Thread>) -> impl Iterator<Item = Arc<Thread>> {
    let others = leader.process().threads().into_iter().filter(|thread| !Arc::ptr_eq(thread, leader));
    core::iter::once(leader.clone()).chain(others)
}

/// Adds threads to a list that is as long as a program makes it.
fn add(list: &mut Vec<Arc<Thread>>, threads: impl Iterator<Item = Arc<Thread>>) -> Result<(), Errno> {
    for thread in threads {
        list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        list.push(thread);
    }
    Ok(())
}

fn threads_of_group(group: Pid) -> Result<Vec<Arc<Thread>>, Errno> {
    let (mut threads, mut result) = (Vec::new(), Ok(()));
    table::for_each_member(group, |leader| {
        result = result.and_then(|()| add(&mut threads, threads_of(leader)))
    });
    result.map(|()| threads)
}

fn threads_of_user(caller: &Caller<'_>, who: i32) -> Result<Vec<Arc<Thread>>, Errno> {
    let own = caller.thread.with_credentials(|credentials| credentials.user.real);
    let user = if who == 0 { own } else { who.cast_unsigned() };
    let (mut threads, mut result) = (Vec::new(), Ok(()));
    let is_theirs = |thread: &Arc<Thread>| thread.with_credentials(|own| own.user.real) == user;
    for_each_process(|process| {
        if let Some(leader) = process.leader() {
            result = result.and_then(|()| add(&mut threads, threads_of(&leader).filter(is_theirs)));
        }
    });
    result.map(|()| threads)
}

/// `getpriority`: the most favourable value of all, as 20 - nice, so that the answer is positive.
pub fn getpriority(caller: &mut Caller<'_>, kind: u32, who: i32) -> Result<i32, Failure> {
    let threads = selected(caller, kind, who)?;
    let nice = threads.iter().map(|thread| thread.scheduling().nice).min().unwrap_or(0);
    Ok(20 - i32::from(nice))
}

/// `setpriority`: as many as may be changed are changed; the last refusal is the error.
pub fn setpriority(caller: &mut Caller<'_>, kind: u32, who: i32, nice: i32) -> Result<(), Failure> {
    let nice = i8::try_from(nice.clamp(-20, 19)).unwrap_or_default();
    let mut result = Ok(());
    for thread in selected(caller, kind, who)? {
        if let Err(errno) = set_nice(caller, &thread, nice) {
            result = Err(Failure::Errno(errno));
        }
    }
    result
}

fn set_nice(caller: &Caller<'_>, thread: &Thread, nice: i8) -> Result<(), Errno> {
    let own = caller.thread.credentials();
    let other = thread.credentials();
    let is_same = other.user.real == own.user.effective || other.user.effective == own.user.effective;
    if !is_same {
        own.require(capability::SYS_NICE)?;
    }
    let present = thread.scheduling();
    if nice < present.nice && !limit_allows(thread, nice) && !own.has_capability(capability::SYS_NICE) {
        return Err(Errno::EACCES);
    }
    thread.set_scheduling(Parameters { nice, ..present });
    Ok(())
}

/// Whether a thread's `RLIMIT_NICE` lets it have a nice value without privilege.
pub(super) fn limit_allows(thread: &Thread, nice: i8) -> bool {
    let least = 20 - i64::from(nice);
    u64::try_from(least).unwrap_or(0) <= thread.process().limits().soft(Resource::Nice)
}
