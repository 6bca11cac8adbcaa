//! Scheduling: yielding, priorities, policies and affinity.
//!
//! The scheduler is a round robin: nice values and the time-sharing policies are kept and reported, as hints may be. Real-time
//! policies, which promise something, are refused.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::process::{SCHED_BATCH, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RR, SchedParam};
use abi::resource::{PRIO_PGRP, PRIO_PROCESS, PRIO_USER};
use abi::time::Timespec;

use super::{Caller, Failure};
use crate::process::{Pid, Schedule, Thread, capability, find_thread, for_each_process, table};
use crate::sched;
use crate::time::to_timespec;
use crate::user::{UserPtr, UserSlice};

/// `sched_yield`.
pub fn sched_yield(_caller: &mut Caller<'_>) -> Result<(), Failure> {
    sched::yield_now();
    Ok(())
}

fn thread_or_self(caller: &Caller<'_>, pid: i32) -> Result<Arc<Thread>, Errno> {
    match pid {
        0 => Ok(caller.thread.clone()),
        pid if pid < 0 => Err(Errno::EINVAL),
        pid => Pid::from_program(pid).and_then(find_thread).ok_or(Errno::ESRCH),
    }
}

/// EPERM unless the caller may change how another thread is scheduled.
fn may_change(caller: &Caller<'_>, thread: &Thread) -> Result<(), Errno> {
    let own = caller.thread.credentials();
    let other = thread.credentials();
    let same = own.user.effective == other.user.effective || own.user.effective == other.user.real;
    if same { Ok(()) } else { own.require(capability::SYS_NICE) }
}

/// The threads that `getpriority` and `setpriority` mean.
fn selected(caller: &Caller<'_>, kind: u32, who: i32) -> Result<Vec<Arc<Thread>>, Errno> {
    let leaders = |processes: Vec<Arc<crate::process::Process>>| {
        processes.iter().flat_map(|process| process.threads()).collect::<Vec<_>>()
    };
    let threads = match kind {
        PRIO_PROCESS => thread_or_self(caller, who).map_or_else(|_| Vec::new(), |thread| Vec::from([thread])),
        PRIO_PGRP => {
            let own = caller.thread.process().group();
            leaders(table::group_members(if who == 0 {
                own
            } else {
                Pid::from_program(who).ok_or(Errno::ESRCH)?
            }))
        }
        PRIO_USER => {
            let own = caller.thread.with_credentials(|credentials| credentials.user.real);
            let user = if who == 0 { own } else { who.cast_unsigned() };
            let mut threads = Vec::new();
            for_each_process(|process| {
                threads.extend(
                    process.threads().into_iter().filter(|thread| thread.credentials().user.real == user),
                );
            });
            threads
        }
        _ => return Err(Errno::EINVAL),
    };
    if threads.is_empty() { Err(Errno::ESRCH) } else { Ok(threads) }
}

/// `getpriority`: 20 - nice, so that the answer is positive.
pub fn getpriority(caller: &mut Caller<'_>, kind: u32, who: i32) -> Result<i32, Failure> {
    let nice = selected(caller, kind, who)?.iter().map(|thread| thread.schedule().nice).min().unwrap_or(0);
    Ok(20 - nice)
}

/// `setpriority`.
pub fn setpriority(caller: &mut Caller<'_>, kind: u32, who: i32, nice: i32) -> Result<(), Failure> {
    let nice = nice.clamp(-20, 19);
    for thread in selected(caller, kind, who)? {
        may_change(caller, &thread).map_err(|_| Errno::EPERM)?;
        let schedule = thread.schedule();
        let lowest =
            20 - i32::try_from(thread.process().limits().soft(crate::process::Resource::Nice)).unwrap_or(40);
        let raises = nice < schedule.nice && nice < lowest;
        if raises && !caller.thread.credentials().has_capability(capability::SYS_NICE) {
            return Err(Failure::Errno(Errno::EACCES));
        }
        thread.set_schedule(Schedule { nice, ..schedule });
    }
    Ok(())
}

/// `sched_getscheduler`.
pub fn sched_getscheduler(caller: &mut Caller<'_>, pid: i32) -> Result<u32, Failure> {
    Ok(thread_or_self(caller, pid)?.schedule().policy)
}

/// `sched_setscheduler`; EPERM for real-time policies, as for a process without privilege.
pub fn sched_setscheduler(
    caller: &mut Caller<'_>,
    pid: i32,
    policy: u32,
    parameter: UserPtr<SchedParam>,
) -> Result<(), Failure> {
    let parameter = parameter.read()?;
    let thread = thread_or_self(caller, pid)?;
    set_policy(caller, &thread, policy, parameter)
}

fn set_policy(
    caller: &Caller<'_>,
    thread: &Thread,
    policy: u32,
    parameter: SchedParam,
) -> Result<(), Failure> {
    may_change(caller, thread)?;
    match policy {
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE if parameter.sched_priority == 0 => {
            thread.set_schedule(Schedule { policy, ..thread.schedule() });
            Ok(())
        }
        SCHED_FIFO | SCHED_RR if (1..=99).contains(&parameter.sched_priority) => {
            Err(Failure::Errno(Errno::EPERM))
        }
        _ => Err(Failure::Errno(Errno::EINVAL)),
    }
}

/// `sched_getparam`.
pub fn sched_getparam(
    caller: &mut Caller<'_>,
    pid: i32,
    parameter: UserPtr<SchedParam>,
) -> Result<(), Failure> {
    thread_or_self(caller, pid)?;
    parameter.write(&SchedParam { sched_priority: 0 })?;
    Ok(())
}

/// `sched_setparam`.
pub fn sched_setparam(
    caller: &mut Caller<'_>,
    pid: i32,
    parameter: UserPtr<SchedParam>,
) -> Result<(), Failure> {
    let parameter = parameter.read()?;
    let thread = thread_or_self(caller, pid)?;
    set_policy(caller, &thread, thread.schedule().policy, parameter)
}

/// `sched_get_priority_max`.
pub fn sched_get_priority_max(_caller: &mut Caller<'_>, policy: u32) -> Result<u32, Failure> {
    priority_bound(policy, 99)
}

/// `sched_get_priority_min`.
pub fn sched_get_priority_min(_caller: &mut Caller<'_>, policy: u32) -> Result<u32, Failure> {
    priority_bound(policy, 1)
}

fn priority_bound(policy: u32, real_time: u32) -> Result<u32, Failure> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(real_time),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE => Ok(0),
        _ => Err(Failure::Errno(Errno::EINVAL)),
    }
}

/// `sched_rr_get_interval`: the length of a slice.
pub fn sched_rr_get_interval(
    caller: &mut Caller<'_>,
    pid: i32,
    interval: UserPtr<Timespec>,
) -> Result<(), Failure> {
    thread_or_self(caller, pid)?;
    interval.write(&to_timespec(sched::SLICE_NS))?;
    Ok(())
}

/// The CPUs that run, bit N for CPU N.
fn running_cpus() -> u64 {
    u64::MAX >> (64 - hal::cpu::count().clamp(1, 64))
}

/// `sched_getaffinity`: every running CPU; the bytes that were written.
pub fn sched_getaffinity(
    caller: &mut Caller<'_>,
    pid: i32,
    size: usize,
    mask: UserPtr<u64>,
) -> Result<usize, Failure> {
    thread_or_self(caller, pid)?;
    if !size.is_multiple_of(size_of::<u64>()) || size < size_of::<u64>() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    mask.write(&running_cpus())?;
    Ok(size_of::<u64>())
}

/// `sched_setaffinity`: every running CPU must be allowed still, as threads are not bound to CPUs.
pub fn sched_setaffinity(
    caller: &mut Caller<'_>,
    pid: i32,
    size: usize,
    mask: UserPtr<u8>,
) -> Result<(), Failure> {
    let thread = thread_or_self(caller, pid)?;
    may_change(caller, &thread)?;
    let mut bytes = [0; size_of::<u64>()];
    let known = size.min(bytes.len());
    UserSlice::new(mask.address(), known).read_into(&mut bytes[..known])?;
    if u64::from_le_bytes(bytes) & running_cpus() != running_cpus() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    Ok(())
}

/// `getcpu`.
pub fn getcpu(_caller: &mut Caller<'_>, cpu: UserPtr<u32>, node: UserPtr<u32>) -> Result<(), Failure> {
    let number = u32::try_from(hal::cpu::id()).unwrap_or(0);
    if let Some(cpu) = cpu.optional() {
        cpu.write(&number)?;
    }
    if let Some(node) = node.optional() {
        node.write(&0)?;
    }
    Ok(())
}
