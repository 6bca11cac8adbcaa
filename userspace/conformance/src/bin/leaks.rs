//! Memory after the end of what used it: threads, processes and programs that come and go leave nothing behind.
#![no_std]
#![no_main]

extern crate alloc;

use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::SIGKILL;
use alloc::string::String;
use conformance::harness::{Helper, helper_arguments};
use conformance::{Failure, Outcome, check_eq, child, files, raw};
use core::time::Duration;
use libsyscall::file::{close, pipe2, read};
use libsyscall::process::{exit_group, getpid, kill};
use ulib::process::Command;
use ulib::thread;
use ulib::time::sleep;

const HELPERS: &[Helper] = &[("nothing", |_| 0)];

conformance::tests!(
    &[
        ("processes_that_end", processes_that_end),
        ("processes_that_are_killed", processes_that_are_killed),
        ("threads_that_end", threads_that_end),
        ("threads_that_end_with_their_process", threads_that_end_with_their_process),
        ("programs_that_are_executed", programs_that_are_executed),
        ("processes_that_lived_at_once", processes_that_lived_at_once),
        ("threads_that_lived_at_once", threads_that_lived_at_once),
    ],
    HELPERS
);

/// Free memory in KiB.
fn free_memory() -> Result<i64, Failure> {
    let text = files::content(c"/proc/meminfo")?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Failure::new("no MemFree"))
}

/// How often a body that may lose memory is looked at. Free memory moves up and down on a sound kernel, too, and falls
/// for a few rounds while Linux fills its caches of task structures and stacks on every CPU; it does not fall each
/// time.
const ATTEMPTS: usize = 20;
/// How often, and how long apart, what is free after a round is looked at: Linux frees later what it unhooks now.
const LOOKS: usize = 10;
const REST: Duration = Duration::from_millis(20);

/// Runs `body` in rounds of `times`. Fails if every round loses at least `least` bytes for each run.
fn loses_nothing(times: u32, least: i64, body: impl Fn() -> Outcome) -> Outcome {
    (0..times / 8).try_for_each(|_| body())?;
    let mut lost = 0;
    for _ in 0..ATTEMPTS {
        let before = free_memory()?;
        (0..times).try_for_each(|_| body())?;
        for _ in 0..LOOKS {
            lost = (before - free_memory()?) * 1024 / i64::from(times);
            if lost < least {
                return Ok(());
            }
            sleep(REST);
        }
    }
    Err(Failure::new(alloc::format!("{lost} bytes are lost each time")))
}

fn processes_that_end() -> Outcome {
    loses_nothing(400, 96, || {
        check_eq!(child::run(|| 7)?, WaitStatus::exited(7));
        Ok(())
    })
}

fn processes_that_are_killed() -> Outcome {
    loses_nothing(400, 96, || {
        let status = child::run(|| kill(getpid(), SIGKILL).map_or(1, |()| 0))?;
        check_eq!(status, WaitStatus::signaled(SIGKILL));
        Ok(())
    })
}

fn threads_that_end() -> Outcome {
    loses_nothing(600, 96, || {
        check_eq!(thread::spawn(|| 7)?.join(), 7);
        Ok(())
    })
}

fn threads_that_end_with_their_process() -> Outcome {
    loses_nothing(120, 4 * 96, || {
        let status = child::run(|| {
            for _ in 0..4 {
                let Ok(sleeper) = thread::spawn(|| {
                    loop {
                        let _ = raw::call(nr::ppoll, &[]);
                    }
                }) else {
                    return 1;
                };
                core::mem::forget(sleeper);
            }
            exit_group(3)
        })?;
        check_eq!(status, WaitStatus::exited(3));
        Ok(())
    })
}

fn programs_that_are_executed() -> Outcome {
    loses_nothing(150, 128, || {
        let command = Command::new(b"/proc/self/exe")?.args(helper_arguments("nothing", &[]))?;
        check_eq!(command.spawn()?.wait()?, WaitStatus::exited(0));
        Ok(())
    })
}

/// How many live at once, and what of it may be kept for those to come, in KiB: less than the kernel's stacks of half
/// of them.
const AT_ONCE: i64 = 1000;
const KEPT_MAX: i64 = AT_ONCE * 16 / 2;

/// Free memory comes back to what it was, but for [`KEPT_MAX`], after `body` has used much of it. A kernel may take its
/// time.
fn comes_back(body: impl FnOnce() -> Outcome) -> Outcome {
    let before = free_memory()?;
    body()?;
    let mut lost = 0;
    for _ in 0..1000 {
        lost = before - free_memory()?;
        if lost < KEPT_MAX {
            return Ok(());
        }
        ulib::time::sleep(core::time::Duration::from_millis(10));
    }
    Err(Failure::new(alloc::format!("{lost} KiB do not come back")))
}

/// Fails unless all of them use memory now.
fn check_used(before: i64) -> Outcome {
    conformance::check!(before - free_memory()? > AT_ONCE * 16);
    Ok(())
}

fn processes_that_lived_at_once() -> Outcome {
    comes_back(|| {
        let before = free_memory()?;
        let (reader, writer) = pipe2(0)?;
        let mut children = alloc::vec::Vec::new();
        for _ in 0..AT_ONCE {
            children.push(child::start(|| {
                let _ = close(writer);
                // Until the parent has closed its end.
                i32::from(read(reader, &mut [0]) != Ok(0))
            })?);
        }
        check_used(before)?;
        close(writer)?;
        for pid in children {
            check_eq!(child::wait(pid)?, WaitStatus::exited(0));
        }
        Ok(close(reader)?)
    })
}

fn threads_that_lived_at_once() -> Outcome {
    comes_back(|| {
        let before = free_memory()?;
        let (reader, writer) = pipe2(0)?;
        let mut threads = alloc::vec::Vec::new();
        for _ in 0..AT_ONCE {
            threads.push(thread::spawn(move || read(reader, &mut [0]))?);
        }
        check_used(before)?;
        close(writer)?;
        for thread in threads {
            check_eq!(thread.join(), Ok(0));
        }
        Ok(close(reader)?)
    })
}
