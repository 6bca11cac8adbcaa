//! Orlop started by a Linux that runs: Debian's kernel and kexec-tools, under the translator.

use std::time::Duration;

use anyhow::Result;

use super::PREFIX;
use crate::arch::Arch;
use crate::build;
use crate::debian;
use crate::initramfs::host_files;
use crate::run::{Kernel, programs};
use crate::test::boots::push;
use crate::test::queue::Queue;
use crate::test::{Stage, image};

const KEXEC: &str = "/sbin/kexec";
/// The first program of the Linux that gives way.
const START: &str = r#"#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
exec /sbin/kexec --force /orlop --initrd=/initramfs --command-line='CONSOLE panic=-1 rdinit=/bin/sh -- -c "echo hello there"'
"#;

/// Adds it to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let name = format!("{PREFIX}{arch}/kexec");
    if !stage.wants(&name) {
        return Ok(());
    }
    let mut archive = image::busybox(stage, arch)?;
    programs::insert_from(&debian::tree(arch, "kexec-tools")?, &mut archive, arch, KEXEC)?;
    let kernel = Kernel::Orlop.file(stage.toolchain, arch, stage.checks)?;
    // As Linux is loaded there: a bzImage, an Image.
    let kernel = if arch == Arch::X86_64 { kernel.with_extension("bzimage") } else { kernel };
    host_files::insert(&mut archive, &kernel, "/orlop")?;
    host_files::insert(&mut archive, &build::initramfs(stage.toolchain, arch)?, "/initramfs")?;
    let console = image::guest(stage, arch, &Kernel::Linux, "kexec", &archive)?.machine.console_word();
    archive.insert_file("start", 0o755, START.replace("CONSOLE", console))?;
    let mut guest = image::guest(stage, arch, &Kernel::Linux, "kexec", &archive)?;
    guest.machine.memory = Some(1024);
    guest.machine.smp = 2;
    guest.patience = Duration::from_secs(120);
    guest.append = "quiet rdinit=/start".to_owned();
    push(stage, queue, name, move || {
        let output = guest.run_to_end()?;
        let output = String::from_utf8_lossy(&output);
        let is_right = output.contains("] Orlop ") && output.contains("\nhello there");
        Ok(if is_right { Ok(()) } else { Err(output.into_owned()) })
    });
    Ok(())
}
