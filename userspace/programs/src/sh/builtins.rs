//! Commands that are part of the shell.

use crate::execute::{Leave, Outcome};
use crate::jobs::Place;
use crate::simple::quoted_always;
use crate::state::Shell;
use crate::{aliases, getopts, job_control, limits, names, read, traps, variables};
use alloc::vec::Vec;
use programs::everyday::{echo::echo, printf::printf, test::test};
use programs::shell::arithmetic::Variables;
use ulib::libsyscall::file;
use ulib::{c_string, fs, io};

/// A builtin: takes its arguments with its name.
pub type Builtin = fn(&mut Shell, &[Vec<u8>]) -> Outcome;

/// All builtins but `exec`, which is part of how simple commands run.
const BUILTINS: &[(&[u8], Builtin)] = &[
    (b":", |_, _| Ok(0)),
    (b"true", |_, _| Ok(0)),
    (b"false", |_, _| Ok(1)),
    (b".", source),
    (b"[", bracket),
    (b"alias", aliases::alias),
    (b"bg", |shell, arguments| job_control::resume(shell, arguments, Place::Background)),
    (b"break", |_, arguments| Err(Leave::Break(levels(arguments)))),
    (b"cd", change_directory),
    (b"command", names::command),
    (b"continue", |_, arguments| Err(Leave::Continue(levels(arguments)))),
    (b"echo", |_, arguments| print(&echo(&slices(&arguments[1..])))),
    (b"eval", |shell, arguments| {
        let text = arguments[1..].join(&b' ');
        shell.deeper(|shell| shell.run_script(&text))
    }),
    (b"exit", |shell, arguments| Err(Leave::Exit(status(shell, arguments)))),
    (b"export", variables::export),
    (b"fg", |shell, arguments| job_control::resume(shell, arguments, Place::Foreground)),
    (b"getopts", getopts::getopts),
    (b"hash", names::hash),
    (b"help", |shell, _| print(crate::help::text(shell, &names()).as_bytes())),
    (b"jobs", job_control::list_jobs),
    (b"kill", job_control::kill),
    (b"local", variables::local),
    (b"printf", print_formatted),
    (b"pwd", print_directory),
    (b"read", read::read),
    (b"readonly", variables::readonly),
    (b"return", |shell, arguments| Err(Leave::Return(status(shell, arguments)))),
    (b"set", set),
    (b"source", source),
    (b"shift", shift),
    (b"test", |shell, arguments| evaluate_test(shell, &arguments[1..])),
    (b"times", limits::times),
    (b"trap", traps::trap),
    (b"type", names::describe),
    (b"ulimit", limits::ulimit),
    (b"umask", limits::umask),
    (b"unalias", aliases::unalias),
    (b"unset", variables::unset),
    (b"wait", job_control::wait),
];

/// The builtin of this name.
pub fn find(name: &[u8]) -> Option<Builtin> {
    BUILTINS.iter().find(|(builtin, _)| *builtin == name).map(|(_, builtin)| *builtin)
}

/// What other shells have and this one has not: a script that uses it is not run on without.
pub const LACKING: &[&[u8]] = &[
    b"[[",
    b"bind",
    b"caller",
    b"declare",
    b"disown",
    b"enable",
    b"fc",
    b"function",
    b"let",
    b"mapfile",
    b"popd",
    b"pushd",
    b"readarray",
    b"select",
    b"shopt",
    b"suspend",
    b"typeset",
];

/// Whether a builtin is one of POSIX's special ones (2.14): variables set before it stay set, and its faults end a
/// script.
pub fn is_special(name: &[u8]) -> bool {
    const SPECIAL: [&[u8]; 15] = [
        b":",
        b".",
        b"break",
        b"continue",
        b"eval",
        b"exit",
        b"export",
        b"readonly",
        b"return",
        b"set",
        b"shift",
        b"source",
        b"times",
        b"trap",
        b"unset",
    ];
    SPECIAL.contains(&name)
}

/// The names of all builtins.
pub fn names() -> Vec<&'static [u8]> {
    BUILTINS.iter().map(|(name, _)| *name).chain([&b"exec"[..]]).collect()
}

fn slices(arguments: &[Vec<u8>]) -> Vec<&[u8]> {
    arguments.iter().map(Vec::as_slice).collect()
}

pub fn parse(text: &[u8]) -> Option<i64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Writes at once, since programs write to the same place; fails if that fails.
pub fn print(bytes: &[u8]) -> Outcome {
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

/// `cd [-L | -P] [DIRECTORY | -]`. `PWD` is where the kernel says one is.
fn change_directory(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let words = arguments[1..].iter().map(Vec::as_slice);
    let mut words = words.skip_while(|word| matches!(*word, b"-L" | b"-P" | b"--"));
    let word = words.next();
    let target = match word {
        None => shell.get(b"HOME"),
        Some(b"-") => shell.get(b"OLDPWD"),
        Some(path) => Some(path.to_vec()),
    };
    let Some(target) = target else { return Ok(shell.fail(1, format_args!("cd: nowhere to go"))) };
    match c_string(target.clone()).and_then(|path| file::chdir(&path)) {
        Ok(()) => {
            let old = shell.get(b"PWD").unwrap_or_default();
            shell.set_variable(b"OLDPWD", old)?;
            let new = fs::current_directory().unwrap_or(target);
            shell.set_variable(b"PWD", new.clone())?;
            if word == Some(b"-") { print(&[&new, &b"\n"[..]].concat()) } else { Ok(0) }
        }
        Err(error) => Ok(shell.fail(2, format_args!("cd: {}: {}", target.escape_ascii(), error.message()))),
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
        Ok((output, mistake)) => {
            let status = print(&output)?;
            Ok(mistake.map_or(status, |message| shell.fail(1, format_args!("{message}"))))
        }
        Err(message) => Ok(shell.fail(1, format_args!("{message}"))),
    }
}

/// `set` lists the variables, `set -e` and the like switch options, `set [--] words` sets the arguments.
fn set(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    if arguments.len() == 1 {
        for (name, variable) in &shell.variables {
            let value = variable.value.clone().unwrap_or_default();
            io::stdout().write(&[name, &b"="[..], &quoted_always(&value), b"\n"].concat());
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
