//! Orlop started by a Linux that runs: Debian's kernel and kexec-tools, under the translator.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::PREFIX;
use crate::arch::Arch;
use crate::build;
use crate::debian;
use crate::initramfs::archive::Archive;
use crate::initramfs::host_files;
use crate::run::{Kernel, programs};
use crate::test::boots::push;
use crate::test::queue::Queue;
use crate::test::{Stage, image};

const KEXEC: &str = "/sbin/kexec";
/// The first program of a Linux that gives way to the kernel, initramfs and command line that it has.
const START: &str = r#"#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
exec /sbin/kexec --force /kernel --initrd=/initramfs --command-line="$(busybox cat /words)"
"#;
/// Words for the kernel that comes last, and for a Linux.
const GREET: &str = r#"panic=-1 rdinit=/bin/sh -- -c "echo hello there""#;
const GIVE_WAY: &str = "quiet panic=-1 rdinit=/start";

/// Adds them to `queue`: Linux starts Orlop; Linux starts a Linux, which starts Orlop.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let names = ["kexec", "kexec twice"].map(|name| format!("{PREFIX}{arch}/{name}"));
    if !names.iter().any(|name| stage.wants(name)) {
        return Ok(());
    }
    let console =
        image::guest(stage, arch, &Kernel::Linux, "kexec", &Archive::default())?.machine.console_word();
    let orlop = Kernel::Orlop.file(stage.toolchain, arch, stage.checks)?;
    // As Linux is loaded there: a bzImage, an Image.
    let orlop = if arch == Arch::X86_64 { orlop.with_extension("bzimage") } else { orlop };
    let own = std::fs::read(build::initramfs(stage.toolchain, arch)?)?;
    let once = giving_way(stage, arch, &orlop, own, &format!("{console} {GREET}"))?;
    let linux = Kernel::Linux.file(stage.toolchain, arch, stage.checks)?;
    let twice = giving_way(stage, arch, &linux, once.to_bytes()?, &format!("{console} {GIVE_WAY}"))?;
    for (name, archive) in names.into_iter().zip([once, twice]) {
        let file = name.rsplit('/').next().unwrap_or_default().replace(' ', "-");
        let mut guest = image::guest(stage, arch, &Kernel::Linux, &file, &archive)?;
        guest.machine.memory = Some(1024);
        guest.machine.smp = 2;
        guest.patience = Duration::from_secs(120);
        guest.append = GIVE_WAY.to_owned();
        push(stage, queue, name, move || {
            let output = guest.run_to_end()?;
            let output = String::from_utf8_lossy(&output);
            let is_right = output.contains("] Orlop ") && output.contains("\nhello there");
            Ok(if is_right { Ok(()) } else { Err(output.into_owned()) })
        });
    }
    Ok(())
}

/// The initramfs of a Linux that gives way to `kernel`, which has these files and words.
fn giving_way(
    stage: &Stage<'_>,
    arch: Arch,
    kernel: &Path,
    initramfs: Vec<u8>,
    words: &str,
) -> Result<Archive> {
    let mut archive = image::busybox(stage, arch)?;
    programs::insert_from(&debian::tree(arch, "kexec-tools")?, &mut archive, arch, KEXEC)?;
    host_files::insert(&mut archive, kernel, "/kernel")?;
    archive.insert_file("initramfs", 0o644, initramfs)?;
    archive.insert_file("words", 0o644, words)?;
    archive.insert_file("start", 0o755, START)?;
    Ok(archive)
}
