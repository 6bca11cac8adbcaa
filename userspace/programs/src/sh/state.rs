//! What the shell knows: variables, functions, arguments, jobs.

use crate::getopts::Place;
use crate::jobs::{Job, Terminal};
use crate::options::{Choice, Options};
use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use programs::shell::arithmetic::Variables;
use programs::shell::expand::Surroundings;
use programs::shell::syntax::{Command, List};
use ulib::libsyscall::process;
use ulib::{Errno, c_string, env, fs};

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its value; a variable can be exported before it has one.
    pub value: Option<Vec<u8>>,
    /// Who sees it.
    pub scope: Scope,
    /// Whether it may not be changed any more: `readonly`.
    pub is_fixed: bool,
}

impl Variable {
    /// One without a value.
    pub const fn unset() -> Variable {
        Variable { value: None, scope: Scope::Shell, is_fixed: false }
    }
}

/// Variables as they were before a function made them its own.
pub type Frame = Vec<(Vec<u8>, Option<Variable>)>;

/// Who sees a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The shell.
    Shell,
    /// Also the programs it starts.
    Exported,
}

/// Whether a shell has anything left to do after the program it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Future {
    /// It may have.
    GoesOn,
    /// It has not: the program can take its place.
    Ends,
}

/// A running shell.
pub struct Shell {
    /// All variables by name.
    pub variables: BTreeMap<Vec<u8>, Variable>,
    /// All functions by name.
    pub functions: BTreeMap<Vec<u8>, Rc<Command>>,
    /// Words that stand for others where a command begins.
    pub aliases: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Commands for signals, 0 for the end; empty for those that are ignored.
    pub traps: BTreeMap<u32, Vec<u8>>,
    /// What each function that runs has made its own.
    pub locals: Vec<Frame>,
    /// Where `getopts` is.
    pub options_place: Place,
    /// `$1` and on.
    pub arguments: Vec<Vec<u8>>,
    /// `$$`: the shell that was started, in copies of it too.
    pub pid: i32,
    /// `$0`.
    pub name: Vec<u8>,
    /// `$?`.
    pub status: u8,
    /// Status of the last command substitution: what an assignment alone returns.
    pub substitution: Option<u8>,
    /// `$!`.
    pub last_background: Option<i32>,
    /// What runs beside the shell or is stopped.
    pub jobs: Vec<Job>,
    /// The terminal, if this shell controls jobs on one.
    pub terminal: Option<Terminal>,
    /// How many functions, `.` and `eval` deep it is.
    pub depth: usize,
    /// Whether a program can take its place.
    pub future: Future,
    /// What `set` has switched.
    pub options: Options,
    /// How many conditions and the like it is in, where a command may fail in spite of `set -e`.
    pub unchecked: usize,
}

impl Shell {
    /// A shell with the environment's variables.
    pub fn new(name: Vec<u8>) -> Shell {
        let mut variables = BTreeMap::new();
        for variable in env::vars() {
            let mut parts = variable.to_bytes().splitn(2, |&byte| byte == b'=');
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                let variable =
                    Variable { value: Some(value.to_vec()), scope: Scope::Exported, is_fixed: false };
                variables.insert(name.to_vec(), variable);
            }
        }
        let mut shell = Shell {
            variables,
            functions: BTreeMap::new(),
            aliases: BTreeMap::new(),
            traps: BTreeMap::new(),
            locals: Vec::new(),
            options_place: Place::default(),
            arguments: Vec::new(),
            pid: process::getpid(),
            name,
            status: 0,
            substitution: None,
            last_background: None,
            jobs: Vec::new(),
            terminal: None,
            depth: 0,
            future: Future::GoesOn,
            options: Options::default(),
            unchecked: 0,
        };
        let parent = alloc::format!("{}", process::getppid()).into_bytes();
        for (name, value) in [
            (&b"PWD"[..], fs::current_directory().ok()),
            (b"PPID", Some(parent)),
            (b"OPTIND", Some(b"1".to_vec())),
        ] {
            if let Some(value) = value {
                // Nothing is fixed yet.
                let _ = shell.store(name, value);
            }
        }
        shell
    }

    /// Sets a variable; fails if it may not be changed.
    pub fn store(&mut self, name: &[u8], value: Vec<u8>) -> Result<(), String> {
        let all = self.options.has(Choice::AllExport);
        let variable = self.variables.entry(name.to_vec()).or_insert_with(Variable::unset);
        if variable.is_fixed {
            return Err(alloc::format!("{}: is read only", name.escape_ascii()));
        }
        variable.value = Some(value);
        if all {
            variable.scope = Scope::Exported;
        }
        Ok(())
    }

    /// The environment of programs: what is exported, and `assignments` over it.
    pub fn environment(&self, assignments: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<CString>, Errno> {
        let exported = self.variables.iter().filter(|(name, variable)| {
            variable.scope == Scope::Exported && !assignments.iter().any(|(assigned, _)| assigned == *name)
        });
        let exported = exported.filter_map(|(name, variable)| Some((name, variable.value.as_ref()?)));
        let assigned = assignments.iter().map(|(name, value)| (name, value));
        exported.chain(assigned).map(|(name, value)| c_string([name, &b"="[..], value].concat())).collect()
    }

    /// What stands before the cursor: `PS1`, or the working directory and `#` or `$`.
    pub fn prompt(&self) -> Vec<u8> {
        if let Some(prompt) = self.get(b"PS1") {
            return prompt;
        }
        let sign: &[u8] = if process::geteuid() == 0 { b" # " } else { b" $ " };
        [&fs::current_directory().unwrap_or_default(), sign].concat()
    }

    /// `$0`, `$1`, `$?` and the like.
    fn special(&self, name: &[u8]) -> Option<Vec<u8>> {
        let number = match name {
            b"?" => self.status.into(),
            b"#" => self.arguments.len() as i64,
            b"$" => self.pid.into(),
            b"!" => self.last_background?.into(),
            b"-" => {
                let interactive: &[u8] = if self.terminal.is_some() { b"i" } else { b"" };
                return Some([&self.options.letters(), interactive].concat());
            }
            b"0" => return Some(self.name.clone()),
            _ => {
                let index: usize = core::str::from_utf8(name).ok()?.parse().ok()?;
                return self.arguments.get(index.checked_sub(1)?).cloned();
            }
        };
        Some(alloc::format!("{number}").into_bytes())
    }
}

impl Variables for Shell {
    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        match self.variables.get(name) {
            Some(variable) => variable.value.clone(),
            None => self.special(name),
        }
    }

    fn set(&mut self, name: &[u8], value: i64) -> Result<(), String> {
        self.store(name, alloc::format!("{value}").into_bytes())
    }
}

impl Surroundings for Shell {
    fn arguments(&self) -> Vec<Vec<u8>> {
        self.arguments.clone()
    }

    fn assign(&mut self, name: &[u8], value: Vec<u8>) -> Result<(), String> {
        self.store(name, value)
    }

    fn refuses_unset(&self) -> bool {
        self.options.has(Choice::NoUnset)
    }

    fn expands_paths(&self) -> bool {
        !self.options.has(Choice::NoGlob)
    }

    fn output_of(&mut self, list: &List) -> Result<Vec<u8>, String> {
        self.capture(list).map_err(|error| alloc::format!("command substitution: {}", error.message()))
    }
}
