//! The kernel: compiled, given its symbol table, and written in the form that the machine's loader takes.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::cargo::{self, Request};
use super::elf_image::ElfImage;
use super::{Artifacts, Checks, write_if_changed};
use crate::arch::Arch;
use crate::toolchain::Toolchain;

/// Builds the kernel for `arch` into the files that `artifacts` names.
pub fn build(toolchain: &Toolchain, arch: Arch, checks: Checks, artifacts: &Artifacts) -> Result<()> {
    let linked = compile(toolchain, arch, checks)?;
    let file = std::fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let image = ElfImage::parse(&file).with_context(|| format!("{} is not as expected", linked.display()))?;
    let bytes = match arch {
        Arch::X86_64 => image.to_elf()?,
        Arch::Aarch64 => image.to_flat()?,
    };
    write_if_changed(&artifacts.kernel, &bytes)?;
    write_if_changed(&artifacts.kernel_elf, &file)
}

fn compile(toolchain: &Toolchain, arch: Arch, checks: Checks) -> Result<PathBuf> {
    let mut flags = vec!["-Crelocation-model=static", "-Cforce-frame-pointers=yes"];
    if arch == Arch::X86_64 {
        flags.push("-Ccode-model=kernel");
    }
    let profile = match checks {
        Checks::Release => "release",
        Checks::Debug => "checked",
    };
    let request =
        Request { target: arch.kernel_target(), kind: "kernel", profile, package: "orlop", flags: &flags };
    match cargo::build(toolchain, &request)?.as_slice() {
        [kernel] => Ok(kernel.clone()),
        others => bail!("package orlop has {} binaries instead of one", others.len()),
    }
}
