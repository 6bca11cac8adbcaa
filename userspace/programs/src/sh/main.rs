//! The shell.
//!
//! `sh` reads commands from the terminal, with an editor, `sh FILE ARGUMENTS…` from a file,
//! `sh -c TEXT NAME ARGUMENTS…` from its arguments. It has POSIX's quoting, expansion, redirection and compound
//! commands, functions, and job control on a terminal. What it lacks of other shells (`builtins::LACKING`) ends a
//! script with status 2. The language itself is [`programs::shell`]; here is what runs it.
#![no_std]
#![no_main]

extern crate alloc;

mod aliases;
mod builtins;
mod execute;
mod getopts;
mod help;
mod job_control;
mod jobs;
mod limits;
mod names;
mod options;
mod prompt;
mod read;
mod redirect;
mod simple;
mod state;
mod traps;
mod variables;

use abi::Errno;
use aliases::Source;
use alloc::vec::Vec;
use execute::Leave;
use options::{Choice, Switch};
use programs::shell::parse::Error;
use prompt::Reader;
use state::Shell;
use ulib::libsyscall::{file, process as calls};
use ulib::{args, eprintln, fs, io};

ulib::entry!(main);

/// Exit status after a syntax error.
const SYNTAX_STATUS: u8 = 2;
/// What a shell that only `exit` ends says at the end of the input.
const USE_EXIT: &str = "Use \"exit\" to leave the shell.";

fn main() -> u8 {
    let mut shell = Shell::new(Vec::new());
    let status = run(&mut shell);
    shell.run_exit_trap(status)
}

/// Does what the arguments say; the status to end with.
fn run(shell: &mut Shell) -> u8 {
    let mut arguments = args::args().map(|argument| argument.to_bytes().to_vec());
    shell.name = arguments.next().unwrap_or_else(|| b"sh".to_vec());
    let words: Vec<Vec<u8>> = arguments.collect();
    let mut options = shell.options;
    let taken = match options.take(&words, b"cils") {
        Ok(taken) => taken,
        Err(option) => {
            let usage = "usage: sh [-aCefnuvx] [-o NAME] [-c TEXT [NAME] | -s | FILE] [ARGUMENTS…]";
            return shell.fail(SYNTAX_STATUS, format_args!("unknown option {option}; {usage}"));
        }
    };
    shell.options = options;
    let mut operands = words[taken.words..].iter().cloned();
    let is_set = |letter: u8| taken.letters.contains(&letter);
    if let Some(form) = taken.show {
        ulib::print!("{}", options.show(form));
        return 0;
    }
    if is_set(b'c') {
        let Some(text) = operands.next() else {
            return shell.fail(SYNTAX_STATUS, format_args!("-c: text expected"));
        };
        if let Some(name) = operands.next() {
            shell.name = name;
        }
        shell.arguments = operands.collect();
        return run_text(shell, &text);
    }
    if !is_set(b's')
        && let Some(file) = operands.next().filter(|word| word != b"-")
    {
        shell.name = file;
        shell.arguments = operands.collect();
        return run_file(shell);
    }
    shell.arguments = operands.collect();
    if is_set(b'i') || file::terminal_modes(io::STDIN).is_ok() {
        return talk(shell);
    }
    run_input(shell)
}

/// Runs the file that the shell is named after.
fn run_file(shell: &mut Shell) -> u8 {
    match fs::read(&shell.name) {
        Ok(text) => run_text(shell, &text),
        Err(error) => {
            eprintln!("sh: {}: {}", shell.name.escape_ascii(), error.message());
            if error == Errno::ENOENT { 127 } else { 126 }
        }
    }
}

/// Runs commands from text to its end; returns the exit status.
fn run_text(shell: &mut Shell, text: &[u8]) -> u8 {
    match shell.run_script(text) {
        Ok(status) => status,
        Err(leave) => leave.status(),
    }
}

/// Runs commands from standard input to its end.
fn run_input(shell: &mut Shell) -> u8 {
    let mut pending = Vec::new();
    while let Ok(1..) = read_line(&mut pending) {
        if let Err(leave) = run_pending(shell, &mut pending) {
            return leave.status();
        }
    }
    if !pending.is_empty() {
        return shell.fail(SYNTAX_STATUS, format_args!("syntax error: unexpected end of input"));
    }
    shell.status
}

/// Runs what a person types, until `exit` or the end of the input. Nothing else that is typed ends the shell.
fn talk(shell: &mut Shell) -> u8 {
    if calls::getpid() == 1 {
        shell.options.switch(Choice::IgnoreEof, Switch::On);
    }
    let mut reader = Reader::for_terminal();
    shell.take_terminal();
    let mut pending = Vec::new();
    loop {
        let is_there = shell.reclaim_terminal();
        shell.report_jobs();
        let prompt = if pending.is_empty() { shell.prompt() } else { b"> ".to_vec() };
        let stays = pending.is_empty() && shell.options.has(Choice::IgnoreEof);
        let read = reader.read_line(&prompt, &mut pending, stays.then_some(USE_EXIT));
        // A Ctrl-C that came before the terminal was the editor's is over with the line.
        let interrupted = shell.takes_interrupt();
        match read {
            Ok(0) if pending.is_empty() && !shell.options.has(Choice::IgnoreEof) => break,
            Ok(0) if pending.is_empty() && is_there => eprintln!("\n{USE_EXIT}"),
            Ok(0) if !is_there => break,
            Ok(0) => {
                eprintln!("\nsh: syntax error: unexpected end of input");
                shell.status = SYNTAX_STATUS;
                pending.clear();
            }
            Ok(_) if interrupted => pending.clear(),
            Ok(_) => match run_pending(shell, &mut pending) {
                Err(Leave::Exit(status)) => return status,
                Err(leave) => shell.status = leave.status(),
                Ok(()) => {}
            },
            Err(Errno::EINTR) => {
                eprintln!();
                shell.status = Leave::Interrupt.status();
                pending.clear();
            }
            // Somebody in the foreground keeps taking the terminal: it is taken back above.
            Err(_) if is_there => ulib::time::sleep(RETRY),
            Err(_) => break,
        }
    }
    eprintln!();
    shell.status
}

/// How long to wait before a terminal that gave an error is read again.
const RETRY: core::time::Duration = core::time::Duration::from_millis(100);

/// Appends a line of input, without reading beyond it: what follows may be for a command. Returns the bytes read.
fn read_line(pending: &mut Vec<u8>) -> Result<usize, Errno> {
    let mut byte = [0];
    let mut total = 0;
    loop {
        let count = file::read(io::STDIN, &mut byte)?;
        total += count;
        pending.extend_from_slice(&byte[..count]);
        if count == 0 || byte[0] == b'\n' {
            return Ok(total);
        }
    }
}

/// Runs what has been read, unless it ends inside a command: then it stays pending.
fn run_pending(shell: &mut Shell, pending: &mut Vec<u8>) -> Result<(), Leave> {
    let text = core::mem::take(pending);
    let mut source = Source::new(&text);
    let mut lists = Vec::new();
    loop {
        match source.next(shell) {
            Ok((Some(list), _)) => lists.push(list),
            Ok((None, _)) => break,
            Err(Error::Incomplete | Error::Alias { .. }) => {
                *pending = text;
                return Ok(());
            }
            Err(Error::Syntax(message)) => return Err(shell.fault(SYNTAX_STATUS, format_args!("{message}"))),
        }
    }
    if shell.options.has(Choice::Verbose) {
        ulib::eprint!("{}", alloc::string::String::from_utf8_lossy(&text));
    }
    for list in &lists {
        match shell.run_list(list) {
            Err(leave @ (Leave::Exit(_) | Leave::Fault(_) | Leave::Interrupt)) => return Err(leave),
            Err(leave) => shell.status = leave.status(),
            Ok(status) => shell.status = status,
        }
    }
    Ok(())
}
