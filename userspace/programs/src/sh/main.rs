//! The shell.
//!
//! `sh` reads commands from the terminal, `sh FILE ARGUMENTS…` from a file, `sh -c TEXT NAME ARGUMENTS…` from its
//! arguments. It has POSIX's quoting, expansion, redirection and compound commands, functions, and job control on a
//! terminal; it lacks aliases, traps, `set -e` and `getopts`. The language itself is [`programs::shell`]; here is what
//! runs it.
#![no_std]
#![no_main]

extern crate alloc;

mod builtins;
mod execute;
mod jobs;
mod redirect;
mod simple;
mod state;

use abi::Errno;
use alloc::vec::Vec;
use execute::Leave;
use programs::shell::parse::{Error, Parser};
use state::Shell;
use ulib::libsyscall::file;
use ulib::{args, eprint, eprintln, fs, io};

ulib::entry!(main);

/// Exit status after a syntax error.
const SYNTAX_STATUS: u8 = 2;

fn main() -> u8 {
    let mut arguments = args::args().map(|argument| argument.to_bytes().to_vec());
    let own_name = arguments.next().unwrap_or_else(|| b"sh".to_vec());
    let mut arguments: Vec<Vec<u8>> = arguments.collect();
    let mut shell = Shell::new(own_name);
    match arguments.first().map(Vec::as_slice) {
        Some(b"-c") if arguments.len() >= 2 => {
            let text = arguments.remove(1);
            arguments.remove(0);
            if !arguments.is_empty() {
                shell.name = arguments.remove(0);
            }
            shell.arguments = arguments;
            run_text(&mut shell, &text)
        }
        Some(b"-i" | b"-s" | b"-") | None => {
            shell.arguments = arguments.split_off(arguments.len().min(1));
            run_input(&mut shell)
        }
        Some(option) if option.starts_with(b"-") => {
            eprintln!(
                "sh: unknown option {}; usage: sh [-c TEXT | FILE] [ARGUMENTS…]",
                option.escape_ascii()
            );
            SYNTAX_STATUS
        }
        Some(_) => {
            shell.name = arguments.remove(0);
            shell.arguments = arguments;
            run_file(&mut shell)
        }
    }
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

/// Runs commands from standard input: with prompts if it is a terminal.
fn run_input(shell: &mut Shell) -> u8 {
    let interactive = file::terminal_modes(io::STDIN).is_ok();
    if interactive {
        shell.take_terminal();
    }
    let mut pending = Vec::new();
    loop {
        if interactive {
            shell.report_jobs();
            let prompt = if pending.is_empty() { shell.prompt() } else { b"> ".to_vec() };
            eprint!("{}", alloc::string::String::from_utf8_lossy(&prompt));
        }
        match read_line(interactive, &mut pending) {
            Ok(0) if pending.is_empty() => break,
            Ok(0) => {
                eprintln!("sh: syntax error: unexpected end of input");
                shell.status = SYNTAX_STATUS;
                break;
            }
            Ok(_) => {}
            Err(Errno::EINTR) => {
                eprintln!();
                pending.clear();
                continue;
            }
            Err(_) => break,
        }
        match run_pending(shell, &mut pending, interactive) {
            Ok(()) => {}
            Err(leave) => return leave.status(),
        }
    }
    if interactive {
        eprintln!();
    }
    shell.status
}

/// Appends a line of input, without reading beyond it: what follows may be for a command. Returns the bytes read.
fn read_line(terminal: bool, pending: &mut Vec<u8>) -> Result<usize, Errno> {
    let mut buffer = [0; 4096];
    let step = if terminal { buffer.len() } else { 1 };
    let mut total = 0;
    loop {
        let count = file::read(io::STDIN, &mut buffer[..step])?;
        total += count;
        pending.extend_from_slice(&buffer[..count]);
        if count == 0 || buffer[count - 1] == b'\n' {
            return Ok(total);
        }
    }
}

/// Runs what has been read, unless it ends inside a command: then it stays pending.
fn run_pending(shell: &mut Shell, pending: &mut Vec<u8>, interactive: bool) -> Result<(), Leave> {
    let text = core::mem::take(pending);
    let mut parser = Parser::new(&text);
    let mut lists = Vec::new();
    loop {
        match parser.next_list() {
            Ok(Some(list)) => lists.push(list),
            Ok(None) => break,
            Err(Error::Incomplete) => {
                *pending = text;
                return Ok(());
            }
            Err(Error::Syntax(message)) => {
                eprintln!("sh: {message}");
                shell.status = SYNTAX_STATUS;
                return if interactive { Ok(()) } else { Err(Leave::Exit(SYNTAX_STATUS)) };
            }
        }
    }
    for list in &lists {
        match shell.run_list(list) {
            Err(leave @ Leave::Exit(_)) => return Err(leave),
            Err(leave) => shell.status = leave.status(),
            Ok(status) => shell.status = status,
        }
    }
    Ok(())
}
