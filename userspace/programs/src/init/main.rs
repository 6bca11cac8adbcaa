//! The first program: mounts, runs the job or a shell, reaps orphans, powers off.
//!
//! Around each program of a job it prints a marker line, `\x1e NONCE begin I` and `\x1e NONCE status I S`, from which
//! `cargo xtask run` learns where the program's output starts and how it ended. Without a job file it runs one shell and
//! powers off when that ends. Runs unchanged on Linux.
#![no_std]
#![no_main]

extern crate alloc;

mod setup;

use abi::fs::O_RDONLY;
use abi::process::LINUX_REBOOT_CMD_POWER_OFF;
use abi::signal::SIGKILL;
use alloc::vec::Vec;
use programs::job::{self, Input, Job, Terminal};
use ulib::libsyscall::{file, process as calls, system};
use ulib::process::{Command, WaitStatus};
use ulib::{Errno, eprintln, fs, io};

ulib::entry!(main);

/// The interactive shell.
const SHELL: &[u8] = b"/bin/sh";
/// Exit status for a program that was not found, as shells have it.
const NOT_FOUND: u8 = 127;
/// Exit status for a program that could not be executed.
const NOT_EXECUTABLE: u8 = 126;

fn main() -> u8 {
    setup::open_console();
    setup::mount_all();
    let content = setup::take_job_file();
    let status = match job::parse(&content) {
        Some(job) => run_job(&job),
        None => run_program(&[SHELL], Input::Console),
    };
    power_off(status)
}

/// Runs the programs of a job, or a shell if it has none; returns the last status.
fn run_job(job: &Job<'_>) -> u8 {
    if job.terminal == Terminal::Plain {
        setup::make_terminal_plain();
    }
    let shell = Vec::from([Vec::from([SHELL])]);
    let programs = if job.programs.is_empty() { &shell } else { &job.programs };
    let mut status = 0;
    for (index, program) in programs.iter().enumerate() {
        print_marker(job.nonce, format_args!("begin {index}"));
        status = run_program(program, job.input);
        end_leftovers();
        print_marker(job.nonce, format_args!("status {index} {status}"));
    }
    status
}

/// Prints a marker line in one piece.
fn print_marker(nonce: &[u8], text: core::fmt::Arguments<'_>) {
    let line = alloc::format!("\x1e{} {text}\n", nonce.escape_ascii());
    // Without a console there is nobody to tell.
    let _ = io::write_all(io::STDOUT, line.as_bytes());
}

/// Runs one program in a session of its own and returns its status as a shell would.
fn run_program(program: &[&[u8]], input: Input) -> u8 {
    match start(program, input).and_then(wait_for) {
        Ok(status) => status.shell_status(),
        Err(error) => {
            eprintln!("init: {}: {}", program[0].escape_ascii(), error.message());
            if error == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE }
        }
    }
}

/// Starts a program; its standard output and error are init's own.
fn start(program: &[&[u8]], input: Input) -> Result<i32, Errno> {
    let mut command = Command::new(program[0])?.args(program[1..].iter().copied())?;
    command = command.environment(setup::environment()?).session();
    let null = match input {
        Input::Console => None,
        Input::Null => Some(fs::File::open(b"/dev/null", O_RDONLY, 0)?),
    };
    if let Some(null) = &null {
        command = command.redirect(null.fd(), io::STDIN);
    }
    command.spawn().map(|child| child.id())
}

/// Reaps every child that ends until `pid` is among them.
fn wait_for(pid: i32) -> Result<WaitStatus, Errno> {
    loop {
        match calls::wait4(-1, 0) {
            Ok(Some((child, status))) if child == pid => return Ok(status),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Ends what a program left behind, so that the next finds a quiet system. Only as process 1: elsewhere, everybody is
/// somebody else.
fn end_leftovers() {
    if calls::getpid() != 1 {
        return;
    }
    // ESRCH says that nothing is left.
    let _ = calls::kill(-1, SIGKILL);
    while calls::wait4(-1, 0).is_ok() {}
    let _ = file::chdir(c"/");
}

/// Stores everything and switches the machine off; exits with `status` where that is not this process's to do.
fn power_off(status: u8) -> u8 {
    if calls::getpid() == 1 {
        system::sync();
        if let Err(error) = system::reboot(LINUX_REBOOT_CMD_POWER_OFF) {
            eprintln!("init: power off: {}", error.message());
        }
    }
    status
}
