//! Stops of whole processes: what their other threads do meanwhile, and what is told of them.
#![no_std]
#![no_main]

extern crate alloc;

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use abi::fs::{F_SETLKW, F_WRLCK, Flock, O_CREAT, O_RDWR};
use abi::ioctl::FIONREAD;
use abi::memory::{MAP_ANONYMOUS, MAP_SHARED, PROT_READ, PROT_WRITE};
use abi::native::nr;
use abi::process::{WCONTINUED, WNOHANG, WUNTRACED, WaitStatus};
use abi::signal::{SIGCONT, SIGKILL, SIGSTOP, SIGTSTP};
use conformance::{Failure, Outcome, check, check_eq, child, raw, scratch};
use libsyscall::file::{open, pipe2, read, write};
use libsyscall::memory::mmap;
use libsyscall::process::{getpid, kill, wait4};
use ulib::thread;

conformance::tests!(&[
    ("other_threads_leave_their_calls", other_threads_leave_their_calls),
    ("other_threads_get_no_lock", other_threads_get_no_lock),
    ("all_threads_stand_still", all_threads_stand_still),
    ("calls_of_other_threads_run_again", calls_of_other_threads_run_again),
    ("a_continue_follows_its_stop", a_continue_follows_its_stop),
    ("what_is_told_is_so", what_is_told_is_so),
    ("a_thread_that_ends_is_not_waited_for", a_thread_that_ends_is_not_waited_for),
]);

/// Longer than a thread needs to come out of a call, or to do what it must not.
const WHILE: Duration = Duration::from_millis(30);

/// Words that children share.
fn shared() -> Result<&'static [AtomicU64; 8], Failure> {
    // SAFETY: new memory, at an address of the kernel's choice.
    let start = unsafe {
        mmap(core::ptr::null_mut(), 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    }?;
    // SAFETY: mapped, zeroed, and never unmapped.
    Ok(unsafe { &*start.cast::<[AtomicU64; 8]>() })
}

fn until(word: &AtomicU64, value: u64) {
    while word.load(Ordering::Acquire) < value {
        thread::yield_now();
    }
}

fn joined<T, E>(thread: Result<thread::JoinHandle<T>, E>) -> Option<T> {
    thread.ok().map(thread::JoinHandle::join)
}

/// Stops a process, and waits until that is told.
fn stop(pid: i32) -> Outcome {
    kill(pid, SIGSTOP)?;
    check_eq!(wait4(pid, WUNTRACED)?, Some((pid, WaitStatus::stopped(SIGSTOP))));
    Ok(())
}

fn waiting(reader: i32) -> Result<u32, Failure> {
    let mut count = 0_u32;
    raw::call(nr::ioctl, &[reader as u64, FIONREAD.into(), (&raw mut count) as u64])?;
    Ok(count)
}

fn other_threads_leave_their_calls() -> Outcome {
    let (words, (reader, writer)) = (shared()?, pipe2(0)?);
    let pid = child::start(|| {
        let other = thread::spawn(move || {
            words[0].store(1, Ordering::Release);
            let mut byte = [0];
            (read(reader, &mut byte), byte[0])
        });
        i32::from(joined(other) != Some((Ok(1), b'x')))
    })?;
    until(&words[0], 1);
    ulib::time::sleep(WHILE);
    stop(pid)?;
    write(writer, b"x")?;
    ulib::time::sleep(WHILE);
    check_eq!(waiting(reader)?, 1);
    kill(pid, SIGCONT)?;
    check_eq!(child::wait(pid)?, WaitStatus::exited(0));
    Ok(())
}

fn lock(fd: i32, kind: i16, command: u32) -> Result<u64, abi::Errno> {
    let lock = Flock { l_type: kind, ..Flock::default() };
    raw::call(nr::fcntl, &[fd as u64, command.into(), (&raw const lock) as u64])
}

fn other_threads_get_no_lock() -> Outcome {
    scratch::enter()?;
    let words = shared()?;
    let file = open(c"file", O_CREAT | O_RDWR, 0o600)?;
    lock(file, F_WRLCK, F_SETLKW)?;
    let pid = child::start(|| {
        let other = thread::spawn(move || {
            words[0].store(1, Ordering::Release);
            let locked = lock(file, F_WRLCK, F_SETLKW);
            words[1].store(1, Ordering::Release);
            locked.is_err()
        });
        i32::from(joined(other) != Some(false))
    })?;
    until(&words[0], 1);
    ulib::time::sleep(WHILE);
    stop(pid)?;
    lock(file, abi::fs::F_UNLCK, F_SETLKW)?;
    ulib::time::sleep(WHILE);
    check_eq!(words[1].load(Ordering::Acquire), 0);
    // Nobody has taken it meanwhile.
    check_eq!(lock(file, F_WRLCK, abi::fs::F_SETLK), Ok(0));
    lock(file, abi::fs::F_UNLCK, F_SETLKW)?;
    kill(pid, SIGCONT)?;
    check_eq!(child::wait(pid)?, WaitStatus::exited(0));
    Ok(())
}

fn all_threads_stand_still() -> Outcome {
    let words = shared()?;
    let pid = child::start(|| {
        for word in &words[..4] {
            let _ = thread::spawn(move || {
                loop {
                    word.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        loop {
            ulib::time::sleep(Duration::from_secs(1000));
        }
    })?;
    for round in 0..20 {
        words[..4].iter().for_each(|word| until(word, word.load(Ordering::Acquire) + 1));
        stop(pid)?;
        let counts = || [0, 1, 2, 3].map(|index: usize| words[index].load(Ordering::Acquire));
        let before = counts();
        ulib::time::sleep(Duration::from_millis(2));
        check_eq!((round, counts()), (round, before));
        kill(pid, SIGCONT)?;
        check_eq!(wait4(pid, WCONTINUED)?, Some((pid, WaitStatus::CONTINUED)));
    }
    child::end(pid)
}

fn calls_of_other_threads_run_again() -> Outcome {
    let (words, (reader, writer)) = (shared()?, pipe2(0)?);
    let pid = child::start(|| {
        let other = thread::spawn(move || {
            words[0].store(1, Ordering::Release);
            let mut bytes = [0; 4];
            for byte in &mut bytes {
                if read(reader, core::slice::from_mut(byte)) != Ok(1) {
                    return false;
                }
                words[0].fetch_add(1, Ordering::AcqRel);
            }
            &bytes == b"abcd"
        });
        i32::from(joined(other) != Some(true))
    })?;
    for (number, byte) in (1..).zip(b"abcd") {
        until(&words[0], number);
        stop(pid)?;
        kill(pid, SIGCONT)?;
        write(writer, &[*byte])?;
    }
    check_eq!(child::wait(pid)?, WaitStatus::exited(0));
    Ok(())
}

/// A stop and a continue that follow each other closely leave the process running, however they meet its threads.
fn a_continue_follows_its_stop() -> Outcome {
    const ROUNDS: u64 = 200;
    let words = shared()?;
    let pid = child::start(|| {
        for word in &words[..2] {
            let _ = thread::spawn(move || {
                loop {
                    word.fetch_add(1, Ordering::AcqRel);
                    thread::yield_now();
                }
            });
        }
        loop {
            ulib::time::sleep(Duration::from_secs(1000));
        }
    })?;
    for round in 0..ROUNDS {
        let signal = if round % 2 == 0 { SIGSTOP } else { SIGTSTP };
        (0..10).try_for_each(|_| kill(pid, signal).and_then(|()| kill(pid, SIGCONT)))?;
        // They go on, or this goes on for ever.
        words[..2].iter().for_each(|word| until(word, word.load(Ordering::Acquire) + 1));
    }
    child::end(pid)
}

/// Whoever hears that a process has stopped, and does nothing else, finds it stopped.
fn what_is_told_is_so() -> Outcome {
    const ROUNDS: usize = 300;
    let words = shared()?;
    let pid = child::start(|| {
        loop {
            words[0].fetch_add(1, Ordering::AcqRel);
        }
    })?;
    for _ in 0..ROUNDS {
        kill(pid, SIGSTOP)?;
        kill(pid, SIGCONT)?;
        kill(pid, SIGSTOP)?;
        check_eq!(wait4(pid, WUNTRACED)?, Some((pid, WaitStatus::stopped(SIGSTOP))));
        let before = words[0].load(Ordering::Acquire);
        thread::yield_now();
        check_eq!(words[0].load(Ordering::Acquire), before);
        kill(pid, SIGCONT)?;
        check_eq!(wait4(pid, WCONTINUED)?, Some((pid, WaitStatus::CONTINUED)));
        // Nothing is left of the first stop.
        check_eq!(wait4(pid, WUNTRACED | WNOHANG)?, None);
    }
    child::end(pid)
}

/// A thread that is killed before it has stopped does not keep the others' stop from being told.
fn a_thread_that_ends_is_not_waited_for() -> Outcome {
    let words = shared()?;
    for _ in 0..50 {
        words[0].store(0, Ordering::Release);
        let pid = child::start(|| {
            for _ in 0..4 {
                let _ = thread::spawn(move || {
                    words[0].fetch_add(1, Ordering::AcqRel);
                });
            }
            let _ = getpid();
            loop {
                ulib::time::sleep(Duration::from_secs(1000));
            }
        })?;
        until(&words[0], 1);
        stop(pid)?;
        kill(pid, SIGKILL)?;
        check!(child::wait(pid)?.term_signal() == Some(SIGKILL));
    }
    Ok(())
}
