//! The shell's parser: recursive descent over bytes.
//!
//! [`Parser::next_list`] takes one complete command, as far as its newline, so that a script runs before its later
//! lines are looked at. Input that ends inside a command is [`Error::Incomplete`]: an interactive shell reads on.

pub use super::aliases::Aliases;
use super::syntax::{AndOr, Command, Connector, Item, Kind, List, LoopKind, Mode, Pipeline, Status};
use super::word;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// Why text is not a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It ends too early.
    Incomplete,
    /// It cannot become one, whatever follows.
    Syntax(String),
    /// A word stands here that stands for others.
    Alias {
        /// Where it begins.
        start: usize,
        /// Where it ends.
        end: usize,
    },
}

/// Result of parsing.
pub type Result<T> = core::result::Result<T, Error>;

/// Deepest nesting of commands and substitutions, so that a program's input cannot exhaust the stack.
const MAX_DEPTH: usize = 100;

/// Words that end a list.
const CLOSING: &[&[u8]] = &[b"then", b"else", b"elif", b"fi", b"do", b"done", b"esac", b"}"];

/// A position in the shell's input.
pub struct Parser<'a> {
    pub(super) input: &'a [u8],
    pub(super) position: usize,
    pub(super) depth: usize,
    /// Where here-documents of the current line end, once one has been read.
    pub(super) text_end: Option<usize>,
    /// Words that stand for others.
    aliases: Option<&'a Aliases>,
}

impl<'a> Parser<'a> {
    /// A parser at the start of `input`.
    pub const fn new(input: &'a [u8]) -> Parser<'a> {
        Parser { input, position: 0, depth: 0, text_end: None, aliases: None }
    }

    /// A parser that stops at words which stand for others.
    pub const fn with_aliases(input: &'a [u8], aliases: &'a Aliases) -> Parser<'a> {
        Parser { input, position: 0, depth: 0, text_end: None, aliases: Some(aliases) }
    }

    /// How much of the input has been taken.
    pub const fn position(&self) -> usize {
        self.position
    }

    /// A parser of text that stands inside other text, `depth` levels deep.
    pub(super) const fn inside(input: &'a [u8], depth: usize) -> Parser<'a> {
        Parser { input, position: 0, depth, text_end: None, aliases: None }
    }

    /// The next complete command; `None` at the end of the input.
    pub fn next_list(&mut self) -> Result<Option<List>> {
        self.skip_newlines();
        if self.peek().is_none() {
            return Ok(None);
        }
        let list = self.line()?;
        match self.peek() {
            None => {}
            Some(b'\n') => self.newline(),
            Some(_) => return Err(self.unexpected()),
        }
        Ok(Some(list))
    }

    /// The byte at the position.
    pub(super) fn peek(&self) -> Option<u8> {
        self.input.get(self.position).copied()
    }

    /// Takes `text` if it is next.
    pub(super) fn take(&mut self, text: &[u8]) -> bool {
        let found = self.input[self.position..].starts_with(text);
        if found {
            self.position += text.len();
        }
        found
    }

    /// The error for what stands at the position.
    pub(super) fn unexpected(&self) -> Error {
        let rest = &self.input[self.position..];
        if rest.is_empty() {
            return Error::Incomplete;
        }
        let end = rest.iter().position(|byte| b" \t\n".contains(byte)).unwrap_or(rest.len()).max(1);
        let shown = if rest[0] == b'\n' {
            String::from("newline")
        } else {
            rest[..end].escape_ascii().collect_string()
        };
        Error::Syntax(alloc::format!("syntax error: unexpected \"{shown}\""))
    }

    /// Counts one level of nesting for the time of `parse`.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(Error::Syntax(String::from("syntax error: nested too deeply")));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// Skips blanks, comments and continued lines.
    pub(super) fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => self.position += 1,
                Some(b'\\') if self.take(b"\\\n") => {}
                Some(b'#') => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.position += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Takes a newline, and the here-documents that follow its line.
    fn newline(&mut self) {
        self.position = self.text_end.take().unwrap_or(self.position + 1);
    }

    fn skip_newlines(&mut self) {
        self.skip_blanks();
        while self.peek() == Some(b'\n') {
            self.newline();
            self.skip_blanks();
        }
    }

    /// Commands up to a newline.
    fn line(&mut self) -> Result<List> {
        let mut list = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek() {
                None | Some(b'\n' | b')') => break,
                Some(b';') if self.input[self.position..].starts_with(b";;") => break,
                _ if self.at_closing_word() => break,
                _ => {}
            }
            let and_or = self.and_or()?;
            self.skip_blanks();
            let background = self.peek() == Some(b'&');
            let ended =
                background || (self.peek() == Some(b';') && !self.input[self.position..].starts_with(b";;"));
            self.position += usize::from(ended);
            list.push(Item { and_or, mode: if background { Mode::Background } else { Mode::Foreground } });
            if !ended {
                break;
            }
        }
        if list.is_empty() { Err(self.unexpected()) } else { Ok(list) }
    }

    /// Commands over any number of lines, up to a closing word or parenthesis.
    pub(super) fn list(&mut self) -> Result<List> {
        let mut list = Vec::new();
        loop {
            self.skip_newlines();
            match self.peek() {
                None | Some(b')') => break,
                Some(b';') if self.input[self.position..].starts_with(b";;") => break,
                _ if self.at_closing_word() => break,
                _ => list.append(&mut self.line()?),
            }
        }
        Ok(list)
    }

    /// A list that must not be empty.
    fn some_list(&mut self) -> Result<List> {
        let list = self.list()?;
        if list.is_empty() { Err(self.unexpected()) } else { Ok(list) }
    }

    fn at_closing_word(&self) -> bool {
        CLOSING.iter().any(|word| self.at_word(word))
    }

    /// Whether `word` stands here, as a whole word.
    fn at_word(&self, word: &[u8]) -> bool {
        let rest = &self.input[self.position..];
        rest.starts_with(word) && rest.get(word.len()).is_none_or(|byte| b" \t\n;&|()<>".contains(byte))
    }

    /// Takes a reserved word if it is next.
    fn take_word(&mut self, word: &[u8]) -> bool {
        let found = self.at_word(word);
        if found {
            self.position += word.len();
        }
        found
    }

    /// Takes a reserved word, which must be next.
    fn expect_word(&mut self, word: &[u8]) -> Result<()> {
        self.skip_newlines();
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn and_or(&mut self) -> Result<AndOr> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.skip_blanks();
            let connector = if self.take(b"&&") {
                Connector::And
            } else if self.take(b"||") {
                Connector::Or
            } else {
                return Ok(AndOr { first, rest });
            };
            self.skip_newlines();
            rest.push((connector, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline> {
        self.skip_blanks();
        let status = if self.take_word(b"!") { Status::Inverted } else { Status::Kept };
        let mut commands = Vec::from([self.nested(Self::command)?]);
        loop {
            self.skip_blanks();
            if self.input[self.position..].starts_with(b"||") || !self.take(b"|") {
                return Ok(Pipeline { status, commands });
            }
            self.skip_newlines();
            commands.push(self.nested(Self::command)?);
        }
    }

    fn command(&mut self) -> Result<Command> {
        self.skip_blanks();
        let kind = if self.take(b"(") {
            let list = self.some_list()?;
            self.skip_blanks();
            if !self.take(b")") {
                return Err(self.unexpected());
            }
            Kind::Subshell(list)
        } else if self.take_word(b"{") {
            let list = self.some_list()?;
            self.expect_word(b"}")?;
            Kind::Group(list)
        } else if self.take_word(b"if") {
            self.if_clause()?
        } else if self.take_word(b"while") {
            self.loop_clause(LoopKind::While)?
        } else if self.take_word(b"until") {
            self.loop_clause(LoopKind::Until)?
        } else if self.take_word(b"for") {
            self.for_clause()?
        } else if self.take_word(b"case") {
            self.case_clause()?
        } else if let Some(name) = self.function_name() {
            self.skip_newlines();
            let body = self.nested(Self::command)?;
            return Ok(Command {
                kind: Kind::Function { name, body: Rc::new(body) },
                redirections: Vec::new(),
            });
        } else {
            return self.simple();
        };
        let mut redirections = Vec::new();
        while let Some(redirection) = self.redirection()? {
            redirections.push(redirection);
        }
        Ok(Command { kind, redirections })
    }

    fn if_clause(&mut self) -> Result<Kind> {
        let mut branches = Vec::new();
        let mut otherwise = List::new();
        loop {
            let condition = self.some_list()?;
            self.expect_word(b"then")?;
            branches.push((condition, self.some_list()?));
            if self.take_word(b"elif") {
                continue;
            }
            if self.take_word(b"else") {
                otherwise = self.some_list()?;
            }
            self.expect_word(b"fi")?;
            return Ok(Kind::If { branches, otherwise });
        }
    }

    fn loop_clause(&mut self, kind: LoopKind) -> Result<Kind> {
        let condition = self.some_list()?;
        let body = self.do_group()?;
        Ok(Kind::Loop { kind, condition, body })
    }

    fn do_group(&mut self) -> Result<List> {
        self.expect_word(b"do")?;
        let body = self.some_list()?;
        self.expect_word(b"done")?;
        Ok(body)
    }

    fn for_clause(&mut self) -> Result<Kind> {
        self.skip_blanks();
        let name = self.name().ok_or_else(|| self.unexpected())?;
        self.skip_newlines();
        let mut words = None;
        if self.take_word(b"in") {
            let values = words.insert(Vec::new());
            while let Some(word) = self.word()? {
                values.push(word);
            }
        }
        self.skip_blanks();
        self.take(b";");
        let body = self.do_group()?;
        Ok(Kind::For { name, words, body })
    }

    fn case_clause(&mut self) -> Result<Kind> {
        let word = self.word()?.ok_or_else(|| self.unexpected())?;
        self.expect_word(b"in")?;
        let mut arms = Vec::new();
        loop {
            self.skip_newlines();
            if self.take_word(b"esac") {
                return Ok(Kind::Case { word, arms });
            }
            self.take(b"(");
            let mut patterns = Vec::new();
            loop {
                patterns.push(self.word()?.ok_or_else(|| self.unexpected())?);
                self.skip_blanks();
                if !self.take(b"|") {
                    break;
                }
            }
            if !self.take(b")") {
                return Err(self.unexpected());
            }
            arms.push((patterns, self.list()?));
            self.skip_newlines();
            if !self.take(b";;") && !self.at_word(b"esac") {
                return Err(self.unexpected());
            }
        }
    }

    /// A name at the position.
    pub(super) fn name(&mut self) -> Option<Vec<u8>> {
        let rest = &self.input[self.position..];
        let length = word::name_length(rest);
        self.position += length;
        (length > 0).then(|| rest[..length].to_vec())
    }

    /// `name()`, if that is next.
    fn function_name(&mut self) -> Option<Vec<u8>> {
        let start = self.position;
        let name = self.name();
        self.skip_blanks();
        if name.is_some() && self.take(b"(") {
            self.skip_blanks();
            if self.take(b")") {
                return name;
            }
        }
        self.position = start;
        None
    }

    fn simple(&mut self) -> Result<Command> {
        let mut assignments = Vec::new();
        let mut words = Vec::new();
        let mut redirections = Vec::new();
        loop {
            if let Some(redirection) = self.redirection()? {
                redirections.push(redirection);
            } else if let Some(name) = self.assignment_name(words.is_empty()) {
                assignments.push((name, self.bare_word()?));
            } else {
                self.check_alias(words.is_empty())?;
                let Some(word) = self.word()? else { break };
                words.push(word);
            }
        }
        if assignments.is_empty() && words.is_empty() && redirections.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Command { kind: Kind::Simple { assignments, words }, redirections })
    }

    /// Stops at a word that stands for others.
    fn check_alias(&mut self, is_first: bool) -> Result<()> {
        self.skip_blanks();
        let Some(aliases) = self.aliases else { return Ok(()) };
        let rest = &self.input[self.position..];
        let length = rest.iter().position(|byte| word::ENDS_WORD.contains(byte)).unwrap_or(rest.len());
        let (start, end) = (self.position, self.position + length);
        if aliases.replaces(self.input, start, end, is_first) {
            return Err(Error::Alias { start, end });
        }
        Ok(())
    }

    /// `NAME=`, if that is next and may be.
    fn assignment_name(&mut self, allowed: bool) -> Option<Vec<u8>> {
        self.skip_blanks();
        let start = self.position;
        if allowed && let Some(name) = self.name() {
            if self.take(b"=") {
                return Some(name);
            }
            self.position = start;
        }
        None
    }
}

/// Collects an `escape_ascii` iterator into text.
trait CollectString {
    /// The text.
    fn collect_string(self) -> String;
}

impl<I: Iterator<Item = u8>> CollectString for I {
    fn collect_string(self) -> String {
        self.map(char::from).collect()
    }
}

#[cfg(test)]
mod tests;
