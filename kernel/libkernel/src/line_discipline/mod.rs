//! A terminal between its wire and its programs: line editing, echo, signals, output processing. Linux's `N_TTY`.
//!
//! [`LineDiscipline`] is a pure state machine. The owner feeds it received bytes ([`LineDiscipline::receive`]), reads
//! lines or bytes out of it ([`LineDiscipline::read`]) and sends written bytes through it
//! ([`LineDiscipline::transmit`]); what is to be sent on the wire it gives to a closure. It allocates nothing.
//! The bits are explained in `termios(3)`.

mod buffer;
mod editing;
mod input;
mod output;
#[cfg(test)]
mod tests;

use crate::signal_set::Signal;
use abi::terminal::*;
use buffer::InputBuffer;

/// A terminal's modes, its unread input and where its cursor stands.
#[derive(Debug)]
pub struct LineDiscipline {
    modes: Termios,
    input: InputBuffer,
    /// Column of the cursor, for tabs and erasing.
    column: usize,
    /// Column in which the line that is being edited begins.
    line_column: usize,
    /// The next byte is taken as it is (`VLNEXT`).
    literal_next: bool,
    /// VSTOP was received: output waits.
    is_stopped: bool,
}

/// What a received byte led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reaction {
    /// To be sent to the foreground process group.
    pub signal: Option<Signal>,
    /// There is something to read that was not there before: wake readers.
    pub became_readable: bool,
    /// VSTART: output that waited may go on.
    pub output_resumed: bool,
}

/// What a read gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadOutcome {
    /// So many bytes, at least one.
    Bytes(usize),
    /// VEOF at the start of a line: the read returns 0.
    EndOfFile,
    /// Nothing yet: the reader waits.
    Nothing,
}

impl LineDiscipline {
    /// A terminal with Linux's initial modes: canonical, echoing, 38,400 bits a second.
    pub fn new() -> Self {
        Self {
            modes: INITIAL_MODES,
            input: InputBuffer::new(),
            column: 0,
            line_column: 0,
            literal_next: false,
            is_stopped: false,
        }
    }

    /// The modes (`TCGETS`).
    pub const fn modes(&self) -> &Termios {
        &self.modes
    }

    /// Changes the modes (`TCSETS`). When canonical mode ends, an unfinished line becomes readable; when it begins,
    /// what is unread counts as a line. True when readers are to be woken.
    pub fn set_modes(&mut self, modes: Termios) -> bool {
        let toggled = (self.modes.c_lflag ^ modes.c_lflag) & ICANON != 0;
        self.modes = modes;
        if !self.has_input(IXON) {
            self.is_stopped = false;
        }
        if toggled {
            self.literal_next = false;
            self.input.end_line_here();
        }
        toggled && self.is_readable()
    }

    /// Drops all unread input (`TCFLSH`).
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.literal_next = false;
    }

    /// True while VSTOP holds output back.
    pub const fn is_output_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Stops or resumes output (`TCXONC`).
    pub const fn set_output_stopped(&mut self, is_stopped: bool) {
        self.is_stopped = is_stopped;
    }

    /// True in canonical mode: reads give lines.
    pub const fn is_canonical(&self) -> bool {
        self.modes.c_lflag & ICANON != 0
    }

    /// `VMIN` and `VTIME` (in tenths of a second), which govern reads outside canonical mode.
    pub const fn read_limits(&self) -> (u8, u8) {
        (self.modes.c_cc[VMIN], self.modes.c_cc[VTIME])
    }

    /// Number of bytes that can be read at once (`FIONREAD`).
    pub fn available(&self) -> usize {
        if self.is_canonical() { self.input.bytes_in_lines() } else { self.input.len() }
    }

    /// True when a read would not wait: a finished line or an end of file, or any byte outside canonical mode.
    pub const fn is_readable(&self) -> bool {
        if self.is_canonical() { self.input.has_line() } else { self.input.len() > 0 }
    }

    /// Whether the wire shall go on: false while there is no place, and a reader that comes will make some. Of an
    /// unfinished line that is too long in canonical mode the rest is lost, as no reader can take it before it ends.
    pub const fn has_room(&self) -> bool {
        self.input.has_room() || (self.is_canonical() && !self.input.has_line())
    }

    /// Takes input: of one line at most in canonical mode, else as much as there is.
    pub fn read(&mut self, target: &mut [u8]) -> ReadOutcome {
        if self.is_canonical() { self.input.take_line(target) } else { self.input.take_bytes(target) }
    }

    const fn has_input(&self, flag: u32) -> bool {
        self.modes.c_iflag & flag != 0
    }

    const fn has_local(&self, flag: u32) -> bool {
        self.modes.c_lflag & flag != 0
    }

    /// True when `byte` is the control character `index`; zero disables one.
    const fn is_control(&self, byte: u8, index: usize) -> bool {
        byte != 0 && self.modes.c_cc[index] == byte
    }
}

impl Default for LineDiscipline {
    fn default() -> Self {
        Self::new()
    }
}

const fn control(letter: u8) -> u8 {
    letter & 0x1f
}

/// Linux's `tty_std_termios`.
const INITIAL_MODES: Termios = Termios {
    c_iflag: ICRNL | IXON,
    c_oflag: OPOST | ONLCR,
    c_cflag: B38400 | CS8 | CREAD | HUPCL,
    c_lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    c_line: 0,
    c_cc: {
        let mut characters = [0; NCCS];
        characters[VINTR] = control(b'C');
        characters[VQUIT] = 0x1c;
        characters[VERASE] = 0x7f;
        characters[VKILL] = control(b'U');
        characters[VEOF] = control(b'D');
        characters[VMIN] = 1;
        characters[VSTART] = control(b'Q');
        characters[VSTOP] = control(b'S');
        characters[VSUSP] = control(b'Z');
        characters[VREPRINT] = control(b'R');
        characters[VDISCARD] = control(b'O');
        characters[VWERASE] = control(b'W');
        characters[VLNEXT] = control(b'V');
        characters
    },
};
