//! Nice values: `getpriority` and `setpriority`.

use alloc::sync::Arc;

use abi::Errno;
use abi::resource::{PRIO_PGRP, PRIO_PROCESS, PRIO_USER};
use libkernel::sched::Parameters;
use subject::{Resource, UserId, capability};

use super::{Caller, Failure};
use crate::process::{Process, Thread, for_each_process, table};

/// Calls `visit` with the threads that a call means, leaders that have ended included; ESRCH without any. It may not
/// sleep.
pub(super) fn for_each_selected(
    caller: &Caller<'_>,
    kind: u32,
    who: i32,
    mut visit: impl FnMut(&Arc<Thread>),
) -> Result<(), Errno> {
    let mut any = false;
    let mut visit = |thread: &Arc<Thread>| {
        any = true;
        visit(thread);
    };
    let own_group = || caller.thread.process().group();
    match kind {
        PRIO_PROCESS if who == 0 => visit(caller.thread),
        PRIO_PROCESS => {
            if let Some(thread) = caller.thread.named(who) {
                visit(&thread);
            }
        }
        PRIO_PGRP => {
            let group = if who == 0 { Some(own_group()) } else { caller.thread.pid_namespace().find(who) };
            if let Some(group) = group {
                table::for_each_member(group, |leader| for_each_of(leader.process(), &mut visit));
            }
        }
        PRIO_USER => {
            let user = user(caller, who);
            let mut visit = |thread: &Arc<Thread>| {
                if is_of(thread, user) {
                    visit(thread)
                }
            };
            for_each_process(|process| for_each_of(process, &mut visit));
        }
        _ => return Err(Errno::EINVAL),
    }
    if any { Ok(()) } else { Err(Errno::ESRCH) }
}

/// A process's threads, and its leader even if that has ended.
fn for_each_of(process: &Process, visit: &mut impl FnMut(&Arc<Thread>)) {
    let mut has_leader = false;
    process.each_thread(|thread| {
        has_leader |= thread.id() == process.pid();
        visit(thread);
    });
    if !has_leader && let Some(leader) = process.leader() {
        visit(&leader);
    }
}

/// The real user that a call means; none where the number is nobody's.
fn user(caller: &Caller<'_>, who: i32) -> Option<UserId> {
    caller.thread.with_credentials(|own| match who {
        0 => Some(own.user.real),
        who => own.user_namespace.user(who.cast_unsigned()),
    })
}

fn is_of(thread: &Thread, user: Option<UserId>) -> bool {
    Some(thread.with_credentials(|credentials| credentials.user.real)) == user
}

/// `getpriority`: the most favourable value of all, as 20 - nice, so that the answer is positive.
pub fn getpriority(caller: &mut Caller<'_>, kind: u32, who: i32) -> Result<i32, Failure> {
    let mut least = None;
    let mut count =
        |thread: &Thread| least = Some(least.map_or(thread.nice(), |least: i8| least.min(thread.nice())));
    if kind == PRIO_USER {
        let user = user(caller, who);
        table::look_at_threads(|thread| {
            if is_of(thread, user) {
                count(thread)
            }
        });
    } else {
        for_each_selected(caller, kind, who, |thread| count(thread))?;
    }
    Ok(20 - i32::from(least.ok_or(Errno::ESRCH)?))
}

/// `setpriority`: as many as may be changed are changed; the last refusal is the error.
pub fn setpriority(caller: &mut Caller<'_>, kind: u32, who: i32, nice: i32) -> Result<(), Failure> {
    let nice = i8::try_from(nice.clamp(-20, 19)).unwrap_or_default();
    let mut result = Ok(());
    for_each_selected(caller, kind, who, |thread| {
        if let Err(errno) = set_nice(caller, thread, nice) {
            result = Err(Failure::Errno(errno));
        }
    })?;
    result
}

fn set_nice(caller: &Caller<'_>, thread: &Thread, nice: i8) -> Result<(), Errno> {
    let own = caller.thread.credentials();
    let other = thread.credentials();
    let is_same = other.user.real == own.user.effective || other.user.effective == own.user.effective;
    if !is_same {
        own.require(capability::SYS_NICE)?;
    }
    let may_raise = limit_allows(thread, nice) || own.has_capability(capability::SYS_NICE);
    thread.change_scheduling(|present| {
        if nice < present.nice && !may_raise {
            Err(Errno::EACCES)
        } else {
            Ok(Parameters { nice, ..present })
        }
    })
}

/// Whether a thread's `RLIMIT_NICE` lets it have a nice value without privilege.
pub(super) fn limit_allows(thread: &Thread, nice: i8) -> bool {
    let least = 20 - i64::from(nice);
    u64::try_from(least).unwrap_or(0) <= thread.process().limits().soft(Resource::Nice)
}
