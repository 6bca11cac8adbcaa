//! Debian's busybox, unmodified: real programs for tests.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::command;
use crate::debian::{self, Source};
use crate::initramfs::archive::{Archive, Entry, Kind};
use crate::initramfs::host_files;

const SOURCE: Source<'_> = Source { package: "busybox-static", dependency: None, path: "/bin/busybox" };

/// Puts busybox for `arch` into `archive`, with a link for each of its programs where Debian would have it.
pub fn insert(archive: &mut Archive, arch: Arch) -> Result<()> {
    host_files::insert(archive, &program(arch)?, "/bin/busybox")?;
    for link in links()? {
        if link != "bin/busybox" {
            archive.insert(&link, Entry::new(0o777, Kind::Symlink("/bin/busybox".to_owned())))?;
        }
    }
    Ok(())
}

fn program(arch: Arch) -> Result<PathBuf> {
    debian::file(arch, &SOURCE, "busybox")
}

/// Paths of all its programs, without the leading slash; the same for every architecture.
fn links() -> Result<Vec<String>> {
    let native = Arch::ALL.into_iter().find(|arch| arch.name() == std::env::consts::ARCH);
    let program = program(native.context("this machine is of neither architecture")?)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let list = command::output(Command::new(program).arg("--list-full"))?;
    Ok(list.lines().map(str::to_owned).collect())
}
