//! This process's standard input, on its way to the guest's console.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::process::ChildStdin;

use anyhow::Result;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The byte that a terminal takes for the end of its input (Ctrl-D).
const END_OF_INPUT: u8 = 4;

/// What standard input is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Somebody sits there.
    Terminal,
    /// A pipe or a file.
    Stream,
    /// Nothing will ever come.
    Nothing,
}

impl Source {
    /// Looks at this process's standard input.
    pub fn of_this_process() -> Self {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Self::Terminal;
        }
        let null = rustix::fs::stat("/dev/null").map(|data| data.st_rdev);
        match rustix::fs::fstat(stdin.as_fd()) {
            Ok(data) if Ok(data.st_rdev) != null => Self::Stream,
            _ => Self::Nothing,
        }
    }
}

/// Copies standard input to the console in the background, and at its end tells the guest's terminal.
///
/// A terminal takes Ctrl-D for the end only at the start of a line, so the last line is completed with another one.
pub fn forward(mut console: ChildStdin) {
    std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = [0; 4096];
        let mut last = b'\n';
        while let Ok(length @ 1..) = std::io::stdin().read(&mut buffer) {
            last = buffer[length - 1];
            console.write_all(&buffer[..length])?;
            console.flush()?;
        }
        let end: &[u8] = if last == b'\n' { &[END_OF_INPUT] } else { &[END_OF_INPUT, END_OF_INPUT] };
        console.write_all(end)?;
        console.flush()?;
        // QEMU takes the end of the pipe for the end of the console: keep it open as long as this process lives.
        std::thread::park();
        Ok(())
    });
}

/// Remembers the terminal's settings and restores them at the end of its life.
pub struct TerminalGuard(Option<Termios>);

impl TerminalGuard {
    /// Remembers the settings of standard input, if that is a terminal.
    pub fn new() -> Self {
        Self(tcgetattr(std::io::stdin()).ok())
    }

    /// Restores the settings now.
    pub fn restore(&self) -> Result<()> {
        if let Some(settings) = &self.0 {
            tcsetattr(std::io::stdin(), OptionalActions::Now, settings)?;
        }
        Ok(())
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = self.restore();
    }
}
