//! What people type at the prompt of `cargo xtask run`, through a terminal of the host.
//!
//! A pseudo-terminal stands in for the person's: `cargo xtask run` and QEMU treat it as they treat any. Nothing here waits for a time
//! to pass: each line is typed once what came of the one before is to be seen.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::queue::Queue;
use super::{PATIENCE, Stage};
use crate::arch::Arch;
use crate::build::{self, Checks};
use crate::run::Kernel;

const PROMPT: &str = "/ # ";

/// What is typed, and what must then be seen: parts in this order, with anything between them.
type Line<'a> = (&'a [u8], &'a [&'a str]);

/// What `exit` ends with.
const STATUS: u8 = 7;

const LINES: &[Line<'_>] = &[
    (b"", &[PROMPT]),
    // What is not there.
    (b"lss\r", &["lss: not found", PROMPT]),
    (b"/nowhere/lss\r", &["not found", PROMPT]),
    (b"/\r", &["/: ", PROMPT]),
    (b"lss | lss\r", &["not found", PROMPT]),
    (b"exec lss\r", &["lss: not found", PROMPT]),
    (b"echo $?\r", &["\n127\n", PROMPT]),
    (b"\r", &["\n", PROMPT]),
    (b"   \r", &["\n", PROMPT]),
    (b"help\r", &["exit leaves the shell, and the machine powers off", PROMPT]),
    // Keys that end things elsewhere.
    (b"\x04", &["Use \"exit\" to leave the shell", PROMPT]),
    (b"\x04\x04\x04", &["Use \"exit\"", "Use \"exit\"", "Use \"exit\"", PROMPT]),
    (b"half a line\x03", &["^C", PROMPT]),
    (b"\x1a\x1cecho on\r", &["\non\n", PROMPT]),
    // Editing. Ctrl-A would be QEMU's.
    (b"echo ac\x1b[D\x1b[Db\x1b[C\x1b[D\x1b[C\x1b[3~x\r", &["\nbax\n", PROMPT]),
    (b"\x1b[A\x1b[H\x1b[C\x1b[C\x1b[C\x1b[C\x1b[Cup-\r", &["\nup-bax\n", PROMPT]),
    (b"\x1b[B\x1b[B\x1b[A\x0b\x15\r", &["\n", PROMPT]),
    (b"\x0cecho clear\r", &["\x1b[H\x1b[2J", PROMPT, "\nclear\n", PROMPT]),
    ("echo grüße 日本x\x7f\r".as_bytes(), &["\ngrüße 日本\n", PROMPT]),
    (b"\x1b[200~\x00\t\x1b\x1b\x1bOP\xff\xfe\x1b[99~echo odd\r", &["\nodd\n", PROMPT]),
    // What is no command.
    (b"'\r", &["> "]),
    (b"x'\r", &["not found", PROMPT]),
    (b"if\r", &["> "]),
    (b"\x03", &["^C", PROMPT]),
    (b"(\r", &["> "]),
    (b"\x04", &["unexpected end", PROMPT]),
    (b")\r", &["syntax error", PROMPT]),
    (b"eval '('; echo never\r", &["syntax error", PROMPT]),
    (b"set -Z\r", &["does not have it", PROMPT]),
    (b". /nowhere\r", &["/nowhere", PROMPT]),
    (b"f() { f; }; f\r", &["nested too deeply", PROMPT]),
    (b"return 3\r", &[PROMPT]),
    (b"echo > /nowhere/x\r", &["/nowhere/x", PROMPT]),
    // Programs that have the terminal. Once `go` is there, it echoes by itself.
    (b"echo go; cat\r", &["\ngo\n"]),
    (b"one\r", &["one\none\n"]),
    (b"\x04", &[PROMPT]),
    (b"echo go; cat\r", &["\ngo\n"]),
    (b"two\r", &["two\ntwo\n"]),
    (b"\x03", &["^C", PROMPT]),
    (b"echo $?\r", &["\n130\n", PROMPT]),
    (b"echo go; cat\r", &["\ngo\n"]),
    (b"three\r", &["three\nthree\n"]),
    (b"\x1a", &["stopped: cat", PROMPT]),
    (b"fg\r", &["\ncat\n"]),
    (b"four\r", &["four\nfour\n"]),
    (b"\x1c", &[PROMPT]),
    (b"echo go; cat | cat\r", &["\ngo\n"]),
    (b"five\r", &["five\nfive\n"]),
    (b"\x04", &[PROMPT]),
    (b"tty\r", &["\n/dev/console\n", PROMPT]),
    // A shell that is killed is started again.
    (b"kill -9 $$\r", &["ended by signal 9", PROMPT]),
    (b"echo alive\r", &["\nalive\n", PROMPT]),
];

/// Adds the test to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let name = format!("prompt/{arch}/keys");
    if !stage.wants(&name) {
        return Ok(());
    }
    // `cargo xtask run` would build them, too; but guests run when nothing is built any more.
    stage.kernel.file(stage.toolchain, arch, stage.checks)?;
    build::initramfs(stage.toolchain, arch)?;
    queue.push(move || {
        let result = type_all(stage, arch).map_err(|error| format!("{error:#}"));
        stage.report.record(&name, result);
    });
    Ok(())
}

fn type_all(stage: &Stage<'_>, arch: Arch) -> Result<()> {
    let mut person = Person::sit_down(&mut command(stage, arch))?;
    for (typed, seen) in LINES {
        person.type_and_see(typed, seen)?;
    }
    let long = format!("echo {} | wc -c\r", "x".repeat(5000));
    person.type_and_see(long.as_bytes(), &["5001", PROMPT])?;
    person.type_and_see(format!("exit {STATUS}\r").as_bytes(), &[])?;
    let status = person.machine.wait()?;
    if status.code() != Some(STATUS.into()) {
        bail!("exit {STATUS} ended with {status}\n{}", person.last_seen());
    }
    Ok(())
}

/// `cargo xtask run`, as somebody types it.
fn command(stage: &Stage<'_>, arch: Arch) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["run", "--accel", "tcg", "--arch", arch.name(), "--smp", &stage.smp.to_string()]);
    match stage.kernel {
        Kernel::Orlop => {}
        Kernel::Linux => drop(command.args(["--kernel", "linux"])),
        Kernel::File(file) => drop(command.arg("--kernel").arg(file)),
    }
    if stage.checks == Checks::Debug {
        command.arg("--debug");
    }
    command
}

/// Somebody at a terminal.
struct Person {
    machine: Child,
    terminal: File,
    screen: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    /// So much of it has been looked at.
    position: usize,
}

impl Person {
    /// Starts `command` at a terminal of its own.
    fn sit_down(command: &mut Command) -> Result<Self> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let path = ptsname(&terminal, Vec::new())?.into_string()?;
        let open = || File::options().read(true).write(true).open(&path).context("no pseudo-terminal");
        let machine = command.stdin(open()?).stdout(open()?).stderr(open()?).spawn()?;
        let terminal = File::from(terminal);
        let mut reading = terminal.try_clone()?;
        let (sender, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            // When the last of the other side has closed it, reading fails.
            while let Ok(length @ 1..) = reading.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { machine, terminal, screen, seen: Vec::new(), position: 0 })
    }

    /// Types, and waits until all parts have appeared, one after the other.
    fn type_and_see(&mut self, typed: &[u8], parts: &[&str]) -> Result<()> {
        self.terminal.write_all(typed)?;
        let deadline = Instant::now() + PATIENCE;
        for part in parts {
            while !self.finds(part) {
                let patience = deadline.saturating_duration_since(Instant::now());
                match self.screen.recv_timeout(patience) {
                    // How many there are before a newline is between the terminals.
                    Ok(bytes) => self.seen.extend(bytes.into_iter().filter(|&byte| byte != b'\r')),
                    Err(_) => bail!(
                        "after \"{}\" there was no {part:?}; the last on the screen:\n{}",
                        typed.escape_ascii(),
                        self.last_seen()
                    ),
                }
            }
        }
        Ok(())
    }

    /// Looks for `part` behind what has been looked at.
    fn finds(&mut self, part: &str) -> bool {
        let found = self.seen[self.position..].windows(part.len()).position(|bytes| bytes == part.as_bytes());
        self.position += found.map_or(0, |found| found + part.len());
        found.is_some()
    }

    fn last_seen(&self) -> String {
        const SHOWN: usize = 1500;
        let start = self.seen.len().saturating_sub(SHOWN);
        self.seen[start..].escape_ascii().to_string().replace("\\n", "\n")
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}
