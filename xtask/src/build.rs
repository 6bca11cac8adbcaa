//! `cargo xtask build`: kernel, programs and initramfs into `out/<arch>/`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::arch::Arch;
use crate::initramfs;
use crate::toolchain::Toolchain;
use crate::workspace;

mod atomics;
mod bz_image;
mod cargo;
mod elf_image;
mod gates;
mod kernel;
mod patches;
mod programs;
pub mod symbols;

pub use symbols::{address, entry, readable};

/// The one program that is not for everyday.
const SELF_TEST: &str = "selftest";

/// Options of `cargo xtask build`.
#[derive(Args)]
pub struct Options {
    /// The architecture to build for.
    #[arg(long, value_enum, default_value_t = Arch::host())]
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
    /// The first file tree.
    pub initramfs: PathBuf,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let toolchain = Toolchain::find()?;
    let checks = if options.debug { Checks::Debug } else { Checks::Release };
    let artifacts = build(&toolchain, options.arch, checks)?;
    for path in [&artifacts.kernel, &artifacts.kernel_elf, &artifacts.initramfs] {
        let size = path.metadata().with_context(|| format!("{} was not built", path.display()))?.len();
        println!("{:>8} KiB  {}", size.div_ceil(1024), path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds everything for `arch`.
pub fn build(toolchain: &Toolchain, arch: Arch, checks: Checks) -> Result<Artifacts> {
    let kernel = kernel(toolchain, arch, checks)?;
    let kernel_elf = kernel.with_extension("elf");
    Ok(Artifacts { kernel, kernel_elf, initramfs: initramfs(toolchain, arch)? })
}

/// Builds the kernel for `arch` and returns the path of what `-kernel` takes; beside it lies the one with symbols.
pub fn kernel(toolchain: &Toolchain, arch: Arch, checks: Checks) -> Result<PathBuf> {
    let path = workspace::out(arch)?.join("orlop");
    kernel::build(toolchain, arch, checks, &path)?;
    Ok(path)
}

/// Builds the default initramfs for `arch` and returns its path.
pub fn initramfs(toolchain: &Toolchain, arch: Arch) -> Result<PathBuf> {
    let path = workspace::out(arch)?.join("initramfs.cpio");
    let image = initramfs::default_image(&programs(toolchain, arch)?)?;
    write_if_changed(&path, &image.to_bytes()?)?;
    Ok(path)
}

/// Builds the everyday programs for `arch`, `init` among them.
pub fn programs(toolchain: &Toolchain, arch: Arch) -> Result<Vec<PathBuf>> {
    let mut programs = package(toolchain, arch, "programs")?;
    programs.retain(|program| !program.ends_with(SELF_TEST));
    Ok(programs)
}

/// Builds the program that tests libsyscall and ulib.
pub fn self_test(toolchain: &Toolchain, arch: Arch) -> Result<PathBuf> {
    let mut programs = package(toolchain, arch, "programs")?.into_iter();
    programs.find(|program| program.ends_with(SELF_TEST)).context("package programs has no selftest")
}

/// Builds every binary of one of userspace's packages for `arch`.
pub fn package(toolchain: &Toolchain, arch: Arch, name: &str) -> Result<Vec<PathBuf>> {
    programs::build(toolchain, arch, name)
}

/// Builds the conformance program `name` for `arch`, with debug information if a debugger is to look at it.
pub fn conformance(toolchain: &Toolchain, arch: Arch, name: &str, is_for_debugger: bool) -> Result<PathBuf> {
    programs::build_one(toolchain, arch, "conformance", name, is_for_debugger)
}

/// What the conformance programs are called.
pub fn conformance_names() -> Result<Vec<String>> {
    let folder = workspace::root().join("userspace/conformance/src/bin");
    let sources = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |source: std::io::Result<std::fs::DirEntry>| {
        Ok(source?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned())
    };
    sources.map(name).collect()
}

/// Leaves a file with the right content untouched, so that its time of change tells when the content changed.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
