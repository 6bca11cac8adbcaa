//! Redirections in the shell's text, and the text of here-documents.

use super::parse::{Error, Parser, Result};
use super::syntax::{Quoting, Redirection, Target, Word};
use super::word;
use alloc::vec::Vec;

impl Parser<'_> {
    /// A redirection, if one is next.
    pub(super) fn redirection(&mut self) -> Result<Option<Redirection>> {
        self.skip_blanks();
        let start = self.position;
        let rest = &self.input[start..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 1 || !matches!(rest.get(digits), Some(b'<' | b'>')) {
            return Ok(None);
        }
        self.position += digits;
        let output = self.peek() == Some(b'>');
        let fd = if digits == 1 { i32::from(rest[0] - b'0') } else { i32::from(output) };
        let make: fn(Word) -> Target = match () {
            () if self.take(b"<<") => return self.here_document(fd).map(Some),
            () if self.take(b">>") => Target::Append,
            () if self.take(b"<>") => Target::ReadWrite,
            () if self.take(b">&") || self.take(b"<&") => Target::Duplicate,
            () if self.take(b">|") => Target::Overwrite,
            () if self.take(b">") => Target::Write,
            () => {
                self.position += 1;
                Target::Read
            }
        };
        let word = self.word()?.ok_or_else(|| self.unexpected())?;
        Ok(Some(Redirection { fd, target: make(word) }))
    }

    /// The text of `<<word`, which starts on the next line.
    fn here_document(&mut self, fd: i32) -> Result<Redirection> {
        let strip_tabs = self.take(b"-");
        let word = self.word()?.ok_or_else(|| self.unexpected())?;
        let (delimiter, quoted) = word::plain_text(&word);
        let line_end =
            self.input[self.position..].iter().position(|&byte| byte == b'\n').ok_or(Error::Incomplete)?;
        let mut at = self.text_end.unwrap_or(self.position + line_end + 1);
        let mut text = Vec::new();
        loop {
            let rest = self.input.get(at..).filter(|rest| !rest.is_empty()).ok_or(Error::Incomplete)?;
            let length = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
            let tabs = if strip_tabs { rest.iter().take_while(|&&byte| byte == b'\t').count() } else { 0 };
            let line = &rest[tabs..length];
            at += length;
            if line.strip_suffix(b"\n").unwrap_or(line) == delimiter {
                break;
            }
            text.extend_from_slice(line);
        }
        self.text_end = Some(at);
        let word = match quoted {
            Quoting::Quoted => word::quoted_text(text),
            Quoting::Bare => Parser::inside(&text, self.depth).here_text()?,
        };
        Ok(Redirection { fd, target: Target::Text(word) })
    }
}
