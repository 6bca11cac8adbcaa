//! Userspace: every binary of a package below `userspace/`, as a static executable without debug information.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cargo::{self, Request};
use crate::arch::Arch;
use crate::toolchain::Toolchain;

/// Builds all binaries of `package` for `arch` and returns their paths.
pub fn build(toolchain: &Toolchain, arch: Arch, package: &str) -> Result<Vec<PathBuf>> {
    cargo::build(toolchain, &request(arch, package))
}

/// Builds one binary of `package`; for a debugger, if that is wanted, which finds lines and variables in it.
pub fn build_one(
    toolchain: &Toolchain,
    arch: Arch,
    package: &str,
    name: &str,
    is_for_debugger: bool,
) -> Result<PathBuf> {
    let profile = if is_for_debugger { "debugged-program" } else { PROFILE };
    let request = Request { binary: Some(name), profile, ..request(arch, package) };
    cargo::build(toolchain, &request)?.pop().with_context(|| format!("{package} has no binary {name}"))
}

const PROFILE: &str = "program";

fn request(arch: Arch, package: &str) -> Request<'_> {
    Request {
        target: arch.program_target(),
        kind: "programs",
        profile: PROFILE,
        package,
        binary: None,
        flags: &["-Cforce-frame-pointers=yes"],
    }
}
