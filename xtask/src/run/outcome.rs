//! A conversation with a guest: its output shown, its input fed, and its end turned into an exit status.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::input::{self, Source, TerminalGuard};
use super::job::Job;
use super::lines;
use super::markers::{Event, Markers};
use super::session::{Ended, Next, Session};

/// What `timeout(1)` ends with, too.
const TIMED_OUT: u8 = 124;

/// The kernel or QEMU failed; the program has no status.
const NO_STATUS: u8 = 125;

/// How long a guest may take to power off after its last program.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than a kernel writes when it fails, however many CPUs it has.
const REPORT_MAX: usize = 64 << 10;

/// What is known about the guest before it starts.
pub struct Conversation<'a> {
    /// What QEMU was given as kernel.
    pub kernel: &'a Path,
    /// What `init` was told, if it is Orlop's.
    pub job: Option<&'a Job>,
    /// This process's standard input.
    pub source: Source,
    /// When to give up.
    pub timeout: Option<Duration>,
}

impl Conversation<'_> {
    /// Starts `qemu`, stays with it to the end and returns the status to exit with.
    pub fn hold(&self, qemu: &Command) -> Result<ExitCode> {
        let terminal = TerminalGuard::new();
        let stdin = match self.source {
            Source::Terminal => Stdio::inherit(),
            _ => Stdio::piped(),
        };
        let mut session = Session::start(qemu, stdin)?;
        let listened = self.listen(&mut session)?;
        let ended = session.wait(PATIENCE);
        terminal.restore()?;
        self.judge(&listened, ended?)
    }

    fn listen(&self, session: &mut Session) -> Result<Listened> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let mut markers = Markers::new(self.job.map_or("", |job| &job.nonce));
        let mut listened = Listened { begun: self.job.is_none(), ..Listened::default() };
        let mut console = session.take_input();
        loop {
            if listened.begun
                && let Some(console) = console.take()
            {
                self.feed(console);
            }
            match session.next(deadline) {
                Next::Bytes(bytes) if self.job.is_some() => {
                    markers.push(&bytes, &mut |event| listened.take(event));
                }
                Next::Bytes(bytes) => listened.take(Event::Output(&bytes)),
                Next::TimedOut => {
                    listened.timed_out = true;
                    break;
                }
                Next::End => break,
            }
            if listened.status.is_some() {
                break;
            }
        }
        markers.finish(&mut |event| listened.take(event));
        Ok(listened)
    }

    fn feed(&self, console: std::process::ChildStdin) {
        match self.source {
            Source::Stream => input::forward(console),
            // Closing the pipe would close the console.
            _ => std::mem::forget(console),
        }
    }

    fn judge(&self, listened: &Listened, qemu: Option<Ended>) -> Result<ExitCode> {
        if listened.timed_out {
            eprintln!("error: the guest was still running after the time allowed");
            return Ok(ExitCode::from(TIMED_OUT));
        }
        if let Some(failed) = qemu.filter(|status| !status.success()) {
            eprint!("{}", lines::of_report(&listened.last, self.kernel));
            eprintln!("error: the kernel failed, or QEMU did ({failed})");
            return Ok(ExitCode::from(NO_STATUS));
        }
        match (listened.status, self.job) {
            (Some(status), _) => Ok(ExitCode::from(status)),
            (None, None) => Ok(ExitCode::SUCCESS),
            (None, Some(job)) if job.programs.is_empty() && !listened.begun => {
                bail!("the guest ended before its init had started")
            }
            // Ctrl-A x, or `poweroff` typed at the shell.
            (None, Some(job)) if job.programs.is_empty() => Ok(ExitCode::SUCCESS),
            (None, Some(_)) => {
                eprintln!("error: the guest ended without telling the program's exit status");
                Ok(ExitCode::from(NO_STATUS))
            }
        }
    }
}

/// What has been heard from the guest.
#[derive(Default)]
struct Listened {
    /// The end of all output.
    last: Vec<u8>,
    begun: bool,
    status: Option<u8>,
    timed_out: bool,
}

impl Listened {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Output(bytes) => {
                self.keep(bytes);
                show(bytes, self.begun);
            }
            Event::Begin(_) => self.begun = true,
            Event::Status(_, status) => self.status = Some(status),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(bytes);
        // Seldom, so that a long output is not moved about for each of its pieces.
        if self.last.len() > 2 * REPORT_MAX {
            self.last.drain(..self.last.len() - REPORT_MAX);
        }
    }
}

/// The program's own output goes to standard output, the kernel's before it to standard error.
fn show(bytes: &[u8], begun: bool) {
    // Nobody is left to be told if these fail.
    let _ = if begun {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush())
    } else {
        std::io::stderr().write_all(bytes)
    };
}
