//! `cargo xtask stress`: boots a machine many times, since what fails once in a hundred boots fails no single test.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use clap::Args;

use crate::build::{self, Checks};
use crate::run::Kernel;
use crate::run::machine::MachineOptions;
use crate::test::guest::{Ending, Guest};
use crate::test::queue::Queue;
use crate::test::report::Report;
use crate::toolchain::Toolchain;

mod grid;

/// Options of `cargo xtask stress`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    machine: MachineOptions,
    /// How many boots.
    #[arg(long, value_name = "N", default_value = "200")]
    boots: u32,
    /// Boot once in every machine that Orlop runs on instead: controllers, CPU models, sizes of memory, places in it.
    #[arg(long)]
    grid: bool,
    /// With --grid: only rows whose names contain this.
    #[arg(long, value_name = "WORDS", default_value = "")]
    filter: String,
    /// More words for the kernel's command line.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true, default_value = "")]
    append: String,
    /// What each boot runs and must end with status 0; `/bin/echo hello` if nothing is given.
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    words: Vec<String>,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let toolchain = Toolchain::find()?;
    let arch = options.machine.arch;
    let guest = Guest {
        machine: options.machine.clone(),
        kernel: Kernel::Orlop.file(&toolchain, arch, Checks::Release)?,
        initramfs: build::initramfs(&toolchain, arch)?,
        append: options.append.clone(),
        patience: crate::test::PATIENCE,
    };
    if options.grid {
        return grid(options, &guest);
    }
    let mut program: Vec<_> = options.words.iter().map(String::as_str).collect();
    if program.is_empty() {
        program = vec!["/bin/echo", "hello"];
    }
    let (done, failed) = (AtomicU32::new(0), AtomicU32::new(0));
    let queue = Queue::default();
    for _ in 0..options.boots {
        queue.push(|| {
            if let Err(reason) = boot(&guest, &program) {
                failed.fetch_add(1, Ordering::Relaxed);
                println!("\nFAILED  {reason}");
            }
            eprint!("\r{} of {} boots", done.fetch_add(1, Ordering::Relaxed) + 1, options.boots);
        });
    }
    queue.run();
    let failed = failed.load(Ordering::Relaxed);
    println!("\n{} passed, {failed} failed", options.boots - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Boots in every machine, and writes a line for each.
fn grid(options: &Options, usual: &Guest) -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let report = Report::default();
    let queue = Queue::default();
    for row in grid::rows(&options.machine).into_iter().filter(|row| row.name.contains(&options.filter)) {
        let (report, folder) = (&report, folder.path());
        queue.push(move || {
            let result = grid::boot(&row, usual, folder).unwrap_or_else(|error| Err(format!("{error:#}")));
            report.record(&row.name, result);
        });
    }
    queue.run();
    drop(queue);
    Ok(report.finish())
}

fn boot(guest: &Guest, program: &[&str]) -> Result<(), String> {
    let (ended, powered_off) = guest.run_one(program).map_err(|error| format!("{error:#}"))?;
    let output = String::from_utf8_lossy(&ended.output);
    match ended.ending {
        Ending::Status(0) if powered_off => Ok(()),
        Ending::Status(0) => Err(format!("the machine did not power off\n{output}")),
        other => Err(format!("{other}\n{output}")),
    }
}
