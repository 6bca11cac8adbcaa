//! Commands that are part of the shell.

use crate::execute::{Leave, Outcome};
use crate::jobs::Place;
use crate::state::{Scope, Shell, Variable};
use abi::signal::{SIGINT, SIGTERM};
use alloc::vec::Vec;
use programs::everyday::{echo::echo, printf::printf, test::test};
use programs::shell::arithmetic::Variables;
use programs::shell::expand::Surroundings;
use ulib::libsyscall::{file, process as calls};
use ulib::{c_string, fs, io, println, signal};

/// A builtin: takes its arguments with its name.
pub type Builtin = fn(&mut Shell, &[Vec<u8>]) -> Outcome;

/// All builtins but `exec`, which is part of how simple commands run.
const BUILTINS: &[(&[u8], Builtin)] = &[
    (b":", |_, _| Ok(0)),
    (b"true", |_, _| Ok(0)),
    (b"false", |_, _| Ok(1)),
    (b".", source),
    (b"[", bracket),
    (b"bg", |shell, arguments| resume(shell, arguments, Place::Background)),
    (b"break", |_, arguments| Err(Leave::Break(levels(arguments)))),
    (b"cd", change_directory),
    (b"command", command),
    (b"continue", |_, arguments| Err(Leave::Continue(levels(arguments)))),
    (b"echo", |_, arguments| print(&echo(&slices(&arguments[1..])))),
    (b"eval", |shell, arguments| {
        let text = arguments[1..].join(&b' ');
        shell.deeper(|shell| shell.run_script(&text))
    }),
    (b"exit", |shell, arguments| Err(Leave::Exit(status(shell, arguments)))),
    (b"export", export),
    (b"fg", |shell, arguments| resume(shell, arguments, Place::Foreground)),
    (b"help", |shell, _| print(crate::help::text(shell, &names()).as_bytes())),
    (b"jobs", list_jobs),
    (b"kill", kill),
    (b"printf", print_formatted),
    (b"pwd", print_directory),
    (b"read", read),
    (b"return", |shell, arguments| Err(Leave::Return(status(shell, arguments)))),
    (b"set", set),
    (b"source", source),
    (b"shift", shift),
    (b"test", |shell, arguments| evaluate_test(shell, &arguments[1..])),
    (b"type", describe),
    (b"umask", umask),
    (b"unset", unset),
    (b"wait", wait),
];

/// The builtin of this name.
pub fn find(name: &[u8]) -> Option<Builtin> {
    BUILTINS.iter().find(|(builtin, _)| *builtin == name).map(|(_, builtin)| *builtin)
}

/// What other shells have and this one has not: a script that uses it is not run on without.
pub const LACKING: &[&[u8]] = &[
    b"[[",
    b"alias",
    b"bind",
    b"caller",
    b"declare",
    b"disown",
    b"enable",
    b"fc",
    b"function",
    b"getopts",
    b"hash",
    b"let",
    b"local",
    b"mapfile",
    b"popd",
    b"pushd",
    b"readarray",
    b"readonly",
    b"select",
    b"shopt",
    b"suspend",
    b"times",
    b"trap",
    b"typeset",
    b"ulimit",
    b"unalias",
];

/// Whether a builtin is one of POSIX's special ones (2.14): variables set before it stay set, and its faults end a script.
pub fn is_special(name: &[u8]) -> bool {
    const SPECIAL: [&[u8]; 12] = [
        b":",
        b".",
        b"break",
        b"continue",
        b"eval",
        b"exit",
        b"export",
        b"return",
        b"set",
        b"shift",
        b"source",
        b"unset",
    ];
    SPECIAL.contains(&name)
}

/// The names of all builtins.
fn names() -> Vec<&'static [u8]> {
    BUILTINS.iter().map(|(name, _)| *name).chain([&b"exec"[..]]).collect()
}

fn slices(arguments: &[Vec<u8>]) -> Vec<&[u8]> {
    arguments.iter().map(Vec::as_slice).collect()
}

fn is_name(text: &[u8]) -> bool {
    let begins = text.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
    begins && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// `command NAME …` runs a builtin or a program, and no function; `command -v NAMES` says what names stand for.
fn command(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    match arguments.get(1).map(Vec::as_slice) {
        None => Ok(0),
        Some(b"-v") => {
            let mut status = 0;
            for name in &arguments[2..] {
                let is_own = shell.functions.contains_key(name) || names().contains(&name.as_slice());
                match if is_own { Some(name.clone()) } else { shell.find_program(name) } {
                    Some(path) => io::stdout().write(&[&path, &b"\n"[..]].concat()),
                    None => status = 127,
                }
            }
            print(b"")?;
            Ok(status)
        }
        Some(b"-V") => describe(shell, &arguments[1..]),
        Some(b"-p" | b"--") => shell.run_without_functions(&arguments[2..]),
        Some(option) if option.starts_with(b"-") => {
            Err(shell
                .fault(2, format_args!("command: {}: this shell does not have it", option.escape_ascii())))
        }
        Some(_) => shell.run_without_functions(&arguments[1..]),
    }
}

fn parse(text: &[u8]) -> Option<i64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Writes at once, since programs write to the same place; fails if that fails.
fn print(bytes: &[u8]) -> Outcome {
    io::stdout().write(bytes);
    Ok(u8::from(io::stdout().finish().is_err()))
}

/// The status that `exit` and `return` are given, or the last one.
fn status(shell: &Shell, arguments: &[Vec<u8>]) -> u8 {
    arguments.get(1).map_or(shell.status, |text| parse(text).map_or(2, |status| status as u8))
}

fn levels(arguments: &[Vec<u8>]) -> usize {
    arguments.get(1).and_then(|text| parse(text)).map_or(1, |levels| levels.max(1) as usize)
}

fn source(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let Some(path) = arguments.get(1) else { return Err(shell.fault(2, format_args!(".: file expected"))) };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            return Err(shell.fault(1, format_args!(".: {}: {}", path.escape_ascii(), error.message())));
        }
    };
    match shell.deeper(|shell| shell.run_script(&text)) {
        Err(Leave::Return(status)) => Ok(status),
        outcome => outcome,
    }
}

fn evaluate_test(shell: &mut Shell, words: &[Vec<u8>]) -> Outcome {
    Ok(test(&slices(words)).unwrap_or_else(|message| shell.fail(2, format_args!("{message}"))))
}

fn bracket(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    match arguments[1..].split_last() {
        Some((last, words)) if last == b"]" => evaluate_test(shell, words),
        _ => Ok(shell.fail(2, format_args!("[: ] expected"))),
    }
}

fn change_directory(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let target = match arguments.get(1).map(Vec::as_slice) {
        None => shell.get(b"HOME"),
        Some(b"-") => shell.get(b"OLDPWD"),
        Some(path) => Some(path.to_vec()),
    };
    let Some(target) = target else { return Ok(shell.fail(1, format_args!("cd: nowhere to go"))) };
    match c_string(target.clone()).and_then(|path| file::chdir(&path)) {
        Ok(()) => {
            let old = shell.get(b"PWD").unwrap_or_default();
            shell.assign(b"OLDPWD", old);
            shell.assign(b"PWD", fs::current_directory().unwrap_or(target));
            Ok(0)
        }
        Err(error) => Ok(shell.fail(1, format_args!("cd: {}: {}", target.escape_ascii(), error.message()))),
    }
}

fn print_directory(shell: &mut Shell, _arguments: &[Vec<u8>]) -> Outcome {
    match fs::current_directory() {
        Ok(path) => print(&[&path, &b"\n"[..]].concat()),
        Err(error) => Ok(shell.fail(1, format_args!("pwd: {}", error.message()))),
    }
}

fn print_formatted(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let Some(format) = arguments.get(1) else {
        return Ok(shell.fail(2, format_args!("printf: format expected")));
    };
    match printf(format, &slices(&arguments[2..])) {
        Ok(output) => print(&output),
        Err(message) => Ok(shell.fail(1, format_args!("{message}"))),
    }
}

fn export(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    if arguments.len() == 1 {
        for (name, variable) in
            shell.variables.iter().filter(|(_, variable)| variable.scope == Scope::Exported)
        {
            let value = variable.value.clone().unwrap_or_default();
            io::stdout().write(&[b"export ", name.as_slice(), b"='", &value, b"'\n"].concat());
        }
        return print(b"");
    }
    for argument in &arguments[1..] {
        let mut parts = argument.splitn(2, |&byte| byte == b'=');
        let name = parts.next().unwrap_or_default();
        if !is_name(name) {
            return Err(shell.fault(2, format_args!("export: {}: not a name", argument.escape_ascii())));
        }
        let new = parts.next().map(<[u8]>::to_vec);
        let value = new.or_else(|| shell.variables.get(name)?.value.clone());
        shell.variables.insert(name.to_vec(), Variable { value, scope: Scope::Exported });
    }
    Ok(0)
}

fn unset(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    for name in arguments[1..].iter().filter(|name| !name.starts_with(b"-")) {
        if shell.variables.remove(name).is_none() {
            shell.functions.remove(name);
        }
    }
    Ok(0)
}

/// `set` lists the variables, `set -e` and the like switch options, `set [--] words` sets the arguments.
fn set(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    if arguments.len() == 1 {
        for (name, variable) in &shell.variables {
            let value = variable.value.clone().unwrap_or_default();
            io::stdout().write(&[name.as_slice(), b"='", &value, b"'\n"].concat());
        }
        return print(b"");
    }
    let mut options = shell.options;
    let taken = match options.take(&arguments[1..], &[]) {
        Ok(taken) => taken,
        Err(option) => return Err(shell.fault(2, format_args!("set: {option}: this shell does not have it"))),
    };
    shell.options = options;
    let words = &arguments[1 + taken.words..];
    if taken.ended || !words.is_empty() {
        shell.arguments = words.to_vec();
    }
    taken.show.map_or(Ok(0), |form| print(options.show(form).as_bytes()))
}

fn shift(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let count = levels(arguments);
    if count > shell.arguments.len() {
        return Err(shell.fault(2, format_args!("shift: more than there are")));
    }
    shell.arguments.drain(..count);
    Ok(0)
}

/// `read [-r] NAMES…`: one line, split at `IFS`; the last name gets the rest.
fn read(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let raw = arguments.get(1).is_some_and(|option| option == b"-r");
    let names = &arguments[1 + usize::from(raw)..];
    let mut line = Vec::new();
    let mut byte = [0];
    let ended = loop {
        match file::read(io::STDIN, &mut byte) {
            Ok(0) => break true,
            Ok(_) if byte[0] == b'\n' => {
                if !raw && line.last() == Some(&b'\\') {
                    line.pop();
                    continue;
                }
                break false;
            }
            Ok(_) => line.push(byte[0]),
            Err(_) if shell.terminal.is_some() && signal::take(SIGINT) => return Err(Leave::Interrupt),
            Err(error) => return Ok(shell.fail(1, format_args!("read: {}", error.message()))),
        }
    };
    let separators = shell.get(b"IFS").unwrap_or_else(|| b" \t\n".to_vec());
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() && separators.contains(byte);
    let mut rest = line.as_slice();
    for (index, name) in names.iter().enumerate() {
        let start = rest.iter().take_while(|byte| is_blank(byte)).count();
        rest = &rest[start..];
        let last = index + 1 == names.len();
        let end = rest.iter().position(|byte| !last && separators.contains(byte)).unwrap_or(rest.len());
        let trailing = if last { rest.iter().rev().take_while(|byte| is_blank(byte)).count() } else { 0 };
        shell.assign(name, rest[..end - trailing].to_vec());
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    Ok(u8::from(ended))
}

fn umask(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let Some(text) = arguments.get(1) else {
        let mask = file::umask(0);
        file::umask(mask);
        println!("{mask:04o}");
        return print(b"");
    };
    let mask = core::str::from_utf8(text).ok().and_then(|text| u32::from_str_radix(text, 8).ok());
    match mask.filter(|mask| *mask <= 0o777) {
        Some(mask) => {
            file::umask(mask);
            Ok(0)
        }
        None => Ok(shell.fail(2, format_args!("umask: {}: not a mask", text.escape_ascii()))),
    }
}

fn describe(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let mut status = 0;
    for name in &arguments[1..] {
        let shown = name.escape_ascii();
        if shell.functions.contains_key(name) {
            println!("{shown} is a function");
        } else if find(name).is_some() || name == b"exec" {
            println!("{shown} is a shell builtin");
        } else if let Some(path) = shell.find_program(name) {
            println!("{shown} is {}", path.escape_ascii());
        } else {
            status = shell.fail(127, format_args!("type: {shown}: not found"));
        }
    }
    print(b"")?;
    Ok(status)
}

/// `%3` or `3`.
fn job_number(argument: Option<&Vec<u8>>) -> Option<usize> {
    let text = argument?;
    parse(text.strip_prefix(b"%").unwrap_or(text)).and_then(|number| usize::try_from(number).ok())
}

fn resume(shell: &mut Shell, arguments: &[Vec<u8>], place: Place) -> Outcome {
    match shell.resume(job_number(arguments.get(1)), place) {
        Some(outcome) => outcome,
        None => Ok(shell.fail(1, format_args!("no such job"))),
    }
}

fn list_jobs(shell: &mut Shell, _arguments: &[Vec<u8>]) -> Outcome {
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
fn kill(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let mut targets = &arguments[1..];
    let mut signal = SIGTERM;
    if let Some(name) = targets.first().and_then(|first| first.strip_prefix(b"-")) {
        if name == b"l" {
            println!("{}", programs::signal_names::all().join(" "));
            return print(b"");
        }
        let Some(number) = programs::signal_names::number(name) else {
            return Ok(shell.fail(2, format_args!("kill: {}: unknown signal", name.escape_ascii())));
        };
        signal = number;
        targets = &targets[1..];
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

/// `wait` for all jobs, or for the given processes or jobs.
fn wait(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let mut status = 0;
    if arguments.len() == 1 {
        for job in core::mem::take(&mut shell.jobs) {
            shell.wait_for_job(job)?;
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
                shell.wait_for_job(job)?
            }
            None => 127,
        };
    }
    Ok(status)
}
