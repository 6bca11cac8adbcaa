//! Running the syntax tree.

use crate::aliases::Source;
use crate::options::Choice;
use crate::redirect::Saved;
use crate::state::{Future, Shell};
use abi::fs::O_CLOEXEC;
use alloc::string::String;
use alloc::vec::Vec;
use programs::shell::expand;
use programs::shell::parse::Error;
use programs::shell::syntax::{
    AndOr, Command, Connector, Item, Kind, List, LoopKind, Mode, Pipeline, Status, Word,
};
use programs::shell::{pattern, syntax};
use ulib::libsyscall::file;
use ulib::process::{self, Child};
use ulib::{Errno, eprint, eprintln, io};

/// Why the rest of a list is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// `break` out of so many loops.
    Break(usize),
    /// `continue` so many loops out.
    Continue(usize),
    /// `return` from a function with a status.
    Return(u8),
    /// `exit` with a status.
    Exit(u8),
    /// A fault of the script's, as POSIX's "Consequences of Shell Errors" (2.8.1) has them: it ends a shell that runs a
    /// script, and brings one that talks to a person back to its prompt.
    Fault(u8),
    /// Ctrl-C in an interactive shell: back to the prompt.
    Interrupt,
}

impl Leave {
    /// The status that it carries.
    pub const fn status(self) -> u8 {
        match self {
            Leave::Break(_) | Leave::Continue(_) => 0,
            Leave::Return(status) | Leave::Exit(status) | Leave::Fault(status) => status,
            Leave::Interrupt => 130,
        }
    }
}

/// A status, or why the rest is not run.
pub type Outcome = Result<u8, Leave>;

/// Deepest nesting of functions, `.` and `eval`.
const MAX_DEPTH: usize = 200;

impl Shell {
    /// Reports a failure that is the shell's own and turns it into a status.
    pub fn fail(&self, status: u8, message: core::fmt::Arguments<'_>) -> u8 {
        eprintln!("sh: {message}");
        status
    }

    /// Reports a fault of the script's.
    pub fn fault(&self, status: u8, message: core::fmt::Arguments<'_>) -> Leave {
        Leave::Fault(self.fail(status, message))
    }

    /// Runs text, command by command.
    pub fn run_script(&mut self, text: &[u8]) -> Outcome {
        let mut source = Source::new(text);
        loop {
            let next = source.next(self);
            if let Ok((_, read)) = &next
                && self.options.has(Choice::Verbose)
            {
                eprint!("{}", String::from_utf8_lossy(read));
            }
            match next {
                Ok((None, _)) => return Ok(self.status),
                Ok((Some(list), _)) => self.status = self.run_list(&list)?,
                Err(error) => {
                    let message = match &error {
                        Error::Syntax(message) => message,
                        Error::Incomplete | Error::Alias { .. } => "syntax error: unexpected end of input",
                    };
                    return Err(self.fault(crate::SYNTAX_STATUS, format_args!("{message}")));
                }
            }
        }
    }

    /// Runs `body` one level deeper; refused where that would use up the stack.
    pub fn deeper(&mut self, body: impl FnOnce(&mut Shell) -> Outcome) -> Outcome {
        if self.depth == MAX_DEPTH {
            return Err(self.fault(2, format_args!("nested too deeply")));
        }
        self.depth += 1;
        self.future = Future::GoesOn;
        let outcome = body(self);
        self.depth -= 1;
        outcome
    }

    /// Runs commands in sequence.
    pub fn run_list(&mut self, list: &List) -> Outcome {
        for item in list {
            if self.takes_interrupt() {
                eprintln!();
                return Err(Leave::Interrupt);
            }
            if self.options.has(Choice::NoExec) && self.terminal.is_none() {
                return Ok(0);
            }
            self.status = self.run_item(item)?;
            self.run_traps()?;
        }
        Ok(self.status)
    }

    fn run_item(&mut self, item: &Item) -> Outcome {
        match (item.mode, item.and_or.rest.is_empty()) {
            (Mode::Foreground, _) => self.run_and_or(&item.and_or),
            (Mode::Background, true) => self.start_background(&item.and_or.first),
            (Mode::Background, false) => {
                let foreground = Item { and_or: item.and_or.clone(), mode: Mode::Foreground };
                let subshell =
                    Command { kind: Kind::Subshell(Vec::from([foreground])), redirections: Vec::new() };
                self.start_background(&Pipeline { status: Status::Kept, commands: Vec::from([subshell]) })
            }
        }
    }

    fn run_and_or(&mut self, and_or: &AndOr) -> Outcome {
        let rest = and_or.rest.iter().map(|(connector, pipeline)| (Some(*connector), pipeline));
        let mut pipelines = core::iter::once((None, &and_or.first)).chain(rest).peekable();
        while let Some((connector, pipeline)) = pipelines.next() {
            if connector.is_some_and(|connector| (connector == Connector::And) != (self.status == 0)) {
                continue;
            }
            self.status = match pipelines.peek() {
                Some(_) => self.unchecked(|shell| shell.run_pipeline(pipeline))?,
                None => self.run_last(pipeline)?,
            };
        }
        Ok(self.status)
    }

    /// Runs the last pipeline of a list joined by `&&` and `||`: the one whose failure `set -e` looks at. What a
    /// compound command returns has been looked at inside, or was not to be.
    fn run_last(&mut self, pipeline: &Pipeline) -> Outcome {
        if pipeline.status == Status::Inverted {
            return self.unchecked(|shell| shell.run_pipeline(pipeline));
        }
        let status = self.run_pipeline(pipeline)?;
        match pipeline.commands.as_slice() {
            [Command { kind: Kind::Simple { .. } | Kind::Subshell(_), .. }] | [_, _, ..] => {
                self.check(status)
            }
            _ => Ok(status),
        }
    }

    /// With `set -e`, a failure is the end.
    fn check(&self, status: u8) -> Outcome {
        if status != 0 && self.unchecked == 0 && self.options.has(Choice::ErrExit) {
            return Err(Leave::Exit(status));
        }
        Ok(status)
    }

    /// Runs `body` where commands may fail in spite of `set -e`.
    fn unchecked(&mut self, body: impl FnOnce(&mut Shell) -> Outcome) -> Outcome {
        self.unchecked += 1;
        let outcome = body(self);
        self.unchecked -= 1;
        outcome
    }

    fn run_pipeline(&mut self, pipeline: &Pipeline) -> Outcome {
        let status = match pipeline.commands.as_slice() {
            [command] => self.run_command(command)?,
            commands => self.run_together(commands)?,
        };
        Ok(match pipeline.status {
            Status::Kept => status,
            Status::Inverted => u8::from(status == 0),
        })
    }

    /// Runs one command in the shell itself, as far as it is not a program.
    pub fn run_command(&mut self, command: &Command) -> Outcome {
        if let Kind::Simple { assignments, words } = &command.kind {
            return self.run_simple(assignments, words, &command.redirections);
        }
        let saved = match Saved::redirect(&command.redirections, self) {
            Ok(saved) => saved,
            Err(message) => {
                let status = self.fail(1, format_args!("{message}"));
                return self.check(status);
            }
        };
        let outcome = self.run_compound(&command.kind);
        saved.restore();
        outcome
    }

    fn run_compound(&mut self, kind: &Kind) -> Outcome {
        match kind {
            Kind::Simple { .. } => Ok(self.status),
            Kind::Group(list) => self.run_list(list),
            Kind::Subshell(list) => {
                let child = self.fork_off(|shell| shell.run_list(list));
                self.wait_in_foreground(child, String::from("(…)"))
            }
            Kind::If { branches, otherwise } => self.run_if(branches, otherwise),
            Kind::Loop { kind, condition, body } => self.run_loop(*kind, condition, body),
            Kind::For { name, words, body } => self.run_for(name, words.as_deref(), body),
            Kind::Case { word, arms } => self.run_case(word, arms),
            Kind::Function { name, body } => {
                self.functions.insert(name.clone(), body.clone());
                Ok(0)
            }
        }
    }

    fn run_if(&mut self, branches: &[(List, List)], otherwise: &List) -> Outcome {
        for (condition, body) in branches {
            if self.unchecked(|shell| shell.run_list(condition))? == 0 {
                return self.run_list(body);
            }
        }
        self.status = 0;
        self.run_list(otherwise)
    }

    fn run_loop(&mut self, kind: LoopKind, condition: &List, body: &List) -> Outcome {
        let mut status = 0;
        loop {
            let go_on = self
                .unchecked(|shell| shell.run_list(condition))
                .map(|condition| (condition == 0) == (kind == LoopKind::While));
            let outcome = match go_on {
                Ok(false) => return Ok(status),
                Ok(true) => self.run_list(body),
                Err(leave) => Err(leave),
            };
            match leave_loop(outcome)? {
                Step::Next(body_status) => status = body_status,
                Step::End => return Ok(0),
            }
        }
    }

    fn run_for(&mut self, name: &[u8], words: Option<&[Word]>, body: &List) -> Outcome {
        let values = match words {
            None => self.arguments.clone(),
            Some(words) => match expand::to_arguments(words, self) {
                Ok(values) => values,
                Err(message) => return Err(self.fault(2, format_args!("{message}"))),
            },
        };
        let mut status = 0;
        for value in values {
            self.set_variable(name, value)?;
            match leave_loop(self.run_list(body))? {
                Step::Next(body_status) => status = body_status,
                Step::End => return Ok(0),
            }
        }
        Ok(status)
    }

    fn run_case(&mut self, word: &Word, arms: &[(Vec<Word>, syntax::List)]) -> Outcome {
        let text = match expand::to_text(word, self) {
            Ok(text) => text,
            Err(message) => return Err(self.fault(2, format_args!("{message}"))),
        };
        for (patterns, body) in arms {
            for one in patterns {
                match expand::to_pattern(one, self) {
                    Ok(glyphs) if pattern::matches(&glyphs, &text) => {
                        self.status = 0;
                        return self.run_list(body);
                    }
                    Ok(_) => {}
                    Err(message) => return Err(self.fault(2, format_args!("{message}"))),
                }
            }
        }
        Ok(0)
    }

    /// Runs `body` in a copy of the shell, which ends with its status.
    pub fn fork_off(&mut self, body: impl FnOnce(&mut Shell) -> Outcome) -> Result<Child, Errno> {
        match process::fork()? {
            Some(child) => Ok(child),
            None => {
                self.become_subshell();
                let status = match body(self) {
                    Ok(status) => status,
                    Err(leave) => leave.status(),
                };
                process::exit(self.run_exit_trap(status))
            }
        }
    }

    /// What commands print, run in a copy of the shell.
    pub fn capture(&mut self, list: &List) -> Result<Vec<u8>, Errno> {
        let (read_end, write_end) = file::pipe2(O_CLOEXEC)?;
        let child = self.fork_off(|shell| {
            // Without its output, running the commands would be of no use.
            if file::dup3(write_end, io::STDOUT, 0).is_err() {
                return Err(Leave::Exit(126));
            }
            shell.run_list(list)
        });
        file::close(write_end)?;
        let output = io::read_to_end(read_end);
        file::close(read_end)?;
        self.substitution = Some(child?.wait()?.shell_status());
        output
    }
}

/// What a loop does after its body.
enum Step {
    /// Goes on; the body had this status.
    Next(u8),
    /// Ends.
    End,
}

/// Stops `break` and `continue` at the loop they are meant for.
fn leave_loop(outcome: Outcome) -> Result<Step, Leave> {
    match outcome {
        Ok(status) => Ok(Step::Next(status)),
        Err(Leave::Break(1)) => Ok(Step::End),
        Err(Leave::Continue(1)) => Ok(Step::Next(0)),
        Err(Leave::Break(levels)) => Err(Leave::Break(levels - 1)),
        Err(Leave::Continue(levels)) => Err(Leave::Continue(levels - 1)),
        Err(leave) => Err(leave),
    }
}
