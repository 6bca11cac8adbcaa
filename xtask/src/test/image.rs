//! The initramfs images that tests boot. Nothing is built for stages that only say which tests they have.

use std::path::PathBuf;

use anyhow::Result;

use super::guest::Guest;
use super::{PATIENCE, Stage};
use crate::arch::Arch;
use crate::build;
use crate::busybox;
use crate::initramfs;
use crate::initramfs::archive::Archive;
use crate::run::Kernel;
use crate::run::machine::{Accelerator, Machine, MachineOptions};
use crate::workspace;

/// Orlop's `init` with busybox's programs.
pub fn busybox(stage: &Stage<'_>, arch: Arch) -> Result<Archive> {
    if stage.selection.is_listing() {
        return Ok(Archive::default());
    }
    let mut image = initramfs::default_image(&only_init(build::programs(stage.toolchain, arch)?))?;
    busybox::insert(&mut image, arch)?;
    Ok(image)
}

/// What `cargo xtask run` boots.
pub fn everyday(stage: &Stage<'_>, arch: Arch) -> Result<Archive> {
    if stage.selection.is_listing() {
        return Ok(Archive::default());
    }
    initramfs::default_image(&build::programs(stage.toolchain, arch)?)
}

/// Orlop's `init` and nothing else that runs.
pub fn bare(stage: &Stage<'_>, arch: Arch) -> Result<Archive> {
    if stage.selection.is_listing() {
        return Ok(Archive::default());
    }
    initramfs::default_image(&only_init(build::programs(stage.toolchain, arch)?))
}

/// The usual machine with `kernel` and `image`, which is kept as `out/<arch>/test-<name>.cpio` for runs by hand.
pub fn guest(stage: &Stage<'_>, arch: Arch, kernel: &Kernel, name: &str, image: &Archive) -> Result<Guest> {
    let path = workspace::out(arch)?.join(format!("test-{name}.cpio"));
    let is_listing = stage.selection.is_listing();
    if !is_listing {
        std::fs::write(&path, image.to_bytes()?)?;
    }
    Ok(Guest {
        machine: machine(arch, kernel, stage.smp),
        // Who only says what he has needs no kernel.
        kernel: if is_listing { PathBuf::new() } else { kernel.file(stage.toolchain, arch, stage.checks)? },
        initramfs: path,
        append: String::new(),
        patience: PATIENCE,
    })
}

/// The machine that starts fastest.
fn machine(arch: Arch, kernel: &Kernel, smp: u32) -> MachineOptions {
    let machine = match (arch, kernel) {
        (Arch::X86_64, Kernel::Orlop) => Machine::Microvm,
        (Arch::X86_64, _) => Machine::Q35,
        (Arch::Aarch64, _) => Machine::Virt,
    };
    MachineOptions {
        arch,
        machine: Some(machine),
        machine_options: None,
        cpu: "max".to_owned(),
        smp,
        memory: None,
        accel: Accelerator::Tcg,
        icount: false,
    }
}

fn only_init(programs: Vec<PathBuf>) -> Vec<PathBuf> {
    programs.into_iter().filter(|program| program.ends_with("init")).collect()
}
