//! The terminal between commands: taken back from whoever had it, and a line read with prompt and editing.

use crate::jobs::Terminal;
use crate::state::Shell;
use abi::poll::{POLLIN, Pollfd};
use abi::signal::SIGINT;
use abi::terminal::{ECHO, ECHOE, ECHONL, ICANON, ICRNL, IEXTEN, ISIG, ONLCR, OPOST, Termios, VMIN, VTIME};
use alloc::string::String;
use alloc::vec::Vec;
use programs::line_editor::{Editor, Step};
use ulib::libsyscall::file::{self, When};
use ulib::{Errno, env, eprint, io, signal};

/// The screen's width where the terminal does not know it: a serial line does not.
const USUAL_WIDTH: usize = 80;

/// How lines are read from a terminal.
pub enum Reader {
    /// By the kernel's own editing.
    Plain,
    /// With an editor.
    Editor(Editor),
}

impl Reader {
    /// An editor, unless the terminal does not echo or cannot move its cursor: then somebody wants bytes as they are.
    pub fn for_terminal() -> Reader {
        let echoes = |modes: Termios| modes.c_lflag & (ICANON | ECHO) == ICANON | ECHO;
        let can_draw = env::var(b"TERM").is_none_or(|name| name != b"dumb");
        if can_draw
            && file::terminal_modes(io::STDIN).is_ok_and(echoes)
            && file::terminal_modes(io::STDERR).is_ok()
        {
            Reader::Editor(Editor::new())
        } else {
            Reader::Plain
        }
    }

    /// Prints the prompt and reads a line, with its newline, to the end of `pending`; returns the bytes read, 0 at the
    /// end of the input. EINTR after Ctrl-C. An editor answers Ctrl-D with `refusal`, if there is one, and goes on:
    /// what is typed behind it is still for the editor, and would not be if the terminal's modes changed in between.
    pub fn read_line(
        &mut self,
        prompt: &[u8],
        pending: &mut Vec<u8>,
        refusal: Option<&str>,
    ) -> Result<usize, Errno> {
        let prompt = String::from_utf8_lossy(prompt);
        match self {
            Reader::Plain => {
                eprint!("{prompt}");
                super::read_line(pending)
            }
            Reader::Editor(editor) => {
                let _raw = RawModes::enter()?;
                editor.abandon();
                // Whoever sees the prompt finds the editor behind it.
                eprint!("{prompt}");
                let line = edit(editor, &prompt, refusal)?;
                pending.extend_from_slice(line.as_bytes());
                Ok(line.len())
            }
        }
    }
}

/// A line, with its newline; empty at the end of the input.
fn edit(editor: &mut Editor, prompt: &str, refusal: Option<&str>) -> Result<String, Errno> {
    let width = file::window_size(io::STDERR).map_or(0, |size| usize::from(size.ws_col));
    let draw = |editor: &Editor| editor.draw(prompt, if width == 0 { USUAL_WIDTH } else { width });
    let mut byte = [0];
    let mut is_drawn = true;
    loop {
        // A key that came before the modes were set.
        if signal::take(SIGINT) {
            return Err(Errno::EINTR);
        }
        // Byte by byte: what follows the line may be for the command.
        if file::read(io::STDIN, &mut byte)? == 0 {
            return Ok(String::new());
        }
        if matches!(byte, [b'\n' | b'\r']) && !is_drawn {
            eprint!("{}", draw(editor));
        }
        match editor.key(byte[0]) {
            Step::Line(mut line) => {
                eprint!("\r\n");
                line.push('\n');
                return Ok(line);
            }
            Step::EndOfInput => match refusal {
                Some(refusal) => eprint!("\n{refusal}\n{prompt}"),
                None => return Ok(String::new()),
            },
            Step::Interrupt => {
                eprint!("^C");
                return Err(Errno::EINTR);
            }
            Step::Unfinished => {}
            Step::Edited => is_drawn = false,
            Step::Clear => {
                eprint!("\x1b[H\x1b[2J");
                is_drawn = false;
            }
            Step::Refused => eprint!("\x07"),
        }
        // What comes in one piece is drawn once.
        if !is_drawn && !is_input_waiting() {
            eprint!("{}", draw(editor));
            is_drawn = true;
        }
    }
}

fn is_input_waiting() -> bool {
    let mut wanted = [Pollfd { fd: io::STDIN, events: POLLIN, revents: 0 }];
    let now = abi::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    file::ppoll(&mut wanted, Some(now)).is_ok_and(|ready| ready > 0)
}

/// The terminal without the kernel's editing and without keys that send signals, until this is dropped: a signal that
/// comes between two reads would be seen late.
struct RawModes {
    before: Termios,
}

impl RawModes {
    fn enter() -> Result<RawModes, Errno> {
        let before = file::terminal_modes(io::STDIN)?;
        let mut modes = before;
        modes.c_lflag &= !(ICANON | ECHO | ECHOE | ECHONL | IEXTEN | ISIG);
        modes.c_iflag |= ICRNL;
        modes.c_oflag |= OPOST | ONLCR;
        (modes.c_cc[VMIN], modes.c_cc[VTIME]) = (1, 0);
        file::set_terminal_modes(io::STDIN, When::Drained, &modes)?;
        Ok(RawModes { before })
    }
}

impl Drop for RawModes {
    fn drop(&mut self) {
        // A terminal that is gone has no modes.
        let _ = file::set_terminal_modes(io::STDIN, When::Drained, &self.before);
    }
}

impl Shell {
    /// Makes the terminal the shell's own again, whoever had it and whatever has become of them. False if there is none
    /// any more.
    pub fn reclaim_terminal(&mut self) -> bool {
        let modes = file::terminal_modes(io::STDIN);
        if let (Some(terminal), Ok(modes)) = (&mut self.terminal, modes) {
            let _ = file::set_foreground_group(terminal.fd, terminal.group);
            terminal.modes = modes;
        }
        modes.is_ok()
    }
}

impl Terminal {
    /// Puts the modes back that a program had no chance to put back itself.
    pub fn restore_modes(&self) {
        let _ = file::set_terminal_modes(self.fd, When::Drained, &self.modes);
    }
}
