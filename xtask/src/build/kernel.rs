//! The kernel: compiled, given its symbol table, and written in the form that the machine's loader takes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cargo::{self, Request};
use super::elf_image::ElfImage;
use super::{Checks, atomics, bz_image, patches, symbols};
use crate::arch::Arch;
use crate::toolchain::Toolchain;
use libkernel::arch::aarch64::atomics::ALIGNMENT as ATOMICS_ALIGNMENT;

/// Rust's bare-metal targets for AArch64 take it that nothing is set up, and have names compared and values moved in
/// aligned pieces. Orlop's Rust code runs with the MMU on and alignment unchecked (`boot.S`, SCTLR_EL1.A), as UEFI has
/// it too, and on normal memory: device registers are accessed one by one. The compiler warns of each feature of LLVM's
/// that it has no name for, and can only be told to be silent; `tidy` asks clippy for all other warnings.
const UNALIGNED: [&str; 2] = ["-Ctarget-feature=-strict-align", "-Awarnings"];

/// Builds the kernel for `arch` into `path`, and with symbols and debug information into `path` with `.elf`;
/// for x86_64 as a bzImage with `.bzimage` too.
pub fn build(toolchain: &Toolchain, arch: Arch, checks: Checks, path: &Path) -> Result<()> {
    let linked = compile(toolchain, arch, checks)?;
    let with_symbols = path.with_extension("elf");
    let file = std::fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    if path.exists() && std::fs::read(&with_symbols).is_ok_and(|old| old == file) && is_newer_than_xtask(path)
    {
        return Ok(());
    }
    for (path, bytes) in
        images(arch, &file, path).with_context(|| format!("{} is not as expected", linked.display()))?
    {
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    std::fs::write(&with_symbols, file).with_context(|| format!("cannot write {}", with_symbols.display()))
}

/// What boot loaders take, made from the linker's output, each with its path.
fn images(arch: Arch, file: &[u8], path: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut image = ElfImage::parse(file)?;
    patches::check(arch, &image, file)?;
    if let Some((address, mut table)) = symbols::table(file)? {
        if arch == Arch::Aarch64 {
            table.resize(table.len().next_multiple_of(ATOMICS_ALIGNMENT), 0);
            table.extend(atomics::table(&image, file)?);
        }
        image.fill_segment(address, table)?;
    }
    Ok(match arch {
        // `path` comes last: it tells that all are there.
        Arch::X86_64 => vec![
            (path.with_extension("bzimage"), bz_image::write(&image, file)?),
            (path.to_owned(), image.to_elf()?),
        ],
        Arch::Aarch64 => vec![(path.to_owned(), image.to_flat()?)],
    })
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
    } else {
        flags.extend(UNALIGNED);
    }
    let profile = match checks {
        Checks::Release => "release",
        Checks::Debug => "checked",
    };
    let request = Request {
        target: arch.kernel_target(),
        kind: "kernel",
        profile,
        package: "orlop",
        binary: None,
        flags: &flags,
    };
    match cargo::build(toolchain, &request)?.as_slice() {
        [kernel] => Ok(kernel.clone()),
        others => bail!("package orlop has {} binaries instead of one", others.len()),
    }
}
