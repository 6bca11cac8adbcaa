//! `cargo xtask tidy`: what a machine can see of the house's rules.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::toolchain::Toolchain;
use crate::{command, workspace};

mod boundaries;
mod columns;
mod frames;
mod graph;
mod guards;
mod lengths;
mod lints;
mod references;
mod sources;
mod symmetry;
mod syscalls_page;

use sources::Source;

/// Options of `cargo xtask tidy`.
#[derive(Args)]
pub struct Options {
    /// Format the sources and write generated pages anew, instead of complaining.
    #[arg(long)]
    fix: bool,
    /// Draw crates, folders and who uses whom as an SVG, check the circles of files, and nothing else.
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
}

/// Whether to complain or to mend.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Change nothing.
    Check,
    /// Mend what a machine can mend.
    Fix,
}

/// A rule's name and what breaks it, one line each.
pub struct Finding {
    /// The rule.
    pub rule: &'static str,
    /// Where it is broken, and how.
    pub problems: Vec<String>,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    if let Some(file) = &options.graph {
        let sources = sources::all()?;
        std::fs::write(file, graph::picture::draw(&graph::Graph::new(&sources)?))?;
        return Ok(report(vec![Finding {
            rule: "circles of files do not grow",
            problems: graph::check(&sources),
        }]));
    }
    let mode = if options.fix { Mode::Fix } else { Mode::Check };
    Ok(report(check(&Toolchain::find()?, mode)?))
}

fn report(findings: Vec<Finding>) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for finding in findings {
        let verdict = if finding.problems.is_empty() { "ok    " } else { "FAILED" };
        println!("{verdict}  {}", finding.rule);
        for problem in &finding.problems {
            println!("        {problem}");
            status = ExitCode::FAILURE;
        }
    }
    status
}

/// Checks every rule.
pub fn check(toolchain: &Toolchain, mode: Mode) -> Result<Vec<Finding>> {
    let sources = sources::all()?;
    let rules: [(&'static str, Rule); 10] = [
        ("every file starts with what it owns", header),
        ("files and functions are short", lengths::check),
        ("unsafe code only where the design has it", boundaries::unsafe_code),
        ("architectures only below arch/", boundaries::architectures),
        ("crates depend one way", boundaries::dependencies),
        ("circles of files do not grow", graph::check),
        ("no field is filled under a lock", guards::check),
        ("hal's architectures have the same files", symmetry::check),
        ("documents name what is there", references::check),
        ("nothing is left undone", unfinished),
    ];
    let mut findings: Vec<_> =
        rules.into_iter().map(|(rule, find)| Finding { rule, problems: find(&sources) }).collect();
    findings.push(Finding { rule: "subjects of commits are short", problems: long_subjects() });
    findings.push(columns::check(&sources, mode)?);
    findings.push(syscalls_page::check(mode)?);
    findings.extend(lints::check(toolchain, mode)?);
    findings.push(frames::check(toolchain)?);
    Ok(findings)
}

type Rule = fn(&[Source]) -> Vec<String>;

fn header(sources: &[Source]) -> Vec<String> {
    let lacks = |source: &&Source| !source.text.starts_with("//! ");
    sources.iter().filter(lacks).map(|source| format!("{}: line 1 is no `//! …`", source.path)).collect()
}

/// Of the last commits. Where there is no history there is nothing to complain of.
fn long_subjects() -> Vec<String> {
    const LIMIT: usize = 72;
    let mut log = std::process::Command::new("git");
    log.args(["log", "-n", "30", "--no-merges", "--format=%h %s"]).current_dir(workspace::root());
    let log = command::output(&mut log).unwrap_or_default();
    let is_long =
        |line: &&str| line.split_once(' ').is_some_and(|(_, subject)| subject.chars().count() > LIMIT);
    log.lines().filter(is_long).map(|line| format!("more than {LIMIT} characters: {line}")).collect()
}

/// Macros that stand for code still to be written.
fn unfinished(sources: &[Source]) -> Vec<String> {
    let marks =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut problems = Vec::new();
    for source in sources {
        for (number, line) in source.numbered_lines() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(*mark)) {
                problems.push(format!("{}:{number}: {mark}", source.path));
            }
        }
    }
    problems
}
