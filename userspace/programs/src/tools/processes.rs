//! Commands about processes.

use crate::call::{Call, display, number};
use abi::signal::SIGTERM;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use programs::{signal_names, terminal_names};
use ulib::libsyscall::{file, process as calls};
use ulib::process::Command;
use ulib::{Errno, c_string, fs, io, println};

/// One line of `ps`.
struct Process {
    pid: u64,
    parent: String,
    terminal: String,
    state: String,
    command: String,
}

/// `ps`: all processes, from `/proc`.
pub fn ps(call: &Call<'_>) -> u8 {
    let entries = match fs::read_dir(b"/proc") {
        Ok(entries) => entries,
        Err(error) => return call.refuse(format_args!("/proc: {}", error.message())),
    };
    let pids = entries.iter().filter_map(|entry| number(&entry.name));
    // A process that ends meanwhile is not there any more.
    let mut processes: Vec<Process> = pids.filter_map(read_process).collect();
    processes.sort_by_key(|process| process.pid);
    println!("{:>5} {:>5} {:8} S COMMAND", "PID", "PPID", "TTY");
    for Process { pid, parent, terminal, state, command } in processes {
        println!("{pid:5} {parent:>5} {terminal:8} {state} {command}");
    }
    0
}

/// Reads `/proc/PID/stat` (`PID (NAME) STATE PARENT GROUP SESSION TERMINAL …`) and `/proc/PID/cmdline`.
fn read_process(pid: u64) -> Option<Process> {
    let stat = fs::read(alloc::format!("/proc/{pid}/stat").as_bytes()).ok()?;
    // The name may hold anything, blanks and parentheses too: what follows starts after the last of them.
    let (start, end) =
        (stat.iter().position(|&byte| byte == b'(')?, stat.iter().rposition(|&byte| byte == b')')?);
    let mut fields = stat.get(end + 1..)?.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
    let (state, parent) = (display(fields.next()?), display(fields.next()?));
    let terminal = terminal_names::name(number(fields.nth(2)?)?);
    let command_line = fs::read(alloc::format!("/proc/{pid}/cmdline").as_bytes()).unwrap_or_default();
    let words: Vec<String> = command_line.split(|&byte| byte == 0).map(display).collect();
    let command = String::from(words.join(" ").trim_end());
    let name = display(stat.get(start + 1..end)?);
    Some(Process {
        pid,
        parent,
        terminal,
        state,
        command: if command.is_empty() { alloc::format!("[{name}]") } else { command },
    })
}

/// `tty [-s]`: the terminal at standard input.
pub fn tty(call: &Call<'_>) -> u8 {
    let options = match call.options("s", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let is_terminal = file::terminal_modes(io::STDIN).is_ok();
    if !options.has(b's') {
        let path =
            fs::read_link(b"/proc/self/fd/0").unwrap_or_else(|_| b"a terminal without a name".to_vec());
        println!("{}", if is_terminal { display(&path) } else { String::from("not a tty") });
    }
    u8::from(!is_terminal)
}

/// `kill [-SIGNAL] PROCESSES…`, `kill -l`
pub fn kill(call: &Call<'_>) -> u8 {
    let mut targets = call.arguments;
    let mut signal = SIGTERM;
    if let Some(name) = targets.first().and_then(|first| first.strip_prefix(b"-")) {
        if name == b"l" {
            println!("{}", signal_names::all().join(" "));
            return 0;
        }
        match signal_names::number(name) {
            Some(number) => signal = number,
            None => return call.refuse(format_args!("{}: unknown signal", name.escape_ascii())),
        }
        targets = &targets[1..];
    }
    let report = call.report();
    for target in targets {
        let pid = core::str::from_utf8(target).ok().and_then(|text| text.parse().ok());
        report.check(target, pid.ok_or(Errno::EINVAL).and_then(|pid| calls::kill(pid, signal)));
    }
    report.status()
}

/// `sleep SECONDS`, with decimals.
pub fn sleep(call: &Call<'_>) -> u8 {
    let [text] = call.arguments else { return call.refuse("a number of seconds expected") };
    match parse_seconds(text) {
        Some(duration) => {
            ulib::time::sleep(duration);
            0
        }
        None => call.refuse(format_args!("{}: not a number of seconds", text.escape_ascii())),
    }
}

/// `1.5` is one and a half seconds.
fn parse_seconds(text: &[u8]) -> Option<Duration> {
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let seconds = parts.next()?;
    let seconds = if seconds.is_empty() { 0 } else { number(seconds)? };
    let fraction = parts.next().unwrap_or_default();
    let mut nanoseconds = 0;
    for index in 0..9 {
        let digit = fraction.get(index).map_or(Some(0), |&byte| char::from(byte).to_digit(10))?;
        nanoseconds = nanoseconds * 10 + digit;
    }
    Some(Duration::new(seconds, nanoseconds))
}

/// `env [-i] [NAME=value…] [PROGRAM ARGUMENTS…]`
pub fn env(call: &Call<'_>) -> u8 {
    let clear = call.arguments.first() == Some(&&b"-i"[..]);
    let mut rest = &call.arguments[usize::from(clear)..];
    let mut variables: Vec<CString> =
        if clear { Vec::new() } else { ulib::env::vars().map(CString::from).collect() };
    while let Some((first, others)) = rest.split_first()
        && let Some(length) = first.iter().position(|&byte| byte == b'=')
    {
        variables.retain(|variable| !variable.to_bytes().starts_with(&first[..=length]));
        match c_string(*first) {
            Ok(variable) => variables.push(variable),
            Err(error) => return call.refuse(error.message()),
        }
        rest = others;
    }
    let Some((program, arguments)) = rest.split_first() else {
        for variable in &variables {
            io::stdout().write(variable.to_bytes());
            println!();
        }
        return 0;
    };
    let command = Command::new(program).and_then(|command| command.args(arguments.iter().copied()));
    let error = command.map_or_else(|error| error, |command| command.environment(variables).execute());
    call.refuse(format_args!("{}: {}", program.escape_ascii(), error.message()));
    if error == Errno::ENOENT { 127 } else { 126 }
}

/// `id`
pub fn id(_call: &Call<'_>) -> u8 {
    println!(
        "uid={} gid={} euid={} egid={}",
        calls::getuid(),
        calls::getgid(),
        calls::geteuid(),
        calls::getegid()
    );
    0
}
