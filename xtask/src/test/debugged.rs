//! GDB at a machine, as a person starts it: it stops in a program, shows its calls, and lists the kernel's threads.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::boots::push;
use super::queue::Queue;
use super::{PATIENCE, Stage};
use crate::arch::Arch;
use crate::build;
use crate::run::Kernel;

/// The program, and the one of its tests that runs.
const PROGRAM: &str = "pipes";
const TEST: &str = "bytes_come_through";

/// What GDB must show: where it stops, who called, and threads that run and wait.
const SHOWN: [&str; 6] = [
    "pipes begins at 0x",
    "pipes::bytes_come_through ()",
    "conformance::harness::run_in_child",
    " init: last on CPU",
    "sched::",
    " pipes: on CPU",
];

/// Adds the test to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let name = format!("boot/{arch}/a debugger");
    if !stage.wants(&name) {
        return Ok(());
    }
    // `cargo xtask run` would build them, too; but guests run when nothing is built any more.
    Kernel::Orlop.file(stage.toolchain, arch, stage.checks)?;
    build::initramfs(stage.toolchain, arch)?;
    build::conformance(stage.toolchain, arch, PROGRAM, true)?;
    push(stage, queue, name, move || looks(arch));
    Ok(())
}

fn looks(arch: Arch) -> Result<Result<(), String>> {
    let mut machine = Command::new("/proc/self/exe")
        .args(["run", "--accel", "tcg", "--arch", arch.name(), "--timeout", &PATIENCE.as_secs().to_string()])
        .args(["--gdb", "--test", PROGRAM, "--", TEST])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Kept to the end: whoever has something to say still may.
    let mut said = BufReader::new(machine.stderr.take().context("no standard error")?).lines();
    let lines = said.by_ref().map_while(Result::ok);
    let attach = lines.filter_map(|line| Some(line.strip_prefix("debugger: ")?.to_owned())).next();
    let attach = attach.context("nobody says how a debugger is started")?;
    let stop = format!("break {PROGRAM}::{TEST}");
    let commands = ["orlop-program", &stop, "continue", "backtrace 3", "orlop-tasks", "delete", "detach"];
    let mut words = attach.split(' ');
    let debugger = Command::new(words.next().context("there is no debugger")?)
        .args(words)
        .arg("-batch")
        .args(commands.iter().flat_map(|command| ["-ex", command]))
        .stdin(Stdio::null())
        .output()?;
    let ended = machine.wait_with_output()?;
    let shown = String::from_utf8_lossy(&debugger.stdout);
    let written = String::from_utf8_lossy(&ended.stdout);
    let missing: Vec<_> = SHOWN.iter().filter(|text| !shown.contains(**text)).collect();
    Ok(if missing.is_empty() && ended.status.success() && written.contains("ok bytes_come_through") {
        Ok(())
    } else {
        let complaints = String::from_utf8_lossy(&debugger.stderr);
        Err(format!("{missing:?} not in\n{shown}{complaints}\nthe machine, {}:\n{written}", ended.status))
    })
}
