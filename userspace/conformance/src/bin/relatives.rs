//! Relatives: zombies that still answer, siblings of a process that ends, waits that ask for some children only.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::process::*;
use abi::resource::{PRIO_PROCESS, RLIMIT_CORE};
use abi::signal::*;
use conformance::{Outcome, check, check_eq, child, files, handler, raw};
use core::sync::atomic::{AtomicI32, Ordering};
use libsyscall::file::{close, pipe2, read, write};
use libsyscall::process::*;
use libsyscall::thread::{gettid, sched_yield};
use ulib::thread::spawn;

conformance::tests!(
    &[
        ("a_zombie_answers", a_zombie_answers),
        ("a_zombie_keeps_its_name", a_zombie_keeps_its_name),
        ("a_zombie_counts_for_its_user", a_zombie_counts_for_its_user),
        ("the_first_thread_can_be_found_when_it_has_ended", the_first_thread_can_be_found_when_it_has_ended),
        ("threads_name_their_process", threads_name_their_process),
        ("signals_that_are_none", signals_that_are_none),
        ("a_sibling_ends_as_its_maker", a_sibling_ends_as_its_maker),
        ("clone3_refuses_a_signal_of_its_own", clone3_refuses_a_signal_of_its_own),
        ("orphans_end_by_sigchld", orphans_end_by_sigchld),
        ("a_new_program_ends_by_sigchld", a_new_program_ends_by_sigchld),
        ("another_program_gets_sigchld", another_program_gets_sigchld),
        ("siblings_of_a_process_that_ends", siblings_of_a_process_that_ends),
        ("no_child_misses_a_signal_to_its_group", no_child_misses_a_signal_to_its_group),
        ("children_come_in_the_order_of_their_birth", children_come_in_the_order_of_their_birth),
        ("clones_and_others", clones_and_others),
        ("a_thread_waits_for_its_own", a_thread_waits_for_its_own),
        ("a_thread_that_ends_is_a_parent_that_dies", a_thread_that_ends_is_a_parent_that_dies),
        ("a_child_keeps_no_death_signal", a_child_keeps_no_death_signal),
    ],
    &[("program", |_| 0), ("clone", clone_without_sigchld)]
);

/// A child that has ended, and that nobody has waited for.
fn zombie() -> Result<i32, conformance::Failure> {
    let pid = child::start(|| 7)?;
    raw::call(nr::waitid, &[P_PID.into(), pid as u64, 0, (WEXITED | WNOWAIT).into(), 0])?;
    Ok(pid)
}

/// `clone` of a process, as `fork`, with these flags and this signal.
fn clone(flags: u64, signal: u32) -> Result<i32, Errno> {
    raw::call(nr::clone, &[flags | u64::from(signal), 0, 0, 0, 0]).map(|pid| pid as i32)
}

fn become_subreaper() -> Result<(), Errno> {
    raw::call(nr::prctl, &[PR_SET_CHILD_SUBREAPER.into(), 1]).map(drop)
}

fn a_zombie_answers() -> Outcome {
    let pid = zombie()?;
    let number = pid as u64;
    let mut word = 0u64;
    let (mut parameter, address) = (SchedParam { sched_priority: 0 }, (&raw mut word) as u64);
    let parameter = (&raw mut parameter) as u64;
    check_eq!(raw::call(nr::sched_getscheduler, &[number]), Ok(0));
    check_eq!(raw::call(nr::sched_getparam, &[number, parameter]), Ok(0));
    check_eq!(raw::call(nr::sched_setscheduler, &[number, SCHED_BATCH.into(), parameter]), Ok(0));
    check_eq!(raw::call(nr::sched_getscheduler, &[number]), Ok(SCHED_BATCH.into()));
    check_eq!(raw::call(nr::sched_getaffinity, &[number, 8, address]).map(|_| word & 1), Ok(1));
    check_eq!(raw::call(nr::sched_setaffinity, &[number, 8, address]), Ok(0));
    check_eq!(raw::call(nr::sched_rr_get_interval, &[number, [0u64; 2].as_mut_ptr() as u64]), Ok(0));
    check_eq!(raw::call(nr::setpriority, &[PRIO_PROCESS as u64, number, 5]), Ok(0));
    check_eq!(raw::call(nr::getpriority, &[PRIO_PROCESS as u64, number]), Ok(15));
    prlimit64(pid, RLIMIT_CORE, None)?;
    let header = CapUserHeader { version: LINUX_CAPABILITY_VERSION_3, pid };
    let mut sets = [CapUserData::default(); 2];
    raw::call(nr::capget, &[(&raw const header) as u64, sets.as_mut_ptr() as u64])?;
    check_eq!((getpgid(pid), getsid(pid)), (getpgid(0), getsid(0)));
    check_eq!((kill(pid, 0), kill(pid, SIGTERM)), (Ok(()), Ok(())));
    check_eq!(raw::call(nr::tgkill, &[number, number, 0]), Ok(0));
    check_eq!(setpgid(pid, pid), Ok(()));
    check_eq!(getpgid(pid), Ok(pid));
    check_eq!(kill(-pid, SIGKILL), Ok(()));
    check_eq!(child::wait(pid)?, WaitStatus::exited(7));
    check_eq!(raw::call(nr::sched_getscheduler, &[number]), Err(Errno::ESRCH));
    check_eq!(kill(-pid, 0), Err(Errno::ESRCH));
    Ok(())
}

fn mount_proc() -> Outcome {
    let (proc, none) = (c"/proc".as_ptr() as u64, 0);
    // Mounted already, where a test machine does so.
    let _ = raw::call(nr::mkdirat, &[abi::fs::AT_FDCWD as u64, proc, 0o555]);
    if !files::exists(c"/proc/self") {
        raw::call(nr::mount, &[c"proc".as_ptr() as u64, proc, c"proc".as_ptr() as u64, none, none])?;
    }
    Ok(())
}

fn a_zombie_keeps_its_name() -> Outcome {
    mount_proc()?;
    let pid = child::start(|| {
        let _ = raw::call(nr::prctl, &[PR_SET_NAME.into(), c"late".as_ptr() as u64]);
        0
    })?;
    raw::call(nr::waitid, &[P_PID.into(), pid as u64, 0, (WEXITED | WNOWAIT).into(), 0])?;
    let path =
        |name: &str| alloc::ffi::CString::new(alloc::format!("/proc/{pid}/{name}")).unwrap_or_default();
    check_eq!(files::content(&path("comm"))?, b"late\n");
    let stat = files::content(&path("stat"))?;
    check!(stat.starts_with(alloc::format!("{pid} (late) Z ").as_bytes()));
    check!(files::content(&path("status"))?.starts_with(b"Name:\tlate\n"));
    child::wait(pid)?;
    Ok(())
}

fn a_zombie_counts_for_its_user() -> Outcome {
    files::as_user(|| {
        let limit = abi::resource::Rlimit { rlim_cur: 4, rlim_max: 4 };
        prlimit64(0, abi::resource::RLIMIT_NPROC, Some(&limit))?;
        let mut made = alloc::vec::Vec::new();
        while made.len() < 10 {
            match zombie() {
                Ok(pid) => made.push(pid),
                Err(_) => break,
            }
        }
        check_eq!(made.len(), 3);
        for pid in made {
            child::wait(pid)?;
        }
        child::wait(zombie()?)?;
        Ok(())
    })
}

/// Runs the rest of a process in a second thread while the first has ended; the status.
fn without_first_thread(rest: fn(i32) -> bool) -> Result<WaitStatus, conformance::Failure> {
    child::run(|| {
        let first = gettid();
        let other = spawn(move || {
            // Only a thread that has ended has no more a word to clear: it is a zombie, which no signal kills.
            while raw::call(nr::sched_getscheduler, &[first as u64]).is_ok() && !is_zombie(first) {
                sched_yield();
            }
            exit_group(i32::from(!rest(first)));
        });
        if other.is_err() {
            return 2;
        }
        libsyscall::thread::exit(0)
    })
}

fn is_zombie(pid: i32) -> bool {
    let path = alloc::format!("/proc/{pid}/task/{pid}/stat\0");
    let path = core::ffi::CStr::from_bytes_with_nul(path.as_bytes()).unwrap_or_default();
    // What cannot be opened has ended, too.
    files::content(path).is_ok_and(|stat| stat.windows(4).any(|window| window == b") Z "))
        || !files::exists(path)
}

fn the_first_thread_can_be_found_when_it_has_ended() -> Outcome {
    mount_proc()?;
    let status = without_first_thread(|first| {
        let number = first as u64;
        raw::call(nr::sched_getscheduler, &[number]) == Ok(0)
            && raw::call(nr::tgkill, &[number, number, 0]) == Ok(0)
            && kill(first, 0) == Ok(())
            && getpgid(first) == getpgid(0)
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn threads_name_their_process() -> Outcome {
    static OTHER: AtomicI32 = AtomicI32::new(0);
    static DONE: AtomicI32 = AtomicI32::new(0);
    let thread = spawn(|| {
        OTHER.store(gettid(), Ordering::Release);
        while DONE.load(Ordering::Acquire) == 0 {
            sched_yield();
        }
    })?;
    while OTHER.load(Ordering::Acquire) == 0 {
        sched_yield();
    }
    let other = OTHER.load(Ordering::Relaxed);
    check_eq!((getpgid(other), getsid(other)), (getpgid(0), getsid(0)));
    check_eq!(setpgid(other, 0), Err(Errno::EINVAL));
    check_eq!(kill(other, 0), Ok(()));
    check!(prlimit64(other, RLIMIT_CORE, None).is_ok());
    DONE.store(1, Ordering::Release);
    thread.join();
    // Whoever joins a thread is told a moment before its number is free.
    while getpgid(other).is_ok() {
        sched_yield();
    }
    Ok(())
}

fn signals_that_are_none() -> Outcome {
    check_eq!(kill(0x3fff_fff0, 999), Err(Errno::ESRCH));
    check_eq!(kill(-0x3fff_fff0, 999), Err(Errno::ESRCH));
    check_eq!(kill(getpid(), 999), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::tgkill, &[0x3fff_fff0, 0x3fff_fff0, 999]), Err(Errno::ESRCH));
    check_eq!(raw::call(nr::tkill, &[gettid() as u64, 999]), Err(Errno::EINVAL));
    // The exit signal of `clone` may be any number: one that is no signal tells nobody.
    let pid = clone(0, 100)?;
    if pid == 0 {
        exit_group(3);
    }
    check_eq!(wait4(pid, 0), Err(Errno::ECHILD));
    check_eq!(wait4(pid, __WALL)?, Some((pid, WaitStatus::exited(3))));
    Ok(())
}

/// The children that a wait finds until there is none.
fn reap_all(options: u32) -> usize {
    core::iter::from_fn(|| wait4(-1, options).ok().flatten()).count()
}

fn a_sibling_ends_as_its_maker() -> Outcome {
    child::start(|| match clone(CLONE_PARENT, SIGUSR2) {
        Ok(_) => 0,
        Err(_) => 1,
    })?;
    check_eq!(reap_all(0), 2);
    check_eq!(wait4(-1, __WALL), Err(Errno::ECHILD));
    set_ignored(SIGUSR1)?;
    let pid = clone(0, SIGUSR1)?;
    if pid == 0 {
        let _ = clone(CLONE_PARENT, SIGCHLD);
        exit_group(0);
    }
    check_eq!(wait4(-1, 0), Err(Errno::ECHILD));
    check_eq!(reap_all(__WCLONE), 2);
    Ok(())
}

fn set_ignored(signal: u32) -> Result<(), Errno> {
    libsyscall::signal::set_disposition(signal, libsyscall::signal::Disposition::Ignore).map(drop)
}

fn clone3(flags: u64, exit_signal: u64) -> Result<u64, Errno> {
    let arguments = CloneArgs { flags, exit_signal, ..CloneArgs::default() };
    let pid = raw::call(nr::clone3, &[(&raw const arguments) as u64, size_of::<CloneArgs>() as u64])?;
    if pid == 0 {
        exit_group(0);
    }
    Ok(pid)
}

fn clone3_refuses_a_signal_of_its_own() -> Outcome {
    let threads = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
    check_eq!(clone3(threads, SIGCHLD.into()), Err(Errno::EINVAL));
    for signal in [65, 100, 256, 1 << 32] {
        check_eq!(clone3(0, signal), Err(Errno::EINVAL));
    }
    let status = child::run(|| {
        let refused = clone3(CLONE_PARENT, SIGCHLD.into()) == Err(Errno::EINVAL);
        i32::from(!(refused && clone3(CLONE_PARENT, 0).is_ok()))
    })?;
    check_eq!(status, WaitStatus(0));
    check_eq!(reap_all(0), 1);
    child::wait(clone3(0, SIGCHLD.into())? as i32)?;
    Ok(())
}

/// Two orphans, whose maker wanted another signal: one that lives when its parent ends, and one that has ended.
fn orphans_end_by_sigchld() -> Outcome {
    become_subreaper()?;
    let (reader, writer) = pipe2(0)?;
    set_ignored(SIGUSR1)?;
    let status = child::run(|| {
        if clone(0, SIGUSR1) == Ok(0) {
            let _ = close(writer);
            let _ = read(reader, &mut [0]);
            exit_group(8);
        }
        let zombie = match clone(0, SIGUSR1) {
            Ok(0) => exit_group(9),
            Ok(pid) => pid,
            Err(_) => return 1,
        };
        let options = (WEXITED | WNOWAIT | __WALL).into();
        i32::from(raw::call(nr::waitid, &[P_PID.into(), zombie as u64, 0, options, 0]).is_err())
    })?;
    check_eq!(status, WaitStatus(0));
    check_eq!(wait4(-1, 0)?.map(|(_, status)| status), Some(WaitStatus::exited(9)));
    write(writer, b"x")?;
    close(writer)?;
    check_eq!(wait4(-1, 0)?.map(|(_, status)| status), Some(WaitStatus::exited(8)));
    check_eq!(wait4(-1, __WALL), Err(Errno::ECHILD));
    Ok(())
}

/// Executes this program's helper, or returns.
fn execute(helper: &str) {
    let Some(path) = ulib::args::args().next() else { return };
    let name = alloc::ffi::CString::new(helper).unwrap_or_default();
    let arguments = [path.as_ptr(), c"--helper".as_ptr(), name.as_ptr(), core::ptr::null()];
    // SAFETY: the array holds NUL-terminated strings and ends with a null pointer; there is no environment.
    unsafe { execve(path, arguments.as_ptr(), [core::ptr::null()].as_ptr()) };
}

fn a_new_program_ends_by_sigchld() -> Outcome {
    set_ignored(SIGUSR2)?;
    let (reader, writer) = pipe2(abi::fs::O_CLOEXEC)?;
    let pid = clone(0, SIGUSR2)?;
    if pid == 0 {
        execute("program");
        exit_group(1);
    }
    close(writer)?;
    // The end of the pipe comes with the new program.
    check_eq!(read(reader, &mut [0]), Ok(0));
    check_eq!(wait4(pid, 0)?, Some((pid, WaitStatus(0))));
    Ok(())
}

/// Makes a child whose end another signal tells, and becomes a program that waits for it.
fn another_program_gets_sigchld() -> Outcome {
    let status = child::run(|| {
        let Ok((reader, writer)) = pipe2(0) else { return 2 };
        if clone(0, SIGUSR1) == Ok(0) {
            let _ = close(writer);
            // The new program lets go of the other end. Left to O_CLOEXEC, the end would come too early: Linux closes
            // such descriptors a moment before it counts the parent as another program.
            let _ = read(reader, &mut [0]);
            exit_group(0);
        }
        execute("clone");
        3
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn clone_without_sigchld(_: &[&'static [u8]]) -> i32 {
    // The child waits for the end of a pipe. Default SIGUSR1 would kill, an ignored SIGCHLD does not.
    let _ = raw::call(nr::close_range, &[3, u64::from(u32::MAX), 0]);
    let result = wait4(-1, __WCLONE);
    i32::from(!matches!(result, Ok(Some((_, WaitStatus(0))))))
}

/// Whoever makes siblings does it while its parent ends: none may be left to nobody.
fn siblings_of_a_process_that_ends() -> Outcome {
    const ROUNDS: usize = 60;
    become_subreaper()?;
    for round in 0..ROUNDS {
        let (reader, writer) = pipe2(0)?;
        let leader = child::start(|| {
            let _ = setpgid(0, 0);
            if let Ok(0) = clone(0, SIGCHLD) {
                let _ = write(writer, b"x");
                for _ in 0..6 {
                    if clone(CLONE_PARENT, SIGCHLD) == Ok(0) {
                        exit_group(0);
                    }
                }
                exit_group(0);
            }
            let _ = read(reader, &mut [0]);
            (0..round * 40).for_each(|_| core::hint::spin_loop());
            0
        })?;
        close(reader)?;
        close(writer)?;
        reap_all(__WALL);
        // A zombie that nobody can wait for is a member still.
        check_eq!((round, kill(-leader, 0)), (round, Err(Errno::ESRCH)));
    }
    Ok(())
}

/// A signal ends a group of which some are being born.
fn no_child_misses_a_signal_to_its_group() -> Outcome {
    const ROUNDS: usize = 25;
    become_subreaper()?;
    for round in 0..ROUNDS {
        let (reader, writer) = pipe2(0)?;
        let leader = child::start(|| {
            let _ = setpgid(0, 0);
            let _ = write(writer, b"x");
            for _ in 0..40 {
                if clone(0, SIGCHLD) == Ok(0) {
                    loop {
                        let _ = raw::call(nr::rt_sigsuspend, &[(&raw const NO_SIGNALS) as u64, 8]);
                    }
                }
            }
            loop {
                sched_yield();
            }
        })?;
        read(reader, &mut [0])?;
        (0..round * 100).for_each(|_| core::hint::spin_loop());
        check_eq!(kill(-leader, SIGTERM), Ok(()));
        // Whoever lives on makes this wait for ever.
        reap_all(__WALL);
        check_eq!((round, kill(-leader, 0)), (round, Err(Errno::ESRCH)));
        close(reader)?;
        close(writer)?;
    }
    Ok(())
}

static NO_SIGNALS: u64 = 0;

/// Not in that of their end.
fn children_come_in_the_order_of_their_birth() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let first = child::start(|| {
        let _ = close(writer);
        let _ = read(reader, &mut [0]);
        1
    })?;
    let second = zombie()?;
    close(writer)?;
    raw::call(nr::waitid, &[P_PID.into(), first as u64, 0, (WEXITED | WNOWAIT).into(), 0])?;
    check_eq!(wait4(-1, 0)?, Some((first, WaitStatus::exited(1))));
    check_eq!(wait4(-1, 0)?, Some((second, WaitStatus::exited(7))));
    Ok(())
}

fn clones_and_others() -> Outcome {
    set_ignored(SIGUSR1)?;
    let silent = clone(0, 0)?;
    if silent == 0 {
        exit_group(1);
    }
    let other = zombie()?;
    raw::call(nr::waitid, &[P_PID.into(), silent as u64, 0, (WEXITED | WNOWAIT | __WALL).into(), 0])?;
    check_eq!(wait4(silent, WNOHANG), Err(Errno::ECHILD));
    check_eq!(wait4(other, WNOHANG | __WCLONE), Err(Errno::ECHILD));
    check_eq!(wait4(0, WNOHANG | __WCLONE)?.map(|found| found.0), Some(silent));
    check_eq!(wait4(-1, WNOHANG | __WCLONE), Err(Errno::ECHILD));
    check_eq!(wait4(0, WNOHANG | __WALL)?.map(|found| found.0), Some(other));
    check_eq!(wait4(0, WNOHANG | __WALL), Err(Errno::ECHILD));
    Ok(())
}

fn a_thread_waits_for_its_own() -> Outcome {
    let own = child::start(|| 1)?;
    let (theirs, seen) = spawn(|| {
        let theirs = child::start(|| 2).unwrap_or(0);
        let first = wait4(-1, __WNOTHREAD).ok().flatten().map(|found| found.0);
        let rest = wait4(-1, __WNOTHREAD | WNOHANG);
        (theirs, first == Some(theirs) && rest == Err(Errno::ECHILD))
    })?
    .join();
    check!(theirs != 0 && seen);
    // What a thread that has ended leaves goes to the first that lives, before its number is gone.
    for _ in 0..50 {
        let (thread, left) = spawn(|| (gettid(), child::start(|| 3).unwrap_or(0)))?.join();
        // Who joins is told a moment before the children are given away, which they are when the thread has gone.
        while raw::call(nr::tgkill, &[getpid() as u64, thread as u64, 0]).is_ok() {
            sched_yield();
        }
        check_eq!(wait4(left, __WNOTHREAD)?, Some((left, WaitStatus::exited(3))));
    }
    check_eq!(wait4(-1, __WNOTHREAD)?, Some((own, WaitStatus::exited(1))));
    Ok(())
}

/// The signal comes when the thread ends that made the child, though its process goes on.
fn a_thread_that_ends_is_a_parent_that_dies() -> Outcome {
    static CHILD: AtomicI32 = AtomicI32::new(0);
    let (ready_reader, ready_writer) = pipe2(0)?;
    spawn(move || {
        let pid = child::start(|| {
            let _ = handler::record_signal(SIGUSR1, SA_SIGINFO);
            let _ = raw::call(nr::prctl, &[PR_SET_PDEATHSIG.into(), SIGUSR1.into()]);
            let _ = write(ready_writer, b"x");
            while handler::count() == 0 {
                sched_yield();
            }
            i32::from(handler::CODE.load(Ordering::Relaxed) != SI_USER || getppid() == 1)
        });
        CHILD.store(pid.unwrap_or(0), Ordering::Relaxed);
        let _ = read(ready_reader, &mut [0]);
    })?
    .join();
    check_eq!(child::wait(CHILD.load(Ordering::Relaxed))?, WaitStatus(0));
    Ok(())
}

fn a_child_keeps_no_death_signal() -> Outcome {
    raw::call(nr::prctl, &[PR_SET_PDEATHSIG.into(), SIGUSR1.into()])?;
    let read = || {
        let mut signal = 0u32;
        raw::call(nr::prctl, &[PR_GET_PDEATHSIG.into(), (&raw mut signal) as u64]).map(|_| signal)
    };
    check_eq!(read(), Ok(SIGUSR1));
    check_eq!(child::run(|| i32::from(read() != Ok(0)))?, WaitStatus(0));
    check_eq!(spawn(read)?.join(), Ok(0));
    check_eq!(raw::call(nr::prctl, &[PR_SET_PDEATHSIG.into(), 65]), Err(Errno::EINVAL));
    Ok(())
}
