//! Calls with several faults: the order in which a kernel looks for them shows in which error it answers.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::process::*;
use abi::signal::*;
use abi::time::NANOSECONDS_PER_SECOND;
use abi::time::*;
use conformance::files::as_user;
use conformance::{Outcome, check, check_eq, raw};
use core::hint::black_box;
use libsyscall::process::{getpid, getppid, getuid};
use libsyscall::thread::gettid;

conformance::tests!(&[
    ("sleeps_on_clocks", sleeps_on_clocks),
    ("sleeps_that_would_wake_the_machine", sleeps_that_would_wake_the_machine),
    ("timers_of_clocks", timers_of_clocks),
    ("scheduling_with_clamps", scheduling_with_clamps),
    ("signal_actions", signal_actions),
    ("a_part_of_the_pending_signals", a_part_of_the_pending_signals),
    ("queued_information", queued_information),
    ("only_a_thread_s_own_number_is_its_own", only_a_thread_s_own_number_is_its_own),
    ("robust_lists", robust_lists),
]);

/// An address where nothing is mapped.
const BAD: u64 = 8;
/// No process has this number.
const NOBODY: i32 = 0x0fff_fff0;
/// `clockid_t` of the file with this descriptor, and of a thread's clock of no kind.
const FILE_CLOCK: i32 = !0 << 3 | 3;
const NO_KIND: i32 = !0 << 3 | 7;

fn address<T>(value: &T) -> u64 {
    core::ptr::from_ref(value) as u64
}

fn sleep(clock: i32, flags: u64, time: u64) -> Result<(), Errno> {
    raw::call(nr::clock_nanosleep, &[clock as u64, flags, time, 0]).map(drop)
}

/// The time of a process that is not there.
fn clock_of_nobody() -> i32 {
    !NOBODY << 3 | 2
}

fn sleeps_on_clocks() -> Outcome {
    let wrong = Timespec { tv_sec: 0, tv_nsec: NANOSECONDS_PER_SECOND };
    let past = Timespec { tv_sec: 0, tv_nsec: 1 };
    for time in [BAD, address(&wrong), address(&past)] {
        for clock in [CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, FILE_CLOCK] {
            check_eq!((clock, sleep(clock, 0, time)), (clock, Err(Errno::EOPNOTSUPP)));
        }
        for clock in [10, 12, 99, i32::MAX] {
            check_eq!((clock, sleep(clock, 0, time)), (clock, Err(Errno::EINVAL)));
        }
    }
    for clock in [CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, clock_of_nobody(), NO_KIND] {
        check_eq!((clock, sleep(clock, 0, BAD)), (clock, Err(Errno::EFAULT)));
        check_eq!((clock, sleep(clock, 0, address(&wrong))), (clock, Err(Errno::EINVAL)));
    }
    check_eq!(sleep(clock_of_nobody(), 0, address(&past)), Err(Errno::EINVAL));
    check_eq!(sleep(NO_KIND, 0, address(&past)), Err(Errno::EINVAL));
    // Other clocks look at no flag but this one.
    check_eq!(sleep(CLOCK_MONOTONIC, 0xfff0 | u64::from(TIMER_ABSTIME), address(&past)), Ok(()));
    Ok(())
}

fn sleeps_that_would_wake_the_machine() -> Outcome {
    let wrong = Timespec { tv_sec: 0, tv_nsec: -1 };
    let past = Timespec { tv_sec: 0, tv_nsec: 1 };
    let absolute = u64::from(TIMER_ABSTIME);
    for clock in [CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM] {
        check_eq!(sleep(clock, 2, BAD), Err(Errno::EFAULT));
        check_eq!(sleep(clock, absolute, address(&wrong)), Err(Errno::EINVAL));
        check_eq!(sleep(clock, absolute | 2, address(&past)), Err(Errno::EINVAL));
        check_eq!(sleep(clock, absolute, address(&past)), Ok(()));
        as_user(|| {
            check_eq!(sleep(clock, 0, BAD), Err(Errno::EFAULT));
            check_eq!(sleep(clock, 2, address(&past)), Err(Errno::EINVAL));
            check_eq!(sleep(clock, absolute, address(&past)), Err(Errno::EPERM));
            Ok(())
        })?;
    }
    Ok(())
}

fn timers_of_clocks() -> Outcome {
    let create = |clock: i32, event: u64| {
        let mut timer = -1i32;
        raw::call(nr::timer_create, &[clock as u64, event, (&raw mut timer) as u64]).map(drop)
    };
    let wrong = Sigevent { sigev_notify: 77, ..Sigevent::default() };
    for clock in [99, CLOCK_MONOTONIC_RAW, FILE_CLOCK, CLOCK_REALTIME_ALARM] {
        check_eq!((clock, create(clock, BAD)), (clock, Err(Errno::EFAULT)));
    }
    check_eq!(create(99, address(&wrong)), Err(Errno::EINVAL));
    check_eq!(create(FILE_CLOCK, address(&wrong)), Err(Errno::EOPNOTSUPP));
    check_eq!(create(clock_of_nobody(), 0), Err(Errno::EINVAL));
    as_user(|| {
        check_eq!(create(CLOCK_REALTIME_ALARM, address(&wrong)), Err(Errno::EINVAL));
        check_eq!(create(CLOCK_REALTIME_ALARM, 0), Err(Errno::EPERM));
        Ok(())
    })
}

fn scheduling_with_clamps() -> Outcome {
    let set = |pid: i32, attributes: &SchedAttr| {
        raw::call(nr::sched_setattr, &[pid as u64, address(attributes), 0]).map(drop)
    };
    let short = SchedAttr { size: 48, ..SchedAttr::default() };
    for flag in [SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_FLAG_UTIL_CLAMP_MAX] {
        let clamped = SchedAttr { sched_flags: flag, ..short };
        for size in [0, 48, 52] {
            check_eq!((size, set(0, &SchedAttr { size, ..clamped })), (size, Err(Errno::EINVAL)));
            check_eq!((size, set(NOBODY, &SchedAttr { size, ..clamped })), (size, Err(Errno::EINVAL)));
        }
        let whole = SchedAttr { size: 56, ..clamped };
        check_eq!(set(0, &whole), Err(Errno::EOPNOTSUPP));
        check_eq!(set(NOBODY, &whole), Err(Errno::ESRCH));
        check_eq!(set(0, &SchedAttr { sched_policy: 7, ..whole }), Err(Errno::EINVAL));
        check_eq!(set(0, &SchedAttr { size: 4097, ..clamped }), Err(Errno::E2BIG));
    }
    Ok(())
}

fn signal_actions() -> Outcome {
    let action = Sigaction { sa_handler: SIG_IGN, ..Sigaction::default() };
    let set = |signal: u32, new: u64, old: u64, size: u64| {
        raw::call(nr::rt_sigaction, &[signal.into(), new, old, size]).map(drop)
    };
    for signal in [0, 65, u32::MAX, SIGKILL, SIGUSR1] {
        check_eq!((signal, set(signal, BAD, 0, 8)), (signal, Err(Errno::EFAULT)));
        check_eq!((signal, set(signal, BAD, 0, 4)), (signal, Err(Errno::EINVAL)));
    }
    for signal in [0, 65, u32::MAX, SIGKILL] {
        check_eq!((signal, set(signal, address(&action), BAD, 8)), (signal, Err(Errno::EINVAL)));
    }
    check_eq!(set(SIGKILL, 0, BAD, 8), Err(Errno::EFAULT));
    check_eq!(set(65, 0, BAD, 8), Err(Errno::EINVAL));
    Ok(())
}

fn a_part_of_the_pending_signals() -> Outcome {
    libsyscall::signal::rt_sigprocmask(SIG_BLOCK, 1 << (SIGUSR1 - 1) | 1 << (40 - 1))?;
    libsyscall::process::kill(getpid(), SIGUSR1)?;
    libsyscall::process::kill(getpid(), 40)?;
    let pending: u64 = 1 << (SIGUSR1 - 1) | 1 << (40 - 1);
    for size in 0..=8 {
        let mut bytes = [0xee_u8; 9];
        raw::call(nr::rt_sigpending, &[(&raw mut bytes) as u64, size as u64])?;
        let bytes = black_box(bytes);
        let expected = pending.to_ne_bytes();
        check!(bytes[..size] == expected[..size] && bytes[size] == 0xee, "{size}: {bytes:x?}");
    }
    check_eq!(raw::call(nr::rt_sigpending, &[BAD, 0]), Ok(0));
    check_eq!(raw::call(nr::rt_sigpending, &[BAD, 1]), Err(Errno::EFAULT));
    for size in [9, 16, u64::MAX] {
        check_eq!(raw::call(nr::rt_sigpending, &[BAD, size]), Err(Errno::EINVAL));
    }
    Ok(())
}

fn queue(pid: i32, info: u64) -> Result<(), Errno> {
    raw::call(nr::rt_sigqueueinfo, &[pid as u64, 0, info]).map(drop)
}

fn queue_to(process: i32, thread: i32, signal: u32, info: u64) -> Result<(), Errno> {
    raw::call(nr::rt_tgsigqueueinfo, &[process as u64, thread as u64, signal.into(), info]).map(drop)
}

fn queued_information() -> Outcome {
    let queued = SigInfo::queued(SIGUSR1, SI_QUEUE, getpid(), getuid(), 1);
    let forged = SigInfo::user(SIGUSR1, SI_USER, 1, 0);
    let tid = gettid();
    for info in [&queued, &forged] {
        for (process, thread) in [(0, tid), (-1, tid), (getpid(), 0), (getpid(), -1), (0, 0)] {
            check_eq!(queue_to(process, thread, 0, BAD), Err(Errno::EFAULT));
            let call = queue_to(process, thread, 0, address(info));
            check_eq!((process, thread, call), (process, thread, Err(Errno::EINVAL)));
        }
    }
    // Which thread is meant decides whether somebody speaks for the kernel, before who it is.
    check_eq!(queue_to(getppid(), tid, 0, address(&forged)), Err(Errno::ESRCH));
    check_eq!(queue_to(getpid(), NOBODY, 0, address(&forged)), Err(Errno::EPERM));
    check_eq!(queue_to(getpid(), NOBODY, 0, address(&queued)), Err(Errno::ESRCH));
    check_eq!(queue_to(getpid(), tid, 65, address(&queued)), Err(Errno::EINVAL));
    check_eq!(queue_to(getpid(), NOBODY, 65, address(&queued)), Err(Errno::ESRCH));
    check_eq!(queue(0, address(&queued)), Err(Errno::ESRCH));
    check_eq!(queue(-1, address(&queued)), Err(Errno::ESRCH));
    check_eq!(queue(NOBODY, address(&forged)), Err(Errno::EPERM));
    check_eq!(queue(getpid(), address(&forged)), Ok(()));
    Ok(())
}

fn only_a_thread_s_own_number_is_its_own() -> Outcome {
    let other = ulib::thread::spawn(|| {
        let forged = SigInfo::user(SIGUSR1, SI_USER, 1, 0);
        let info = address(&forged);
        [
            queue(getpid(), info),
            queue(gettid(), info),
            queue_to(getpid(), getpid(), 0, info),
            queue_to(getpid(), gettid(), 0, info),
        ]
    })?;
    check_eq!(other.join(), [Err(Errno::EPERM), Ok(()), Err(Errno::EPERM), Ok(())]);
    Ok(())
}

fn robust_lists() -> Outcome {
    let (mut head, mut size) = (0u64, 0u64);
    let mut get = |pid: i32| {
        raw::call(nr::get_robust_list, &[pid as u64, (&raw mut head) as u64, (&raw mut size) as u64])
    };
    for pid in [-1, i32::MIN, NOBODY] {
        check_eq!((pid, get(pid)), (pid, Err(Errno::ESRCH)));
    }
    check_eq!((get(0), get(gettid())), (Ok(0), Ok(0)));
    check_eq!(raw::call(nr::get_robust_list, &[u64::MAX, BAD, BAD]), Err(Errno::ESRCH));
    check_eq!(raw::call(nr::get_robust_list, &[0, BAD, (&raw mut size) as u64]), Err(Errno::EFAULT));
    Ok(())
}
