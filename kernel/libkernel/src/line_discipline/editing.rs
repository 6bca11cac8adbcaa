//! Echo, and taking characters back from the line and from the screen.

use super::LineDiscipline;
use super::output::next_tab_stop;
use abi::terminal::*;

/// One column back, blank it, one back again.
const RUB_OUT: &[u8] = b"\x08 \x08";

const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

impl LineDiscipline {
    /// Shows a received byte: control characters as `^X` under ECHOCTL, except tab, newline.
    pub(super) fn echo(&mut self, byte: u8, send: &mut impl FnMut(&[u8])) {
        if self.is_shown_with_caret(byte) {
            self.transmit(&[b'^', byte ^ 0x40], send);
        } else {
            self.transmit(&[byte], send);
        }
    }

    const fn is_shown_with_caret(&self, byte: u8) -> bool {
        self.has_local(ECHOCTL) && byte.is_ascii_control() && byte != b'\t' && byte != b'\n'
    }

    /// VERASE: takes back one character, which under IUTF8 may be several bytes.
    pub(super) fn erase_character(&mut self, send: &mut impl FnMut(&[u8])) {
        while let Some(byte) = self.input.pop_edited() {
            if self.has_input(IUTF8) && is_continuation(byte) {
                continue;
            }
            self.show_erased(byte, send);
            return;
        }
    }

    /// VWERASE: takes back blanks, then letters, digits and underscores, or one run of other characters.
    pub(super) fn erase_word(&mut self, send: &mut impl FnMut(&[u8])) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let mut has_seen_word = false;
        while let Some(byte) = self.input.last_edited() {
            if is_word(byte) {
                has_seen_word = true;
            } else if has_seen_word {
                return;
            }
            self.erase_character(send);
        }
    }

    /// VKILL: takes back the whole line.
    pub(super) fn erase_line(&mut self, send: &mut impl FnMut(&[u8])) {
        if self.has_local(ECHO) && self.has_local(ECHOE) && self.has_local(ECHOKE) {
            while self.input.edited_len() > 0 {
                self.erase_character(send);
            }
            return;
        }
        while self.input.pop_edited().is_some() {}
        if self.has_local(ECHO) {
            self.echo(self.modes.c_cc[VKILL], send);
            if self.has_local(ECHOK) {
                self.transmit(b"\n", send);
            }
        }
    }

    /// VREPRINT: shows the line anew below.
    pub(super) fn reprint(&mut self, byte: u8, send: &mut impl FnMut(&[u8])) {
        self.echo(byte, send);
        self.transmit(b"\n", send);
        self.line_column = self.column;
        for index in 0..self.input.edited_len() {
            if let Some(byte) = self.input.edited_byte(index) {
                self.echo(byte, send);
            }
        }
    }

    /// Removes from the screen what `byte`, already gone from the line, had put there.
    fn show_erased(&mut self, byte: u8, send: &mut impl FnMut(&[u8])) {
        if !self.has_local(ECHO) {
            return;
        }
        if !self.has_local(ECHOE) {
            return self.echo(self.modes.c_cc[VERASE], send);
        }
        if byte == b'\t' {
            let column = self.column_after_line();
            (column..self.column).for_each(|_| send(b"\x08"));
            self.column = column.min(self.column);
            return;
        }
        let columns = if self.is_shown_with_caret(byte) { 2 } else { usize::from(!byte.is_ascii_control()) };
        for _ in 0..columns {
            send(RUB_OUT);
        }
        self.column = self.column.saturating_sub(columns);
    }

    /// The column in which the cursor stands after the edited line, reckoned from where it began.
    fn column_after_line(&self) -> usize {
        (0..self.input.edited_len()).filter_map(|index| self.input.edited_byte(index)).fold(
            self.line_column,
            |column, byte| match byte {
                b'\t' => next_tab_stop(column),
                byte if self.is_shown_with_caret(byte) => column + 2,
                byte if byte.is_ascii_control() || (self.has_input(IUTF8) && is_continuation(byte)) => column,
                _ => column + 1,
            },
        )
    }
}
