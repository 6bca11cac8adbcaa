//! Tests that run on this machine: `cargo test` over the workspace.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Stage;
use crate::command;
use crate::toolchain;
use crate::workspace;

/// `cargo test`. Conformance programs are judged on the Linux that Orlop is compared with, not on this machine's.
fn cargo_test() -> Command {
    let mut command = Command::new(toolchain::host_cargo());
    command
        .args(["test", "--workspace", "--no-fail-fast", "--exclude", "conformance"])
        .current_dir(workspace::root());
    command
}

/// What those are called whose names contain one of `words`.
pub fn names(words: &[&str]) -> Result<Vec<String>> {
    let said = command::output(cargo_test().args(["--quiet", "--", "--list"]).args(words))?;
    let names = said.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(|name| format!("{}{name}", super::selection::HOST)).collect())
}

/// Runs those whose names contain one of `words`, or all; the report counts each. What they are called.
pub fn run(stage: &Stage<'_>, words: &[&str]) -> Result<Vec<String>> {
    println!("host tests: cargo test --workspace");
    let mut child =
        cargo_test().arg("--").args(words).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut results = Results::default();
    for line in BufReader::new(child.stdout.take().context("cargo has no standard output")?).lines() {
        results.take(&line?);
    }
    let status = child.wait()?;
    stage.report.pass_many("host", results.passed.len());
    for name in &results.failed {
        stage.report.fail(&format!("host/{name}"), "see above");
    }
    if !status.success() && results.failed.is_empty() {
        bail!("cargo test failed, see above");
    }
    Ok([results.passed, results.failed, results.ignored].concat())
}

/// What libtest's lines tell.
#[derive(Default)]
struct Results {
    passed: Vec<String>,
    failed: Vec<String>,
    ignored: Vec<String>,
    shows_failures: bool,
}

impl Results {
    /// Takes one line; what explains a failure is printed.
    fn take(&mut self, line: &str) {
        match line.strip_prefix("test ").and_then(|test| test.rsplit_once(" ... ")) {
            Some((name, "ok")) => self.passed.push(name.to_owned()),
            Some((name, "ignored")) => self.ignored.push(name.to_owned()),
            Some((name, "FAILED")) => self.failed.push(name.to_owned()),
            _ => {}
        }
        match line {
            "failures:" => self.shows_failures = true,
            _ if line.starts_with("test result:") => self.shows_failures = false,
            _ if self.shows_failures => println!("{line}"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_lines() {
        let mut results = Results::default();
        let lines = "running 4 tests\ntest a::b ... ok\ntest c - should panic ... ok\ntest d ... FAILED\n\
                     test e ... ignored\n\nfailures:\n\n---- d stdout ----\nwhy\n\ntest result: FAILED. 2 passed";
        lines.lines().for_each(|line| results.take(line));
        assert_eq!(results.passed, ["a::b", "c - should panic"]);
        assert_eq!(results.ignored, ["e"]);
        assert_eq!(results.failed, ["d"]);
        assert!(!results.shows_failures);
    }
}
