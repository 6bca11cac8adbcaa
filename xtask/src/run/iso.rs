//! ISO images from which GRUB starts a kernel, on BIOS and UEFI, without a question.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::toolchain::packages::{self, Package};

/// What makes an ISO image that both BIOS and UEFI start.
const GRUB: [Package; 5] = [
    Package { name: "grub-common", provides: "/usr/bin/grub-mkrescue" },
    Package { name: "grub-pc-bin", provides: "/usr/lib/grub/i386-pc/kernel.img" },
    Package { name: "grub-efi-amd64-bin", provides: "/usr/lib/grub/x86_64-efi/kernel.img" },
    Package { name: "xorriso", provides: "/usr/bin/xorriso" },
    Package { name: "mtools", provides: "/usr/bin/mcopy" },
];

/// Writes an image with a kernel, as a bzImage, and an initramfs.
pub fn write(image: &Path, kernel: &Path, initramfs: &Path, command_line: &str) -> Result<()> {
    packages::ensure("GRUB, which starts the kernel,", &GRUB)?;
    let folder = tempfile::tempdir()?;
    let boot = folder.path().join("boot");
    std::fs::create_dir_all(boot.join("grub"))?;
    let copy = |from: &Path, name: &str| {
        std::fs::copy(from, boot.join(name)).with_context(|| format!("cannot copy {}", from.display()))
    };
    copy(kernel, "orlop")?;
    copy(initramfs, "initramfs")?;
    let configuration = format!(
        "set timeout=0\nmenuentry orlop {{\nlinux /boot/orlop {command_line}\ninitrd /boot/initramfs\n}}\n"
    );
    std::fs::write(boot.join("grub/grub.cfg"), configuration)?;
    let mut make = Command::new("grub-mkrescue");
    make.arg("-o").arg(image).arg(folder.path());
    let output = make.output().with_context(|| format!("cannot start {}", command::show(&make)))?;
    if !output.status.success() {
        bail!("{} failed: {}", command::show(&make), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
