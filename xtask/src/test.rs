//! `cargo xtask test`: everything that can show a fault, one total at the end.
//!
//! Stages, in order: `tidy`, host tests, then for each architecture conformance programs on Linux and on Orlop, boots in
//! many machines, what people type at the prompt, and scripts. Tests that need QEMU run two at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::arch::Arch;
use crate::build::Checks;
use crate::run::{Kernel, machine};
use crate::tidy;
use crate::toolchain::Toolchain;

mod beginnings;
mod bochs;
mod boots;
mod conformance;
mod host;
mod image;
pub mod loaders;
mod machines;
mod nested;
mod prompt;
mod scripts;
mod selftest;
mod watchdog;

pub mod guest;
pub mod queue;
pub mod report;

use queue::Queue;
use report::Report;

/// How long one program may take in a guest: long, as only what hangs takes it, and a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Options of `cargo xtask test`.
#[derive(Args)]
pub struct Options {
    /// Only this architecture's guests.
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// Run scripts on another kernel: `linux` shows whether they are right themselves.
    #[arg(long, default_value = "orlop", value_name = "orlop|linux|FILE")]
    kernel: Kernel,
    /// Number of the guests' CPUs, where a test does not say another.
    #[arg(long, value_name = "N", default_value = "4")]
    smp: u32,
    /// Build Orlop with overflow checks, debug assertions and a watch on the order of locks.
    #[arg(long)]
    debug: bool,
    /// Write what Linux answers into the files of expected output.
    #[arg(long)]
    bless: bool,
    /// Only the grid of machines: other firmware, other loaders, parts that are not there; or machines under KVM, which a Linux under
    /// the translator offers, or Bochs. Those take long, and no other way runs them.
    #[arg(long, conflicts_with = "filter", value_enum, num_args = 0..=1, default_missing_value = "usual")]
    machines: Option<Machines>,
    /// Only tests whose names contain this.
    filter: Option<String>,
}

/// Grids of machines.
#[derive(Clone, Copy, ValueEnum)]
enum Machines {
    /// Those that the translator makes.
    Usual,
    /// KVM's.
    Nested,
    /// Bochs', with all conformance programs.
    Bochs,
}

impl Machines {
    /// What the names of their tests start with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Usual => machines::PREFIX,
            Self::Nested => nested::PREFIX,
            Self::Bochs => bochs::PREFIX,
        }
    }
}

/// What every stage needs.
pub struct Stage<'a> {
    toolchain: &'a Toolchain,
    report: &'a Report,
    filter: &'a str,
    kernel: &'a Kernel,
    smp: u32,
    checks: Checks,
    /// The tests that there are, as far as they were asked about.
    names: &'a Mutex<BTreeSet<String>>,
}

impl Stage<'_> {
    /// Whether a test is to be run. All are asked about before any is.
    fn wants(&self, name: &str) -> bool {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        name.contains(self.filter)
    }

    /// Whether any test whose name starts with `prefix` could be wanted: a filter with a slash names its stage.
    fn concerns(&self, prefix: &str) -> bool {
        !self.filter.contains('/') || self.filter.starts_with(prefix) || self.filter.starts_with('/')
    }

    /// A part that could not even start counts as a failed test.
    fn expect(&self, name: &str, result: Result<()>) {
        if let Err(error) = result {
            self.report.fail(name, &format!("{error:#}"));
        }
    }
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    // What is missing shall be said before anything is built.
    for arch in Arch::ALL.into_iter().filter(|arch| options.arch.is_none_or(|only| only == *arch)) {
        machine::ensure_qemu(arch)?;
    }
    let toolchain = Toolchain::find()?;
    let report = Report::default();
    let filter =
        options.machines.map_or(options.filter.as_deref().unwrap_or_default(), |machines| machines.prefix());
    let checks = if options.debug { Checks::Debug } else { Checks::Release };
    let (kernel, smp) = (&options.kernel, options.smp);
    let names = Mutex::default();
    let stage = Stage { toolchain: &toolchain, report: &report, filter, kernel, smp, checks, names: &names };
    if options.bless {
        scripts::bless(&stage)?;
        return Ok(ExitCode::SUCCESS);
    }
    if filter.is_empty() || filter.starts_with("tidy") {
        stage.expect("tidy", run_tidy(&stage));
    }
    if stage.concerns("host/") {
        stage.expect("host", host::run(&stage));
    }
    run_guests(&stage, options.arch);
    if report.is_empty() {
        let names = names.into_inner().unwrap_or_else(PoisonError::into_inner);
        bail!(
            "no test's name contains {filter:?}. There are:\n    {}\nand tidy, and the host tests: host/",
            list(&names)
        );
    }
    Ok(report.finish())
}

/// Names in lines, those of one stage together.
fn list(names: &BTreeSet<String>) -> String {
    let mut stages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (stage, name) in names.iter().filter_map(|name| name.rsplit_once('/')) {
        stages.entry(stage).or_default().push(name);
    }
    let line = |(stage, names): (&str, Vec<&str>)| format!("{stage}/: {}", names.join(", "));
    stages.into_iter().map(line).collect::<Vec<_>>().join("\n    ")
}

fn run_tidy(stage: &Stage<'_>) -> Result<()> {
    for finding in tidy::check(stage.toolchain, tidy::Mode::Check)? {
        let problems = finding.problems.join("\n");
        let verdict = if problems.is_empty() { Ok(()) } else { Err(problems) };
        stage.report.record(&format!("tidy/{}", finding.rule), verdict);
    }
    Ok(())
}

/// Builds everything first, so that compilers and guests do not compete for the CPUs and time limits hold.
fn run_guests(stage: &Stage<'_>, only: Option<Arch>) {
    let queue = Queue::default();
    for arch in Arch::ALL.into_iter().filter(|arch| only.is_none_or(|only| only == *arch)) {
        eprintln!("building for {arch}");
        stage.expect(&format!("selftest/{arch}"), selftest::run(stage, arch));
        if stage.concerns("conformance/") {
            stage.expect(&format!("conformance/{arch}"), conformance::add(stage, arch, &queue));
        }
        if stage.concerns("boot/") {
            stage.expect(&format!("boot/{arch}"), boots::add(stage, arch, &queue));
        }
        if stage.concerns(machines::PREFIX) {
            stage.expect(&format!("machines/{arch}"), machines::add(stage, arch, &queue));
        }
        // Only where it is asked for by its name.
        if stage.filter.starts_with(nested::PREFIX) {
            stage.expect(&format!("nested/{arch}"), nested::add(stage, arch, &queue));
        }
        if stage.filter.starts_with(bochs::PREFIX) && arch == Arch::X86_64 {
            stage.expect(&format!("bochs/{arch}"), bochs::add(stage, arch, &queue));
        }
        stage.expect(&format!("prompt/{arch}"), prompt::add(stage, arch, &queue));
        stage.expect(&format!("scripts/{arch}"), scripts::add(stage, arch, &queue));
    }
    queue.run();
}
