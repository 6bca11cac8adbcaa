//! Kernels started by UEFI firmware: as the application that QEMU hands over, and by GRUB from a volume.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{PREFIX, runs};
use crate::arch::Arch;
use crate::debian;
use crate::run::machine::Machine;
use crate::test::Stage;
use crate::test::boots::push;
use crate::test::guest::Guest;
use crate::test::queue::Queue;

/// Firmware in one file, of Debian's package.
pub fn file(arch: Arch) -> Result<PathBuf> {
    let (package, path) = match arch {
        Arch::X86_64 => ("ovmf", "/usr/share/ovmf/OVMF.fd"),
        Arch::Aarch64 => ("qemu-efi-aarch64", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
    };
    debian::file(arch, &debian::Source { package, dependency: None, path }, package)
}

/// GRUB in one file, for removable media.
fn grub(arch: Arch) -> Result<PathBuf> {
    let (package, path) = match arch {
        Arch::X86_64 => ("grub-efi-amd64-bin", "/usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi"),
        Arch::Aarch64 => ("grub-efi-arm64-bin", "/usr/lib/grub/arm64-efi/monolithic/gcdaa64.efi"),
    };
    debian::file(arch, &debian::Source { package, dependency: None, path }, "grub")
}

/// AArch64 machines: what they are called, their properties, CPU and number of CPUs. Firmware hands ACPI's tables over,
/// or a device tree where there are none.
const MACHINES: [(&str, &str, &str, u32); 3] = [
    ("UEFI, ACPI", "gic-version=2", "cortex-a57", 2),
    ("UEFI, device tree", "acpi=off", "max", 1),
    ("UEFI in EL2, ACPI, GICv3", "gic-version=3,virtualization=on", "neoverse-n1", 4),
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, guest: &Guest) -> Result<()> {
    let mut guest = guest.clone();
    guest.machine.machine = Some(match arch {
        Arch::X86_64 => Machine::Q35,
        Arch::Aarch64 => Machine::Virt,
    });
    guest.machine.smp = 2;
    if arch == Arch::X86_64 {
        guest.kernel.set_extension("bzimage");
    } else {
        for (name, properties, cpu, smp) in MACHINES {
            let mut guest = guest.clone();
            guest.machine.machine_options = Some(properties.to_owned());
            guest.machine.cpu = cpu.to_owned();
            guest.machine.smp = smp;
            push(stage, queue, format!("{PREFIX}{arch}/{name}"), move || {
                let (output, how) = guest.run_to_ending(&firmware_arguments(arch)?)?;
                let cpus = format!("CPUs: {smp}");
                Ok(has_all(&output).and(runs((output, how), &[&cpus])?))
            });
        }
        let by_grub = guest.clone();
        let name = format!("{PREFIX}{arch}/GRUB on UEFI");
        push(stage, queue, name, move || {
            by_volume(arch, &by_grub, "linux /boot/orlop LINE\ninitrd /boot/initrd")
        });
    }
    let name = format!("{PREFIX}{arch}/UEFI, initrd= on a volume");
    let entry = "chainloader /boot/orlop 'initrd=/boot/half initrd=/boot/other LINE'";
    push(stage, queue, name, move || by_volume(arch, &guest, entry));
    Ok(())
}

/// Nothing is missed that firmware has: its clock, and the CPUs' way to start.
fn has_all(output: &[u8]) -> Result<(), String> {
    let output = String::from_utf8_lossy(output);
    if output.contains("lacks") { Err(format!("it lacks something:\n{output}")) } else { Ok(()) }
}

/// QEMU's words for it.
pub fn firmware_arguments(arch: Arch) -> Result<Vec<String>> {
    Ok(vec!["-bios".to_owned(), file(arch)?.display().to_string()])
}

/// Whether GRUB starts the guest's kernel by this entry of its menu, from a volume that firmware reads as well.
fn by_volume(arch: Arch, guest: &Guest, entry: &str) -> Result<Result<(), String>> {
    let folder = volume(arch, guest, entry)?;
    let mut arguments = firmware_arguments(arch)?;
    let drive = format!("if=none,id=volume,format=raw,readonly=on,file=fat:{}", folder.path().display());
    let device = match arch {
        Arch::X86_64 => "virtio-blk-pci,drive=volume",
        Arch::Aarch64 => "virtio-blk-device,drive=volume",
    };
    arguments.extend(["-drive", &drive, "-device", device].map(str::to_owned));
    runs(guest.run_machine_to_ending(&arguments)?, &["CPUs: 2"])
}

/// A folder that is the volume.
fn volume(arch: Arch, guest: &Guest, entry: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let at = |path: &str| folder.path().join(path);
    for path in ["EFI/BOOT", "boot/grub/arm64-efi", "boot/grub/x86_64-efi", ".disk"] {
        std::fs::create_dir_all(at(path))?;
    }
    let copy = |from: &Path, to: &str| {
        std::fs::copy(from, at(to)).with_context(|| format!("cannot copy {}", from.display()))
    };
    let name = match arch {
        Arch::X86_64 => "BOOTX64.EFI",
        Arch::Aarch64 => "BOOTAA64.EFI",
    };
    copy(&grub(arch)?, &format!("EFI/BOOT/{name}"))?;
    copy(&guest.kernel, "boot/orlop")?;
    copy(&guest.initramfs, "boot/initrd")?;
    let archive = std::fs::read(&guest.initramfs)?;
    // Archives begin at multiples of four bytes, wherever the one before ends.
    let (half, other) = archive.split_at(archive.len() / 8 * 4);
    std::fs::write(at("boot/half"), half)?;
    std::fs::write(at("boot/other"), other)?;
    // By this file GRUB knows its medium.
    std::fs::write(at(".disk/info"), "orlop")?;
    let entry = entry.replace("LINE", &guest.command_line(""));
    let configuration = format!("set timeout=0\nmenuentry orlop {{\n{entry}\n}}\n");
    for path in ["boot/grub/grub.cfg", "boot/grub/arm64-efi/grub.cfg", "boot/grub/x86_64-efi/grub.cfg"] {
        std::fs::write(at(path), &configuration)?;
    }
    Ok(folder)
}
