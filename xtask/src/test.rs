//! `cargo xtask test`: everything that can show a fault, one total at the end.
//!
//! Stages, in order: `tidy`, host tests, then for each architecture conformance programs on Linux and on Orlop, boots
//! in many machines, what people type at the prompt, and scripts. Tests that need QEMU run two at a time.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
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
mod debugged;
mod host;
mod image;
pub mod loaders;
mod machines;
mod nested;
mod prompt;
mod scripts;
mod selection;
mod selftest;
mod watchdog;

pub mod guest;
pub mod queue;
pub mod report;

use queue::Queue;
use report::Report;
use selection::Selection;

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
    /// Only the grid of machines: other firmware, other loaders, parts that are not there; or machines under KVM, which
    /// a Linux under the translator offers, or Bochs. Those take long, and no other way runs them.
    #[arg(long, conflicts_with = "words", value_enum, num_args = 0..=1, default_missing_value = "usual")]
    machines: Option<Machines>,
    /// Only tests whose names contain one of these words.
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// Say what the tests are called, and run none. With host/, nested/ or bochs/ those that only such a word names.
    #[arg(long)]
    list: bool,
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
    kernel: &'a Kernel,
    smp: u32,
    checks: Checks,
    selection: &'a Selection,
}

impl Stage<'_> {
    /// Whether a test is to be run. All are asked about before any is.
    fn wants(&self, name: &str) -> bool {
        self.selection.wants(name)
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
    if !options.list {
        for arch in Arch::ALL.into_iter().filter(|arch| options.arch.is_none_or(|only| only == *arch)) {
            machine::ensure_qemu(arch)?;
        }
    }
    let toolchain = Toolchain::find()?;
    let report = Report::default();
    let words = options.machines.map_or(options.words.clone(), |machines| vec![machines.prefix().to_owned()]);
    let checks = if options.debug { Checks::Debug } else { Checks::Release };
    let (kernel, smp, selection) = (&options.kernel, options.smp, Selection::new(words));
    let stage = Stage { toolchain: &toolchain, report: &report, kernel, smp, checks, selection: &selection };
    add_guests(&stage, options.arch, &Queue::default());
    selection.complete();
    if options.list {
        return list(&stage);
    }
    if let Some(word) = selection.unknown_word() {
        bail!(selection.complain(word, &[]));
    }
    if options.bless {
        scripts::bless(&stage)?;
        return Ok(ExitCode::SUCCESS);
    }
    if selection.wants_tidy() {
        stage.expect("tidy", run_tidy(&stage));
    }
    if let Some(words) = selection.host_words() {
        match host::run(&stage, &words) {
            Ok(met) => {
                if let Some(word) = selection.unmet_word(&met) {
                    bail!(selection.complain(word, &host::names(&[])?));
                }
            }
            failed => stage.expect("host", failed.map(drop)),
        }
    }
    run_guests(&stage, options.arch);
    ensure!(!report.is_empty(), "none of the wanted tests was run");
    Ok(report.finish())
}

/// Says what the wanted tests are called, one in a line.
fn list(stage: &Stage<'_>) -> Result<ExitCode> {
    let selection = stage.selection;
    let mut names = selection.names();
    if selection.wants_tidy() {
        names.push(selection::TIDY.to_owned());
    }
    if selection.names_stage(selection::HOST) {
        names.extend(host::names(&selection.host_words().unwrap_or_default())?);
    }
    match std::io::stdout().write_all((names.join("\n") + "\n").as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
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
    add_guests(stage, only, &queue);
    queue.run();
}

/// Adds the wanted tests of guests to `queue`, and builds what they need.
fn add_guests<'a>(stage: &'a Stage<'_>, only: Option<Arch>, queue: &Queue<'a>) {
    let selection = stage.selection;
    for arch in Arch::ALL.into_iter().filter(|arch| only.is_none_or(|only| only == *arch)) {
        if !selection.is_listing() {
            eprintln!("building for {arch}");
        }
        stage.expect(&format!("selftest/{arch}"), selftest::run(stage, arch));
        let stages: [(&str, AddStage<'a, '_>); 5] = [
            ("conformance/", conformance::add),
            ("boot/", boots::add),
            (machines::PREFIX, machines::add),
            (nested::PREFIX, nested::add),
            (bochs::PREFIX, bochs::add),
        ];
        for (prefix, add) in stages {
            // These take long: only where a word names them.
            let is_asked_for =
                ![nested::PREFIX, bochs::PREFIX].contains(&prefix) || selection.names_stage(prefix);
            if is_asked_for && selection.concerns(prefix) {
                stage.expect(&format!("{prefix}{arch}"), add(stage, arch, queue));
            }
        }
        stage.expect(&format!("prompt/{arch}"), prompt::add(stage, arch, queue));
        stage.expect(&format!("scripts/{arch}"), scripts::add(stage, arch, queue));
    }
}

/// How a stage adds its tests.
type AddStage<'a, 's> = fn(&'a Stage<'s>, Arch, &Queue<'a>) -> Result<()>;
