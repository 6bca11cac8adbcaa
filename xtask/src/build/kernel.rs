//! The kernel: compiled, given its symbol table, and written in the form that the machine's loader takes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cargo::{self, Request};
use super::elf_image::ElfImage;
use super::{Checks, write_if_changed};
use crate::arch::Arch;
use crate::toolchain::Toolchain;

/// Builds the kernel for `arch` into `path`, and with symbols and debug information into `path` with `.elf`.
pub fn build(toolchain: &Toolchain, arch: Arch, checks: Checks, path: &Path) -> Result<()> {
    let linked = compile(toolchain, arch, checks)?;
    let file = std::fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let image = ElfImage::parse(&file).with_context(|| format!("{} is not as expected", linked.display()))?;
    let bytes = match arch {
        Arch::X86_64 => image.to_elf()?,
        Arch::Aarch64 => image.to_flat()?,
    };
    write_if_changed(path, &bytes)?;
    write_if_changed(&path.with_extension("elf"), &file)
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
