//! Priorities of input and output: `ioprio_set`, `ioprio_get`, and who inherits them.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::resource::*;
use abi::signal::SIGKILL;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use libsyscall::process::{getpid, kill};

conformance::tests!(&[
    ("what_can_be_set", what_can_be_set),
    ("children_and_threads_inherit", children_and_threads_inherit),
    ("groups_and_users", groups_and_users),
    ("others_are_asked_for_rights", others_are_asked_for_rights),
    ("who_is_not_there", who_is_not_there),
]);

const RT: u32 = IOPRIO_CLASS_RT << IOPRIO_CLASS_SHIFT;
const BE: u32 = IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT;
const IDLE: u32 = IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT;

fn set(which: u32, who: i32, priority: u32) -> Result<(), Errno> {
    raw::call(nr::ioprio_set, &[which.into(), who as u64, priority.into()]).map(drop)
}

fn get(which: u32, who: i32) -> Result<u32, Errno> {
    raw::call(nr::ioprio_get, &[which.into(), who as u64]).map(|priority| priority as u32)
}

fn own() -> Result<u32, Errno> {
    get(IOPRIO_WHO_PROCESS, 0)
}

fn what_can_be_set() -> Outcome {
    check_eq!(own(), Ok(0));
    for good in [BE, BE | 7, BE | 8, RT | 3, RT | 0x48, BE | 0x1fff, IDLE, IDLE | 7, IDLE | 100, 8, 0] {
        check_eq!((good, set(IOPRIO_WHO_PROCESS, 0, good), own()), (good, Ok(()), Ok(good)));
    }
    check_eq!((set(IOPRIO_WHO_PROCESS, 0, 0xffff_0000 | BE | 2), own()), (Ok(()), Ok(BE | 2)));
    for bad in [1, 7, 9, 0x1_0001, u32::MAX, 4 << IOPRIO_CLASS_SHIFT, 7 << IOPRIO_CLASS_SHIFT] {
        check_eq!((bad, set(IOPRIO_WHO_PROCESS, 0, bad)), (bad, Err(Errno::EINVAL)));
    }
    for which in [0, 4, u32::MAX] {
        check_eq!((set(which, 0, BE), get(which, 0)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    }
    check_eq!(set(4, 0, 1), Err(Errno::EINVAL));
    set(IOPRIO_WHO_PROCESS, 0, 0)?;
    files::as_user(|| {
        check_eq!((set(IOPRIO_WHO_PROCESS, 0, RT), own()), (Err(Errno::EPERM), Ok(0)));
        check_eq!(set(IOPRIO_WHO_PROCESS, 0, RT | 9), Err(Errno::EPERM));
        check_eq!(set(9, 0, RT), Err(Errno::EPERM));
        check_eq!((set(IOPRIO_WHO_PROCESS, getpid(), IDLE), own()), (Ok(()), Ok(IDLE)));
        Ok(())
    })
}

fn children_and_threads_inherit() -> Outcome {
    set(IOPRIO_WHO_PROCESS, 0, BE | 6)?;
    check!(child::succeeds(|| {
        check_eq!(own(), Ok(BE | 6));
        set(IOPRIO_WHO_PROCESS, 0, IDLE)?;
        Ok(())
    })?);
    check_eq!(own(), Ok(BE | 6));
    let seen = ulib::thread::spawn(|| {
        let seen = own();
        let changed = set(IOPRIO_WHO_PROCESS, 0, BE | 1);
        (seen, changed, own())
    })?
    .join();
    check_eq!(seen, (Ok(BE | 6), Ok(()), Ok(BE | 1)));
    check_eq!(own(), Ok(BE | 6));
    Ok(())
}

fn sleeper(body: impl FnOnce() -> Outcome) -> Result<i32, Failure> {
    child::start(|| {
        if body().is_err() {
            return 1;
        }
        loop {
            ulib::time::sleep(core::time::Duration::from_secs(1000));
        }
    })
}

fn groups_and_users() -> Outcome {
    check!(child::succeeds(|| {
        raw::call(nr::setpgid, &[0, 0])?;
        // Where nothing is set, the nice value says it.
        check_eq!((get(IOPRIO_WHO_PGRP, 0), own()), (Ok(BE | 4), Ok(0)));
        raw::call(nr::setpriority, &[PRIO_PROCESS.into(), 0, 10])?;
        check_eq!((get(IOPRIO_WHO_PGRP, 0), own()), (Ok(BE | 6), Ok(0)));
        set(IOPRIO_WHO_PGRP, 0, BE | 5)?;
        let other = sleeper(|| Ok(set(IOPRIO_WHO_PROCESS, 0, BE | 3)?))?;
        while get(IOPRIO_WHO_PROCESS, other)? != BE | 3 {
            libsyscall::thread::sched_yield();
        }
        // The best of all.
        check_eq!((get(IOPRIO_WHO_PGRP, 0), own()), (Ok(BE | 3), Ok(BE | 5)));
        check_eq!(get(IOPRIO_WHO_PGRP, getpid()), Ok(BE | 3));
        set(IOPRIO_WHO_PGRP, getpid(), IDLE)?;
        check_eq!((get(IOPRIO_WHO_PROCESS, other), own()), (Ok(IDLE), Ok(IDLE)));
        kill(other, SIGKILL)?;
        child::wait(other)?;
        Ok(())
    })?);
    check!(child::succeeds(|| {
        raw::call(nr::setresuid, &[4021, 0, 0])?;
        let other = sleeper(|| Ok(set(IOPRIO_WHO_PROCESS, 0, RT | 7)?))?;
        while get(IOPRIO_WHO_PROCESS, other)? != RT | 7 {
            libsyscall::thread::sched_yield();
        }
        check_eq!((get(IOPRIO_WHO_USER, 4021), get(IOPRIO_WHO_USER, 0)), (Ok(RT | 7), Ok(RT | 7)));
        check_eq!(set(IOPRIO_WHO_USER, 4021, BE | 2), Ok(()));
        check_eq!((get(IOPRIO_WHO_PROCESS, other), own()), (Ok(BE | 2), Ok(BE | 2)));
        kill(other, SIGKILL)?;
        child::wait(other)?;
        Ok(())
    })?);
    Ok(())
}

fn others_are_asked_for_rights() -> Outcome {
    let parent = getpid();
    files::as_user(|| {
        check_eq!(get(IOPRIO_WHO_PROCESS, parent), Ok(0));
        check_eq!(set(IOPRIO_WHO_PROCESS, parent, BE), Err(Errno::EPERM));
        check_eq!(set(IOPRIO_WHO_PROCESS, 1, IDLE), Err(Errno::EPERM));
        Ok(())
    })
}

fn who_is_not_there() -> Outcome {
    for which in [IOPRIO_WHO_PROCESS, IOPRIO_WHO_PGRP, IOPRIO_WHO_USER] {
        for who in [0x3f_fff0, -2] {
            check_eq!((which, who, get(which, who)), (which, who, Err(Errno::ESRCH)));
            check_eq!((which, who, set(which, who, BE)), (which, who, Err(Errno::ESRCH)));
        }
    }
    Ok(())
}
