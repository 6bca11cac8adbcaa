//! Nice values: `getpriority` and `setpriority`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::resource::{PRIO_PGRP, PRIO_PROCESS, PRIO_USER};
use libkernel::sched::Parameters;

use super::{Caller, Failure};
use crate::process::{Pid, Process, Resource, Thread, capability, find_thread, for_each_process, table};
use crate::sched::settings;

/// The threads that a call means; ESRCH without any.
fn selected(caller: &Caller<'_>, kind: u32, who: i32) -> Result<Vec<Arc<Thread>>, Errno> {
    let threads = match kind {
        PRIO_PROCESS if who == 0 => Vec::from([caller.thread.clone()]),
        PRIO_PROCESS => Pid::from_program(who).and_then(find_thread).into_iter().collect(),
        PRIO_PGRP if who == 0 => threads_of(&table::group_members(caller.thread.process().group())),
        PRIO_PGRP => {
            Pid::from_program(who).map_or_else(Vec::new, |group| threads_of(&table::group_members(group)))
        }
        PRIO_USER => threads_of_user(caller, who),
        _ => return Err(Errno::EINVAL),
    };
    if threads.is_empty() { Err(Errno::ESRCH) } else { Ok(threads) }
}

fn threads_of(processes: &[Arc<Process>]) -> Vec<Arc<Thread>> {
    processes.iter().flat_map(|process| process.threads()).collect()
}

fn threads_of_user(caller: &Caller<'_>, who: i32) -> Vec<Arc<Thread>> {
    let own = caller.thread.with_credentials(|credentials| credentials.user.real);
    let user = if who == 0 { own } else { who.cast_unsigned() };
    let mut threads = Vec::new();
    for_each_process(|process| {
        let is_theirs =
            |thread: &Arc<Thread>| thread.with_credentials(|credentials| credentials.user.real) == user;
        threads.extend(process.threads().into_iter().filter(is_theirs));
    });
    threads
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
    if let Some(task) = thread.task() {
        settings::set_parameters(&task, Parameters { nice, ..present });
    }
    Ok(())
}

/// Whether a thread's `RLIMIT_NICE` lets it have a nice value without privilege.
pub(super) fn limit_allows(thread: &Thread, nice: i8) -> bool {
    let least = 20 - i64::from(nice);
    u64::try_from(least).unwrap_or(0) <= thread.process().limits().soft(Resource::Nice)
}
