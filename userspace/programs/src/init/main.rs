//! The first program: mounts, runs the job or a shell, reaps orphans, powers off.
//!
//! Around each program of a job it prints a marker line, `\x1e NONCE begin I` and `\x1e NONCE status I S`, from which
//! `cargo xtask run` learns where the program's output starts and how it ended. Without a job file it runs a shell and
//! powers off when that exits. Only `exit` does it: no key at the prompt ends the machine, and a shell that is killed
//! is started again. Runs unchanged on Linux.
#![no_std]
#![no_main]

extern crate alloc;

mod setup;

use abi::fs::O_RDONLY;
use abi::process::LINUX_REBOOT_CMD_POWER_OFF;
use abi::signal::SIGKILL;
use programs::job::{self, Input, Job, Terminal};
use ulib::libsyscall::{file, process as calls, system};
use ulib::process::{Command, WaitStatus};
use ulib::{Errno, eprintln, fs, io};

ulib::entry!(main);

/// The interactive shell. Ctrl-D is too easily typed to switch a machine off.
const SHELL: [&[u8]; 3] = [b"/bin/sh", b"-o", b"ignoreeof"];
/// How long to wait before a shell that was killed is started again.
const RESPAWN: core::time::Duration = core::time::Duration::from_secs(1);
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
        None => run_shell(),
    };
    power_off(status)
}

/// Runs the programs of a job, or a shell if it has none; returns the last status.
fn run_job(job: &Job<'_>) -> u8 {
    if job.terminal == Terminal::Plain {
        setup::make_terminal_plain();
    }
    if job.programs.is_empty() {
        return run_between_markers(job, 0, || match job.terminal {
            Terminal::Interactive => run_shell(),
            // The input comes from a pipe or a file: its end is the shell's.
            Terminal::Plain => run_program(&SHELL[..1], job.input),
        });
    }
    let mut status = 0;
    for (index, program) in job.programs.iter().enumerate() {
        status = run_between_markers(job, index, || run_program(program, job.input));
    }
    status
}

/// Runs something that returns a status, with a marker line before and one after it.
fn run_between_markers(job: &Job<'_>, index: usize, run: impl FnOnce() -> u8) -> u8 {
    print_marker(job.nonce, format_args!("begin {index}"));
    let status = run();
    end_leftovers();
    print_marker(job.nonce, format_args!("status {index} {status}"));
    status
}

/// Runs shells, one after the other, until one exits by itself.
fn run_shell() -> u8 {
    loop {
        match start(&SHELL, Input::Console).and_then(wait_for) {
            Ok(status) if status.term_signal().is_none() => return status.shell_status(),
            Ok(status) => {
                eprintln!("init: the shell was ended by signal {}", status.shell_status() - 128);
                end_leftovers();
                ulib::time::sleep(RESPAWN);
            }
            Err(error) => return cannot_start(SHELL[0], error),
        }
    }
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
        Err(error) => cannot_start(program[0], error),
    }
}

/// Says why a program does not run, and returns the status that shells give it.
fn cannot_start(name: &[u8], error: Errno) -> u8 {
    eprintln!("init: {}: {}", name.escape_ascii(), error.message());
    if error == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE }
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
