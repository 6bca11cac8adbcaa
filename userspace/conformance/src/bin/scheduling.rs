//! Policies, priorities and affinity.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::O_NONBLOCK;
use abi::native::nr;
use abi::process::*;
use abi::resource::*;
use abi::signal::SIGKILL;
use abi::time::Timespec;
use alloc::vec::Vec;
use conformance::{Outcome, check, check_eq, child, raw};
use core::hint::black_box;
use libsyscall::file::{pipe2, read, write};
use libsyscall::process::{getpid, kill};
use libsyscall::thread::sched_yield;

conformance::tests!(&[
    ("priorities_have_bounds", priorities_have_bounds),
    ("policies_are_set_and_read", policies_are_set_and_read),
    ("policies_refuse", policies_refuse),
    ("privilege_is_needed_to_rise", privilege_is_needed_to_rise),
    ("limits_grant_a_rise", limits_grant_a_rise),
    ("children_are_scheduled_as_their_parent", children_are_scheduled_as_their_parent),
    ("children_can_start_modestly", children_can_start_modestly),
    ("attributes_are_set_and_read", attributes_are_set_and_read),
    ("attributes_refuse", attributes_refuse),
    ("slices_have_a_length", slices_have_a_length),
    ("nice_values_are_set_and_read", nice_values_are_set_and_read),
    ("affinity_is_set_and_read", affinity_is_set_and_read),
    ("affinity_refuses", affinity_refuses),
    ("every_processor_can_be_chosen", every_processor_can_be_chosen),
    ("a_higher_priority_runs_at_once", a_higher_priority_runs_at_once),
    ("equals_keep_the_order_of_their_coming", equals_keep_the_order_of_their_coming),
    ("a_realtime_spinner_can_be_ended", a_realtime_spinner_can_be_ended),
]);

const NOBODY: u64 = 65534;

fn address<T>(value: &mut T) -> u64 {
    (&raw mut *value) as u64
}

fn set_scheduler(pid: i32, policy: u32, priority: i32) -> Result<(), Errno> {
    let mut parameter = SchedParam { sched_priority: priority };
    raw::call(nr::sched_setscheduler, &[pid as u64, u64::from(policy), address(&mut parameter)]).map(drop)
}

fn scheduler(pid: i32) -> Result<u32, Errno> {
    raw::call(nr::sched_getscheduler, &[pid as u64]).map(|policy| policy as u32)
}

fn set_priority(pid: i32, priority: i32) -> Result<(), Errno> {
    let mut parameter = SchedParam { sched_priority: priority };
    raw::call(nr::sched_setparam, &[pid as u64, address(&mut parameter)]).map(drop)
}

fn priority(pid: i32) -> Result<i32, Errno> {
    let mut parameter = SchedParam { sched_priority: -1 };
    raw::call(nr::sched_getparam, &[pid as u64, address(&mut parameter)])?;
    Ok(black_box(parameter).sched_priority)
}

fn nice(kind: u32, who: i32) -> Result<i32, Errno> {
    raw::call(nr::getpriority, &[u64::from(kind), who as u64]).map(|value| 20 - value as i32)
}

fn set_nice(kind: u32, who: i32, value: i32) -> Result<(), Errno> {
    raw::call(nr::setpriority, &[u64::from(kind), who as u64, value as u64]).map(drop)
}

fn affinity(pid: i32) -> Result<u64, Errno> {
    let mut mask = [0u64; 16];
    raw::call(nr::sched_getaffinity, &[pid as u64, 128, address(&mut mask)])?;
    Ok(black_box(mask)[0])
}

fn set_affinity(pid: i32, mask: u64) -> Result<(), Errno> {
    let mut mask = mask;
    raw::call(nr::sched_setaffinity, &[pid as u64, 8, address(&mut mask)]).map(drop)
}

fn processor() -> Result<u32, Errno> {
    let mut processor = u32::MAX;
    raw::call(nr::getcpu, &[address(&mut processor), 0, 0])?;
    Ok(black_box(processor))
}

fn become_nobody() -> Result<(), Errno> {
    raw::call(nr::setresuid, &[NOBODY, NOBODY, NOBODY]).map(drop)
}

fn set_limit(resource: u32, value: u64) -> Result<(), Errno> {
    let mut limit = [value, value];
    raw::call(nr::prlimit64, &[0, u64::from(resource), address(&mut limit), 0]).map(drop)
}

const NO_PROCESS: i32 = 0x3f_fff0;

fn priorities_have_bounds() -> Outcome {
    let bounds = |policy: u32| {
        let bound = |call| raw::call(call, &[u64::from(policy)]);
        (bound(nr::sched_get_priority_min), bound(nr::sched_get_priority_max))
    };
    for policy in [SCHED_FIFO, SCHED_RR] {
        check_eq!(bounds(policy), (Ok(1), Ok(99)));
    }
    for policy in [SCHED_NORMAL, SCHED_BATCH, SCHED_IDLE, SCHED_DEADLINE] {
        check_eq!(bounds(policy), (Ok(0), Ok(0)));
    }
    for policy in [4, 7, SCHED_RESET_ON_FORK, u32::MAX] {
        check_eq!(bounds(policy), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    }
    Ok(())
}

fn policies_are_set_and_read() -> Outcome {
    check_eq!(scheduler(0), Ok(SCHED_NORMAL));
    for (policy, value) in
        [(SCHED_FIFO, 10), (SCHED_RR, 20), (SCHED_BATCH, 0), (SCHED_IDLE, 0), (SCHED_NORMAL, 0)]
    {
        check_eq!(set_scheduler(0, policy, value), Ok(()));
        check_eq!(scheduler(0), Ok(policy));
        check_eq!(scheduler(getpid()), Ok(policy));
        check_eq!(priority(0), Ok(value));
    }
    check_eq!(set_scheduler(0, SCHED_RR, 7), Ok(()));
    check_eq!(set_priority(0, 99), Ok(()));
    check_eq!((scheduler(0), priority(0)), (Ok(SCHED_RR), Ok(99)));
    check_eq!(set_priority(0, 0), Err(Errno::EINVAL));
    check_eq!(set_scheduler(0, SCHED_NORMAL | SCHED_RESET_ON_FORK, 0), Ok(()));
    check_eq!(scheduler(0), Ok(SCHED_NORMAL | SCHED_RESET_ON_FORK));
    Ok(())
}

fn policies_refuse() -> Outcome {
    for (policy, value) in [
        (SCHED_FIFO, 0),
        (SCHED_FIFO, 100),
        (SCHED_RR, -1),
        (SCHED_NORMAL, 1),
        (SCHED_BATCH, 5),
        (SCHED_IDLE, 99),
        (SCHED_DEADLINE, 0),
        (4, 0),
        (7, 0),
        (u32::MAX, 0),
    ] {
        check_eq!(set_scheduler(0, policy, value), Err(Errno::EINVAL));
    }
    check_eq!(set_scheduler(-1, SCHED_NORMAL, 0), Err(Errno::EINVAL));
    check_eq!(set_scheduler(NO_PROCESS, SCHED_NORMAL, 0), Err(Errno::ESRCH));
    check_eq!(scheduler(-1), Err(Errno::EINVAL));
    check_eq!(scheduler(NO_PROCESS), Err(Errno::ESRCH));
    check_eq!(priority(-1), Err(Errno::EINVAL));
    check_eq!(priority(NO_PROCESS), Err(Errno::ESRCH));
    for call in [nr::sched_setparam, nr::sched_getparam] {
        check_eq!(raw::call(call, &[0, 0]), Err(Errno::EINVAL));
        check_eq!(raw::call(call, &[0, 8]), Err(Errno::EFAULT));
    }
    check_eq!(raw::call(nr::sched_setscheduler, &[0, 0, 0]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::sched_setscheduler, &[0, 0, 8]), Err(Errno::EFAULT));
    Ok(())
}

fn privilege_is_needed_to_rise() -> Outcome {
    let parent = getpid();
    let refused = || {
        become_nobody()?;
        check_eq!(set_scheduler(0, SCHED_FIFO, 1), Err(Errno::EPERM));
        check_eq!(set_scheduler(parent, SCHED_BATCH, 0), Err(Errno::EPERM));
        check_eq!(set_nice(PRIO_PROCESS, parent, 19), Err(Errno::EPERM));
        check_eq!(set_affinity(parent, 1), Err(Errno::EPERM));
        check_eq!(set_scheduler(0, SCHED_BATCH, 0), Ok(()));
        check_eq!(set_nice(PRIO_PROCESS, 0, 5), Ok(()));
        check_eq!(set_nice(PRIO_PROCESS, 0, 4), Err(Errno::EACCES));
        check_eq!(set_nice(PRIO_PROCESS, 0, 5), Ok(()));
        check_eq!(set_scheduler(0, SCHED_IDLE, 0), Ok(()));
        check_eq!(set_scheduler(0, SCHED_NORMAL, 0), Err(Errno::EPERM));
        check_eq!(nice(PRIO_PROCESS, 0), Ok(5));
        Ok(())
    };
    check!(child::succeeds(refused)?);
    let kept = || {
        check_eq!(set_scheduler(0, SCHED_NORMAL | SCHED_RESET_ON_FORK, 0), Ok(()));
        become_nobody()?;
        check_eq!(set_scheduler(0, SCHED_NORMAL, 0), Err(Errno::EPERM));
        check_eq!(set_scheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, 0), Ok(()));
        Ok(())
    };
    check!(child::succeeds(kept)?);
    Ok(())
}

fn limits_grant_a_rise() -> Outcome {
    let granted = || {
        set_limit(RLIMIT_RTPRIO, 5)?;
        set_limit(RLIMIT_NICE, 30)?;
        become_nobody()?;
        check_eq!(set_scheduler(0, SCHED_FIFO, 6), Err(Errno::EPERM));
        check_eq!(set_scheduler(0, SCHED_FIFO, 5), Ok(()));
        check_eq!(set_priority(0, 6), Err(Errno::EPERM));
        check_eq!(set_priority(0, 2), Ok(()));
        check_eq!(set_scheduler(0, SCHED_IDLE, 0), Ok(()));
        check_eq!(set_scheduler(0, SCHED_NORMAL, 0), Ok(()));
        check_eq!(set_nice(PRIO_PROCESS, 0, 10), Ok(()));
        check_eq!(set_nice(PRIO_PROCESS, 0, -11), Err(Errno::EACCES));
        check_eq!(set_nice(PRIO_PROCESS, 0, -10), Ok(()));
        check_eq!(nice(PRIO_PROCESS, 0), Ok(-10));
        Ok(())
    };
    check!(child::succeeds(granted)?);
    let lowered = || {
        check_eq!(set_scheduler(0, SCHED_FIFO, 50), Ok(()));
        become_nobody()?;
        // The same policy at the same priority or below needs nothing.
        check_eq!(set_priority(0, 50), Ok(()));
        check_eq!(set_priority(0, 40), Ok(()));
        check_eq!(set_priority(0, 41), Err(Errno::EPERM));
        check_eq!(set_scheduler(0, SCHED_RR, 40), Err(Errno::EPERM));
        check_eq!(set_scheduler(0, SCHED_NORMAL, 0), Ok(()));
        Ok(())
    };
    check!(child::succeeds(lowered)?);
    Ok(())
}

fn children_are_scheduled_as_their_parent() -> Outcome {
    set_nice(PRIO_PROCESS, 0, 3)?;
    set_scheduler(0, SCHED_BATCH, 0)?;
    let inherited = || {
        check_eq!((scheduler(0), nice(PRIO_PROCESS, 0)), (Ok(SCHED_BATCH), Ok(3)));
        Ok(())
    };
    check!(child::succeeds(inherited)?);
    set_scheduler(0, SCHED_FIFO, 4)?;
    let inherited = || {
        check_eq!((scheduler(0), priority(0)), (Ok(SCHED_FIFO), Ok(4)));
        Ok(())
    };
    check!(child::succeeds(inherited)?);
    Ok(())
}

fn children_can_start_modestly() -> Outcome {
    set_nice(PRIO_PROCESS, 0, -5)?;
    set_scheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, 4)?;
    let modest = || {
        check_eq!((scheduler(0), priority(0)), (Ok(SCHED_NORMAL), Ok(0)));
        check_eq!(nice(PRIO_PROCESS, 0), Ok(0));
        Ok(())
    };
    check!(child::succeeds(modest)?);
    set_scheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, 0)?;
    let modest = || {
        check_eq!((scheduler(0), nice(PRIO_PROCESS, 0)), (Ok(SCHED_BATCH), Ok(0)));
        Ok(())
    };
    check!(child::succeeds(modest)?);
    Ok(())
}

fn set_attributes(attributes: &mut SchedAttr) -> Result<(), Errno> {
    raw::call(nr::sched_setattr, &[0, address(attributes), 0]).map(drop)
}

fn attributes(size: usize) -> Result<SchedAttr, Errno> {
    let mut attributes = SchedAttr::default();
    raw::call(nr::sched_getattr, &[0, address(&mut attributes), size as u64, 0])?;
    Ok(black_box(attributes))
}

fn attributes_are_set_and_read() -> Outcome {
    let base = SchedAttr { size: SCHED_ATTR_SIZE_VER0 as u32, ..SchedAttr::default() };
    set_attributes(&mut SchedAttr { sched_policy: SCHED_BATCH, sched_nice: 7, ..base })?;
    check_eq!((scheduler(0), nice(PRIO_PROCESS, 0)), (Ok(SCHED_BATCH), Ok(7)));
    let found = attributes(SCHED_ATTR_SIZE_VER0)?;
    check_eq!((found.size, found.sched_policy, found.sched_nice), (48, SCHED_BATCH, 7));
    set_attributes(&mut SchedAttr { sched_policy: SCHED_FIFO, sched_priority: 9, size: 0, ..base })?;
    let found = attributes(SCHED_ATTR_SIZE_VER0)?;
    check_eq!((found.sched_policy, found.sched_nice, found.sched_priority), (SCHED_FIFO, 0, 9));
    // A nice value beyond the last counts as the last.
    let flags = SCHED_FLAG_RESET_ON_FORK;
    set_attributes(&mut SchedAttr { sched_nice: 100, sched_flags: flags, ..base })?;
    check_eq!(nice(PRIO_PROCESS, 0), Ok(19));
    check_eq!(attributes(SCHED_ATTR_SIZE_VER0)?.sched_flags, SCHED_FLAG_RESET_ON_FORK);
    set_attributes(&mut SchedAttr { sched_nice: -3, sched_flags: SCHED_FLAG_KEEP_POLICY, ..base })?;
    check_eq!((scheduler(0), nice(PRIO_PROCESS, 0)), (Ok(SCHED_RESET_ON_FORK), Ok(-3)));
    // The policy is one of the parameters that are kept.
    let kept = SCHED_FLAG_KEEP_PARAMS;
    set_attributes(&mut SchedAttr { sched_policy: SCHED_IDLE, sched_flags: kept, ..base })?;
    check_eq!((scheduler(0), nice(PRIO_PROCESS, 0)), (Ok(SCHED_NORMAL), Ok(-3)));
    check!(attributes(4096)?.size as usize >= size_of::<SchedAttr>());
    Ok(())
}

fn attributes_refuse() -> Outcome {
    let base = SchedAttr { size: 48, ..SchedAttr::default() };
    let set = |attributes: SchedAttr| {
        let mut attributes = attributes;
        (set_attributes(&mut attributes), black_box(attributes).size)
    };
    check_eq!(set(SchedAttr { sched_policy: 7, ..base }).0, Err(Errno::EINVAL));
    check_eq!(set(SchedAttr { sched_policy: u32::MAX, ..base }).0, Err(Errno::EINVAL));
    check_eq!(set(SchedAttr { sched_priority: 1, ..base }).0, Err(Errno::EINVAL));
    check_eq!(set(SchedAttr { sched_policy: SCHED_RR, ..base }).0, Err(Errno::EINVAL));
    check_eq!(set(SchedAttr { sched_policy: SCHED_RR, sched_priority: 100, ..base }).0, Err(Errno::EINVAL));
    check_eq!(set(SchedAttr { sched_flags: 1 << 20, ..base }).0, Err(Errno::EINVAL));
    check_eq!(set(SchedAttr { size: 47, ..base }), (Err(Errno::E2BIG), 56));
    check_eq!(set(SchedAttr { size: 4097, ..base }), (Err(Errno::E2BIG), 56));
    check_eq!(raw::call(nr::sched_setattr, &[0, 0, 0]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::sched_setattr, &[0, 8, 0]), Err(Errno::EFAULT));
    let mut attributes = base;
    for (pid, flags, error) in [(0, 1, Errno::EINVAL), (-1, 0, Errno::EINVAL), (NO_PROCESS, 0, Errno::ESRCH)]
    {
        let call = raw::call(nr::sched_setattr, &[pid as u64, address(&mut attributes), flags]);
        check_eq!(call, Err(error));
        let call = raw::call(nr::sched_getattr, &[pid as u64, address(&mut attributes), 48, flags]);
        check_eq!(call, Err(error));
    }
    for size in [0, 47, 4097] {
        let call = raw::call(nr::sched_getattr, &[0, address(&mut attributes), size, 0]);
        check_eq!(call, Err(Errno::EINVAL));
    }
    Ok(())
}

fn slices_have_a_length() -> Outcome {
    let interval = |pid: i32| {
        let mut interval = Timespec { tv_sec: -1, tv_nsec: -1 };
        raw::call(nr::sched_rr_get_interval, &[pid as u64, address(&mut interval)])?;
        Ok::<_, Errno>(black_box(interval))
    };
    set_scheduler(0, SCHED_RR, 1)?;
    check_eq!(interval(0)?, Timespec { tv_sec: 0, tv_nsec: 100_000_000 });
    set_scheduler(0, SCHED_FIFO, 1)?;
    check_eq!(interval(0)?, Timespec { tv_sec: 0, tv_nsec: 0 });
    set_scheduler(0, SCHED_NORMAL, 0)?;
    check!(interval(getpid())?.tv_sec == 0);
    check_eq!(interval(-1).map(drop), Err(Errno::EINVAL));
    check_eq!(interval(NO_PROCESS).map(drop), Err(Errno::ESRCH));
    Ok(())
}

fn nice_values_are_set_and_read() -> Outcome {
    for (asked, expected) in [(5, 5), (-7, -7), (100, 19), (-100, -20), (0, 0)] {
        check_eq!(set_nice(PRIO_PROCESS, 0, asked), Ok(()));
        check_eq!(nice(PRIO_PROCESS, getpid()), Ok(expected));
    }
    // The test is a group of its own.
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| i32::from(read(reader, &mut [0]) != Ok(1)))?;
    check_eq!(set_nice(PRIO_PGRP, 0, 9), Ok(()));
    check_eq!(nice(PRIO_PROCESS, pid), Ok(9));
    check_eq!(set_nice(PRIO_PROCESS, pid, 2), Ok(()));
    check_eq!(nice(PRIO_PGRP, 0), Ok(2));
    check_eq!(nice(PRIO_PGRP, getpid()), Ok(2));
    write(writer, b"x")?;
    check_eq!(child::wait(pid)?, WaitStatus(0));
    let by_user = || {
        become_nobody()?;
        set_nice(PRIO_USER, 0, 11)?;
        check_eq!(nice(PRIO_USER, NOBODY as i32), Ok(11));
        check_eq!(nice(PRIO_PROCESS, 0), Ok(11));
        Ok(())
    };
    check!(child::succeeds(by_user)?);
    for (kind, who, error) in [
        (3, 0, Errno::EINVAL),
        (u32::MAX, 0, Errno::EINVAL),
        (PRIO_PROCESS, NO_PROCESS, Errno::ESRCH),
        (PRIO_PROCESS, -1, Errno::ESRCH),
        (PRIO_PGRP, NO_PROCESS, Errno::ESRCH),
        (PRIO_USER, 54_321, Errno::ESRCH),
    ] {
        check_eq!(nice(kind, who), Err(error));
        check_eq!(set_nice(kind, who, 0), Err(error));
    }
    Ok(())
}

fn affinity_is_set_and_read() -> Outcome {
    let all = affinity(0)?;
    check!(all & 1 != 0);
    check_eq!(set_affinity(0, 1), Ok(()));
    check_eq!((affinity(0), affinity(getpid()), processor()), (Ok(1), Ok(1), Ok(0)));
    let inherited = || {
        check_eq!(affinity(0), Ok(1));
        Ok(())
    };
    check!(child::succeeds(inherited)?);
    // Processors that do not exist are left out.
    check_eq!(set_affinity(0, u64::MAX), Ok(()));
    check_eq!(affinity(0), Ok(all));
    let mut byte = 1u8;
    check_eq!(raw::call(nr::sched_setaffinity, &[0, 1, address(&mut byte)]), Ok(0));
    check_eq!(affinity(0), Ok(1));
    Ok(())
}

fn affinity_refuses() -> Outcome {
    check_eq!(set_affinity(0, 0), Err(Errno::EINVAL));
    check_eq!(set_affinity(NO_PROCESS, 1), Err(Errno::ESRCH));
    check_eq!(set_affinity(-1, 1), Err(Errno::ESRCH));
    check_eq!(affinity(-1), Err(Errno::ESRCH));
    check_eq!(raw::call(nr::sched_setaffinity, &[0, 8, 8]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::sched_getaffinity, &[0, 8, 8]), Err(Errno::EFAULT));
    let mut mask = [0u64; 2];
    for size in [0, 4, 7, 9, 12] {
        let call = raw::call(nr::sched_getaffinity, &[0, size, address(&mut mask)]);
        check_eq!(call, Err(Errno::EINVAL));
    }
    Ok(())
}

fn every_processor_can_be_chosen() -> Outcome {
    let all = affinity(0)?;
    for _ in 0..20 {
        for number in (0..64).filter(|number| all & 1 << number != 0) {
            set_affinity(0, 1 << number)?;
            check_eq!(processor(), Ok(number));
            sched_yield();
            check_eq!(processor(), Ok(number));
        }
    }
    Ok(())
}

fn a_higher_priority_runs_at_once() -> Outcome {
    set_affinity(0, 1)?;
    set_scheduler(0, SCHED_FIFO, 10)?;
    let (ask_read, ask_write) = pipe2(0)?;
    let (answer_read, answer_write) = pipe2(O_NONBLOCK)?;
    let pid = child::start(|| {
        if set_scheduler(0, SCHED_FIFO, 20).is_err() {
            return 1;
        }
        while read(ask_read, &mut [0]) == Ok(1) {
            if write(answer_write, b"y") != Ok(1) {
                return 2;
            }
        }
        0
    })?;
    // With the lower priority, this continues only when the child sleeps.
    sched_yield();
    for _ in 0..50 {
        write(ask_write, b"x")?;
        check_eq!(read(answer_read, &mut [0]), Ok(1));
    }
    kill(pid, SIGKILL)?;
    child::wait(pid)?;
    Ok(())
}

fn equals_keep_the_order_of_their_coming() -> Outcome {
    set_affinity(0, 1)?;
    set_scheduler(0, SCHED_FIFO, 10)?;
    let (reader, writer) = pipe2(0)?;
    let mut children = Vec::new();
    for name in *b"abc" {
        children.push(child::start(|| {
            for _ in 0..3 {
                if write(writer, &[name]) != Ok(1) {
                    return 1;
                }
                sched_yield();
            }
            0
        })?);
    }
    for pid in children {
        check_eq!(child::wait(pid)?, WaitStatus(0));
    }
    let mut order = [0; 9];
    check_eq!(read(reader, &mut order), Ok(9));
    check_eq!(order, *b"abcabcabc");
    Ok(())
}

fn a_realtime_spinner_can_be_ended() -> Outcome {
    set_affinity(0, 1)?;
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| {
        if set_scheduler(0, SCHED_FIFO, 99).is_err() || write(writer, b"x") != Ok(1) {
            return 1;
        }
        loop {
            core::hint::spin_loop();
        }
    })?;
    read(reader, &mut [0])?;
    check_eq!(scheduler(pid), Ok(SCHED_FIFO));
    kill(pid, SIGKILL)?;
    check!(child::wait(pid)? != WaitStatus(0));
    Ok(())
}
