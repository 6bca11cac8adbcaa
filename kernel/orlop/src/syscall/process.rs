//! Processes and threads: making, ending, waiting for and naming them.

use core::mem::offset_of;
use core::ops::Range;

use abi::Errno;
use abi::process::{
    __WALL, __WCLONE, __WNOTHREAD, CLONE_ARGS_SIZE_VER0, CLONE_DETACHED, CLONE_INTO_CGROUP, CLONE_PARENT,
    CLONE_PIDFD, CLONE_THREAD, CLONE_VFORK, CLONE_VM, CSIGNAL, CloneArgs, P_ALL, P_PGID, P_PID, P_PIDFD,
    Rusage, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, WUNTRACED, WaitStatus,
};
use abi::signal::SigInfo;
use libkernel::addr::{PAGE_SIZE, UserAddr};
use memory::user::{UserPtr, UserSlice, offset_address, read_bytes, write_bytes};
use subject::Pid;
use zerocopy::{FromZeros, IntoBytes};

use super::system::rusage_of;
use super::{Caller, Failure};
use crate::process::clone::{self, CloneRequest};
use crate::process::group;
use crate::process::wait::{Report, Which, wait_for_child};
use crate::signal::{Signal, send};

/// `fork`.
pub fn fork(caller: &mut Caller<'_>) -> Result<i32, Failure> {
    clone::clone(caller, &CloneRequest { exit_signal: Signal::CHLD.number(), ..CloneRequest::default() })
}

/// `vfork`: the parent sleeps until the child has left its memory.
pub fn vfork(caller: &mut Caller<'_>) -> Result<i32, Failure> {
    let flags = CLONE_VFORK | CLONE_VM;
    clone::clone(
        caller,
        &CloneRequest { flags, exit_signal: Signal::CHLD.number(), ..CloneRequest::default() },
    )
}

/// `clone`; the order of the last two arguments differs between architectures. EINVAL for a pidfd.
pub fn clone(
    caller: &mut Caller<'_>,
    flags: u64,
    stack: u64,
    parent_tid: UserAddr,
    fourth: u64,
    fifth: u64,
) -> Result<i32, Failure> {
    let (child_tid, tls) = if abi::native::CLONE_TLS_LAST { (fourth, fifth) } else { (fifth, fourth) };
    // The signal is in the low byte, and only 32 bits of flags count: the others are clone3's.
    let exit_signal = u32::try_from(flags & CSIGNAL).map_err(|_| Errno::EINVAL)?;
    let flags = flags & !CSIGNAL & u64::from(u32::MAX);
    let stack = (stack != 0).then_some(stack);
    let child_tid = UserAddr::new(child_tid);
    let chosen_tid = None;
    clone::clone(caller, &CloneRequest { flags, exit_signal, stack, tls, parent_tid, child_tid, chosen_tid })
}

/// How deep namespaces of numbers may lie in one another on Linux, and so how many numbers can be chosen at once.
const MOST_LEVELS: u64 = 32;

/// `clone3`; EINVAL for a pidfd and control groups.
pub fn clone3(caller: &mut Caller<'_>, arguments: UserAddr, size: usize) -> Result<i32, Failure> {
    let arguments = read_clone_arguments(arguments, size)?;
    if (arguments.set_tid == 0) != (arguments.set_tid_size == 0) || arguments.set_tid_size > MOST_LEVELS {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let exit_signal = u32::try_from(arguments.exit_signal).map_err(|_| Errno::EINVAL)?;
    if exit_signal != 0 && Signal::new(exit_signal).is_none() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let chosen = UserSlice::<i32>::new(UserAddr::new(arguments.set_tid), arguments.set_tid_size as usize);
    let chosen = chosen.read_to_vec()?;
    let unsupported = CLONE_PIDFD | CLONE_INTO_CGROUP;
    let has_no_own = arguments.flags & (CLONE_THREAD | CLONE_PARENT) != 0;
    if arguments.flags & (unsupported | CSIGNAL | CLONE_DETACHED) != 0 || has_no_own && exit_signal != 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    if (arguments.stack == 0) != (arguments.stack_size == 0) {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let stack = UserAddr::new(arguments.stack);
    hal::user_copy::checked(stack, arguments.stack_size).ok_or(Errno::EINVAL)?;
    let top = arguments.stack.saturating_add(arguments.stack_size);
    let request = CloneRequest {
        flags: arguments.flags,
        exit_signal,
        stack: (top != 0).then_some(top),
        tls: arguments.tls,
        parent_tid: UserAddr::new(arguments.parent_tid),
        child_tid: UserAddr::new(arguments.child_tid),
        // There is one level of numbers; to ask for another one comes to nothing only where the child gets its number.
        chosen_tid: match chosen[..] {
            [] => None,
            [chosen] => Some(chosen),
            _ => Some(0),
        },
    };
    clone::clone(caller, &request)
}

/// Reads a structure that may be older or newer than ours: what we do not know must be zero.
fn read_clone_arguments(address: UserAddr, size: usize) -> Result<CloneArgs, Errno> {
    if size > usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX) {
        return Err(Errno::E2BIG);
    }
    if size < CLONE_ARGS_SIZE_VER0 {
        return Err(Errno::EINVAL);
    }
    let mut arguments = CloneArgs::new_zeroed();
    let known = size.min(size_of::<CloneArgs>());
    read_bytes(address, &mut arguments.as_mut_bytes()[..known])?;
    for offset in known..size {
        let mut byte = [0];
        read_bytes(memory::user::offset_address(address, offset)?, &mut byte)?;
        if byte != [0] {
            return Err(Errno::E2BIG);
        }
    }
    Ok(arguments)
}

/// `exit`: ends the thread.
pub fn exit(caller: &mut Caller<'_>, code: i32) -> Result<(), Failure> {
    caller.thread.end(WaitStatus::exited(code));
    Ok(())
}

/// `exit_group`: ends the process.
pub fn exit_group(caller: &mut Caller<'_>, code: i32) -> Result<(), Failure> {
    send::end_process(caller.thread.process(), WaitStatus::exited(code));
    Ok(())
}

/// `wait4`.
pub fn wait4(
    caller: &mut Caller<'_>,
    pid: i32,
    status: UserPtr<i32>,
    options: u32,
    usage: UserPtr<Rusage>,
) -> Result<u32, Failure> {
    if options & !(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL) != 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let which = match pid {
        i32::MIN => return Err(Failure::Errno(Errno::ESRCH)),
        -1 => Which::Any,
        0 => Which::Group(caller.thread.process().group()),
        pid if pid < 0 => Which::Group(caller.thread.pid_namespace().find(-pid).ok_or(Errno::ECHILD)?),
        pid => Which::Child(caller.thread.pid_namespace().find(pid).ok_or(Errno::ECHILD)?),
    };
    let Some(report) = wait_for_child(caller.thread, which, options | WEXITED)? else { return Ok(0) };
    if let Some(status) = status.optional() {
        status.write(&report.status().0)?;
    }
    if let Some(usage) = usage.optional() {
        usage.write(&rusage_of(report.times))?;
    }
    Ok(report.pid.number_in(caller.thread.pid_namespace()))
}

/// The bytes of `si_pid`, `si_uid` and `si_status`.
const CHILD_FIELDS: Range<usize> =
    offset_of!(SigInfo, fields)..offset_of!(SigInfo, fields) + 3 * size_of::<u32>();

/// `waitid`.
pub fn waitid(
    caller: &mut Caller<'_>,
    kind: u32,
    id: i32,
    info: UserPtr<SigInfo>,
    options: u32,
    usage: UserPtr<Rusage>,
) -> Result<(), Failure> {
    let outcome = wait_for_id(caller, kind, id, options);
    let report = outcome.as_ref().ok().and_then(Option::as_ref);
    if let (Some(report), Some(usage)) = (report, usage.optional()) {
        usage.write(&rusage_of(report.times))?;
    }
    // Linux writes it whatever came out: zeroes where there is nothing to tell.
    if let Some(info) = info.optional() {
        let told = report.map_or_else(SigInfo::default, |report| report.info(caller.thread));
        // What lies between and behind these members stays as it was.
        for range in [offset_of!(SigInfo, si_signo)..offset_of!(SigInfo, pad), CHILD_FIELDS] {
            let address = offset_address(info.address(), range.start)?;
            write_bytes(address, told.as_bytes().get(range).unwrap_or_default())?;
        }
    }
    outcome.map(drop)
}

fn wait_for_id(caller: &Caller<'_>, kind: u32, id: i32, options: u32) -> Result<Option<Report>, Failure> {
    let states = WEXITED | WSTOPPED | WCONTINUED;
    let known = states | WNOHANG | WNOWAIT | __WNOTHREAD | __WCLONE | __WALL;
    if options & !known != 0 || options & states == 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let which = match kind {
        P_ALL => Which::Any,
        P_PID => Which::Child(caller.thread.pid_namespace().find(id).ok_or(Errno::EINVAL)?),
        P_PGID if id == 0 => Which::Group(caller.thread.process().group()),
        P_PGID => Which::Group(caller.thread.pid_namespace().find(id).ok_or(Errno::EINVAL)?),
        // No descriptor stands for a process here.
        P_PIDFD if id >= 0 => return Err(Failure::Errno(Errno::EBADF)),
        _ => return Err(Failure::Errno(Errno::EINVAL)),
    };
    wait_for_child(caller.thread, which, options)
}

/// A number as a call returns it, which widens without a sign.
#[inline]
fn shown(caller: &Caller<'_>, pid: Pid) -> u32 {
    pid.number_in(caller.thread.pid_namespace())
}

/// `getpid`.
pub fn getpid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(shown(caller, caller.thread.process().pid()))
}

/// `gettid`.
pub fn gettid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(shown(caller, caller.thread.id()))
}

/// `getppid`.
pub fn getppid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(shown(caller, caller.thread.process().parent()))
}

/// `getpgrp`.
pub fn getpgrp(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(shown(caller, caller.thread.process().group()))
}

/// `getpgid`.
pub fn getpgid(caller: &mut Caller<'_>, pid: i32) -> Result<u32, Failure> {
    Ok(shown(caller, group::process_or_self(caller.thread, pid)?.group()))
}

/// `getsid`.
pub fn getsid(caller: &mut Caller<'_>, pid: i32) -> Result<u32, Failure> {
    Ok(shown(caller, group::process_or_self(caller.thread, pid)?.session().id()))
}

/// `setpgid`.
pub fn setpgid(caller: &mut Caller<'_>, pid: i32, group: i32) -> Result<(), Failure> {
    Ok(group::set_group(caller.thread, pid, group)?)
}

/// `setsid`.
pub fn setsid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(shown(caller, group::new_session(caller.thread)?))
}

/// `set_tid_address`: where the thread's number is cleared at its end.
pub fn set_tid_address(caller: &mut Caller<'_>, address: UserAddr) -> Result<u32, Failure> {
    caller.thread.set_clear_child_id(address);
    Ok(shown(caller, caller.thread.id()))
}
