//! Processor time: how it is told apart, its clocks and its limits.
//!
//! No test judges by the wall clock: a busy machine makes everything here take longer, and nothing wrong.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::process::{RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD, SCHED_FIFO};
use abi::resource::{RLIMIT_CPU, RLIMIT_RTTIME, Rlimit};
use abi::signal::{SIGKILL, SIGXCPU};
use abi::time::{CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, Timespec, Tms};
use alloc::vec::Vec;
use conformance::handler::{count, record_signal};
use conformance::processor_time::*;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use core::ffi::CStr;
use core::hint::black_box;
use core::time::Duration;
use libsyscall::process::{getpid, kill, prlimit64};
use libsyscall::thread::gettid;
use libsyscall::time::clock_gettime;
use ulib::time::to_duration;

conformance::tests!(&[
    ("work_is_user_time", work_is_user_time),
    ("calls_are_system_time", calls_are_system_time),
    ("times_agree", times_agree),
    ("a_parent_gets_its_childs_times", a_parent_gets_its_childs_times),
    ("the_machine_adds_up", the_machine_adds_up),
    ("clocks_of_others_have_numbers", clocks_of_others_have_numbers),
    ("the_limit_of_cpu_time_warns_and_kills", the_limit_of_cpu_time_warns_and_kills),
    ("children_inherit_the_limit", children_inherit_the_limit),
    ("the_limit_of_realtime_warns_and_kills", the_limit_of_realtime_warns_and_kills),
]);

/// Of the process, and of its only thread: the two are divided each for itself.
fn usages() -> Result<[(Duration, Duration); 2], Errno> {
    Ok([usage(RUSAGE_SELF)?, usage(RUSAGE_THREAD)?])
}

fn work_is_user_time() -> Outcome {
    work_until(|| Ok(usages()?.iter().all(|&(user, system)| user > 100 * MS && user > 2 * system)))
}

fn calls_are_system_time() -> Outcome {
    call_until(|| Ok(usages()?.iter().all(|&(user, system)| system > 100 * MS && system > 2 * user)))
}

/// Works until that is seen as user time, then lets the kernel work until that is seen as system time.
fn do_both(length: Duration) -> Outcome {
    work_until(|| Ok(usage(RUSAGE_SELF)?.0 > length))?;
    call_until(|| Ok(usage(RUSAGE_SELF)?.1 > length))
}

/// User and system time of a process as `/proc` shows it, in ticks.
fn ticks_in_proc(path: &CStr) -> Result<(u64, u64), Failure> {
    let text = files::content(path)?;
    let text = core::str::from_utf8(&text).map_err(|_| Failure::new("not text"))?;
    let rest = &text[text.rfind(')').ok_or(Failure::new("no name"))? + 2..];
    let field =
        |index: usize| rest.split(' ').nth(index).and_then(|field| field.parse().ok()).unwrap_or(u64::MAX);
    Ok((field(11), field(12)))
}

fn times_agree() -> Outcome {
    do_both(50 * MS)?;
    let mut before = Tms::default();
    raw::call(nr::times, &[(&raw mut before) as u64])?;
    let before = black_box(before);
    let (user, system) = usage(RUSAGE_SELF)?;
    let (in_proc_user, in_proc_system) = ticks_in_proc(c"/proc/self/stat")?;
    let total = spent(CLOCK_PROCESS_CPUTIME_ID)?;
    let ticks = |time: Duration| time.as_millis() as u64 / 10;
    check!(before.tms_utime as u64 <= ticks(user) && ticks(user) <= in_proc_user);
    check!(before.tms_stime as u64 <= ticks(system) && ticks(system) <= in_proc_system);
    check!(before.tms_utime > 0 && before.tms_stime > 0);
    check!(user + system <= total, "{user:?} and {system:?} of {total:?}");
    check_eq!((before.tms_cutime, before.tms_cstime), (0, 0));
    Ok(())
}

fn a_parent_gets_its_childs_times() -> Outcome {
    check!(child::succeeds(|| do_both(40 * MS))?);
    let (user, system) = usage(RUSAGE_CHILDREN)?;
    check!(user > 40 * MS && system > 40 * MS, "user {user:?}, system {system:?}");
    let mut times = Tms::default();
    raw::call(nr::times, &[(&raw mut times) as u64])?;
    let times = black_box(times);
    check!(times.tms_cutime >= 4 && times.tms_cstime >= 4);
    Ok(())
}

/// The numbers of lines of `/proc/stat`, all of one moment.
fn machine<const N: usize>(labels: [&str; N]) -> Result<[Vec<u64>; N], Failure> {
    let text = files::content(c"/proc/stat")?;
    let text = core::str::from_utf8(&text).map_err(|_| Failure::new("not text"))?;
    let mut lines = [const { Vec::new() }; N];
    for (label, numbers) in labels.iter().zip(&mut lines) {
        let line = text.lines().find(|line| line.split(' ').next() == Some(label));
        for field in line.ok_or(Failure::new(label))?.split(' ').skip(1).filter(|field| !field.is_empty()) {
            numbers.push(field.parse().map_err(|_| Failure::new(field))?);
        }
    }
    Ok(lines)
}

fn the_machine_adds_up() -> Outcome {
    let now = || machine(["cpu", "cpu0", "intr", "ctxt", "processes"]);
    // Seconds that may have passed at boot, by clocks that are read one after the other.
    let uptime = || clock_gettime(CLOCK_BOOTTIME).map(to_duration);
    let before = now()?;
    // User, system and idle time.
    let more = |field: usize| -> Result<u64, Failure> { Ok(now()?[0][field] - before[0][field]) };
    work_until(|| Ok(more(0).is_ok_and(|ticks| ticks >= 10)))?;
    call_until(|| Ok(more(2).is_ok_and(|ticks| ticks >= 10)))?;
    check!(child::succeeds(|| {
        ulib::time::sleep(20 * MS);
        Ok(())
    })?);
    while more(3)? == 0 {
        ulib::time::sleep(20 * MS);
    }
    let after = now()?;
    check!((0..10).all(|field| after[0][field] >= after[1][field] && after[1][field] >= before[1][field]));
    let more = |line: usize| after[line][0] - before[line][0];
    check!(more(2) > 0 && more(3) >= 2 && more(4) >= 1, "{before:?}, {after:?}");
    let earlier = uptime()?;
    let now = to_duration(clock_gettime(CLOCK_REALTIME)?);
    let booted = (now - uptime()?).as_secs()..=(now - earlier).as_secs();
    let [shown] = machine(["btime"])?;
    check!(booted.contains(&shown[0]), "booted at {}, not in {booted:?}", shown[0]);
    Ok(())
}

fn clocks_of_others_have_numbers() -> Outcome {
    // The thread's time is divided for itself, and may be seen later than the process's.
    let virtual_clocks = [clock_of_process(0, Kind::Virtual), clock_of_thread(0, Kind::Virtual)];
    let profiled_clocks = [clock_of_process(0, Kind::Profiled), clock_of_thread(0, Kind::Profiled)];
    let both = |clocks: [i32; 2], least: Duration| -> Result<bool, Errno> {
        Ok(spent(clocks[0])? > least && spent(clocks[1])? > least)
    };
    work_until(|| both(virtual_clocks, 30 * MS))?;
    let user = spent(virtual_clocks[0])?.max(spent(virtual_clocks[1])?);
    call_until(|| both(profiled_clocks, user + 30 * MS))?;
    for id in [0, getpid()] {
        let (virtual_, profiled) =
            (spent(clock_of_process(id, Kind::Virtual))?, spent(clock_of_process(id, Kind::Profiled))?);
        check!(virtual_ > MS && virtual_ < profiled, "{virtual_:?} of {profiled:?}");
        check!(spent(clock_of_process(id, Kind::Scheduled))? > 10 * MS);
    }
    for id in [0, gettid()] {
        check!(spent(clock_of_thread(id, Kind::Virtual))? > MS);
        check!(spent(clock_of_thread(id, Kind::Profiled))? > MS);
        check!(spent(clock_of_thread(id, Kind::Scheduled))? > 10 * MS);
    }
    check_eq!(spent(clock_of_process(0, Kind::Virtual) | 3), Err(Errno::EINVAL));
    check_eq!(spent(clock_of_thread(1, Kind::Scheduled)), Err(Errno::EINVAL));
    check_eq!(spent(clock_of_process(0x3f_fff0, Kind::Scheduled)), Err(Errno::EINVAL));
    let idle = child::start(|| {
        ulib::time::sleep(Duration::from_secs(100));
        0
    })?;
    check!(spent(clock_of_process(idle, Kind::Scheduled))? < spent(clock_of_process(0, Kind::Scheduled))?);
    kill(idle, SIGKILL)?;
    child::wait(idle)?;
    let mut resolution = Timespec::default();
    raw::call(
        nr::clock_getres,
        &[clock_of_process(0, Kind::Scheduled) as u64, (&raw mut resolution) as u64],
    )?;
    check_eq!(black_box(resolution), Timespec { tv_sec: 0, tv_nsec: 1 });
    Ok(())
}

/// The least that a process has used when a second is counted. Linux counts this limit by ticks: one that finds a
/// process running counts as a whole one, however short it ran. Half of each may be somebody else's on a busy machine.
const LEAST: Duration = Duration::from_millis(500);

fn the_limit_of_cpu_time_warns_and_kills() -> Outcome {
    let status = child::run(|| {
        let limit = Rlimit { rlim_cur: 1, rlim_max: 2 };
        if record_signal(SIGXCPU, 0).is_err() || prlimit64(0, RLIMIT_CPU, Some(&limit)).is_err() {
            return 1;
        }
        spin_until(|| count() == 1);
        let warned = spent(CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default();
        let raised = prlimit64(0, RLIMIT_CPU, None).map_or(0, |limit| limit.rlim_cur);
        if warned < LEAST || raised != 2 {
            return 2;
        }
        spin_until(|| false);
        3
    })?;
    check_eq!((status.exit_code(), status.term_signal()), (None, Some(SIGKILL)));
    let (user, system) = usage(RUSAGE_CHILDREN)?;
    let used = user + system;
    check!(used >= 2 * LEAST, "killed after {used:?}");
    Ok(())
}

fn children_inherit_the_limit() -> Outcome {
    prlimit64(0, RLIMIT_CPU, Some(&Rlimit { rlim_cur: 1, rlim_max: 1 }))?;
    let status = child::run(|| {
        spin_until(|| false);
        1
    })?;
    check_eq!((status.exit_code(), status.term_signal()), (None, Some(SIGKILL)));
    Ok(())
}

fn the_limit_of_realtime_warns_and_kills() -> Outcome {
    let status = child::run(|| {
        let limit = Rlimit { rlim_cur: 400_000, rlim_max: 1_000_000 };
        let priority = 1u32;
        let realtime =
            raw::call(nr::sched_setscheduler, &[0, u64::from(SCHED_FIFO), (&raw const priority) as u64]);
        if record_signal(SIGXCPU, 0).is_err()
            || realtime.is_err()
            || prlimit64(0, RLIMIT_RTTIME, Some(&limit)).is_err()
        {
            return 1;
        }
        // Whoever sleeps now and then may go on for ever. A machine that stood still meanwhile has worked for longer.
        let mut longest = Duration::ZERO;
        for _ in 0..6 {
            let before = spent(CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default();
            if work(100 * MS).is_err() {
                return 2;
            }
            longest = longest.max(spent(CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default() - before);
            ulib::time::sleep(MS);
        }
        if count() != 0 && longest < 300 * MS {
            return 3;
        }
        spin_until(|| count() != 0);
        spin_until(|| false);
        4
    })?;
    check_eq!((status.exit_code(), status.term_signal()), (None, Some(SIGKILL)));
    Ok(())
}
