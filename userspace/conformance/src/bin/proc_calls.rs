//! `/proc/PID/syscall`, `stack` and `wchan`: where in the kernel a thread is.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::O_RDONLY;
use abi::native::nr;
use abi::signal::SIGKILL;
use alloc::format;
use alloc::string::String;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use core::sync::atomic::{AtomicI32, Ordering};
use core::time::Duration;
use libsyscall::file::{close, open, pipe2, read, write};
use libsyscall::process::{getpid, kill};
use libsyscall::thread::gettid;

conformance::tests!(&[
    ("the_call_of_oneself", the_call_of_oneself),
    ("the_call_of_a_process_that_sleeps", the_call_of_a_process_that_sleeps),
    ("the_call_of_a_thread_that_sleeps", the_call_of_a_thread_that_sleeps),
    ("a_process_that_runs_or_has_ended", a_process_that_runs_or_has_ended),
    ("whose_stack_is_shown", whose_stack_is_shown),
    ("strangers_may_not_look", strangers_may_not_look),
]);

fn page(path: &str) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&files::content(&ulib::c_string(path)?)?).into_owned())
}

/// Reads until the text pleases, which it does sooner or later.
fn page_once(path: &str, pleases: impl Fn(&str) -> bool) -> Result<String, Failure> {
    loop {
        let text = page(path)?;
        if pleases(&text) {
            return Ok(text);
        }
        ulib::time::sleep(Duration::from_millis(1));
    }
}

/// A `read` that sleeps for ever, with arguments that it ignores.
fn sleep_in_read(pipe: i32) {
    let _ = raw::call(nr::read, &[pipe as u64, 0x1234, 0x55, 0x66, u64::MAX, 0]);
}

/// How the line of such a thread begins.
fn begin_of_read(pipe: i32) -> String {
    format!("{} {pipe:#x} 0x1234 0x55 0x66 0xffffffffffffffff 0x0 0x", nr::read)
}

/// Checks a line of a thread in [`sleep_in_read`]: nine numbers, the last ones addresses of the program.
fn check_line(line: &str) -> Outcome {
    let numbers = line.trim_end().split(' ');
    let addresses = numbers.clone().skip(7).map(|hex| u64::from_str_radix(hex.trim_start_matches("0x"), 16));
    check_eq!(numbers.count(), 9);
    check!(addresses.clone().all(|address| address.is_ok_and(|address| address > 4096 && address < 1 << 56)));
    check!(line.ends_with('\n') && !line.trim_end().contains('\n'), "{line}");
    // The call is a few instructions inside `syscall`, and these are here.
    let near = sleep_in_read as *const () as u64;
    check!(addresses.last().is_some_and(|pc| pc.is_ok_and(|pc| pc.abs_diff(near) < 64 << 20)), "{line}");
    Ok(())
}

/// Starts a child in [`sleep_in_read`], and runs `body` with its number and the pipe.
fn with_sleeper(body: impl FnOnce(i32, i32) -> Outcome) -> Outcome {
    files::mount_proc()?;
    let (from, to) = pipe2(0)?;
    let pid = child::start(|| {
        sleep_in_read(from);
        0
    })?;
    let outcome = body(pid, from);
    kill(pid, SIGKILL)?;
    child::wait(pid)?;
    close(from)?;
    close(to)?;
    outcome
}

fn the_call_of_oneself() -> Outcome {
    files::mount_proc()?;
    for path in [c"/proc/self/syscall", c"/proc/thread-self/syscall"] {
        check_eq!(files::mode_of(path)? & 0o7777, 0o400);
        let fd = open(path, O_RDONLY, 0)?;
        let mut bytes = [0; 512];
        let buffer = bytes.as_mut_ptr() as u64;
        let length = raw::call(nr::read, &[fd as u64, buffer, 512, 0x44, 0x55, 0x66])?;
        let text = String::from_utf8_lossy(&bytes[..length as usize]).into_owned();
        close(fd)?;
        let begin = format!("{} {fd:#x} {buffer:#x} 0x200 0x44 0x55 0x66 0x", nr::read);
        check!(text.starts_with(&begin), "{text}");
        check_line(&text)?;
    }
    Ok(())
}

fn the_call_of_a_process_that_sleeps() -> Outcome {
    with_sleeper(|pid, pipe| {
        let text = page_once(&format!("/proc/{pid}/syscall"), |text| text.starts_with(&begin_of_read(pipe)))?;
        check_line(&text)?;
        check_eq!(page(&format!("/proc/{pid}/task/{pid}/syscall"))?, text);
        Ok(())
    })
}

fn the_call_of_a_thread_that_sleeps() -> Outcome {
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    files::mount_proc()?;
    let (from, to) = pipe2(0)?;
    let thread = ulib::thread::spawn(move || {
        NUMBER.store(gettid(), Ordering::SeqCst);
        let mut byte = [0];
        read(from, &mut byte)
    })?;
    while NUMBER.load(Ordering::SeqCst) == 0 {
        ulib::time::sleep(Duration::from_millis(1));
    }
    let number = NUMBER.load(Ordering::SeqCst);
    let path = format!("/proc/self/task/{number}/syscall");
    let text = page_once(&path, |text| text.starts_with(&format!("{} {from:#x} 0x", nr::read)))?;
    check!(text.split(' ').nth(3) == Some("0x1"), "{text}");
    check_line(&text)?;
    // The leader is this thread, which does something else.
    check!(!page("/proc/self/syscall")?.starts_with(&format!("{} {from:#x} 0x", nr::read)));
    write(to, b"x")?;
    check_eq!(thread.join(), Ok(1));
    close(from)?;
    close(to)?;
    Ok(())
}

fn a_process_that_runs_or_has_ended() -> Outcome {
    files::mount_proc()?;
    let (from, to) = pipe2(0)?;
    let pid = child::start(|| {
        let _ = write(to, b"x");
        loop {
            core::hint::spin_loop();
        }
    })?;
    check_eq!(read(from, &mut [0]), Ok(1));
    let path = format!("/proc/{pid}/syscall");
    page_once(&path, |text| text == "running\n")?;
    check_eq!(page(&format!("/proc/{pid}/wchan"))?, "0");
    kill(pid, SIGKILL)?;
    page_once(&path, |text| text == "-1 0x0 0x0\n")?;
    check_eq!(page(&format!("/proc/{pid}/wchan"))?, "0");
    if libsyscall::process::geteuid() == 0 {
        check_eq!(page(&format!("/proc/{pid}/stack"))?, "");
    }
    child::wait(pid)?;
    close(from)?;
    close(to)?;
    Ok(())
}

/// Whether a line is `[<0>] name+0xoffset/0xsize`, the offset inside.
fn is_frame(line: &str) -> bool {
    let number = |hex: &str| hex.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let parts = line.strip_prefix("[<0>] ").and_then(|rest| rest.rsplit_once('+'));
    parts.is_some_and(|(name, place)| {
        let Some((offset, size)) = place.split_once('/') else { return false };
        !name.is_empty() && number(offset).is_some_and(|offset| Some(offset) <= number(size))
    })
}

fn whose_stack_is_shown() -> Outcome {
    if libsyscall::process::geteuid() != 0 {
        return Ok(());
    }
    with_sleeper(|pid, pipe| {
        page_once(&format!("/proc/{pid}/syscall"), |text| text.starts_with(&begin_of_read(pipe)))?;
        for path in [format!("/proc/{pid}/stack"), format!("/proc/{pid}/task/{pid}/stack")] {
            check_eq!(files::mode_of(&ulib::c_string(path.as_str())?)? & 0o7777, 0o400);
            let text = page(&path)?;
            check!(text.lines().count() >= 3 && text.lines().all(is_frame), "{text}");
        }
        let place = page(&format!("/proc/{pid}/wchan"))?;
        check!(place != "0" && !place.is_empty() && !place.contains('\n'), "{place}");
        let own = page("/proc/self/stack")?;
        check!(own.lines().count() >= 3 && own.lines().all(is_frame), "{own}");
        Ok(())
    })
}

fn strangers_may_not_look() -> Outcome {
    const PR_SET_DUMPABLE: u64 = 4;
    if libsyscall::process::geteuid() != 0 {
        return Ok(());
    }
    with_sleeper(|pid, pipe| {
        let path = format!("/proc/{pid}/syscall");
        page_once(&path, |text| text.starts_with(&begin_of_read(pipe)))?;
        let kept = open(&ulib::c_string(path.as_str())?, O_RDONLY, 0)?;
        let stack = open(&ulib::c_string(format!("/proc/{pid}/stack"))?, O_RDONLY, 0)?;
        files::as_user(|| {
            for name in ["syscall", "stack"] {
                let path = ulib::c_string(format!("/proc/{pid}/{name}"))?;
                check_eq!(open(&path, O_RDONLY, 0).map(drop), Err(Errno::EACCES));
            }
            check_eq!(page(&format!("/proc/{pid}/wchan"))?, "0");
            let mut bytes = [0; 99];
            check_eq!(read(kept, &mut bytes), Err(Errno::EPERM));
            check_eq!(read(stack, &mut bytes), Err(Errno::EPERM));
            // One's own stack is nobody's either.
            raw::call(nr::prctl, &[PR_SET_DUMPABLE, 1])?;
            let own = open(&ulib::c_string(format!("/proc/{}/stack", getpid()))?, O_RDONLY, 0)?;
            check_eq!(read(own, &mut bytes), Err(Errno::EACCES));
            check!(page("/proc/self/syscall")?.starts_with(&format!("{} ", nr::read)));
            Ok(())
        })
    })
}
