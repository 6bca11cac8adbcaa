//! rustfmt and clippy, over everything that is compiled.

use std::process::Command;

use anyhow::Result;

use super::{Finding, Mode};
use crate::arch::Arch;
use crate::command;
use crate::toolchain::{self, Toolchain};
use crate::workspace;

/// Packages that only make sense on bare metal and are looked at there.
const KERNEL: &str = "orlop";

/// Runs both; their own messages say what is wrong.
pub fn check(toolchain: &Toolchain, mode: Mode) -> Result<Vec<Finding>> {
    let mut findings = vec![finding("rustfmt", &mut format(mode))];
    let mut host = Command::new(toolchain::host_cargo());
    host.args(["clippy", "--quiet", "--workspace", "--all-targets"]).current_dir(workspace::root());
    findings.push(finding("clippy on the host", deny_warnings(&mut host)));
    for arch in Arch::ALL {
        let mut kernel = toolchain.cargo("clippy", arch.kernel_target());
        kernel.args(["--quiet", "--package", KERNEL]).env("CARGO_TARGET_DIR", workspace::target("kernel"));
        findings.push(finding(kernel_rule(arch), deny_warnings(&mut kernel)));
    }
    Ok(findings)
}

fn kernel_rule(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "clippy on the x86_64 kernel",
        Arch::Aarch64 => "clippy on the aarch64 kernel",
    }
}

fn format(mode: Mode) -> Command {
    let mut command = Command::new(toolchain::host_cargo());
    command.args(["fmt", "--all"]).current_dir(workspace::root());
    if mode == Mode::Check {
        command.arg("--check");
    }
    command
}

fn deny_warnings(command: &mut Command) -> &mut Command {
    command.args(["--", "-D", "warnings"])
}

fn finding(rule: &'static str, command: &mut Command) -> Finding {
    eprintln!("tidy: {rule}");
    let problems = command::run(command).err().map(|error| format!("{error:#}"));
    Finding { rule, problems: problems.into_iter().collect() }
}
