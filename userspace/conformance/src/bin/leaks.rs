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
use libsyscall::process::{exit_group, getpid, kill};
use ulib::process::Command;
use ulib::thread;

const HELPERS: &[Helper] = &[("nothing", |_| 0)];

conformance::tests!(
    &[
        ("processes_that_end", processes_that_end),
        ("processes_that_are_killed", processes_that_are_killed),
        ("threads_that_end", threads_that_end),
        ("threads_that_end_with_their_process", threads_that_end_with_their_process),
        ("programs_that_are_executed", programs_that_are_executed),
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

/// How often a body that may lose memory is looked at. Free memory moves up and down on a sound kernel, too; it does not fall each
/// time.
const ATTEMPTS: usize = 6;

/// Runs `body` in rounds of `times`. Fails if every round loses at least `least` bytes for each run.
fn loses_nothing(times: u32, least: i64, body: impl Fn() -> Outcome) -> Outcome {
    (0..times / 8).try_for_each(|_| body())?;
    let mut lost = 0;
    for _ in 0..ATTEMPTS {
        let before = free_memory()?;
        (0..times).try_for_each(|_| body())?;
        lost = (before - free_memory()?) * 1024 / i64::from(times);
        if lost < least {
            return Ok(());
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
