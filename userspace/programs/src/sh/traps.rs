//! `trap`: commands that run when a signal comes, or when the shell ends.
//!
//! A signal that has a command is noticed by a handler; its command runs once the command that runs now has ended. A
//! copy of the shell keeps only that signals are ignored.

use crate::execute::{Leave, Outcome};
use crate::state::Shell;
use abi::signal::{NSIG, SIGINT};
use alloc::vec::Vec;
use programs::signal_names;
use ulib::signal::{self, Disposition, notice, set_disposition};
use ulib::{io, println};

/// What stands for the end of the shell.
const EXIT: u32 = 0;

/// `trap [COMMAND | -] SIGNALS…`; without arguments it lists what is set.
pub fn trap(shell: &mut Shell, arguments: &[Vec<u8>]) -> Outcome {
    let words = match arguments.get(1) {
        Some(word) if word == b"--" => &arguments[2..],
        Some(word) if word.len() > 1 && word.starts_with(b"-") => {
            return Err(
                shell.fault(2, format_args!("trap: {}: this shell does not have it", word.escape_ascii()))
            );
        }
        _ => &arguments[1..],
    };
    let Some((first, rest)) = words.split_first() else { return list(shell) };
    let is_number = core::str::from_utf8(first).is_ok_and(|text| text.parse::<u32>().is_ok());
    let (text, names) = if rest.is_empty() || is_number { (&b"-"[..], words) } else { (&first[..], rest) };
    let mut status = 0;
    for name in names {
        match number(name) {
            Some(signal) => shell.set_trap(signal, (text != b"-").then(|| text.to_vec())),
            None => status = shell.fail(1, format_args!("trap: {}: bad trap", name.escape_ascii())),
        }
    }
    Ok(status)
}

fn number(name: &[u8]) -> Option<u32> {
    let name = name.to_ascii_uppercase();
    match name.as_slice() {
        b"EXIT" | b"0" => Some(EXIT),
        name => signal_names::number(name).filter(|&signal| signal != EXIT),
    }
}

fn list(shell: &Shell) -> Outcome {
    for (&signal, text) in &shell.traps {
        let name = match signal.checked_sub(1) {
            None => "EXIT",
            Some(index) => signal_names::all().get(index as usize).copied().unwrap_or(""),
        };
        // In quotes, for the shell to read again.
        let inner: Vec<Vec<u8>> = text.split(|&byte| byte == b'\'').map(<[u8]>::to_vec).collect();
        io::stdout().write(&[b"trap -- '", inner.join(&b"'\"'\"'"[..]).as_slice(), b"' "].concat());
        if name.is_empty() { println!("{signal}") } else { println!("{name}") }
    }
    Ok(u8::from(io::stdout().finish().is_err()))
}

impl Shell {
    fn set_trap(&mut self, signal: u32, text: Option<Vec<u8>>) {
        if signal != EXIT && self.was_ignored(signal) {
            return;
        }
        let is_interactive = self.terminal.is_some();
        // What cannot be caught or ignored stays as it is.
        let _ = match &text {
            _ if signal == EXIT => Ok(()),
            Some(text) if text.is_empty() => set_disposition(signal, Disposition::Ignore).map(drop),
            Some(_) => notice(signal),
            None if is_interactive && signal == SIGINT => notice(signal),
            None if is_interactive && crate::jobs::JOB_SIGNALS.contains(&signal) => {
                set_disposition(signal, Disposition::Ignore).map(drop)
            }
            None => set_disposition(signal, Disposition::Default).map(drop),
        };
        match text {
            Some(text) => drop(self.traps.insert(signal, text)),
            None => drop(self.traps.remove(&signal)),
        }
    }

    /// Whether a signal was ignored when the shell began: then a shell that is not interactive leaves it so (POSIX,
    /// "trap").
    fn was_ignored(&mut self, signal: u32) -> bool {
        if self.terminal.is_some() || self.traps.contains_key(&signal) {
            return false;
        }
        signal::is_ignored(signal)
    }

    /// Whether the user has interrupted an interactive shell that does not deal with it itself.
    pub fn takes_interrupt(&self) -> bool {
        self.terminal.is_some() && !self.traps.contains_key(&SIGINT) && signal::take(SIGINT)
    }

    /// The signal that has come and has a command.
    pub fn due_trap(&self) -> Option<u32> {
        let is_due = |signal: u32| signal != EXIT && signal <= NSIG && signal::has_come(signal);
        self.traps.keys().copied().find(|&signal| is_due(signal))
    }

    /// Runs the commands of signals that have come.
    pub fn run_traps(&mut self) -> Result<(), Leave> {
        if !signal::any_has_come() {
            return Ok(());
        }
        while let Some(due) = self.due_trap() {
            signal::take(due);
            let text = self.traps.get(&due).cloned().unwrap_or_default();
            let status = self.status;
            self.run_script(&text)?;
            self.status = status;
        }
        Ok(())
    }

    /// Runs the command for the end; the status that the shell ends with.
    pub fn run_exit_trap(&mut self, status: u8) -> u8 {
        let Some(text) = self.traps.remove(&EXIT) else { return status };
        self.status = status;
        match self.deeper(|shell| shell.run_script(&text)) {
            Err(Leave::Exit(status)) => status,
            _ => status,
        }
    }

    /// In a copy of the shell, signals with commands have their default action again.
    pub fn forget_traps(&mut self) {
        for (&signal, text) in &self.traps {
            if signal != EXIT && !text.is_empty() {
                let _ = set_disposition(signal, Disposition::Default);
                signal::take(signal);
            }
        }
        self.traps.retain(|&signal, text| signal != EXIT && text.is_empty());
    }
}
