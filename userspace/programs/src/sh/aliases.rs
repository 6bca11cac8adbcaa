//! `alias`, `unalias`: words that stand for others where a command begins.
//!
//! The parser stops at such a word ([`Error::Alias`]), and here the text is made anew with what the word stands for.

use crate::execute::Outcome;
use crate::simple::quoted_always;
use crate::state::Shell;
use alloc::vec::Vec;
use programs::shell::parse::{Aliases, Error, Parser, Result};
use programs::shell::syntax::List;
use ulib::io;

/// Text that is being read, as far as it has not been run.
pub struct Source {
    text: Vec<u8>,
    aliases: Aliases,
}

impl Source {
    /// At the beginning of `text`.
    pub fn new(text: &[u8]) -> Source {
        Source { text: text.to_vec(), aliases: Aliases::default() }
    }

    /// The next complete command with the text that was read for it; at the end none, with what is left.
    pub fn next(&mut self, shell: &Shell) -> Result<(Option<List>, Vec<u8>)> {
        self.aliases.names = shell.aliases.keys().cloned().collect();
        let original = self.text.len();
        loop {
            let mut parser = Parser::with_aliases(&self.text, &self.aliases);
            match parser.next_list() {
                Err(Error::Alias { start, end }) => self.replace(shell, start, end),
                outcome => {
                    let position = parser.position();
                    let list = outcome?;
                    let rest = self.text.split_off(position);
                    let read = core::mem::replace(&mut self.text, rest);
                    self.aliases.move_to(position);
                    // Where a word was replaced, what is shown is what has become of it.
                    debug_assert!(original > 0 || read.is_empty());
                    return Ok((list, read));
                }
            }
        }
    }

    fn replace(&mut self, shell: &Shell, start: usize, end: usize) {
        let name = self.text[start..end].to_vec();
        let value = shell.aliases.get(&name).cloned().unwrap_or_default();
        self.aliases.replaced(name, start, end, &value);
        self.text.splice(start..end, value);
    }
}

fn show(name: &[u8], value: &[u8]) {
    io::stdout().write(&[name, b"=", &quoted_always(value), b"\n"].concat());
}

/// `alias [NAME[=VALUE]…]`.
pub fn alias(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let mut status = 0;
    if arguments.len() == 1 {
        shell.aliases.iter().for_each(|(name, value)| show(name, value));
    }
    for argument in &arguments[1..] {
        match argument.iter().position(|&byte| byte == b'=').filter(|&at| at > 0) {
            Some(at) => drop(shell.aliases.insert(argument[..at].to_vec(), argument[at + 1..].to_vec())),
            None => match shell.aliases.get(argument) {
                Some(value) => show(argument, value),
                None => status = shell.fail(1, format_args!("alias: {} not found", argument.escape_ascii())),
            },
        }
    }
    let failed = io::stdout().finish().is_err();
    Ok(if failed { 1 } else { status })
}

/// `unalias -a | NAMES…`.
pub fn unalias(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let mut status = 0;
    for name in &arguments[1..] {
        if name == b"-a" {
            shell.aliases.clear();
        } else if shell.aliases.remove(name).is_none() {
            status = shell.fail(1, format_args!("unalias: {} not found", name.escape_ascii()));
        }
    }
    Ok(status)
}
