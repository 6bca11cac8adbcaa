//! `cargo xtask stress`: looks for what fails once in a hundred times.
//!
//! Without a time it boots a machine many times, see [`boots`], or once in each machine, see [`grid`]; with `--hours`
//! or `--minutes` it goes through the programs of `userspace/conformance/src/bin/stress` again and again, see
//! [`programs`]. What a failing guest wrote stays in `out/stress`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::build::Checks;
use crate::run::Kernel;
use crate::run::machine::MachineOptions;
use crate::test::queue::Queue;
use crate::test::report::Report;
use crate::toolchain::Toolchain;
use crate::workspace;

mod boots;
mod grid;
mod programs;
mod tally;

/// Options of `cargo xtask stress`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    machine: MachineOptions,
    /// The kernel: orlop, linux (Debian 12's, fetched once), or a file.
    #[arg(long, default_value = "orlop", value_name = "orlop|linux|FILE")]
    kernel: Kernel,
    /// Build Orlop with overflow checks and debug assertions.
    #[arg(long)]
    debug: bool,
    /// How many boots.
    #[arg(long, value_name = "N", default_value = "200", conflicts_with_all = ["hours", "minutes"])]
    boots: u32,
    /// Boot once in every machine that Orlop runs on instead: controllers, CPU models, sizes of memory, places in it.
    #[arg(long, conflicts_with_all = ["hours", "minutes"])]
    grid: bool,
    /// Run the stress programs for so many hours (and minutes) instead.
    #[arg(long, value_name = "H")]
    hours: Option<u64>,
    /// Run the stress programs for so many minutes instead.
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Seconds that a stress program has before it is the next one's turn.
    #[arg(long, value_name = "S", default_value = "20")]
    turn: u64,
    /// Threads or processes of a stress program; as many as the guest has CPUs if not given.
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// Only rows of the grid or stress programs whose names contain this.
    #[arg(long, value_name = "WORDS", default_value = "")]
    filter: String,
    /// More words for the kernel's command line.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true, default_value = "")]
    append: String,
    /// What each boot runs and must end with status 0; `/bin/echo hello` if nothing is given.
    #[arg(last = true, value_name = "PROGRAM ARGS", conflicts_with_all = ["hours", "minutes"])]
    words: Vec<String>,
}

impl Options {
    /// How long the stress programs shall run, if they shall.
    fn duration(&self) -> Option<Duration> {
        let minutes = self.hours.map(|hours| 60 * hours).into_iter().chain(self.minutes);
        let minutes = minutes.reduce(|hours, minutes| hours + minutes)?;
        Some(Duration::from_secs(60 * minutes))
    }

    fn kernel_file(&self, toolchain: &Toolchain) -> Result<PathBuf> {
        let checks = if self.debug { Checks::Debug } else { Checks::Release };
        self.kernel.file(toolchain, self.machine.arch, checks)
    }
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    match options.duration() {
        Some(duration) => programs::run(options, duration),
        None if options.grid => run_grid(options),
        None => boots::run(options),
    }
}

/// Boots in every machine, and writes a line for each.
fn run_grid(options: &Options) -> Result<ExitCode> {
    let usual = boots::guest(options)?;
    let folder = tempfile::tempdir()?;
    let report = Report::default();
    let queue = Queue::default();
    for row in grid::rows(&options.machine).into_iter().filter(|row| row.name.contains(&options.filter)) {
        let (report, usual, folder) = (&report, &usual, folder.path());
        queue.push(move || {
            let result = grid::boot(&row, usual, folder).unwrap_or_else(|error| Err(format!("{error:#}")));
            report.record(&row.name, result);
        });
    }
    queue.run();
    drop(queue);
    Ok(report.finish())
}

/// Keeps what a failing guest wrote, with the reason on top; returns where.
fn keep_log(options: &Options, name: &str, reason: &str, output: &[u8]) -> Result<PathBuf> {
    let folder = workspace::root().join("out").join("stress");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let machine = &options.machine;
    let stem = format!("{}-smp{}-{name}", machine.arch, machine.smp);
    let free = |number: &u32| !folder.join(format!("{stem}-{number}.log")).exists();
    let number = (1..).find(free).context("out/stress is full")?;
    let path = folder.join(format!("{stem}-{number}.log"));
    let text = [format!("{reason}\n").as_bytes(), output].concat();
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn duration(words: &[&str]) -> Option<Duration> {
        Line::parse_from(std::iter::once("stress").chain(words.iter().copied())).options.duration()
    }

    #[test]
    fn hours_and_minutes_add_up() {
        assert_eq!(duration(&["--boots", "3"]), None);
        assert_eq!(duration(&["--minutes", "10"]), Some(Duration::from_secs(600)));
        assert_eq!(duration(&["--hours", "2", "--minutes", "1"]), Some(Duration::from_secs(7260)));
    }
}
