//! Words of the shell: quotes and substitutions.

use super::parse::{Error, Parser, Result};
use super::syntax::{Alternative, Empty, Extent, Operation, Part, Quoting, Side, Word};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes that end a bare word.
pub(super) const ENDS_WORD: &[u8] = b" \t\n;&|()<>";

/// Length of the name at the start of `text`, 0 if there is none.
pub(super) fn name_length(text: &[u8]) -> usize {
    if text.first().is_none_or(u8::is_ascii_digit) {
        return 0;
    }
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// A word's text without its quotes, and whether it had any.
pub(super) fn plain_text(word: &Word) -> (Vec<u8>, Quoting) {
    let mut text = Vec::new();
    let mut quoting = Quoting::Bare;
    for part in word {
        if let Part::Text(bytes, part_quoting) = part {
            text.extend_from_slice(bytes);
            if *part_quoting == Quoting::Quoted {
                quoting = Quoting::Quoted;
            }
        }
    }
    (text, quoting)
}

/// A word that is nothing but text.
pub(super) fn quoted_text(text: Vec<u8>) -> Word {
    Vec::from([Part::Text(text, Quoting::Quoted)])
}

/// Collects the parts of a word.
#[derive(Default)]
struct Collector {
    parts: Word,
}

impl Collector {
    fn text(&mut self, byte: u8, quoting: Quoting) {
        match self.parts.last_mut() {
            Some(Part::Text(text, last)) if *last == quoting => text.push(byte),
            _ => self.parts.push(Part::Text(Vec::from([byte]), quoting)),
        }
    }

    fn push(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// Marks that there were quotes, even around nothing: `""` is a word.
    fn quotes(&mut self) {
        self.parts.push(Part::Text(Vec::new(), Quoting::Quoted));
    }
}

impl Parser<'_> {
    /// The next word; `None` at an operator or newline.
    pub(super) fn word(&mut self) -> Result<Option<Word>> {
        self.skip_blanks();
        if self.peek().is_none_or(|byte| ENDS_WORD.contains(&byte)) {
            return Ok(None);
        }
        self.bare_word().map(Some)
    }

    /// A word from exactly here, perhaps empty.
    pub(super) fn bare_word(&mut self) -> Result<Word> {
        self.word_until(ENDS_WORD)
    }

    /// Text of a here-document: substitutions, but quotes are text.
    pub(super) fn here_text(&mut self) -> Result<Word> {
        let mut word = Collector::default();
        while let Some(byte) = self.peek() {
            self.in_double_quotes(byte, &mut word)?;
        }
        Ok(word.parts)
    }

    /// A word up to a bare byte of `ends`, which is not taken, or the input's end.
    fn word_until(&mut self, ends: &[u8]) -> Result<Word> {
        let mut word = Collector::default();
        while let Some(byte) = self.peek() {
            if ends.contains(&byte) {
                break;
            }
            match byte {
                b'\'' => self.single_quotes(&mut word)?,
                b'"' => self.double_quotes(&mut word)?,
                b'\\' => self.backslash(&mut word)?,
                b'$' | b'`' => self.substitution(Quoting::Bare, &mut word)?,
                _ => {
                    word.text(byte, Quoting::Bare);
                    self.position += 1;
                }
            }
        }
        Ok(word.parts)
    }

    /// The word of `"${name-word}"`, up to its brace: single quotes stand for themselves there.
    fn quoted_word(&mut self) -> Result<Word> {
        let mut word = Collector::default();
        loop {
            match self.peek().ok_or(Error::Incomplete)? {
                b'}' => return Ok(word.parts),
                b'"' => self.position += 1,
                b'\\' if self.input.get(self.position + 1) == Some(&b'}') => self.backslash(&mut word)?,
                byte => self.in_double_quotes(byte, &mut word)?,
            }
        }
    }

    fn backslash(&mut self, word: &mut Collector) -> Result<()> {
        self.position += 1;
        let byte = self.peek().ok_or(Error::Incomplete)?;
        self.position += 1;
        if byte != b'\n' {
            word.text(byte, Quoting::Quoted);
        }
        Ok(())
    }

    fn single_quotes(&mut self, word: &mut Collector) -> Result<()> {
        let rest = &self.input[self.position + 1..];
        let length = rest.iter().position(|&byte| byte == b'\'').ok_or(Error::Incomplete)?;
        word.quotes();
        rest[..length].iter().for_each(|&byte| word.text(byte, Quoting::Quoted));
        self.position += length + 2;
        Ok(())
    }

    fn double_quotes(&mut self, word: &mut Collector) -> Result<()> {
        self.position += 1;
        word.quotes();
        loop {
            match self.peek().ok_or(Error::Incomplete)? {
                b'"' => break,
                byte => self.in_double_quotes(byte, word)?,
            }
        }
        self.position += 1;
        Ok(())
    }

    /// One step inside double quotes, where only `$`, `` ` `` and some backslashes are special.
    fn in_double_quotes(&mut self, byte: u8, word: &mut Collector) -> Result<()> {
        match byte {
            b'$' | b'`' => return self.substitution(Quoting::Quoted, word),
            b'\\' => match self.input.get(self.position + 1) {
                Some(b'\n') => self.position += 1,
                Some(&escaped @ (b'$' | b'`' | b'"' | b'\\')) => {
                    word.text(escaped, Quoting::Quoted);
                    self.position += 1;
                }
                _ => word.text(byte, Quoting::Quoted),
            },
            _ => word.text(byte, Quoting::Quoted),
        }
        self.position += 1;
        Ok(())
    }

    /// What starts with `$` or a backquote.
    fn substitution(&mut self, quoting: Quoting, word: &mut Collector) -> Result<()> {
        if self.peek() == Some(b'`') {
            return self.backquotes(quoting, word);
        }
        self.position += 1;
        if self.take(b"((") {
            let expression = self.nested(Self::expression)?;
            word.push(Part::Arithmetic(expression, quoting));
        } else if self.take(b"(") {
            let list = self.nested(Self::list)?;
            if !self.take(b")") {
                return Err(self.unexpected());
            }
            word.push(Part::Command(list, quoting));
        } else if self.take(b"{") {
            let part = self.nested(|parser| parser.braces(quoting))?;
            word.push(part);
        } else if let Some(name) = self.parameter_name() {
            word.push(Part::Parameter { name, operation: Operation::Value, quoting });
        } else {
            word.text(b'$', quoting);
        }
        Ok(())
    }

    fn backquotes(&mut self, quoting: Quoting, word: &mut Collector) -> Result<()> {
        self.position += 1;
        let mut source = Vec::new();
        loop {
            let byte = self.peek().ok_or(Error::Incomplete)?;
            self.position += 1;
            match (byte, self.peek()) {
                (b'`', _) => break,
                (b'\\', Some(escaped @ (b'$' | b'`' | b'\\'))) => {
                    source.push(escaped);
                    self.position += 1;
                }
                _ => source.push(byte),
            }
        }
        let depth = self.depth;
        let list = self.nested(|_| Parser::inside(&source, depth + 1).list())?;
        word.push(Part::Command(list, quoting));
        Ok(())
    }

    /// The expression of `$((…))`, with its closing parentheses.
    fn expression(&mut self) -> Result<Word> {
        let mut word = Collector::default();
        let mut open = 0;
        loop {
            match self.peek().ok_or(Error::Incomplete)? {
                b'$' | b'`' => {
                    self.substitution(Quoting::Quoted, &mut word)?;
                    continue;
                }
                b')' if open == 0 => {
                    return if self.take(b"))") { Ok(word.parts) } else { Err(self.unexpected()) };
                }
                byte => {
                    open += usize::from(byte == b'(');
                    open -= usize::from(byte == b')');
                    word.text(byte, Quoting::Quoted);
                }
            }
            self.position += 1;
        }
    }

    /// A variable's name, an argument's number or a special parameter.
    fn parameter_name(&mut self) -> Option<Vec<u8>> {
        if let Some(name) = self.name() {
            return Some(name);
        }
        let byte = self.peek().filter(|byte| byte.is_ascii_digit() || b"@*#?-$!".contains(byte))?;
        self.position += 1;
        Some(Vec::from([byte]))
    }

    /// What stands between `${` and `}`.
    fn braces(&mut self, quoting: Quoting) -> Result<Part> {
        let length = self.peek() == Some(b'#') && self.input.get(self.position + 1) != Some(&b'}');
        self.position += usize::from(length);
        let mut name = self.parameter_name().ok_or_else(|| self.bad_substitution())?;
        while name[0].is_ascii_digit() && self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            name.extend(self.peek());
            self.position += 1;
        }
        let operation = if length { Operation::Length } else { self.operation(quoting)? };
        if !self.take(b"}") {
            return Err(self.bad_substitution());
        }
        Ok(Part::Parameter { name, operation, quoting })
    }

    fn bad_substitution(&self) -> Error {
        match self.peek() {
            None => Error::Incomplete,
            Some(_) => Error::Syntax(String::from("syntax error: bad substitution")),
        }
    }

    fn operation(&mut self, quoting: Quoting) -> Result<Operation> {
        for (text, side, extent) in [
            (&b"##"[..], Side::Start, Extent::Longest),
            (b"#", Side::Start, Extent::Shortest),
            (b"%%", Side::End, Extent::Longest),
            (b"%", Side::End, Extent::Shortest),
        ] {
            if self.take(text) {
                let pattern = Box::new(self.word_until(b"}")?);
                return Ok(Operation::Cut { side, extent, pattern });
            }
        }
        let empty = if self.take(b":") { Empty::CountsAsUnset } else { Empty::CountsAsSet };
        for (text, kind) in [
            (b"-", Alternative::Default),
            (b"=", Alternative::Assign),
            (b"?", Alternative::Error),
            (b"+", Alternative::Other),
        ] {
            if self.take(text) {
                let word = match quoting {
                    Quoting::Bare => self.word_until(b"}")?,
                    Quoting::Quoted => self.quoted_word()?,
                };
                let word = Box::new(word);
                return Ok(Operation::Alternative { kind, empty, word });
            }
        }
        if empty == Empty::CountsAsUnset { Err(self.bad_substitution()) } else { Ok(Operation::Value) }
    }
}
