//! What is counted for all processes of one user: queued signals and timers, and threads at `execve`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::O_RDONLY;
use abi::native::nr;
use abi::resource::{RLIMIT_NPROC, RLIMIT_SIGPENDING, Rlimit};
use abi::signal::*;
use abi::time::*;
use alloc::format;
use alloc::string::String;
use conformance::handler::bit;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use core::hint::black_box;
use libsyscall::file::open;
use libsyscall::process::{getpid, kill, prlimit64};
use libsyscall::signal::{rt_sigprocmask, tgkill};
use libsyscall::thread::gettid;

conformance::tests!(&[
    ("a_users_signals_are_counted_together", a_users_signals_are_counted_together),
    ("the_receiver_is_charged", the_receiver_is_charged),
    ("what_needs_no_information_arrives", what_needs_no_information_arrives),
    ("another_user_does_not_take_its_signals_along", another_user_does_not_take_its_signals_along),
    ("a_timer_is_charged_once", a_timer_is_charged_once),
    ("a_zombie_is_charged_until_it_is_waited_for", a_zombie_is_charged_until_it_is_waited_for),
    ("a_thread_gives_back_what_it_did_not_take", a_thread_gives_back_what_it_did_not_take),
    ("one_process_too_many_executes_nothing", one_process_too_many_executes_nothing),
]);

const RT: u32 = 40;

/// Makes the real user another, who is nobody else's; root's rights stay.
fn become_user(user: u64) -> Result<(), Errno> {
    raw::call(nr::setresuid, &[user, 0, 0]).map(drop)
}

fn limit(resource: u32, number: u64) -> Result<(), Errno> {
    prlimit64(0, resource, Some(&Rlimit { rlim_cur: number, rlim_max: u64::MAX })).map(drop)
}

fn queue_to(pid: i32) -> Result<(), Errno> {
    let info = SigInfo::queued(RT, SI_QUEUE, getpid(), 0, 7);
    raw::call(nr::rt_sigqueueinfo, &[pid as u64, RT.into(), (&raw const info) as u64]).map(drop)
}

/// Queues signals for the process itself until there is no room; how many.
fn fill() -> Result<u32, Failure> {
    for number in 0..100 {
        match queue_to(getpid()) {
            Ok(()) => {}
            Err(Errno::EAGAIN) => return Ok(number),
            Err(other) => return Err(other.into()),
        }
    }
    Err(Failure::new("no limit"))
}

/// Takes one pending signal; its `si_code`.
fn take(signal: u32) -> Result<i32, Errno> {
    let (set, now, mut info) = (bit(signal), Timespec::default(), SigInfo::default());
    let arguments = [(&raw const set) as u64, (&raw mut info) as u64, (&raw const now) as u64, 8];
    raw::call(nr::rt_sigtimedwait, &arguments)?;
    Ok(black_box(info).si_code)
}

/// `SigQ` of a process: charged to its user, and its limit.
fn charged_of(pid: &str) -> Result<(u64, u64), Failure> {
    let text = files::content(&ulib::c_string(format!("/proc/{pid}/status"))?)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("SigQ:\t")).ok_or(Failure::new("no SigQ"))?;
    let (charged, limit) = line.split_once('/').ok_or(Failure::new("no slash"))?;
    Ok((charged.parse().map_err(|_| Failure::new(line))?, limit.parse().map_err(|_| Failure::new(line))?))
}

fn charged() -> Result<u64, Failure> {
    Ok(charged_of("self")?.0)
}

fn prepare(user: u64, signals: u64) -> Outcome {
    files::mount_proc()?;
    rt_sigprocmask(SIG_BLOCK, bit(RT) | bit(SIGUSR1) | bit(SIGUSR2))?;
    limit(RLIMIT_SIGPENDING, signals)?;
    become_user(user)?;
    Ok(())
}

fn a_users_signals_are_counted_together() -> Outcome {
    prepare(4001, 8)?;
    for _ in 0..5 {
        queue_to(getpid())?;
    }
    check_eq!(charged_of("self")?, (5, 8));
    check!(child::succeeds(|| {
        check_eq!(fill()?, 3);
        check_eq!(charged_of("self")?, (8, 8));
        check_eq!(take(RT), Ok(SI_QUEUE));
        check_eq!((charged()?, fill()?), (7, 1));
        Ok(())
    })?);
    check_eq!(charged()?, 5);
    check_eq!(fill()?, 3);
    for _ in 0..8 {
        check_eq!(take(RT), Ok(SI_QUEUE));
    }
    check_eq!((take(RT), charged()?), (Err(Errno::EAGAIN), 0));
    // What an ignored signal had queued is gone.
    check_eq!(fill()?, 8);
    libsyscall::signal::set_disposition(RT, libsyscall::signal::Disposition::Ignore)?;
    check_eq!(charged()?, 0);
    Ok(())
}

fn the_receiver_is_charged() -> Outcome {
    prepare(4002, 50)?;
    let other = child::start(|| {
        let ready = become_user(4003).and_then(|()| limit(RLIMIT_SIGPENDING, 2));
        loop {
            ulib::time::sleep(core::time::Duration::from_secs(if ready.is_ok() { 1000 } else { 0 }));
        }
    })?;
    let name = format!("{other}");
    while charged_of(&name)? != (0, 2) {
        libsyscall::thread::sched_yield();
    }
    check_eq!((queue_to(other), queue_to(other), queue_to(other)), (Ok(()), Ok(()), Err(Errno::EAGAIN)));
    check_eq!((charged_of(&name)?, charged()?), ((2, 2), 0));
    kill(other, SIGKILL)?;
    child::wait(other)?;
    Ok(())
}

fn what_needs_no_information_arrives() -> Outcome {
    prepare(4004, 0)?;
    // What `kill` says is kept beyond the limit.
    kill(getpid(), SIGUSR1)?;
    check_eq!(charged()?, 1);
    // Of others the number alone, or nothing.
    tgkill(getpid(), gettid(), SIGUSR2)?;
    kill(getpid(), RT)?;
    check_eq!(
        (charged()?, queue_to(getpid()), tgkill(getpid(), gettid(), RT)),
        (1, Err(Errno::EAGAIN), Err(Errno::EAGAIN))
    );
    check_eq!((take(SIGUSR1), take(SIGUSR2), take(RT)), (Ok(SI_USER), Ok(SI_USER), Ok(SI_USER)));
    check_eq!((take(RT), charged()?), (Err(Errno::EAGAIN), 0));
    Ok(())
}

fn another_user_does_not_take_its_signals_along() -> Outcome {
    prepare(4005, 50)?;
    for _ in 0..3 {
        queue_to(getpid())?;
    }
    become_user(4006)?;
    check_eq!(charged()?, 0);
    queue_to(getpid())?;
    check_eq!(charged()?, 1);
    check_eq!(take(RT), Ok(SI_QUEUE));
    check_eq!(charged()?, 1);
    become_user(4005)?;
    check_eq!(charged()?, 2);
    for _ in 0..3 {
        check_eq!(take(RT), Ok(SI_QUEUE));
    }
    check_eq!(charged()?, 0);
    become_user(4006)?;
    check_eq!(charged()?, 0);
    Ok(())
}

fn create() -> Result<i32, Errno> {
    let event = Sigevent { sigev_signo: RT as i32, ..Sigevent::default() };
    let mut id = -1;
    raw::call(nr::timer_create, &[CLOCK_MONOTONIC as u64, (&raw const event) as u64, (&raw mut id) as u64])?;
    Ok(black_box(id))
}

fn a_timer_is_charged_once() -> Outcome {
    prepare(4007, 3)?;
    let timer = create()?;
    check_eq!(charged()?, 1);
    queue_to(getpid())?;
    check!(create().is_ok());
    check_eq!((create(), queue_to(getpid())), (Err(Errno::EAGAIN), Err(Errno::EAGAIN)));
    check_eq!(take(RT), Ok(SI_QUEUE));
    let at_once = Itimerspec {
        it_value: Timespec { tv_sec: 0, tv_nsec: 1 },
        it_interval: Timespec { tv_sec: 0, tv_nsec: 1 },
    };
    raw::call(nr::timer_settime, &[timer as u64, 0, (&raw const at_once) as u64, 0])?;
    let pending = || {
        let mut set = 0u64;
        raw::call(nr::rt_sigpending, &[(&raw mut set) as u64, 8]).map(|_| black_box(set) & bit(RT) != 0)
    };
    while !pending()? {
        libsyscall::thread::sched_yield();
    }
    // The timer's own charge is for its signal, and goes with the later of the two.
    check_eq!(charged()?, 2);
    raw::call(nr::timer_delete, &[timer as u64])?;
    check_eq!((charged()?, take(RT), charged()?), (2, Ok(SI_TIMER), 1));
    // A child has no timers.
    check!(child::succeeds(|| {
        check_eq!(charged()?, 1);
        Ok(())
    })?);
    check!(child::succeeds(|| create().map(drop).map_err(Failure::from))?);
    check_eq!(charged()?, 1);
    Ok(())
}

fn a_zombie_is_charged_until_it_is_waited_for() -> Outcome {
    prepare(4008, 50)?;
    let zombie = child::start(|| match (queue_to(getpid()), tgkill(getpid(), gettid(), RT)) {
        (Ok(()), Ok(())) => 0,
        _ => 1,
    })?;
    const P_PID: u64 = 1;
    const WEXITED_NOWAIT: u64 = 4 | 0x0100_0000;
    raw::call(nr::waitid, &[P_PID, zombie as u64, 0, WEXITED_NOWAIT, 0])?;
    let folder = open(&ulib::c_string(format!("/proc/{zombie}"))?, O_RDONLY, 0)?;
    check_eq!((charged_of(&format!("{zombie}"))?.0, charged()?), (2, 2));
    check_eq!(child::wait(zombie)?.exit_code(), Some(0));
    check_eq!(charged()?, 0);
    libsyscall::file::close(folder)?;
    Ok(())
}

fn a_thread_gives_back_what_it_did_not_take() -> Outcome {
    prepare(4009, 50)?;
    let folder = ulib::thread::spawn(|| {
        let name = ulib::c_string(format!("/proc/self/task/{}", gettid())).unwrap_or_default();
        let folder = open(&name, O_RDONLY, 0).unwrap_or(-1);
        for _ in 0..3 {
            let _ = tgkill(getpid(), gettid(), RT);
        }
        if charged().is_ok_and(|charged| charged == 3) { folder } else { -2 }
    })?
    .join();
    check!(folder >= 0, "{folder}");
    // Who joins may be there before the thread is quite gone.
    while charged()? != 0 {
        libsyscall::thread::sched_yield();
    }
    Ok(())
}

fn one_process_too_many_executes_nothing() -> Outcome {
    let execute = || {
        let (path, list) = (c"/no/such/program", [0u64; 1]);
        let list = (&raw const list) as u64;
        raw::call(nr::execve, &[path.as_ptr() as u64, list, list]).map(drop)
    };
    const USER: u64 = 4010;
    let become_all = || raw::call(nr::setresuid, &[USER, USER, USER]);
    let other = child::start(|| {
        let _ = become_all();
        loop {
            ulib::time::sleep(core::time::Duration::from_secs(1000));
        }
    })?;
    files::mount_proc()?;
    let status = ulib::c_string(format!("/proc/{other}/status"))?;
    while !String::from_utf8_lossy(&files::content(&status)?).contains("Uid:\t4010\t4010") {
        libsyscall::thread::sched_yield();
    }
    let within = |number: u64| {
        child::succeeds(|| {
            limit(RLIMIT_NPROC, number)?;
            become_all()?;
            let (first, second) =
                if number == 0 { (Errno::EAGAIN, Errno::ENOENT) } else { (Errno::ENOENT, Errno::ENOENT) };
            check_eq!(execute(), Err(first));
            // More room lets it go on.
            limit(RLIMIT_NPROC, 10)?;
            check_eq!(execute(), Err(second));
            limit(RLIMIT_NPROC, 0)?;
            check_eq!(execute(), Err(Errno::ENOENT));
            Ok(())
        })
    };
    check!(within(0)?);
    check!(within(1)?);
    check!(within(2)?);
    // Who was this user before, or has root's number, is not asked.
    limit(RLIMIT_NPROC, 0)?;
    check_eq!(execute(), Err(Errno::ENOENT));
    kill(other, SIGKILL)?;
    child::wait(other)?;
    Ok(())
}
