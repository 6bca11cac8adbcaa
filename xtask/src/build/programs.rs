//! Userspace: every binary of a package below `userspace/`, as a static executable without debug information.

use std::path::PathBuf;

use anyhow::Result;

use super::cargo::{self, Request};
use crate::arch::Arch;
use crate::toolchain::Toolchain;

/// Builds all binaries of `package` for `arch` and returns their paths.
pub fn build(toolchain: &Toolchain, arch: Arch, package: &str) -> Result<Vec<PathBuf>> {
    let request = Request {
        target: arch.program_target(),
        kind: "programs",
        profile: "program",
        package,
        flags: &["-Cforce-frame-pointers=yes"],
    };
    cargo::build(toolchain, &request)
}
