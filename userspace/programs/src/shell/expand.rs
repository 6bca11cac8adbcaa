//! Expansion: from words to arguments.
//!
//! In the order of POSIX's shell: tilde, parameters, commands and arithmetic, splitting at `IFS`, paths, quotes. Each
//! byte carries whether it was quoted until the very end, since splitting and patterns look at bare bytes only.

use super::arithmetic::{self, Variables};
use super::pattern::{self, Glyph};
use super::syntax::{Alternative, Empty, Extent, List, Operation, Part, Quoting, Side, Word};
use alloc::string::String;
use alloc::vec::Vec;
use ulib::fs;

/// What expansion needs from the shell.
pub trait Surroundings: Variables {
    /// The shell's arguments, `$1` and on.
    fn arguments(&self) -> Vec<Vec<u8>>;
    /// Sets a variable to text; fails if it may not be changed.
    fn assign(&mut self, name: &[u8], value: Vec<u8>) -> Result<()>;
    /// Whether a parameter that is not set is an error (`set -u`).
    fn refuses_unset(&self) -> bool {
        false
    }
    /// Whether patterns become the paths that they describe (not after `set -f`).
    fn expands_paths(&self) -> bool {
        true
    }
    /// Runs commands and returns what they print.
    fn output_of(&mut self, list: &List) -> Result<Vec<u8>>;
}

/// Result of expansion; the error is a message.
pub type Result<T> = core::result::Result<T, String>;

/// Words to arguments: any number for each word.
pub fn to_arguments(words: &[Word], surroundings: &mut dyn Surroundings) -> Result<Vec<Vec<u8>>> {
    let mut arguments = Vec::new();
    for word in words {
        for field in split_fields(word, surroundings)? {
            if !pattern::is_special(&field) || !surroundings.expands_paths() {
                arguments.push(pattern::to_bytes(&field));
                continue;
            }
            let mut paths = matching_paths(&field);
            if paths.is_empty() {
                paths.push(pattern::to_bytes(&field));
            }
            paths.sort();
            arguments.append(&mut paths);
        }
    }
    Ok(arguments)
}

/// A word to one piece of text, as an assignment or a redirection takes it.
pub fn to_text(word: &Word, surroundings: &mut dyn Surroundings) -> Result<Vec<u8>> {
    to_pattern(word, surroundings).map(|glyphs| pattern::to_bytes(&glyphs))
}

/// A word to one pattern, as `case` takes it.
pub fn to_pattern(word: &Word, surroundings: &mut dyn Surroundings) -> Result<Vec<Glyph>> {
    let mut fields = Fields::unsplit();
    expand_word(word, surroundings, &mut fields)?;
    Ok(fields.finish().pop().unwrap_or_default())
}

/// A word to fields, their bytes still marked.
fn split_fields(word: &Word, surroundings: &mut dyn Surroundings) -> Result<Vec<Vec<Glyph>>> {
    let all_arguments = |part: &Part| matches!(part, Part::Parameter { name, operation: Operation::Value, .. } if name == b"@");
    let empty = |part: &Part| matches!(part, Part::Text(text, _) if text.is_empty());
    if word.iter().any(all_arguments)
        && word.iter().all(|part| all_arguments(part) || empty(part))
        && surroundings.arguments().is_empty()
    {
        return Ok(Vec::new()); // "$@" without arguments is nothing, though it stands in quotes
    }
    let separators = surroundings.get(b"IFS").unwrap_or_else(|| b" \t\n".to_vec());
    let mut fields = Fields { done: Vec::new(), current: None, separators, joined: false };
    expand_word(word, surroundings, &mut fields)?;
    Ok(fields.finish())
}

/// Fields in the making.
struct Fields {
    done: Vec<Vec<Glyph>>,
    current: Option<Vec<Glyph>>,
    separators: Vec<u8>,
    /// One field whatever comes: `"$@"` is joined by blanks.
    joined: bool,
}

impl Fields {
    /// Fields that are never split.
    fn unsplit() -> Fields {
        Fields { done: Vec::new(), current: None, separators: Vec::new(), joined: true }
    }

    fn push(&mut self, text: &[u8], quoting: Quoting) {
        self.current.get_or_insert_default().extend(text.iter().map(|&byte| (byte, quoting)));
    }

    /// Adds the value of an expansion: split at separators if bare.
    fn push_value(&mut self, value: &[u8], quoting: Quoting) {
        if quoting == Quoting::Quoted || self.separators.is_empty() {
            self.push(value, quoting);
            return;
        }
        for &byte in value {
            if !self.separators.contains(&byte) {
                self.push(&[byte], quoting);
            } else if !byte.is_ascii_whitespace() {
                self.done.push(self.current.take().unwrap_or_default());
            } else {
                self.done.extend(self.current.take());
            }
        }
    }

    /// Ends a field between two arguments.
    fn separate(&mut self) {
        if self.joined {
            self.push(b" ", Quoting::Quoted);
        } else {
            self.done.extend(self.current.take());
        }
    }

    fn finish(mut self) -> Vec<Vec<Glyph>> {
        self.done.extend(self.current);
        self.done
    }
}

fn expand_word(word: &Word, surroundings: &mut dyn Surroundings, fields: &mut Fields) -> Result<()> {
    for (index, part) in word.iter().enumerate() {
        match part {
            Part::Text(text, Quoting::Bare) if index == 0 && text.starts_with(b"~") => {
                expand_tilde(text, surroundings, fields);
            }
            _ => expand_part(part, surroundings, fields)?,
        }
    }
    Ok(())
}

fn expand_part(part: &Part, surroundings: &mut dyn Surroundings, fields: &mut Fields) -> Result<()> {
    match part {
        Part::Text(text, quoting) => fields.push(text, *quoting),
        Part::Parameter { name, operation, quoting } => {
            expand_parameter(name, operation, *quoting, surroundings, fields)?;
        }
        Part::Command(list, quoting) => {
            let mut output = surroundings.output_of(list)?;
            while output.last() == Some(&b'\n') {
                output.pop();
            }
            fields.push_value(&output, *quoting);
        }
        Part::Arithmetic(expression, quoting) => {
            let expression = to_text(expression, surroundings)?;
            let value = arithmetic::evaluate(&expression, surroundings)?;
            fields.push_value(alloc::format!("{value}").as_bytes(), *quoting);
        }
    }
    Ok(())
}

/// `~`, `~/…` and `~USER`; what is nobody's stays as it is.
fn expand_tilde(text: &[u8], surroundings: &dyn Surroundings, fields: &mut Fields) {
    let rest = &text[1..];
    match surroundings.get(b"HOME") {
        Some(home) if rest.is_empty() || rest.starts_with(b"/") => {
            fields.push(&home, Quoting::Quoted);
            fields.push(rest, Quoting::Bare);
        }
        _ => match home_of(rest) {
            Some((home, rest)) => {
                fields.push(&home, Quoting::Quoted);
                fields.push(rest, Quoting::Bare);
            }
            None => fields.push(text, Quoting::Bare),
        },
    }
}

/// The home of the user whose name `text` begins with, by `/etc/passwd`, and what follows the name.
fn home_of(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let length = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let users = if name.is_empty() { return None } else { fs::read(b"/etc/passwd").ok()? };
    let mut lines = users.split(|&byte| byte == b'\n').map(|line| line.split(|&byte| byte == b':'));
    let mut line = lines.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    line.nth(4).map(|home| (home.to_vec(), rest))
}

fn expand_parameter(
    name: &[u8],
    operation: &Operation,
    quoting: Quoting,
    surroundings: &mut dyn Surroundings,
    fields: &mut Fields,
) -> Result<()> {
    if matches!(name, b"@" | b"*") && *operation == Operation::Value {
        expand_arguments(name, quoting, surroundings, fields);
        return Ok(());
    }
    let value = match name {
        b"@" | b"*" => Some(surroundings.arguments().join(&b' ')).filter(|value| !value.is_empty()),
        _ => surroundings.get(name),
    };
    let alternative = matches!(operation, Operation::Alternative { .. });
    if value.is_none() && !alternative && !matches!(name, b"@" | b"*") && surroundings.refuses_unset() {
        return Err(alloc::format!("{}: parameter not set", name.escape_ascii()));
    }
    match operation {
        Operation::Value => fields.push_value(&value.unwrap_or_default(), quoting),
        Operation::Length => {
            let length = if name == b"@" {
                surroundings.arguments().len()
            } else {
                value.map_or(0, |value| value.len())
            };
            fields.push_value(alloc::format!("{length}").as_bytes(), quoting);
        }
        Operation::Cut { side, extent, pattern } => {
            let pattern = to_pattern(pattern, surroundings)?;
            fields.push_value(cut(&value.unwrap_or_default(), &pattern, *side, *extent), quoting);
        }
        Operation::Alternative { kind, empty, word } => {
            let value = value.filter(|value| *empty == Empty::CountsAsSet || !value.is_empty());
            expand_alternative(name, value, *kind, word, quoting, surroundings, fields)?;
        }
    }
    Ok(())
}

/// `$@` and `$*`.
fn expand_arguments(name: &[u8], quoting: Quoting, surroundings: &dyn Surroundings, fields: &mut Fields) {
    let arguments = surroundings.arguments();
    if name == b"*" && quoting == Quoting::Quoted {
        let separators = surroundings.get(b"IFS").unwrap_or_else(|| b" ".to_vec());
        fields.push(&arguments.join(separators.get(..1).unwrap_or_default()), quoting);
        return;
    }
    for (index, argument) in arguments.iter().enumerate() {
        if index > 0 {
            fields.separate();
        }
        fields.push_value(argument, quoting);
    }
}

fn expand_alternative(
    name: &[u8],
    value: Option<Vec<u8>>,
    kind: Alternative,
    word: &Word,
    quoting: Quoting,
    surroundings: &mut dyn Surroundings,
    fields: &mut Fields,
) -> Result<()> {
    match (kind, value) {
        (Alternative::Other, None) => {}
        (Alternative::Other, Some(_)) | (Alternative::Default, None) => {
            if quoting == Quoting::Quoted {
                fields.push(&to_text(word, surroundings)?, quoting);
                return Ok(());
            }
            for part in word {
                match part {
                    Part::Text(text, Quoting::Bare) => fields.push_value(text, Quoting::Bare),
                    _ => expand_part(part, surroundings, fields)?,
                }
            }
        }
        (Alternative::Assign, None) => {
            let value = to_text(word, surroundings)?;
            surroundings.assign(name, value.clone())?;
            fields.push_value(&value, quoting);
        }
        (Alternative::Error, None) => {
            let message = to_text(word, surroundings)?;
            let message = if message.is_empty() { b"parameter not set".to_vec() } else { message };
            return Err(alloc::format!("{}: {}", name.escape_ascii(), message.escape_ascii()));
        }
        (_, Some(value)) => fields.push_value(&value, quoting),
    }
    Ok(())
}

/// What is left of `value` when `pattern` has been cut off one end.
fn cut<'a>(value: &'a [u8], pattern: &[Glyph], side: Side, extent: Extent) -> &'a [u8] {
    let lengths = 0..=value.len();
    let fits = |length: &usize| match side {
        Side::Start => pattern::matches(pattern, &value[..*length]),
        Side::End => pattern::matches(pattern, &value[value.len() - length..]),
    };
    let length = match extent {
        Extent::Shortest => lengths.clone().find(fits),
        Extent::Longest => lengths.rev().find(fits),
    };
    match (side, length.unwrap_or(0)) {
        (Side::Start, length) => &value[length..],
        (Side::End, length) => &value[..value.len() - length],
    }
}

/// The existing paths that a pattern describes. Names that start with a dot must be asked for by a dot.
fn matching_paths(pattern: &[Glyph]) -> Vec<Vec<u8>> {
    let mut components = pattern.split(|glyph| glyph.0 == b'/').peekable();
    let absolute = pattern.first().is_some_and(|glyph| glyph.0 == b'/');
    let mut paths = Vec::from([if absolute { b"/".to_vec() } else { Vec::new() }]);
    while let Some(component) = components.next() {
        if component.is_empty() {
            continue;
        }
        let last = components.peek().is_none();
        let found = paths.iter().flat_map(|path| matching_names(path, component));
        paths = found.filter(|path| last || fs::is_directory(path)).collect();
    }
    paths
}

/// `directory` joined with each name in it that a pattern describes.
fn matching_names(directory: &[u8], pattern: &[Glyph]) -> Vec<Vec<u8>> {
    if !pattern::is_special(pattern) {
        let path = fs::join(directory, &pattern::to_bytes(pattern));
        return if fs::lstat(&path).is_ok() { Vec::from([path]) } else { Vec::new() };
    }
    let searched = if directory.is_empty() { b"." } else { directory };
    let hidden = pattern[0].0 == b'.';
    let entries = fs::read_dir(searched).unwrap_or_default().into_iter();
    let names = entries.map(|entry| entry.name).filter(|name| hidden || !name.starts_with(b"."));
    names.filter(|name| pattern::matches(pattern, name)).map(|name| fs::join(directory, &name)).collect()
}

#[cfg(test)]
mod tests;
