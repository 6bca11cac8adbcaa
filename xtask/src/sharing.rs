//! `cargo xtask sharing`: what operations on different objects, by all CPUs at once, still share.
//!
//! The program `userspace/bench` lets a worker on each CPU repeat an operation on objects of its own. The release
//! kernel runs under a QEMU plugin (`xtask/observer`) that records its stores; a store counts as shared if its cache
//! line was also stored to by another CPU during the same row. Then a kernel with debug assertions, which counts how
//! often its locks were taken and found taken, runs the same rows without the plugin. CPUs run at the same time, as
//! threads of QEMU: the figures are counts, and vary with who meets whom, but not with the host's speed.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::arch::Arch;
use crate::bench;
use crate::build::Checks;
use crate::command;
use crate::run::Kernel;
use crate::run::machine::{Boot, Console, MachineOptions};
use crate::run::session::{Next, Session};
use crate::toolchain::{Toolchain, host_cargo};
use crate::workspace;

mod names;
mod observation;
mod table;

use names::Names;
use observation::Observation;
use table::Figures;

/// The guest's page of marks; `userspace/bench/src/sharing/gate.rs` has the same number.
const MARKS: u64 = 0x10_0000_0000;

/// A guest whose every store is told to a plugin is slow.
const PATIENCE: Duration = Duration::from_secs(900);

/// Options of `cargo xtask sharing`.
#[derive(Args)]
pub struct Options {
    /// The architecture to measure.
    #[arg(long, value_enum, default_value_t = Arch::host())]
    arch: Arch,
    /// Number of CPUs.
    #[arg(long, value_name = "N", default_value = "4")]
    smp: u32,
    /// The kernel: orlop, linux (Debian 12's, fetched once), or a file.
    #[arg(long, default_value = "orlop", value_name = "orlop|linux|FILE")]
    kernel: Kernel,
    /// Only operations whose names contain this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Name so many of the instructions that store most to shared lines, for each row.
    #[arg(long, value_name = "N", default_value = "0")]
    places: usize,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let toolchain = Toolchain::find()?;
    let initramfs = bench::image(&toolchain, options.arch)?;
    let folder = tempfile::tempdir()?;
    let stores = folder.path().join("stores");
    // Kernels with and without checks have the same path: one is built when the other has run.
    let kernel = options.kernel.file(&toolchain, options.arch, Checks::Release)?;
    let names = Names::read(&kernel.with_extension("elf"));
    let plugin = format!("{},marks={MARKS},output={}", observer()?.display(), stores.display());
    let figures = measure(options, &kernel, &initramfs, Some(&plugin))?;
    let text = std::fs::read_to_string(&stores).context("the observer has written nothing")?;
    let observations = Observation::parse(&text).context("the observer's file is not whole")?;
    ensure!(observations.len() == figures.len(), "{} rows, {} observed", figures.len(), observations.len());
    let locks = match options.kernel {
        Kernel::Orlop => {
            let kernel = options.kernel.file(&toolchain, options.arch, Checks::Debug)?;
            measure(options, &kernel, &initramfs, None)?
        }
        _ => Vec::new(),
    };
    print!("{}", table::format(&figures, &observations, &locks, &names, options.places));
    Ok(ExitCode::SUCCESS)
}

/// Builds the plugin; its path.
fn observer() -> Result<PathBuf> {
    let target = workspace::target("observer");
    let mut cargo = std::process::Command::new(host_cargo());
    cargo.current_dir(workspace::root());
    cargo.args(["build", "--quiet", "--release", "--package", "observer", "--target-dir"]).arg(&target);
    command::run(&mut cargo)?;
    Ok(target.join("release").join("libobserver.so"))
}

/// Boots `kernel` and collects what the program prints of each row.
fn measure(options: &Options, kernel: &Path, initramfs: &Path, plugin: Option<&str>) -> Result<Vec<Figures>> {
    let machine = machine(options);
    let words = if options.kernel == Kernel::Linux { bench::LINUX_WORDS } else { "" };
    let command_line = format!(
        "{} quiet panic=-1 mitigations=off {words} rdinit={} -- --sharing {}",
        machine.console_word(),
        bench::PROGRAM,
        options.filter
    );
    let boot = Boot {
        machine: &machine,
        kernel,
        initramfs,
        command_line: &command_line,
        console: Console::Pipe,
        debugger: None,
        control: None,
        tells_why: false,
    };
    let mut qemu = boot.command()?;
    plugin.iter().for_each(|plugin| {
        qemu.args(["-plugin", plugin]);
    });
    let mut session = Session::start(&qemu, Stdio::piped())?;
    let deadline = Instant::now() + PATIENCE;
    let mut output = Vec::new();
    while let Next::Bytes(bytes) = session.next(Some(deadline)) {
        output.extend(bytes);
    }
    session.wait(Duration::from_secs(1))?;
    let output = String::from_utf8_lossy(&output);
    match Figures::parse(&output) {
        Some(figures) => Ok(figures),
        None => bail!("the measurement did not come to its end:\n{output}"),
    }
}

/// As for the table of instructions, with more CPUs and without counting.
fn machine(options: &Options) -> MachineOptions {
    let counting = bench::machine(options.arch);
    MachineOptions { smp: options.smp, icount: false, ..counting }
}
