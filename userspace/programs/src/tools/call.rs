//! What a command was called with, and how it reports.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::Display;
use ulib::{Errno, eprintln};

/// A command's name and arguments.
pub struct Call<'a> {
    /// The command's name, for messages.
    pub name: &'static str,
    /// What follows the name.
    pub arguments: &'a [&'a [u8]],
}

impl<'a> Call<'a> {
    /// Says what is wrong with the call as a whole; returns the status for that.
    pub fn refuse(&self, message: impl Display) -> u8 {
        eprintln!("{}: {message}", self.name);
        2
    }

    /// Takes the arguments apart: single letters of `flags`, letters of `valued` with a value each, operands.
    pub fn options(&self, flags: &str, valued: &str) -> Result<Options<'a>, u8> {
        let mut options = Options { flags: Vec::new(), values: Vec::new(), operands: Vec::new() };
        let mut rest = self.arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(letters) = argument.strip_prefix(b"-").filter(|letters| !letters.is_empty()) else {
                options.operands.push(*argument);
                continue;
            };
            if letters == b"-" {
                options.operands.extend(rest);
                break;
            }
            for (index, &letter) in letters.iter().enumerate() {
                if flags.as_bytes().contains(&letter) {
                    options.flags.push(letter);
                } else if valued.as_bytes().contains(&letter) {
                    let attached = &letters[index + 1..];
                    let next = if attached.is_empty() { rest.next().copied() } else { Some(attached) };
                    let value = next
                        .ok_or_else(|| self.refuse(format_args!("-{} needs a value", char::from(letter))))?;
                    options.values.push((letter, value));
                    break;
                } else {
                    return Err(self.refuse(self.unknown(argument, flags, valued)));
                }
            }
        }
        Ok(options)
    }

    fn unknown(&self, argument: &[u8], flags: &str, valued: &str) -> String {
        let known: Vec<String> =
            flags.chars().chain(valued.chars()).map(|letter| alloc::format!("-{letter}")).collect();
        alloc::format!("unknown option {}; known: {}", argument.escape_ascii(), known.join(" "))
    }

    /// A report without failures.
    pub fn report(&self) -> Report {
        Report { name: self.name, status: Cell::new(0) }
    }
}

/// A call's arguments, taken apart.
pub struct Options<'a> {
    flags: Vec<u8>,
    values: Vec<(u8, &'a [u8])>,
    /// What is not an option.
    pub operands: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// Whether a flag was given.
    pub fn has(&self, flag: u8) -> bool {
        self.flags.contains(&flag)
    }

    /// The last value of an option.
    pub fn value(&self, option: u8) -> Option<&'a [u8]> {
        self.values.iter().rev().find(|(letter, _)| *letter == option).map(|(_, value)| *value)
    }

    /// The operands, or `default` if there are none.
    pub fn operands_or(&self, default: &'static [u8]) -> Vec<&'a [u8]> {
        if self.operands.is_empty() { Vec::from([default]) } else { self.operands.clone() }
    }
}

/// Collects the failures of a command that goes on after them.
pub struct Report {
    name: &'static str,
    status: Cell<u8>,
}

impl Report {
    /// Says what failed; the status will be 1.
    pub fn fail(&self, what: &[u8], why: impl Display) {
        eprintln!("{}: {}: {why}", self.name, what.escape_ascii());
        self.status.set(1);
    }

    /// Unwraps a result, or reports its error.
    pub fn check<T>(&self, what: &[u8], result: Result<T, Errno>) -> Option<T> {
        result.map_err(|error| self.fail(what, error.message())).ok()
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        self.status.get()
    }
}

/// A decimal number.
pub fn number(text: &[u8]) -> Option<u64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Bytes as text for a person.
pub fn display(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
