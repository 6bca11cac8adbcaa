//! The lines that were typed before.

use alloc::string::String;
use alloc::vec::Vec;

/// How many are kept.
const MOST: usize = 500;

/// Lines, oldest first, and which of them is shown.
#[derive(Default)]
pub struct History {
    lines: Vec<String>,
    /// Index of the line that is shown, if it is not a new one.
    shown: Option<usize>,
    /// The new line as it was when the first old one was shown.
    draft: String,
}

impl History {
    /// Adds a line; blank ones and repetitions are not worth it.
    pub fn add(&mut self, line: &str) {
        if line.trim().is_empty() || self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == MOST {
            self.lines.remove(0);
        }
        self.lines.push(line.into());
    }

    /// The next line is a new one.
    pub fn leave(&mut self) {
        self.shown = None;
    }

    /// The line before the one that is shown; `current` is what that has become.
    pub fn older(&mut self, current: &str) -> Option<String> {
        let index = self.shown.unwrap_or(self.lines.len()).checked_sub(1)?;
        if self.shown.is_none() {
            self.draft = current.into();
        }
        self.shown = Some(index);
        self.lines.get(index).cloned()
    }

    /// The line after the one that is shown: at last the new one.
    pub fn newer(&mut self, _current: &str) -> Option<String> {
        let index = self.shown? + 1;
        self.shown = (index < self.lines.len()).then_some(index);
        Some(self.lines.get(index).unwrap_or(&self.draft).clone())
    }
}
