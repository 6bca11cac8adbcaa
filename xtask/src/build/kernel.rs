//! The kernel: compiled, given its symbol table, and written in the form that the machine's loader takes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cargo::{self, Request};
use super::elf_image::ElfImage;
use super::{Checks, symbols};
use crate::arch::Arch;
use crate::toolchain::Toolchain;

/// Builds the kernel for `arch` into `path`, and with symbols and debug information into `path` with `.elf`.
pub fn build(toolchain: &Toolchain, arch: Arch, checks: Checks, path: &Path) -> Result<()> {
    let linked = compile(toolchain, arch, checks)?;
    let with_symbols = path.with_extension("elf");
    let file = std::fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    if path.exists() && std::fs::read(&with_symbols).is_ok_and(|old| old == file) && is_newer_than_xtask(path)
    {
        return Ok(());
    }
    let bytes = image(arch, &file).with_context(|| format!("{} is not as expected", linked.display()))?;
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::write(&with_symbols, file).with_context(|| format!("cannot write {}", with_symbols.display()))
}

/// What a boot loader takes, made from the linker's output.
fn image(arch: Arch, file: &[u8]) -> Result<Vec<u8>> {
    let mut image = ElfImage::parse(file)?;
    if let Some((address, table)) = symbols::table(file)? {
        image.fill_segment(address, table)?;
    }
    match arch {
        Arch::X86_64 => image.to_elf(),
        Arch::Aarch64 => image.to_flat(),
    }
}

/// Whether `path` was written by this very program, which decides its form.
fn is_newer_than_xtask(path: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let xtask = std::env::current_exe().ok().and_then(|xtask| changed(&xtask));
    xtask.is_some() && xtask < changed(path)
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
