//! The paths of the source tree and of what is built from it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::arch::Arch;

/// The root of the source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies one level below the root")
}

/// `out/<arch>`: what a user takes away.
pub fn out(arch: Arch) -> Result<PathBuf> {
    create(root().join("out").join(arch.name()))
}

/// Where cargo keeps intermediate files of the given kind (`kernel`, `programs`): kernel and programs are compiled with
/// different flags, and one folder each keeps them from evicting each other.
pub fn target(kind: &str) -> PathBuf {
    root().join("target").join(kind)
}

/// Where downloads are kept.
pub fn cache(kind: &str) -> Result<PathBuf> {
    create(root().join("target").join("cache").join(kind))
}

fn create(folder: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
