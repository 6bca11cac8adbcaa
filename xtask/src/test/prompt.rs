//! What people type at the prompt of `cargo xtask run`, through a terminal of the host.
//!
//! A pseudo-terminal stands in for the person's: `cargo xtask run` and QEMU treat it as they treat any. Nothing here
//! waits for a time to pass: each line is typed once what came of the one before is to be seen.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::queue::Queue;
use super::{PATIENCE, Stage, image};
use crate::arch::Arch;
use crate::build::{self, Checks};
use crate::initramfs::archive::{Entry, Kind};
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

/// At the shell of a busybox that is init, which an ordinary inittab starts on the serial line.
const AT_BUSYBOX: &[Line<'_>] = &[
    (b"", &["Please press Enter to activate this console"]),
    (b"\r", &["built-in shell", PROMPT]),
    (b"tty\r", &["\n/dev/tty", PROMPT]),
    (b"lss\r", &["lss: not found", PROMPT]),
    (b"echo go; cat\r", &["\ngo\n"]),
    (b"one\r", &["one\none\n"]),
    (b"\x03", &["^C", PROMPT]),
    (b"exit\r", &["Please press Enter to activate this console"]),
    (b"\r", &["built-in shell", PROMPT]),
    (b"poweroff -f\r", &[]),
];

/// Adds the tests to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    add_own(stage, arch, queue)?;
    add_busybox(stage, arch, queue)?;
    let name = format!("prompt/{arch}/stream");
    if stage.wants(&name) {
        queue.push(move || {
            let result = stream(&mut command(stage, arch)).map_err(|error| format!("{error:#}"));
            stage.report.record(&name, result);
        });
    }
    Ok(())
}

/// Commands out of a pipe come faster than they run; none may be lost.
fn stream(command: &mut Command) -> Result<()> {
    const COMMANDS: usize = 2000;
    let mut machine = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut input = machine.stdin.take().context("no standard input")?;
    let typing = std::thread::spawn(move || {
        let lines = (1..=COMMANDS).map(|number| format!("echo number $(({number}))\n")).collect::<String>();
        input.write_all(lines.as_bytes())
    });
    let output = machine.wait_with_output()?;
    typing.join().map_err(|_| anyhow::anyhow!("nothing was typed"))??;
    let output = String::from_utf8_lossy(&output.stdout);
    let numbers =
        output.lines().filter_map(|line| line.rsplit_once("number ")?.1.trim().parse::<usize>().ok());
    let expected = 1..=COMMANDS;
    if !numbers.eq(expected) {
        let end = output.len().saturating_sub(500);
        bail!(
            "not every command was run; the end of what was said:\n{}",
            output.get(end..).unwrap_or(&output)
        );
    }
    Ok(())
}

fn add_busybox<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let name = format!("prompt/{arch}/inittab");
    if !stage.wants(&name) {
        return Ok(());
    }
    let line = match arch {
        Arch::X86_64 => "ttyS0",
        Arch::Aarch64 => "ttyAMA0",
    };
    let mut image = image::busybox(stage, arch)?;
    let inittab = format!("::sysinit:/bin/mount -t devtmpfs dev /dev\n{line}::askfirst:-/bin/sh\n");
    image.insert_file("etc/inittab", 0o644, inittab)?;
    image.insert("init", Entry::new(0o777, Kind::Symlink("/bin/busybox".to_owned())))?;
    let path = image::guest(stage, arch, stage.kernel, "inittab", &image)?.initramfs;
    queue.push(move || {
        let mut run = command(stage, arch);
        run.arg("--initramfs").arg(path);
        let result = type_all(run, AT_BUSYBOX, 0).map_err(|error| format!("{error:#}"));
        stage.report.record(&name, result);
    });
    Ok(())
}

fn add_own<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let name = format!("prompt/{arch}/keys");
    if !stage.wants(&name) {
        return Ok(());
    }
    // `cargo xtask run` would build them, too; but guests run when nothing is built any more.
    stage.kernel.file(stage.toolchain, arch, stage.checks)?;
    build::initramfs(stage.toolchain, arch)?;
    queue.push(move || {
        let long = format!("echo {} | wc -c\r", "x".repeat(5000));
        let exit = format!("exit {STATUS}\r");
        let last: [Line<'_>; 2] = [(long.as_bytes(), &["5001", PROMPT]), (exit.as_bytes(), &[])];
        let lines = [LINES, &last].concat();
        let result = type_all(command(stage, arch), &lines, STATUS).map_err(|error| format!("{error:#}"));
        stage.report.record(&name, result);
    });
    Ok(())
}

/// Types all lines at `command`, which then has to end with `status`.
fn type_all(command: Command, lines: &[Line<'_>], status: u8) -> Result<()> {
    let mut person = Person::sit_down(command)?;
    for (typed, seen) in lines {
        person.type_and_see(typed, seen)?;
    }
    match person.wait_for_end()? {
        Some(ended) if ended.code() == Some(status.into()) => Ok(()),
        ended => bail!("status {status} was expected, and it ended with {ended:?}\n{}", person.last_seen()),
    }
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
    /// Starts `command` at a terminal of its own, which is closed when the last process that has it from there ends.
    fn sit_down(mut command: Command) -> Result<Self> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let path = ptsname(&terminal, Vec::new())?.into_string()?;
        let open = || File::options().read(true).write(true).open(&path).context("no pseudo-terminal");
        let machine = command.stdin(open()?).stdout(open()?).stderr(open()?).spawn()?;
        drop(command);
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

    /// Waits until nobody has the terminal any more.
    fn wait_for_end(&mut self) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => return Ok(Some(self.machine.wait()?)),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
            }
        }
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
