//! One running QEMU: its console, its deadline and its end.

use std::io::Read;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::command;

/// A QEMU that dies with this value, and with this process.
pub struct Session {
    qemu: Child,
    output: Receiver<Vec<u8>>,
    /// What QEMU says of itself, if that is kept.
    complaints: Option<Receiver<Vec<u8>>>,
    /// Whether it says why its machine is shut down ([`TELL_WHY`]).
    tells_why: bool,
    last: LastLine,
}

/// How QEMU ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its own status.
    qemu: ExitStatus,
    /// What the console said at last, if that was a status.
    told: Option<i32>,
}

impl Ended {
    /// Whether neither QEMU failed nor the kernel.
    pub fn success(self) -> bool {
        self.qemu.success() && self.told.unwrap_or(0) == 0
    }

    /// The status, if it was not a signal that ended QEMU.
    pub fn code(self) -> Option<i32> {
        self.qemu.code().map(|code| if code == 0 { self.told.unwrap_or(0) } else { code })
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.told {
            Some(status) => write!(formatter, "{}, the console told status {status}", self.qemu),
            None => write!(formatter, "{}", self.qemu),
        }
    }
}

/// The console's last line, as a machine that knows only off tells its status: the kernel's own words, or those of the
/// outer machine of [`super::nested`] about the inner QEMU.
#[derive(Default)]
struct LastLine(std::cell::RefCell<Vec<u8>>);

impl LastLine {
    /// What comes before a status.
    const WORDS: &str = ": ended with status ";
    /// More than such a line has.
    const LENGTH: usize = 128;

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.borrow_mut();
        kept.extend_from_slice(&bytes[bytes.len().saturating_sub(Self::LENGTH)..]);
        let surplus = kept.len().saturating_sub(Self::LENGTH);
        kept.drain(..surplus);
    }

    fn status(&self) -> Option<i32> {
        let kept = self.0.borrow();
        let text = String::from_utf8_lossy(&kept);
        let line = text.trim_end().rsplit('\n').next()?;
        let (who, status) = line.rsplit_once(Self::WORDS)?;
        (who.ends_with("orlop") || who.ends_with("nested")).then(|| status.parse().ok()).flatten()
    }
}

/// What the wait for the console brought.
pub enum Next {
    /// Bytes from the console.
    Bytes(Vec<u8>),
    /// QEMU has closed its end.
    End,
    /// The time is over.
    TimedOut,
}

impl Session {
    /// Starts `qemu` with its standard output connected to this session; what it says of itself is shown at once.
    pub fn start(qemu: &Command, input: Stdio) -> Result<Self> {
        Self::spawn(qemu, input, Stdio::inherit())
    }

    /// The same for one of many that run side by side: what it says of itself is kept for [`Self::complaints`].
    pub fn start_quietly(qemu: &Command) -> Result<Self> {
        Self::spawn(qemu, Stdio::piped(), Stdio::piped())
    }

    fn spawn(qemu: &Command, input: Stdio, complaints: Stdio) -> Result<Self> {
        let mut guarded = guarded(qemu);
        let mut child = guarded
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()
            .with_context(|| format!("cannot start {}", command::show(qemu)))?;
        let output = listen(child.stdout.take().context("QEMU has no standard output")?);
        let complaints = child.stderr.take().map(listen);
        let tells_why = qemu.get_args().any(|word| word.to_string_lossy().contains(TRACE));
        Ok(Self { qemu: child, output, complaints, tells_why, last: LastLine::default() })
    }

    /// How the machine ended: QEMU's `status`, if it ended by itself, and what it said of itself.
    pub fn last_words(&self, status: Option<Ended>) -> String {
        let complaints = self.complaints();
        match status {
            None => format!("\n[QEMU still ran]\n{complaints}"),
            Some(status) if self.tells_why && status.success() && !complaints.contains(ENDS) => {
                format!("\n[QEMU: {status}]\n{complaints}{ENDS}guest-reset, which a triple fault is, too\n")
            }
            Some(status) => format!("\n[QEMU: {status}]\n{complaints}"),
        }
    }

    /// What QEMU has said of itself since this was last asked, and under [`super::nested`] what the outer Linux, the
    /// inner QEMU and its kernel's monitor have.
    pub fn complaints(&self) -> String {
        let patience = Duration::from_millis(100);
        let said =
            self.complaints.iter().flat_map(|from| std::iter::from_fn(|| from.recv_timeout(patience).ok()));
        explained(&String::from_utf8_lossy(&said.flatten().collect::<Vec<_>>()))
    }

    /// The console's input, if it is a pipe; it can be taken once.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.qemu.stdin.take()
    }

    /// Waits for the console's next bytes.
    pub fn next(&self, deadline: Option<Instant>) -> Next {
        let received = match deadline {
            None => self.output.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(bytes) => {
                self.last.push(&bytes);
                Next::Bytes(bytes)
            }
            Err(RecvTimeoutError::Disconnected) => Next::End,
            Err(RecvTimeoutError::Timeout) => Next::TimedOut,
        }
    }

    /// Gives QEMU `patience` to end by itself; `None` if it had to be ended.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<Ended>> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(qemu) = self.qemu.try_wait()? {
                // What nobody has listened to yet.
                while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(100)) {
                    self.last.push(&bytes);
                }
                return Ok(Some(Ended { qemu, told: self.last.status() }));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.end();
        Ok(None)
    }

    /// Stops QEMU, as a host without time for it would, and lets it go on afterwards.
    pub fn stop_for(&self, length: Duration) -> Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = i32::try_from(self.qemu.id()).ok().and_then(Pid::from_raw).context("QEMU has no number")?;
        kill_process(pid, Signal::STOP)?;
        std::thread::sleep(length);
        kill_process(pid, Signal::CONT)?;
        Ok(())
    }

    fn end(&mut self) {
        // Already ended is as good.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads `from` to its end in a thread of its own.
fn listen(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, output) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    output
}

/// QEMU's words for why a machine is shut down, in the order of its `ShutdownCause` (`qapi/run-state.json`).
const CAUSES: [&str; 11] = [
    "none",
    "host-error",
    "host-qmp-quit",
    "host-qmp-system-reset",
    "host-signal",
    "host-ui",
    "guest-shutdown",
    "guest-reset",
    "guest-panic",
    "subsystem-reset",
    "snapshot-load",
];
const TRACE: &str = "qemu_system_shutdown_request";
const ENDS: &str = "QEMU's machine ends: ";

/// Lets QEMU say why its machine is shut down. It says nothing of a reset where that is the end (`-no-reboot`).
pub const TELL_WHY: [&str; 2] = ["-trace", TRACE];

/// `complaints` with the numbers of causes replaced by their names.
fn explained(complaints: &str) -> String {
    let explain = |line: &str| {
        let cause = line.strip_prefix(TRACE)?.trim().strip_prefix("reason=")?.parse().ok();
        Some(format!("{ENDS}{}", CAUSES.get(cause.unwrap_or(usize::MAX))?))
    };
    complaints.lines().map(|line| explain(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

/// `qemu`, started by way of this program's hidden command, see [`exec_with_parent`].
fn guarded(qemu: &Command) -> Command {
    // Not by its path: cargo may have put another program there in the meantime.
    let mut guarded = Command::new("/proc/self/exe");
    guarded.arg("exec-with-parent").arg(qemu.get_program()).args(qemu.get_args());
    guarded
}

/// Becomes `words`, with the kernel's promise to be told to end when the process that started this one ends, however
/// that happens. QEMU restores the terminal when it is told so.
pub fn exec_with_parent(words: &[std::ffi::OsString]) -> Result<std::process::ExitCode> {
    use std::os::unix::process::CommandExt;
    let (program, arguments) = words.split_first().context("no program")?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_an_end_have_names() {
        let said =
            "qemu: no\nqemu_system_shutdown_request reason=7\r\nqemu_system_shutdown_request reason=99\n";
        let wanted = "qemu: no\nQEMU's machine ends: guest-reset\nqemu_system_shutdown_request reason=99\n";
        assert_eq!(explained(said), wanted);
    }

    #[test]
    fn the_last_line_tells_a_status() {
        let status = |parts: &[&[u8]]| {
            let last = LastLine::default();
            parts.iter().for_each(|part| last.push(part));
            last.status()
        };
        assert_eq!(status(&[b"hello\r\norlop: ended with sta", b"tus 1\r\n"]), Some(1));
        assert_eq!(status(&[&[b'x'; 1000], b"\nnested: ended with status 134\n"]), Some(134));
        for other in [
            b"orlop: ended with status 1\nmore\n".as_slice(),
            b"ended with status 1",
            b"",
            b"orlop: ended with status x",
        ] {
            assert_eq!(status(&[other]), None);
        }
    }
}
