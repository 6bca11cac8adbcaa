//! Processes: making, ending, waiting, groups and sessions.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::native::nr;
use abi::process::*;
use abi::signal::*;
use conformance::{Outcome, check, check_eq, child, handler, raw};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use libsyscall::file::{close, pipe2, read, write};
use libsyscall::process::*;
use libsyscall::signal::{Disposition, rt_sigprocmask, set_disposition};
use libsyscall::thread::sched_yield;

conformance::tests!(
    &[
        ("fork_copies_memory", fork_copies_memory),
        ("exit_status_has_eight_bits", exit_status_has_eight_bits),
        ("a_signal_is_in_the_status", a_signal_is_in_the_status),
        ("waiting_without_children", waiting_without_children),
        ("waiting_without_hanging", waiting_without_hanging),
        ("waiting_for_any_and_for_a_group", waiting_for_any_and_for_a_group),
        ("waitid_tells_all", waitid_tells_all),
        ("waitid_can_leave_the_child", waitid_can_leave_the_child),
        ("stop_and_continue_are_reported", stop_and_continue_are_reported),
        ("orphans_get_a_new_parent", orphans_get_a_new_parent),
        ("the_end_of_a_child_is_a_signal", the_end_of_a_child_is_a_signal),
        ("ignored_children_leave_no_zombie", ignored_children_leave_no_zombie),
        ("vfork_shares_memory_and_waits", vfork_shares_memory_and_waits),
        ("clone_refuses_bad_flags", clone_refuses_bad_flags),
        ("clone_sets_ids", clone_sets_ids),
        ("leaving_memory_clears_a_word", leaving_memory_clears_a_word),
        ("an_end_stores_nothing_where_nobody_looks", an_end_stores_nothing_where_nobody_looks),
        ("groups_and_sessions", groups_and_sessions),
        ("kill_reaches_a_group", kill_reaches_a_group),
        ("kill_refuses", kill_refuses),
        ("many_children", many_children),
        ("names_of_threads", names_of_threads),
        ("users_can_be_given_up", users_can_be_given_up),
        ("limits_can_be_read_and_lowered", limits_can_be_read_and_lowered),
        ("parent_death_signal", parent_death_signal),
        ("switches_are_counted", switches_are_counted),
    ],
    &[("idle", idle)]
);

static WORD: AtomicU32 = AtomicU32::new(0);

fn fork_copies_memory() -> Outcome {
    WORD.store(1, Ordering::Relaxed);
    let status = child::run(|| {
        let seen = WORD.swap(2, Ordering::Relaxed);
        seen as i32
    })?;
    check_eq!(status, WaitStatus::exited(1));
    check_eq!(WORD.load(Ordering::Relaxed), 1);
    Ok(())
}

fn exit_status_has_eight_bits() -> Outcome {
    for code in [0, 1, 127, 128, 255, 256, 511, -1] {
        check_eq!(child::run(|| code)?.exit_code(), Some(code as u8));
    }
    Ok(())
}

fn a_signal_is_in_the_status() -> Outcome {
    for signal in [SIGKILL, SIGTERM, SIGPIPE, SIGUSR1, 40, 64] {
        let status = child::run(|| {
            let _ = kill(getpid(), signal);
            0
        })?;
        check_eq!(status.term_signal(), Some(signal));
    }
    Ok(())
}

fn waiting_without_children() -> Outcome {
    check_eq!(wait4(-1, 0), Err(Errno::ECHILD));
    check_eq!(wait4(1, 0), Err(Errno::ECHILD));
    check_eq!(raw::call(nr::wait4, &[u64::MAX, 0, 0x8000]), Err(Errno::EINVAL));
    check_eq!(raw::call(nr::waitid, &[P_ALL.into(), 0, 0, 0]), Err(Errno::EINVAL));
    Ok(())
}

fn waiting_without_hanging() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| {
        let _ = read(reader, &mut [0]);
        3
    })?;
    check_eq!(wait4(pid, WNOHANG), Ok(None));
    write(writer, b"x")?;
    check_eq!(child::wait(pid)?, WaitStatus::exited(3));
    check_eq!(wait4(pid, WNOHANG), Err(Errno::ECHILD));
    Ok(())
}

fn waiting_for_any_and_for_a_group() -> Outcome {
    let first = child::start(|| 1)?;
    let second = child::start(|| {
        let _ = setpgid(0, 0);
        2
    })?;
    // Both sides set the group, so that it is set whoever runs first.
    let _ = setpgid(second, second);
    check_eq!(wait4(-second, 0)?, Some((second, WaitStatus::exited(2))));
    check_eq!(wait4(-1, 0)?, Some((first, WaitStatus::exited(1))));
    Ok(())
}

fn waitid_into(kind: u32, id: i32, options: u32) -> Result<SigInfo, Errno> {
    let mut info = SigInfo::default();
    raw::call(nr::waitid, &[kind.into(), id as u64, (&raw mut info) as u64, options.into(), 0])?;
    Ok(info)
}

fn waitid_tells_all() -> Outcome {
    let pid = child::start(|| 7)?;
    let info = waitid_into(P_PID, pid, WEXITED)?;
    check_eq!((info.si_signo, info.si_code), (SIGCHLD as i32, CLD_EXITED));
    check_eq!((info.fields[0] as i32, info.fields[1] as i32), (pid, 7));
    let pid = child::start(|| {
        let _ = kill(getpid(), SIGKILL);
        0
    })?;
    let info = waitid_into(P_ALL, 0, WEXITED)?;
    check_eq!((info.si_code, info.fields[0] as i32, info.fields[1] as u32), (CLD_KILLED, pid, SIGKILL));
    Ok(())
}

fn waitid_can_leave_the_child() -> Outcome {
    let pid = child::start(|| 9)?;
    check_eq!(waitid_into(P_PID, pid, WEXITED | WNOWAIT)?.fields[0] as i32, pid);
    check_eq!(waitid_into(P_PID, pid, WEXITED | WNOHANG)?.fields[0] as i32, pid);
    check_eq!(waitid_into(P_PID, pid, WEXITED | WNOHANG), Err(Errno::ECHILD));
    let pid = child::start(|| {
        loop {
            libsyscall::thread::sched_yield();
        }
    })?;
    let info = waitid_into(P_PID, pid, WEXITED | WNOHANG)?;
    check_eq!((info.si_signo, info.fields[0]), (0, 0));
    kill(pid, SIGKILL)?;
    child::wait(pid)?;
    Ok(())
}

fn stop_and_continue_are_reported() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let pid = child::start(|| {
        let _ = kill(getpid(), SIGSTOP);
        // An end would hide that it went on.
        if read(reader, &mut [0]) == Ok(1) { 5 } else { 6 }
    })?;
    check_eq!(wait4(pid, WUNTRACED)?, Some((pid, WaitStatus::stopped(SIGSTOP))));
    check_eq!(wait4(pid, WNOHANG | WUNTRACED)?, None);
    kill(pid, SIGCONT)?;
    check_eq!(wait4(pid, WCONTINUED)?, Some((pid, WaitStatus::CONTINUED)));
    check_eq!(write(writer, b"x"), Ok(1));
    check_eq!(child::wait(pid)?, WaitStatus::exited(5));
    for fd in [reader, writer] {
        close(fd)?;
    }
    let pid = child::start(|| {
        loop {
            libsyscall::thread::sched_yield();
        }
    })?;
    kill(pid, SIGSTOP)?;
    check_eq!(wait4(pid, WUNTRACED)?.map(|(_, status)| status.stop_signal()), Some(Some(SIGSTOP)));
    kill(pid, SIGKILL)?;
    check_eq!(child::wait(pid)?.term_signal(), Some(SIGKILL));
    Ok(())
}

fn orphans_get_a_new_parent() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let (gone_reader, gone_writer) = pipe2(0)?;
    let me = getpid();
    let status = child::run(|| {
        let parent = getpid();
        let started = child::start(|| {
            let _ = close(gone_writer);
            // The end of the pipe comes when the parent has gone.
            let _ = read(gone_reader, &mut [0]);
            while getppid() == parent {
                libsyscall::thread::sched_yield();
            }
            let _ = write(writer, &getppid().to_ne_bytes());
            0
        });
        if started.is_ok() { 0 } else { 1 }
    })?;
    check_eq!(status, WaitStatus(0));
    close(gone_writer)?;
    let mut bytes = [0; 4];
    check_eq!(read(reader, &mut bytes)?, 4);
    check!(i32::from_ne_bytes(bytes) != me);
    Ok(())
}

fn the_end_of_a_child_is_a_signal() -> Outcome {
    handler::record_signal(SIGCHLD, 0)?;
    let pid = child::start(|| 6)?;
    while handler::count() == 0 {
        libsyscall::thread::sched_yield();
    }
    check_eq!(handler::CODE.load(Ordering::Relaxed), CLD_EXITED);
    check_eq!(handler::FIELD.load(Ordering::Relaxed) as i32, pid);
    check_eq!(handler::VALUE.load(Ordering::Relaxed) as i32, 6);
    check_eq!(child::wait(pid)?, WaitStatus::exited(6));
    Ok(())
}

fn ignored_children_leave_no_zombie() -> Outcome {
    set_disposition(SIGCHLD, Disposition::Ignore)?;
    let pid = child::start(|| 0)?;
    check_eq!(wait4(pid, 0), Err(Errno::ECHILD));
    // On another CPU the child may not quite be gone: Linux tells its parent first.
    while kill(pid, 0).is_ok() {
        libsyscall::thread::sched_yield();
    }
    check_eq!(kill(pid, 0), Err(Errno::ESRCH));
    Ok(())
}

fn vfork_shares_memory_and_waits() -> Outcome {
    WORD.store(0, Ordering::Relaxed);
    let command = ulib::process::Command::new(ulib::args::args().next().map_or(b"", |name| name.to_bytes()))?;
    let child = command.args([&b"waiting_without_children"[..]])?.spawn()?;
    check_eq!(child.wait()?, WaitStatus(0));
    Ok(())
}

fn clone_refuses_bad_flags() -> Outcome {
    for flags in [CLONE_THREAD, CLONE_SIGHAND, CLONE_THREAD | CLONE_SIGHAND, CLONE_FS | CLONE_NEWNS] {
        check_eq!(raw::call(nr::clone, &[flags, 0, 0, 0, 0]), Err(Errno::EINVAL));
    }
    Ok(())
}

fn clone_sets_ids() -> Outcome {
    let mut parent_tid = 0u32;
    let flags = CLONE_PARENT_SETTID | u64::from(SIGCHLD);
    let pid = raw::call(nr::clone, &[flags, 0, (&raw mut parent_tid) as u64, 0, 0])?;
    if pid == 0 {
        exit_group(0);
    }
    // SAFETY: the word is this function's own; the kernel has written it.
    check_eq!(u64::from(unsafe { (&raw const parent_tid).read_volatile() }), pid);
    child::wait(pid as i32)?;
    Ok(())
}

/// What a child is that becomes another program at once, on a stack of its own.
extern "C" fn become_idle(_argument: *mut u8) -> ! {
    let own = ulib::args::args().next().unwrap_or_default();
    let list = [own.as_ptr(), c"--helper".as_ptr(), c"idle".as_ptr(), core::ptr::null()];
    // SAFETY: the array holds NUL-terminated strings and ends with a null pointer; there is no environment.
    let _ = unsafe { execve(own, list.as_ptr(), [core::ptr::null()].as_ptr()) };
    exit_group(1);
}

/// A helper that stays until it is killed.
fn idle(_arguments: &[&'static [u8]]) -> i32 {
    loop {
        ulib::time::sleep(Duration::from_secs(1000));
    }
}

/// Who shares memory with a child hears when it leaves that by `execve`, as by an end: the word is cleared.
fn leaving_memory_clears_a_word() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    static mut STACK: [u128; 4096] = [0; 4096];
    WORD.store(7, Ordering::Relaxed);
    let flags = CLONE_VM | CLONE_CHILD_CLEARTID | u64::from(SIGCHLD);
    let (top, word) = ((&raw mut STACK).wrapping_add(1).cast(), WORD.as_ptr());
    // SAFETY: the stack is the child's alone, which leaves it before the next test of this process could use it again.
    let pid = unsafe {
        libsyscall::arch::clone_onto_stack(
            flags,
            top,
            core::ptr::null_mut(),
            word,
            0,
            become_idle,
            core::ptr::null_mut(),
        )
    };
    check!(pid > 0);
    while WORD.load(Ordering::Acquire) != 0 {
        let _ = libsyscall::thread::futex_wait(&WORD, 7, None, libsyscall::thread::Sharing::Shared);
    }
    child::end(pid as i32)
}

/// An end stores nothing into memory that only others see by chance: a shared mapping.
fn an_end_stores_nothing_where_nobody_looks() -> Outcome {
    use abi::memory::{MAP_ANONYMOUS, MAP_SHARED, PROT_READ, PROT_WRITE};
    // SAFETY: new memory, at an address of the kernel's choice.
    let word = unsafe {
        libsyscall::memory::mmap(
            core::ptr::null_mut(),
            4096,
            PROT_READ | PROT_WRITE,
            MAP_SHARED | MAP_ANONYMOUS,
            -1,
            0,
        )
    }?;
    // SAFETY: mapped, zeroed, and never unmapped.
    let word = unsafe { &*word.cast::<AtomicU32>() };
    word.store(7, Ordering::Relaxed);
    let status = child::run(|| {
        let set = raw::call(nr::set_tid_address, &[word.as_ptr() as u64]);
        i32::from(set.is_err())
    })?;
    check_eq!((status, word.load(Ordering::Relaxed)), (WaitStatus(0), 7));
    Ok(())
}

fn groups_and_sessions() -> Outcome {
    let me = getpid();
    check_eq!(getpgid(0), Ok(me));
    check_eq!(setsid(), Err(Errno::EPERM));
    check_eq!(setpgid(0, 1), Err(Errno::EPERM));
    check_eq!(setpgid(0, -1), Err(Errno::EINVAL));
    check_eq!(setpgid(0x3fff_fff0, 0), Err(Errno::ESRCH));
    check_eq!(getsid(0x3fff_fff0), Err(Errno::ESRCH));
    let status = child::run(|| {
        let mine = getpid();
        let inherited = getpgid(0) == Ok(me);
        let session = setsid() == Ok(mine);
        let both = getpgid(0) == Ok(mine) && getsid(0) == Ok(mine);
        let leader_stays = setpgid(0, 0) == Err(Errno::EPERM);
        i32::from(!(inherited && session && both && leader_stays))
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn kill_reaches_a_group() -> Outcome {
    let leader = child::start(|| {
        loop {
            libsyscall::thread::sched_yield();
        }
    })?;
    setpgid(leader, leader)?;
    let member = child::start(|| {
        loop {
            libsyscall::thread::sched_yield();
        }
    })?;
    setpgid(member, leader)?;
    kill(-leader, SIGTERM)?;
    check_eq!(child::wait(leader)?.term_signal(), Some(SIGTERM));
    check_eq!(child::wait(member)?.term_signal(), Some(SIGTERM));
    Ok(())
}

fn kill_refuses() -> Outcome {
    check_eq!(kill(getpid(), 65), Err(Errno::EINVAL));
    check_eq!(kill(getpid(), u32::MAX), Err(Errno::EINVAL));
    check_eq!(kill(0x3fff_fff0, 0), Err(Errno::ESRCH));
    check_eq!(kill(i32::MIN, 0), Err(Errno::ESRCH));
    check_eq!(kill(getpid(), 0), Ok(()));
    Ok(())
}

fn many_children() -> Outcome {
    for round in 0..10 {
        let mut sum = 0;
        for number in 0..20 {
            child::start(|| number)?;
        }
        while let Ok(Some((_, status))) = wait4(-1, 0) {
            sum += i32::from(status.exit_code().unwrap_or(255));
        }
        check_eq!((round, sum), (round, 190));
    }
    Ok(())
}

fn names_of_threads() -> Outcome {
    let mut name = [0xffu8; 16];
    raw::call(nr::prctl, &[PR_SET_NAME.into(), c"a-name-that-is-too-long".as_ptr() as u64])?;
    raw::call(nr::prctl, &[PR_GET_NAME.into(), name.as_mut_ptr() as u64])?;
    check_eq!(&name, b"a-name-that-is-\0");
    check_eq!(raw::call(nr::prctl, &[0xffff_ffff]), Err(Errno::EINVAL));
    Ok(())
}

fn users_can_be_given_up() -> Outcome {
    if geteuid() != 0 {
        return Ok(());
    }
    let status = child::run(|| {
        let id = 1000;
        let steps = [
            raw::call(nr::setgroups, &[0, 0]).is_ok(),
            raw::call(nr::setresgid, &[id, id, id]).is_ok(),
            raw::call(nr::setresuid, &[id, id, id]).is_ok(),
            getuid() == 1000 && geteuid() == 1000 && getgid() == 1000 && getegid() == 1000,
            raw::call(nr::setuid, &[0]) == Err(Errno::EPERM),
            kill(getppid(), 0) == Err(Errno::EPERM),
            raw::call(nr::setresuid, &[u64::MAX, u64::MAX, u64::MAX]).is_ok(),
        ];
        steps.iter().position(|&done| !done).map_or(0, |step| step as i32 + 1)
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn limits_can_be_read_and_lowered() -> Outcome {
    use abi::resource::*;
    let old = prlimit64(0, RLIMIT_NOFILE, None)?;
    check!(old.rlim_cur > 0 && old.rlim_cur <= old.rlim_max);
    let new = Rlimit { rlim_cur: 20, rlim_max: old.rlim_max };
    prlimit64(0, RLIMIT_NOFILE, Some(&new))?;
    check_eq!(prlimit64(0, RLIMIT_NOFILE, None)?, new);
    check_eq!(raw::call(nr::dup3, &[1, 20, 0]), Err(Errno::EBADF));
    let bad = Rlimit { rlim_cur: 21, rlim_max: 20 };
    check_eq!(prlimit64(0, RLIMIT_NOFILE, Some(&bad)), Err(Errno::EINVAL));
    check_eq!(prlimit64(0, 99, None), Err(Errno::EINVAL));
    Ok(())
}

fn parent_death_signal() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let status = child::run(|| {
        let (ready_reader, ready_writer) = match pipe2(0) {
            Ok(ends) => ends,
            Err(_) => return 1,
        };
        let _ = child::start(|| {
            let _ = rt_sigprocmask(SIG_UNBLOCK, u64::MAX);
            let _ = raw::call(nr::prctl, &[PR_SET_PDEATHSIG.into(), SIGKILL.into()]);
            let _ = write(ready_writer, b"x");
            loop {
                libsyscall::thread::sched_yield();
            }
        });
        let _ = read(ready_reader, &mut [0]);
        0
    })?;
    check_eq!(status, WaitStatus(0));
    close(writer)?;
    // The grandchild held the other end: it has gone, too.
    check_eq!(read(reader, &mut [0]), Ok(0));
    Ok(())
}

/// Two processes on one processor.
fn switches_are_counted() -> Outcome {
    let run_on = |mask: u64| raw::call(nr::sched_setaffinity, &[0, 8, (&raw const mask) as u64]).map(drop);
    run_on(1)?;
    let other = child::start(|| {
        loop {
            sched_yield();
        }
    })?;
    let before = getrusage(RUSAGE_THREAD)?;
    // Not each makes way: the other process may have had its share.
    while getrusage(RUSAGE_THREAD)?.ru_nivcsw - before.ru_nivcsw < 50 {
        sched_yield();
    }
    // A sleep whose time is up before it begins is none.
    while getrusage(RUSAGE_THREAD)?.ru_nvcsw - before.ru_nvcsw < 3 {
        ulib::time::sleep(Duration::from_millis(1));
    }
    kill(other, SIGKILL)?;
    child::wait(other)?;
    // How often is not said: also other tasks of that processor had their turns.
    check!(getrusage(RUSAGE_CHILDREN)?.ru_nivcsw > 0);
    run_on(u64::MAX)?;
    Ok(())
}
