//! Builtins about jobs and processes: `fg`, `bg`, `jobs`, `kill`, `wait`.

use crate::builtins::{parse, print};
use crate::execute::Outcome;
use crate::jobs::Place;
use crate::state::Shell;
use abi::signal::SIGTERM;
use alloc::vec::Vec;
use programs::signal_names;
use ulib::libsyscall::process as calls;
use ulib::println;

/// `%3` or `3`.
fn job_number(argument: Option<&Vec<u8>>) -> Option<usize> {
    let text = argument?;
    parse(text.strip_prefix(b"%").unwrap_or(text)).and_then(|number| usize::try_from(number).ok())
}

pub fn resume(shell: &mut Shell, arguments: &[Vec<u8>], place: Place) -> Outcome {
    match shell.resume(job_number(arguments.get(1)), place) {
        Some(outcome) => outcome,
        None => Ok(shell.fail(1, format_args!("no such job"))),
    }
}

pub fn list_jobs(shell: &mut Shell, _arguments: &[Vec<u8>]) -> Outcome {
    shell.poll_jobs();
    for job in &shell.jobs {
        let state = match job.ended() {
            Some(_) => "done",
            None if job.is_stopped() => "stopped",
            None => "running",
        };
        println!("[{}] {state}: {}", job.number, job.text);
    }
    shell.jobs.retain(|job| job.ended().is_none());
    print(b"")
}

/// `kill [-SIGNAL] PROCESSES…`, where a process can be `%JOB`; `kill -l`.
pub fn kill(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let mut targets = &arguments[1..];
    let mut signal = SIGTERM;
    if let Some(name) = targets.first().and_then(|first| first.strip_prefix(b"-")) {
        targets = &targets[1..];
        if name == b"l" {
            return list_signals(shell, targets);
        }
        let mut name = name;
        if name == b"s" {
            let Some((first, rest)) = targets.split_first() else {
                return Ok(shell.fail(2, format_args!("kill: -s: signal expected")));
            };
            (name, targets) = (first, rest);
        }
        if name != b"-" {
            let Some(number) = signal_number(name) else {
                return Ok(shell.fail(2, format_args!("kill: {}: unknown signal", name.escape_ascii())));
            };
            signal = number;
        }
    }
    if targets.is_empty() {
        return Ok(shell.fail(2, format_args!("kill: process expected")));
    }
    let mut status = 0;
    for target in targets {
        let pid = match target.strip_prefix(b"%") {
            Some(_) => shell
                .jobs
                .iter()
                .find(|job| Some(job.number) == job_number(Some(target)))
                .map(|job| -job.group),
            None => parse(target).and_then(|pid| i32::try_from(pid).ok()),
        };
        let Some(pid) = pid else {
            status = shell.fail(1, format_args!("kill: {}: no such process", target.escape_ascii()));
            continue;
        };
        if let Err(error) = calls::kill(pid, signal) {
            status = shell.fail(1, format_args!("kill: {pid}: {}", error.message()));
        }
    }
    Ok(status)
}

fn signal_number(name: &[u8]) -> Option<u32> {
    signal_names::number(&name.to_ascii_uppercase())
}

/// `kill -l [STATUS | SIGNAL]…`: the names, or the name of a signal or of the one that a status tells of.
fn list_signals(shell: &Shell, words: &[Vec<u8>]) -> Outcome {
    if words.is_empty() {
        println!("{}", signal_names::all().join(" "));
    }
    for word in words {
        let number =
            signal_number(word).or_else(|| parse(word).and_then(|status| u32::try_from(status - 128).ok()));
        let name =
            number.and_then(|number| signal_names::all().get((number as usize).checked_sub(1)?).copied());
        match (name, number) {
            (Some(name), _) if word.first().is_some_and(u8::is_ascii_digit) => println!("{name}"),
            (Some(_), Some(number)) => println!("{number}"),
            _ => return Ok(shell.fail(1, format_args!("kill: {}: unknown signal", word.escape_ascii()))),
        }
    }
    print(b"")
}

/// `wait` for all jobs, or for the given processes or jobs.
pub fn wait(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let mut status = 0;
    if arguments.len() == 1 {
        while !shell.jobs.is_empty() {
            let job = shell.jobs.remove(0);
            let is_running = |job: &crate::jobs::Job| job.ended().is_none();
            let status = shell.wait_unless_trapped(job)?;
            if shell.jobs.last().is_some_and(is_running) && shell.due_trap().is_some() {
                return Ok(status);
            }
        }
        return Ok(0);
    }
    for target in &arguments[1..] {
        let number = job_number(Some(target));
        let is_meant = |job: &crate::jobs::Job| match target.strip_prefix(b"%") {
            Some(_) => Some(job.number) == number,
            None => job.processes.iter().any(|(pid, _)| usize::try_from(*pid).ok() == number),
        };
        status = match shell.jobs.iter().position(is_meant) {
            Some(index) => {
                let job = shell.jobs.remove(index);
                shell.wait_unless_trapped(job)?
            }
            None => 127,
        };
    }
    Ok(status)
}
