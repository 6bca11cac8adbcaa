//! An initramfs made of parts: a file that is taken as it is, and what one run adds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::initramfs::archive::Archive;

/// Segments follow each other at multiples of this (Linux, buffer-format.rst).
const ALIGNMENT: usize = 4;

/// A base and additions; the kernel unpacks both, one over the other.
pub struct Segments {
    base: PathBuf,
    /// What is added to the base.
    pub extra: Archive,
}

impl Segments {
    /// Nothing added to `base` yet.
    pub fn new(base: PathBuf) -> Self {
        Self { base, extra: Archive::default() }
    }

    /// The file that is taken as it is.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The file for QEMU's `-initrd`, in `folder` if anything was added.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let mut bytes =
            std::fs::read(&self.base).with_context(|| format!("cannot read {}", self.base.display()))?;
        if self.extra.is_empty() {
            return Ok(self.base.clone());
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(self.extra.to_bytes()?);
        let path = folder.join("initramfs");
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_start_at_a_multiple_of_four() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base.gz");
        std::fs::write(&base, b"odd").unwrap();
        let mut segments = Segments::new(base.clone());
        assert_eq!(segments.write(folder.path()).unwrap(), base);
        segments.extra.insert_file("x", 0o644, "").unwrap();
        let bytes = std::fs::read(segments.write(folder.path()).unwrap()).unwrap();
        assert_eq!(&bytes[..10], b"odd\x00070701");
    }
}
