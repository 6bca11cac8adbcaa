//! `cargo xtask test`: everything that can show a fault, one total at the end.
//!
//! Stages, in order: `tidy`, host tests, then for each architecture conformance programs on Linux and on Orlop, boots in
//! many machines, and busybox scripts. Tests that need QEMU run two at a time.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::arch::Arch;
use crate::toolchain::Toolchain;

mod host;
mod queue;
mod report;

pub mod guest;

use queue::Queue;
use report::Report;

/// How long one program may take in a guest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of `cargo xtask test`.
#[derive(Args)]
pub struct Options {
    /// Only this architecture's guests.
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// Write what Linux answers into the files of expected output.
    #[arg(long)]
    bless: bool,
    /// Only tests whose names contain this.
    filter: Option<String>,
}

/// What every stage needs.
pub struct Stage<'a> {
    toolchain: &'a Toolchain,
    report: &'a Report,
    filter: &'a str,
}

impl Stage<'_> {
    fn wants(&self, name: &str) -> bool {
        name.contains(self.filter)
    }
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let toolchain = Toolchain::find()?;
    let report = Report::default();
    let filter = options.filter.as_deref().unwrap_or_default();
    let stage = Stage { toolchain: &toolchain, report: &report, filter };
    host::run(&stage)?;
    Ok(report.finish())
}
