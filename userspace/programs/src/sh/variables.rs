//! Builtins about variables: `export`, `readonly`, `local`, `unset`, and what may not be changed any more.

use crate::execute::{Leave, Outcome};
use crate::simple::quoted_always;
use crate::state::{Scope, Shell, Variable};
use alloc::vec::Vec;
use ulib::io;

/// Whether a text is a variable's name.
pub fn is_name(text: &[u8]) -> bool {
    let begins = text.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
    begins && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// `NAME` or `NAME=VALUE`.
fn halves(argument: &[u8]) -> (&[u8], Option<Vec<u8>>) {
    let mut parts = argument.splitn(2, |&byte| byte == b'=');
    (parts.next().unwrap_or_default(), parts.next().map(<[u8]>::to_vec))
}

impl Shell {
    /// Sets a variable, unless it may not be changed.
    pub fn set_variable(&mut self, name: &[u8], value: Vec<u8>) -> Result<(), Leave> {
        self.store(name, value).map_err(|message| self.fault(2, format_args!("{message}")))
    }

    fn changeable(&self, name: &[u8]) -> Result<(), Leave> {
        if self.variables.get(name).is_some_and(|variable| variable.is_fixed) {
            return Err(self.fault(2, format_args!("{}: is read only", name.escape_ascii())));
        }
        Ok(())
    }
}

/// What a declaration does to a variable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Declaration {
    Exported,
    Fixed,
}

/// `export [-p] [NAME[=VALUE]…]`.
pub fn export(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    declare(shell, arguments, Declaration::Exported)
}

/// `readonly [-p] [NAME[=VALUE]…]`.
pub fn readonly(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    declare(shell, arguments, Declaration::Fixed)
}

fn declare(shell: &mut Shell, arguments: &[Vec<u8>], declaration: Declaration) -> Outcome {
    let command = arguments[0].escape_ascii();
    let words = &arguments[1..];
    let words = if words.first().is_some_and(|word| word == b"-p") { &words[1..] } else { words };
    if words.is_empty() {
        let is_meant = |variable: &Variable| match declaration {
            Declaration::Exported => variable.scope == Scope::Exported,
            Declaration::Fixed => variable.is_fixed,
        };
        for (name, variable) in shell.variables.iter().filter(|(_, variable)| is_meant(variable)) {
            io::stdout().write(&[&arguments[0][..], b" ", name].concat());
            if let Some(value) = &variable.value {
                io::stdout().write(&[&b"="[..], &quoted_always(value)].concat());
            }
            io::stdout().write(b"\n");
        }
        return Ok(u8::from(io::stdout().finish().is_err()));
    }
    for argument in words {
        let (name, new) = halves(argument);
        if !is_name(name) {
            return Err(
                shell.fault(2, format_args!("{command}: {}: bad variable name", argument.escape_ascii()))
            );
        }
        if let Some(value) = new {
            shell.set_variable(name, value)?;
        }
        let variable = shell.variables.entry(name.to_vec()).or_insert_with(Variable::unset);
        match declaration {
            Declaration::Exported => variable.scope = Scope::Exported,
            Declaration::Fixed => variable.is_fixed = true,
        }
    }
    Ok(0)
}

/// `local NAME[=VALUE]…`: the variables are as they were before when the function ends. Until it is set anew, one keeps
/// its value.
pub fn local(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    if shell.locals.is_empty() {
        return Err(shell.fault(2, format_args!("local: not in a function")));
    }
    for argument in &arguments[1..] {
        let (name, new) = halves(argument);
        if !is_name(name) {
            return Err(shell.fault(2, format_args!("local: {}: bad variable name", argument.escape_ascii())));
        }
        let before = shell.variables.get(name).cloned();
        if let Some(frame) = shell.locals.last_mut()
            && !frame.iter().any(|(known, _)| known == name)
        {
            frame.push((name.to_vec(), before));
        }
        if let Some(value) = new {
            shell.set_variable(name, value)?;
        }
    }
    Ok(0)
}

/// `unset [-f | -v] NAMES…`.
pub fn unset(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let (mut functions, mut words) = (false, &arguments[1..]);
    while let Some((option, rest)) = words.split_first().filter(|(word, _)| word.starts_with(b"-")) {
        words = rest;
        match option.as_slice() {
            b"-f" => functions = true,
            b"-v" => functions = false,
            b"--" => break,
            _ => return Err(shell.fault(2, format_args!("unset: {}: unknown", option.escape_ascii()))),
        }
    }
    for name in words {
        if functions {
            shell.functions.remove(name);
        } else if is_name(name) {
            shell.changeable(name)?;
            shell.variables.remove(name);
        } else {
            return Err(shell.fault(2, format_args!("unset: {}: bad variable name", name.escape_ascii())));
        }
    }
    Ok(0)
}
