//! Editing a line on a terminal: a pure state machine between the bytes of keys and what the screen shows.
//!
//! [`Editor`] takes one byte at a time ([`Editor::key`]) and says what came of it; [`Editor::draw`] gives the bytes
//! that show the line. A line longer than the screen is wide is shown in part, so what is on the screen is always one
//! row, whatever the terminal does at its right edge. Keys are those of Emacs and of ANSI terminals (ECMA-48's control
//! sequences). The line is valid UTF-8: bytes that are not are dropped.

mod history;
mod keys;
#[cfg(test)]
mod tests;

use alloc::string::String;
use history::History;
use keys::{Key, Keys};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Longest line in bytes; more keys are refused.
const MAX_LENGTH: usize = 1 << 20;

/// A line that is being edited, and those before it.
#[derive(Default)]
pub struct Editor {
    text: String,
    /// Where the next character goes: a place between two characters of `text`, in bytes.
    cursor: usize,
    /// What was cut last.
    cut: String,
    keys: Keys,
    history: History,
}

/// What came of a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The key has more bytes.
    Unfinished,
    /// The line may look different.
    Edited,
    /// The key has no use here.
    Refused,
    /// The screen is to be cleared and the line drawn anew.
    Clear,
    /// The line is complete.
    Line(String),
    /// Ctrl-C: the line has been given up.
    Interrupt,
    /// Ctrl-D on an empty line.
    EndOfInput,
}

impl Editor {
    /// An empty line.
    pub fn new() -> Editor {
        Editor::default()
    }

    /// Forgets the line, but not those before it.
    pub fn abandon(&mut self) {
        self.text.clear();
        self.cursor = 0;
        self.keys = Keys::default();
        self.history.leave();
    }

    /// Takes one byte from the terminal.
    pub fn key(&mut self, byte: u8) -> Step {
        let Some(key) = self.keys.take(byte) else { return Step::Unfinished };
        match key {
            Key::Enter => {
                let line = core::mem::take(&mut self.text);
                self.abandon();
                self.history.add(&line);
                return Step::Line(line);
            }
            Key::EndOfInput if self.text.is_empty() => return Step::EndOfInput,
            Key::Clear => return Step::Clear,
            Key::Interrupt => {
                self.abandon();
                return Step::Interrupt;
            }
            key => {
                if !self.edit(key) {
                    return Step::Refused;
                }
            }
        }
        Step::Edited
    }

    /// Changes the line; false if the key changes nothing.
    fn edit(&mut self, key: Key) -> bool {
        let before = (self.cursor, self.text.len());
        match key {
            Key::Character(character) => {
                if self.text.len() < MAX_LENGTH {
                    self.text.insert(self.cursor, character);
                    self.cursor += character.len_utf8();
                }
            }
            Key::Left => self.cursor = self.left(),
            Key::Right => self.cursor = self.right(),
            Key::WordLeft => self.cursor = self.word_left(),
            Key::WordRight => self.cursor = self.word_right(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.text.len(),
            Key::Backspace => self.remove(self.left()..self.cursor),
            Key::Delete | Key::EndOfInput => self.remove(self.cursor..self.right()),
            Key::CutToStart => self.cut(0..self.cursor),
            Key::CutToEnd => self.cut(self.cursor..self.text.len()),
            Key::CutWord => self.cut(self.word_left()..self.cursor),
            Key::Paste => {
                self.text.insert_str(self.cursor, &self.cut);
                self.cursor += self.cut.len();
            }
            Key::Up => return self.recall(History::older),
            Key::Down => return self.recall(History::newer),
            Key::Enter | Key::Clear | Key::Interrupt | Key::Other => {}
        }
        // Moving to where the cursor is already is no mistake.
        before != (self.cursor, self.text.len()) || matches!(key, Key::Home | Key::End)
    }

    fn remove(&mut self, range: core::ops::Range<usize>) {
        self.cursor = range.start;
        self.text.drain(range);
    }

    fn cut(&mut self, range: core::ops::Range<usize>) {
        self.cut = self.text.get(range.clone()).unwrap_or_default().into();
        self.remove(range);
    }

    /// Shows another line of the history in place of this one.
    fn recall(&mut self, step: fn(&mut History, &str) -> Option<String>) -> bool {
        let found = step(&mut self.history, &self.text);
        if let Some(line) = &found {
            self.text.clone_from(line);
            self.cursor = self.text.len();
        }
        found.is_some()
    }

    fn left(&self) -> usize {
        self.text[..self.cursor].char_indices().next_back().map_or(0, |(start, _)| start)
    }

    fn right(&self) -> usize {
        self.text[self.cursor..].chars().next().map_or(self.cursor, |next| self.cursor + next.len_utf8())
    }

    fn word_left(&self) -> usize {
        let before = self.text[..self.cursor].trim_end_matches(' ');
        before.rfind(' ').map_or(0, |blank| blank + 1)
    }

    fn word_right(&self) -> usize {
        let rest = &self.text[self.cursor..];
        let word = rest.len() - rest.trim_start_matches(' ').len();
        rest[word..].find(' ').map_or(self.text.len(), |blank| self.cursor + word + blank)
    }

    /// What shows `prompt` and the line on a screen of `width` columns, over what stood in the cursor's row before, and
    /// leaves the screen's cursor where the line's is.
    pub fn draw(&self, prompt: &str, width: usize) -> String {
        let prompt = prompt.rsplit('\n').next().unwrap_or_default();
        // The last column stays free: a character there makes some terminals wrap and others not.
        let room = width.saturating_sub(columns(prompt) + 1).max(16);
        let cursor = self.text[..self.cursor].width();
        // The part that is shown moves by half of the room, so that the surroundings of the cursor are to be seen.
        let start = (cursor / (room / 2)).saturating_sub(1) * (room / 2);
        let mut shown = String::new();
        let (mut column, mut back) = (0, 0);
        for character in self.text.chars() {
            let end = column + character.width().unwrap_or(0);
            if column >= start && end <= start + room {
                shown.push(character);
                back += if column >= cursor { end - column } else { 0 };
            }
            column = end;
        }
        let mut drawn = alloc::format!("\r{prompt}{shown}\x1b[K");
        if back > 0 {
            drawn.push_str(&alloc::format!("\x1b[{back}D"));
        }
        drawn
    }
}

/// The columns that a prompt takes: its control sequences (`ESC [ … letter`), which colour it, take none.
fn columns(prompt: &str) -> usize {
    let mut parts = prompt.split("\x1b[");
    let plain = parts.next().unwrap_or_default().width();
    let behind = |part: &str| {
        let end = part.find(|character| ('@'..='~').contains(&character));
        end.map_or(0, |end| part[end + 1..].width())
    };
    plain + parts.map(behind).sum::<usize>()
}
