//! What a received byte does.

use super::buffer::END_OF_FILE;
use super::{LineDiscipline, Reaction};
use crate::signal_set::Signal;
use abi::terminal::*;

impl LineDiscipline {
    /// Takes a byte from the wire; what is to be echoed goes to `send`.
    pub fn receive(&mut self, byte: u8, send: &mut impl FnMut(&[u8])) -> Reaction {
        let was_readable = self.available_for_wakeup();
        let mut reaction = Reaction::default();
        if let Some(byte) = self.translate(byte) {
            self.dispatch(byte, &mut reaction, send);
        }
        reaction.became_readable = self.is_readable() && self.available_for_wakeup() != was_readable;
        reaction
    }

    /// A number that changes whenever a read has more to give.
    fn available_for_wakeup(&self) -> usize {
        if self.is_canonical() { self.input.len() - self.input.edited_len() } else { self.input.len() }
    }

    /// The input modes that change or drop a byte.
    fn translate(&self, byte: u8) -> Option<u8> {
        let byte = if self.has_input(ISTRIP) { byte & 0x7f } else { byte };
        let byte =
            if self.has_input(IUCLC) && self.has_local(IEXTEN) { byte.to_ascii_lowercase() } else { byte };
        if self.literal_next {
            return Some(byte);
        }
        match byte {
            b'\r' if self.has_input(IGNCR) => None,
            b'\r' if self.has_input(ICRNL) => Some(b'\n'),
            b'\n' if self.has_input(INLCR) => Some(b'\r'),
            byte => Some(byte),
        }
    }

    fn dispatch(&mut self, byte: u8, reaction: &mut Reaction, send: &mut impl FnMut(&[u8])) {
        if core::mem::take(&mut self.literal_next) {
            return self.take_in(byte, send);
        }
        if self.control_flow(byte, reaction) {
            return;
        }
        if let Some(signal) = self.signal_of(byte) {
            reaction.signal = Some(signal);
            if !self.has_local(NOFLSH) {
                self.flush_input();
            }
            if self.has_local(ECHO) {
                self.echo(byte, send);
            }
            return;
        }
        if !(self.is_canonical() && self.edit(byte, send)) {
            self.take_in(byte, send);
        }
    }

    /// VSTOP and VSTART; true when the byte is used up.
    fn control_flow(&mut self, byte: u8, reaction: &mut Reaction) -> bool {
        if !self.has_input(IXON) {
            return false;
        }
        let is_start = self.is_control(byte, VSTART);
        let is_stop = self.is_control(byte, VSTOP) && !is_start;
        if is_stop {
            self.is_stopped = true;
        } else if self.is_stopped && (is_start || self.has_input(IXANY)) {
            self.is_stopped = false;
            reaction.output_resumed = true;
        }
        is_start || is_stop
    }

    fn signal_of(&self, byte: u8) -> Option<Signal> {
        if !self.has_local(ISIG) {
            return None;
        }
        [(VINTR, Signal::INT), (VQUIT, Signal::QUIT), (VSUSP, Signal::TSTP)]
            .into_iter()
            .find(|&(index, _)| self.is_control(byte, index))
            .map(|(_, signal)| signal)
    }

    /// Canonical mode's own characters; true when the byte is used up.
    fn edit(&mut self, byte: u8, send: &mut impl FnMut(&[u8])) -> bool {
        let is_extended = self.has_local(IEXTEN);
        if self.is_control(byte, VERASE) || (byte == 8 && self.is_control(8, VERASE)) {
            self.erase_character(send);
        } else if self.is_control(byte, VKILL) {
            self.erase_line(send);
        } else if is_extended && self.is_control(byte, VWERASE) {
            self.erase_word(send);
        } else if is_extended && self.is_control(byte, VLNEXT) {
            self.literal_next = true;
            if self.has_local(ECHO) && self.has_local(ECHOCTL) {
                send(b"^\x08");
            }
        } else if is_extended && self.is_control(byte, VREPRINT) && self.has_local(ECHO) {
            self.reprint(byte, send);
        } else if byte == b'\n' {
            if self.input.push_line_end(byte) {
                if self.has_local(ECHO) || self.has_local(ECHONL) {
                    self.transmit(b"\n", send);
                }
                self.line_column = self.column;
            }
        } else if self.is_control(byte, VEOF) {
            self.input.push_line_end(END_OF_FILE);
            self.line_column = self.column;
        } else if self.is_control(byte, VEOL) || (is_extended && self.is_control(byte, VEOL2)) {
            if self.input.push_line_end(byte) && self.has_local(ECHO) {
                self.echo(byte, send);
            }
            self.line_column = self.column;
        } else {
            return false;
        }
        true
    }

    /// An ordinary byte.
    fn take_in(&mut self, byte: u8, send: &mut impl FnMut(&[u8])) {
        if self.input.edited_len() == 0 {
            self.line_column = self.column;
        }
        if self.input.push(byte) {
            if self.has_local(ECHO) {
                self.echo(byte, send);
            }
        } else if self.has_input(IMAXBEL) {
            send(b"\x07");
        }
    }
}
