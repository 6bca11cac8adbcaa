//! `cargo xtask build`: kernel, programs and initramfs into `out/<arch>/`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::arch::Arch;
use crate::toolchain::Toolchain;
use crate::workspace;

mod cargo;
mod elf_image;
mod kernel;

/// Options of `cargo xtask build`.
#[derive(Args)]
pub struct Options {
    /// The architecture to build for.
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Check overflows and debug assertions; slower, larger.
    #[arg(long)]
    debug: bool,
}

/// How much checking the kernel is compiled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Cargo's profile `release`: what is measured and shipped.
    Release,
    /// Cargo's profile `checked`: overflow checks and debug assertions.
    Debug,
}

/// What a build leaves in `out/<arch>/`.
pub struct Artifacts {
    /// What QEMU's `-kernel` takes.
    pub kernel: PathBuf,
    /// The same with symbols and debug information, for a debugger.
    pub kernel_elf: PathBuf,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let toolchain = Toolchain::find()?;
    let checks = if options.debug { Checks::Debug } else { Checks::Release };
    let artifacts = build(&toolchain, options.arch, checks)?;
    for path in [&artifacts.kernel, &artifacts.kernel_elf] {
        let size = path.metadata().with_context(|| format!("{} was not built", path.display()))?.len();
        println!("{:>8} KiB  {}", size.div_ceil(1024), path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds everything for `arch`.
pub fn build(toolchain: &Toolchain, arch: Arch, checks: Checks) -> Result<Artifacts> {
    let out = workspace::out(arch)?;
    let artifacts = Artifacts { kernel: out.join("orlop"), kernel_elf: out.join("orlop.elf") };
    kernel::build(toolchain, arch, checks, &artifacts)?;
    Ok(artifacts)
}
