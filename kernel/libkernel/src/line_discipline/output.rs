//! Output processing, and keeping count of the cursor's column.

use super::LineDiscipline;
use abi::terminal::*;

const TAB_WIDTH: usize = 8;
const BLANKS: [u8; TAB_WIDTH] = [b' '; TAB_WIDTH];

pub const fn next_tab_stop(column: usize) -> usize {
    (column / TAB_WIDTH + 1).saturating_mul(TAB_WIDTH)
}

impl LineDiscipline {
    /// Sends what a program wrote, as the output modes say.
    pub fn transmit(&mut self, bytes: &[u8], send: &mut impl FnMut(&[u8])) {
        if self.modes.c_oflag & OPOST == 0 {
            bytes.iter().for_each(|&byte| self.advance(byte));
            return send(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let plain = rest.iter().position(|&byte| self.is_special(byte)).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(plain);
            if !run.is_empty() {
                run.iter().for_each(|&byte| self.advance(byte));
                send(run);
            }
            rest = behind;
            if let [special, behind @ ..] = behind {
                self.transmit_special(*special, send);
                rest = behind;
            }
        }
    }

    const fn has_output(&self, flag: u32) -> bool {
        self.modes.c_oflag & flag != 0
    }

    const fn is_special(&self, byte: u8) -> bool {
        match byte {
            b'\n' | b'\r' | b'\t' => true,
            byte => byte.is_ascii_lowercase() && self.has_output(OLCUC),
        }
    }

    fn transmit_special(&mut self, byte: u8, send: &mut impl FnMut(&[u8])) {
        match byte {
            b'\n' if self.has_output(ONLCR) => {
                self.column = 0;
                send(b"\r\n");
            }
            b'\n' => {
                if self.has_output(ONLRET) {
                    self.column = 0;
                }
                send(b"\n");
            }
            b'\r' if self.has_output(ONOCR) && self.column == 0 => {}
            b'\r' if self.has_output(OCRNL) => {
                if self.has_output(ONLRET) {
                    self.column = 0;
                }
                send(b"\n");
            }
            b'\t' if self.modes.c_oflag & TABDLY == XTABS => {
                let stop = next_tab_stop(self.column);
                send(&BLANKS[..(stop - self.column).min(TAB_WIDTH)]);
                self.column = stop;
            }
            byte => {
                let byte = if self.has_output(OLCUC) { byte.to_ascii_uppercase() } else { byte };
                self.advance(byte);
                send(&[byte]);
            }
        }
    }

    /// Moves the cursor as the terminal will.
    fn advance(&mut self, byte: u8) {
        self.column = match byte {
            b'\r' => 0,
            b'\t' => next_tab_stop(self.column),
            8 => self.column.saturating_sub(1),
            byte if byte.is_ascii_control() => self.column,
            byte if self.has_input(IUTF8) && byte & 0xc0 == 0x80 => self.column,
            _ => self.column.saturating_add(1),
        };
    }
}
