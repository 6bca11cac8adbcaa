//! Simple commands: assignments, functions, builtins, programs.

use crate::builtins;
use crate::execute::{Leave, Outcome};
use crate::options::Choice;
use crate::redirect::Saved;
use crate::state::{Future, Shell, Variable};
use abi::fs::AT_FDCWD;
use alloc::string::String;
use alloc::vec::Vec;
use programs::shell::arithmetic::Variables;
use programs::shell::expand;
use programs::shell::syntax::{Command as Tree, Redirection, Word};
use ulib::process::{Command, DEFAULT_PATH};
use ulib::{Errno, eprintln, fs};

/// Exit status for a command that was not found.
const NOT_FOUND: u8 = 127;
/// Exit status for a command that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;

/// An assignment after expansion.
type Assignment = (Vec<u8>, Vec<u8>);

impl Shell {
    /// Runs a simple command.
    pub fn run_simple(
        &mut self,
        assignments: &[(Vec<u8>, Word)],
        words: &[Word],
        redirections: &[Redirection],
    ) -> Outcome {
        self.substitution = None;
        if words.is_empty() {
            return self.run_assignments(assignments, redirections);
        }
        let (arguments, assignments) = match self.expand_simple(assignments, words) {
            Ok(expanded) => expanded,
            Err(message) => return Err(self.fault(2, format_args!("{message}"))),
        };
        self.trace(self.trace_prefix(), &arguments, &assignments);
        let is_special = arguments.first().is_some_and(|name| name == b"exec" || builtins::is_special(name));
        let saved = match Saved::redirect(redirections, self) {
            Ok(saved) => saved,
            Err(message) if is_special => return Err(self.fault(2, format_args!("{message}"))),
            Err(message) => return Ok(self.fail(1, format_args!("{message}"))),
        };
        let outcome = match arguments.first() {
            None => {
                for (name, value) in assignments {
                    self.set_variable(&name, value)?;
                }
                Ok(self.substitution.unwrap_or(0))
            }
            Some(name) if name == b"exec" => match self.exec(&arguments[1..], &assignments) {
                Ok(status) => {
                    saved.keep();
                    return Ok(status);
                }
                Err(leave) => Err(leave),
            },
            Some(name) => self.run_named(name, &arguments, &assignments),
        };
        saved.restore();
        outcome
    }

    /// Assigns in order, each value seeing the ones before, where there is no command.
    fn run_assignments(&mut self, assignments: &[(Vec<u8>, Word)], redirections: &[Redirection]) -> Outcome {
        // As the variables are before.
        let prefix = self.trace_prefix();
        let mut made = Vec::new();
        for (name, word) in assignments {
            let value = match expand::to_text(word, self) {
                Ok(value) => value,
                Err(message) => return Err(self.fault(2, format_args!("{message}"))),
            };
            made.push((name.clone(), value.clone()));
            self.set_variable(name, value)?;
        }
        self.trace(prefix, &[], &made);
        match Saved::redirect(redirections, self) {
            Ok(saved) => saved.restore(),
            Err(message) => return Ok(self.fail(1, format_args!("{message}"))),
        }
        Ok(self.substitution.unwrap_or(0))
    }

    /// What stands before a command that is shown.
    fn trace_prefix(&self) -> Vec<u8> {
        self.get(b"PS4").unwrap_or_else(|| b"+ ".to_vec())
    }

    /// Shows a command, as `set -x` wants it.
    fn trace(&self, mut line: Vec<u8>, arguments: &[Vec<u8>], assignments: &[Assignment]) {
        if !self.options.has(Choice::XTrace) {
            return;
        }
        let assigned = assignments.iter().map(|(name, value)| [name, &b"="[..], &quoted(value)].concat());
        let words: Vec<Vec<u8>> = assigned.chain(arguments.iter().map(|word| quoted(word))).collect();
        line.extend(words.join(&b' '));
        eprintln!("{}", String::from_utf8_lossy(&line));
    }

    /// Arguments and assignments.
    fn expand_simple(
        &mut self,
        assignments: &[(Vec<u8>, Word)],
        words: &[Word],
    ) -> expand::Result<(Vec<Vec<u8>>, Vec<Assignment>)> {
        let arguments = expand::to_arguments(words, self)?;
        let values = assignments.iter().map(|(name, word)| Ok((name.clone(), expand::to_text(word, self)?)));
        Ok((arguments, values.collect::<expand::Result<_>>()?))
    }

    fn run_named(&mut self, name: &[u8], arguments: &[Vec<u8>], assignments: &[Assignment]) -> Outcome {
        if let Some(body) = self.functions.get(name).cloned() {
            return self.with_assignments(assignments, |shell| shell.call(&body, &arguments[1..]));
        }
        if let Some(builtin) = builtins::find(name) {
            if builtins::is_special(name) {
                for (name, value) in assignments {
                    self.set_variable(name, value.clone())?;
                }
                return builtin(self, arguments);
            }
            return self.with_assignments(assignments, |shell| builtin(shell, arguments));
        }
        self.run_program(arguments, assignments)
    }

    /// Runs a builtin or a program even where a function has the same name. A special builtin's fault is then only a
    /// failure.
    pub fn run_without_functions(&mut self, arguments: &[Vec<u8>]) -> Outcome {
        let Some(name) = arguments.first() else { return Ok(0) };
        let outcome = match builtins::find(name) {
            Some(builtin) => builtin(self, arguments),
            None if name == b"exec" => self.exec(&arguments[1..], &[]),
            None => self.run_program(arguments, &[]),
        };
        match outcome {
            Err(Leave::Fault(status)) => Ok(status),
            outcome => outcome,
        }
    }

    /// Runs `body` with variables that are put back afterwards.
    fn with_assignments(
        &mut self,
        assignments: &[Assignment],
        body: impl FnOnce(&mut Shell) -> Outcome,
    ) -> Outcome {
        let old: Vec<(Vec<u8>, Option<Variable>)> =
            assignments.iter().map(|(name, _)| (name.clone(), self.variables.get(name).cloned())).collect();
        for (name, value) in assignments {
            self.set_variable(name, value.clone())?;
        }
        let outcome = body(self);
        for (name, variable) in old {
            match variable {
                Some(variable) => drop(self.variables.insert(name, variable)),
                None => drop(self.variables.remove(&name)),
            }
        }
        outcome
    }

    /// Calls a function.
    fn call(&mut self, body: &Tree, arguments: &[Vec<u8>]) -> Outcome {
        let outer = core::mem::replace(&mut self.arguments, arguments.to_vec());
        self.locals.push(Vec::new());
        let outcome = self.deeper(|shell| shell.run_command(body));
        self.arguments = outer;
        for (name, before) in self.locals.pop().into_iter().flatten() {
            match before {
                Some(variable) => drop(self.variables.insert(name, variable)),
                None => drop(self.variables.remove(&name)),
            }
        }
        match outcome {
            Err(Leave::Return(status)) => Ok(status),
            outcome => outcome,
        }
    }

    /// The program that arguments name, ready to start.
    fn prepare(&self, arguments: &[Vec<u8>], assignments: &[Assignment]) -> Result<Command, Errno> {
        let path = self.get(b"PATH").unwrap_or_else(|| DEFAULT_PATH.to_vec());
        let command = Command::found_in(&path, &arguments[0])?;
        let command = command.args(arguments[1..].iter().map(Vec::as_slice))?;
        Ok(command.environment(self.environment(assignments)?))
    }

    fn run_program(&mut self, arguments: &[Vec<u8>], assignments: &[Assignment]) -> Outcome {
        if self.future == Future::Ends {
            return self.exec(arguments, assignments);
        }
        let start = |arguments: &[Vec<u8>]| self.place(self.prepare(arguments, assignments)?).spawn();
        let started = match start(arguments) {
            Err(Errno::ENOEXEC) => self.as_script(arguments).and_then(|script| start(&script)),
            started => started,
        };
        match started {
            Ok(child) => {
                let text = String::from_utf8_lossy(&arguments.join(&b' ')).into_owned();
                self.wait_in_foreground(Ok(child), text)
            }
            Err(Errno::ENOENT) if builtins::LACKING.contains(&arguments[0].as_slice()) => {
                let name = arguments[0].escape_ascii();
                Err(self.fault(2, format_args!("{name}: this shell does not have it")))
            }
            Err(error) => Ok(self.cannot_start(&arguments[0], error)),
        }
    }

    fn cannot_start(&self, name: &[u8], error: Errno) -> u8 {
        let name = String::from_utf8_lossy(name);
        match error {
            Errno::ENOENT => self.fail(NOT_FOUND, format_args!("{name}: not found")),
            error => self.fail(NOT_EXECUTABLE, format_args!("{name}: {}", error.message())),
        }
    }

    /// Arguments that run a file without a format as a script of this shell.
    fn as_script(&self, arguments: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Errno> {
        let path = self.find_program(&arguments[0]).ok_or(Errno::ENOENT)?;
        Ok([&[b"/proc/self/exe".to_vec(), path], &arguments[1..]].concat())
    }

    /// The path that a name stands for.
    pub fn find_program(&self, name: &[u8]) -> Option<Vec<u8>> {
        if name.contains(&b'/') {
            return fs::stat(name).is_ok().then(|| name.to_vec());
        }
        let path = self.get(b"PATH").unwrap_or_else(|| DEFAULT_PATH.to_vec());
        let candidates = path.split(|&byte| byte == b':').map(|directory| fs::join(directory, name));
        candidates.into_iter().find(|path| {
            let path = ulib::c_string(path.clone());
            path.is_ok_and(|path| ulib::libsyscall::file::faccessat(AT_FDCWD, &path, abi::fs::X_OK).is_ok())
        })
    }

    /// Becomes another program; without one, nothing happens, and redirections stay.
    fn exec(&mut self, arguments: &[Vec<u8>], assignments: &[Assignment]) -> Outcome {
        if arguments.is_empty() {
            return Ok(0);
        }
        // An error stays in the buffer, and the buffer ends here.
        let _ = ulib::io::stdout().finish();
        let execute = |arguments: &[Vec<u8>]| match self.prepare(arguments, assignments) {
            Ok(command) => self.leave_terminal(command).execute(),
            Err(error) => error,
        };
        let error = match execute(arguments) {
            Errno::ENOEXEC => self.as_script(arguments).map_or_else(|error| error, |script| execute(&script)),
            error => error,
        };
        Err(Leave::Fault(self.cannot_start(&arguments[0], error)))
    }
}

/// A word as it would have to be written.
fn quoted(word: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+=./,:@%".contains(byte) || *byte >= 0x80;
    if !word.is_empty() && word.iter().all(plain) {
        return word.to_vec();
    }
    quoted_always(word)
}

/// As [`quoted`], with quotes around whatever it is.
pub fn quoted_always(word: &[u8]) -> Vec<u8> {
    let inner: Vec<Vec<u8>> = word.split(|&byte| byte == b'\'').map(<[u8]>::to_vec).collect();
    [b"'", inner.join(&br"'\''"[..]).as_slice(), b"'"].concat()
}
