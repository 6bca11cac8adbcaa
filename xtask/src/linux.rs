//! Debian's Linux 6.1, the reference that Orlop is compared with.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::debian::{self, Source};

/// The kernel image for `arch`.
pub fn kernel(arch: Arch) -> Result<PathBuf> {
    let package = format!("linux-image-cloud-{}", debian::architecture(arch));
    let source = Source { package: &package, dependency: Some("linux-image-"), path: "/boot/vmlinuz-*" };
    debian::file(arch, &source, "vmlinuz").context("`--kernel FILE` takes any other kernel")
}
