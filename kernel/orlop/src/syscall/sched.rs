//! Scheduling policies, and yielding.

use alloc::sync::Arc;

use abi::Errno;
use abi::process::{
    SCHED_ATTR_SIZE_VER0, SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_FLAG_DL_OVERRUN,
    SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_RECLAIM, SCHED_FLAG_RESET_ON_FORK,
    SCHED_FLAG_UTIL_CLAMP_MAX, SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_IDLE, SCHED_NORMAL, SCHED_RESET_ON_FORK,
    SCHED_RR, SchedAttr, SchedParam,
};
use abi::time::Timespec;
use libkernel::sched::{PRIORITY_MAX, Parameters, Policy, ROUND_ROBIN_NS, SLICE_NS};
use memory::user::{self, UserPtr};
use subject::{Resource, capability};
use zerocopy::IntoBytes;

use super::priority::limit_allows;
use super::{Caller, Failure, extensible};
use crate::futex;
use crate::process::Thread;

/// `sched_yield`.
pub fn sched_yield(_caller: &mut Caller<'_>) -> Result<(), Failure> {
    sched::yield_now();
    Ok(())
}

pub(super) fn thread_or_self(caller: &Caller<'_>, pid: i32) -> Result<Arc<Thread>, Errno> {
    match pid {
        0 => Ok(caller.thread.clone()),
        pid if pid < 0 => Err(Errno::EINVAL),
        pid => caller.thread.named(pid).ok_or(Errno::ESRCH),
    }
}

fn policy_of(number: u32) -> Result<Policy, Errno> {
    match number {
        SCHED_NORMAL => Ok(Policy::Normal),
        SCHED_FIFO => Ok(Policy::Fifo),
        SCHED_RR => Ok(Policy::RoundRobin),
        SCHED_BATCH => Ok(Policy::Batch),
        SCHED_IDLE => Ok(Policy::Idle),
        // SCHED_DEADLINE is absent.
        _ => Err(Errno::EINVAL),
    }
}

/// A policy's number in the ABI.
pub fn number_of(policy: Policy) -> u32 {
    match policy {
        Policy::Normal => SCHED_NORMAL,
        Policy::Fifo => SCHED_FIFO,
        Policy::RoundRobin => SCHED_RR,
        Policy::Batch => SCHED_BATCH,
        Policy::Idle => SCHED_IDLE,
    }
}

/// Gives a thread the parameters that `new` makes of its own, if the caller may.
fn change(
    caller: &Caller<'_>,
    thread: &Thread,
    new: impl FnOnce(Parameters) -> Result<Parameters, Errno>,
) -> Result<(), Errno> {
    let privilege = caller.thread.credentials().require(capability::SYS_NICE);
    thread.change_scheduling(|old| {
        let new = new(old)?;
        if new.priority > PRIORITY_MAX || new.is_real_time() != (new.priority != 0) {
            return Err(Errno::EINVAL);
        }
        if !is_free_to_all(caller, thread, old, new) {
            privilege?;
        }
        Ok(new)
    })?;
    futex::priority_changed(thread);
    Ok(())
}

/// Whether a change needs no privilege (Linux: `user_check_sched_setscheduler`).
fn is_free_to_all(caller: &Caller<'_>, thread: &Thread, old: Parameters, new: Parameters) -> bool {
    let raises_nice = !new.is_real_time() && new.nice < old.nice && !limit_allows(thread, new.nice);
    let leaves_idle =
        old.policy == Policy::Idle && new.policy != Policy::Idle && !limit_allows(thread, old.nice);
    let limit = thread.process().limits().soft(Resource::RealTimePriority);
    let becomes_real_time = new.is_real_time() && new.policy != old.policy && limit == 0;
    let raises_priority = new.priority > old.priority && u64::from(new.priority) > limit;
    let keeps_children = old.reset_on_fork && !new.reset_on_fork;
    let own = caller.thread.with_credentials(|credentials| credentials.user.effective);
    let is_same = thread
        .with_credentials(|credentials| credentials.user.effective == own || credentials.user.real == own);
    is_same && !(raises_nice || leaves_idle || becomes_real_time || raises_priority || keeps_children)
}

/// `sched_getscheduler`.
pub fn sched_getscheduler(caller: &mut Caller<'_>, pid: i32) -> Result<u32, Failure> {
    let parameters = thread_or_self(caller, pid)?.scheduling();
    let flag = if parameters.reset_on_fork { SCHED_RESET_ON_FORK } else { 0 };
    Ok(number_of(parameters.policy) | flag)
}

/// `sched_setscheduler`.
pub fn sched_setscheduler(
    caller: &mut Caller<'_>,
    pid: i32,
    policy: u32,
    parameter: UserPtr<SchedParam>,
) -> Result<(), Failure> {
    if policy.cast_signed() < 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    set_param(caller, pid, Some(policy), parameter)
}

/// `sched_setparam`.
pub fn sched_setparam(
    caller: &mut Caller<'_>,
    pid: i32,
    parameter: UserPtr<SchedParam>,
) -> Result<(), Failure> {
    set_param(caller, pid, None, parameter)
}

fn set_param(
    caller: &Caller<'_>,
    pid: i32,
    policy: Option<u32>,
    parameter: UserPtr<SchedParam>,
) -> Result<(), Failure> {
    if pid < 0 || parameter.optional().is_none() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let parameter = parameter.read()?;
    let thread = thread_or_self(caller, pid)?;
    let of = |old: Parameters| {
        let mut new = old;
        if let Some(policy) = policy {
            new.policy = policy_of(policy & !SCHED_RESET_ON_FORK)?;
            new.reset_on_fork = policy & SCHED_RESET_ON_FORK != 0;
        }
        new.priority = u8::try_from(parameter.sched_priority).map_err(|_| Errno::EINVAL)?;
        Ok(new)
    };
    Ok(change(caller, &thread, of)?)
}

/// `sched_getparam`.
pub fn sched_getparam(
    caller: &mut Caller<'_>,
    pid: i32,
    parameter: UserPtr<SchedParam>,
) -> Result<(), Failure> {
    if parameter.optional().is_none() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let priority = thread_or_self(caller, pid)?.scheduling().priority;
    parameter.write(&SchedParam { sched_priority: i32::from(priority) })?;
    Ok(())
}

/// `sched_setattr(pid, attr, flags)`, without SCHED_DEADLINE and utilisation clamps.
pub fn sched_setattr(
    caller: &mut Caller<'_>,
    pid: i32,
    attr: UserPtr<SchedAttr>,
    flags: u32,
) -> Result<(), Failure> {
    if pid < 0 || flags != 0 || attr.optional().is_none() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let asked = read_attr(attr)?;
    if asked.sched_policy.cast_signed() < 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let thread = thread_or_self(caller, pid)?;
    Ok(change(caller, &thread, |old| parameters_of(&asked, old))?)
}

const CLAMPS: u64 = SCHED_FLAG_UTIL_CLAMP_MIN | SCHED_FLAG_UTIL_CLAMP_MAX;

/// Reads the structure; a size that is not served is answered with the one that is. EINVAL for clamps in one that ends
/// before them.
fn read_attr(attr: UserPtr<SchedAttr>) -> Result<SchedAttr, Errno> {
    let size: UserPtr<u32> = UserPtr::new(attr.address());
    let bytes = match size.read()? {
        0 => SCHED_ATTR_SIZE_VER0,
        bytes => bytes as usize,
    };
    let read: Result<SchedAttr, Errno> = extensible::read_since(attr.address(), bytes, SCHED_ATTR_SIZE_VER0);
    if matches!(read, Err(Errno::E2BIG | Errno::EINVAL)) {
        size.write(&(size_of::<SchedAttr>() as u32))?;
        return Err(Errno::E2BIG);
    }
    let read = read?;
    let has_clamps = bytes >= size_of::<SchedAttr>();
    if read.sched_flags & CLAMPS != 0 && !has_clamps { Err(Errno::EINVAL) } else { Ok(read) }
}

fn parameters_of(asked: &SchedAttr, present: Parameters) -> Result<Parameters, Errno> {
    const KNOWN: u64 = SCHED_FLAG_RESET_ON_FORK
        | SCHED_FLAG_RECLAIM
        | SCHED_FLAG_DL_OVERRUN
        | SCHED_FLAG_KEEP_POLICY
        | SCHED_FLAG_KEEP_PARAMS;
    let flags = asked.sched_flags;
    if flags & !(KNOWN | CLAMPS) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut new = present;
    if flags & SCHED_FLAG_KEEP_POLICY == 0 {
        new.policy = policy_of(asked.sched_policy)?;
        new.reset_on_fork = flags & SCHED_FLAG_RESET_ON_FORK != 0;
    }
    if flags & SCHED_FLAG_KEEP_PARAMS != 0 {
        // For Linux the policy is one of them.
        new.policy = present.policy;
    } else {
        new.priority = u8::try_from(asked.sched_priority).map_err(|_| Errno::EINVAL)?;
        if !new.is_real_time() {
            new.nice = i8::try_from(asked.sched_nice.clamp(-20, 19)).unwrap_or_default();
        }
    }
    if flags & CLAMPS != 0 { Err(Errno::EOPNOTSUPP) } else { Ok(new) }
}

/// `sched_getattr(pid, attr, size, flags)`.
pub fn sched_getattr(
    caller: &mut Caller<'_>,
    pid: i32,
    attr: UserPtr<SchedAttr>,
    size: u32,
    flags: u32,
) -> Result<(), Failure> {
    let size = size as usize;
    let is_valid = (SCHED_ATTR_SIZE_VER0..=4096).contains(&size);
    if !is_valid || flags != 0 || attr.optional().is_none() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let parameters = thread_or_self(caller, pid)?.scheduling();
    let size = size.min(size_of::<SchedAttr>());
    let answer = SchedAttr {
        size: size as u32,
        sched_policy: number_of(parameters.policy),
        sched_flags: if parameters.reset_on_fork { SCHED_FLAG_RESET_ON_FORK } else { 0 },
        sched_nice: if parameters.is_real_time() { 0 } else { i32::from(parameters.nice) },
        sched_priority: u32::from(parameters.priority),
        ..SchedAttr::default()
    };
    user::write_bytes(attr.address(), answer.as_bytes().get(..size).unwrap_or_default())?;
    Ok(())
}

/// `sched_get_priority_max`.
pub fn sched_get_priority_max(_caller: &mut Caller<'_>, policy: u32) -> Result<u32, Failure> {
    priority_bound(policy, u32::from(PRIORITY_MAX))
}

/// `sched_get_priority_min`.
pub fn sched_get_priority_min(_caller: &mut Caller<'_>, policy: u32) -> Result<u32, Failure> {
    priority_bound(policy, 1)
}

fn priority_bound(policy: u32, real_time: u32) -> Result<u32, Failure> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(real_time),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok(0),
        _ => Err(Failure::Errno(Errno::EINVAL)),
    }
}

/// `sched_rr_get_interval`: the length of a slice; zero for SCHED_FIFO, which has none.
pub fn sched_rr_get_interval(
    caller: &mut Caller<'_>,
    pid: i32,
    interval: UserPtr<Timespec>,
) -> Result<(), Failure> {
    let slice_ns = match thread_or_self(caller, pid)?.scheduling().policy {
        Policy::Fifo => 0,
        Policy::RoundRobin => ROUND_ROBIN_NS,
        _ => SLICE_NS,
    };
    interval.write(&Timespec::of_ns(slice_ns))?;
    Ok(())
}
