//! KVM where there is none: QEMU's translator emulates a CPU with AMD's virtualisation, on which Debian's Linux runs Debian's QEMU, which
//! runs the guest by KVM.
//!
//! The outer machine gets the guest's files as disks and QEMU's arguments by `fw_cfg`. What the guest's console says comes out of the outer machine's
//! second serial port as it is, so that whoever talks to a guest need not know; the first one is for the outer Linux's complaints, the third one
//! the inner QEMU's control socket. A guest that is stored in `/tmp/stored` goes on in another QEMU when the first one has ended.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::machine::{self, MachineOptions};
use super::programs;
use crate::arch::Arch;
use crate::busybox;
use crate::debian;
use crate::initramfs::archive::{Archive, Device, Entry, Kind};
use crate::initramfs::host_files;
use crate::workspace;

/// What the outer machine needs besides the guest's memory, in MiB.
const OUTER_MEMORY: u32 = 768;

/// Where the guest's files lie in the outer machine.
pub const KERNEL: &str = "/guest/kernel";
pub const INITRAMFS: &str = "/guest/initramfs";

/// What gives the inner QEMU its control socket: the outer machine's third serial port.
pub const CONTROL: [&str; 4] =
    ["-chardev", "serial,id=control,path=/dev/ttyS2", "-mon", "chardev=control,mode=control"];

/// Linux and its modules out of one package, since they go together; the modules in the order in which they need each other.
const LINUX: [(&str, &str); 11] = [
    ("vmlinuz", "/boot/vmlinuz-*"),
    ("irqbypass.ko", "/lib/modules/*/kernel/virt/lib/irqbypass.ko"),
    ("kvm.ko", "/lib/modules/*/kernel/arch/x86/kvm/kvm.ko"),
    ("kvm-amd.ko", "/lib/modules/*/kernel/arch/x86/kvm/kvm-amd.ko"),
    ("qemu_fw_cfg.ko", "/lib/modules/*/kernel/drivers/firmware/qemu_fw_cfg.ko"),
    ("virtio_ring.ko", "/lib/modules/*/kernel/drivers/virtio/virtio_ring.ko"),
    ("virtio.ko", "/lib/modules/*/kernel/drivers/virtio/virtio.ko"),
    ("virtio_pci_modern_dev.ko", "/lib/modules/*/kernel/drivers/virtio/virtio_pci_modern_dev.ko"),
    ("virtio_pci_legacy_dev.ko", "/lib/modules/*/kernel/drivers/virtio/virtio_pci_legacy_dev.ko"),
    ("virtio_pci.ko", "/lib/modules/*/kernel/drivers/virtio/virtio_pci.ko"),
    ("virtio_blk.ko", "/lib/modules/*/kernel/drivers/block/virtio_blk.ko"),
];

/// What QEMU itself loads, in the order of preference of its folders.
const FIRMWARE: [&str; 6] = [
    "/usr/share/seabios/bios-256k.bin",
    "/usr/share/seabios/bios-microvm.bin",
    "/usr/share/qemu/pvh.bin",
    "/usr/share/qemu/linuxboot_dma.bin",
    "/usr/share/qemu/kvmvapic.bin",
    "/usr/share/qemu/firmware",
];

/// The outer machine's first program. It ends the machine as the inner QEMU ended: off, or with its status by way of the debug port.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
/bin/busybox stty -F /dev/ttyS1 raw -onlcr -echo
IFS='
'
set -f
set -- $(/bin/busybox cat /sys/firmware/qemu_fw_cfg/by_name/opt/orlop/arguments/raw)
/bin/busybox head -c "$1" /dev/vda > /guest/kernel
/bin/busybox head -c "$2" /dev/vdb > /guest/initramfs
shift 2
"$@" < /dev/ttyS1 > /dev/ttyS1
status=$?
if [ -e /tmp/stored ]; then
    "$@" -incoming "exec:cat /tmp/stored" < /dev/ttyS1 > /dev/ttyS1
    status=$?
fi
if [ $status -ne 0 ]; then
    printf "\\x$(printf %x $((status / 2)))" | /bin/busybox dd of=/dev/port bs=1 seek=244 conv=notrunc 2> /dev/null
fi
/bin/busybox poweroff -f
"#;

/// QEMU's command for an outer machine in which `inner` runs, on as many CPUs as the guest is to have. It finds `kernel` and `initramfs` at
/// [`KERNEL`] and [`INITRAMFS`].
pub fn command(guest: &MachineOptions, inner: &Command, kernel: &Path, initramfs: &Path) -> Result<Command> {
    if guest.arch != Arch::X86_64 {
        bail!("--accel nested runs guests for x86_64 only");
    }
    let linux = debian::files(guest.arch, "linux-image-cloud-amd64", Some("linux-image-"), &LINUX, "nested")?;
    let mut qemu = Command::new(machine::ensure_qemu(guest.arch)?);
    qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-M", "q35", "-cpu", "max", "-accel", "tcg"]);
    qemu.args(["-smp", &guest.smp.to_string(), "-m", &(guest.memory() + OUTER_MEMORY).to_string()]);
    qemu.args(["-chardev", "file,id=outer,path=/dev/stderr,append=on", "-serial", "chardev:outer"]);
    qemu.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
    qemu.arg("-kernel").arg(linux.join("vmlinuz")).arg("-initrd").arg(outer_initramfs(&linux)?);
    qemu.args(["-append", "console=ttyS0 loglevel=3 panic=-1"]);
    let mut words = Vec::new();
    for file in [kernel, initramfs] {
        let path = file.to_str().context("a path is not UTF-8")?;
        qemu.args(["-drive", &format!("if=virtio,format=raw,readonly=on,file={}", escaped(path))]);
        // A disk ends with a whole sector.
        words.push(file.metadata().with_context(|| format!("cannot read {path}"))?.len().to_string());
    }
    let inner = std::iter::once(inner.get_program()).chain(inner.get_args());
    words.extend(inner.map(|word| word.to_string_lossy().into_owned()));
    qemu.args(["-fw_cfg", &format!("name=opt/orlop/arguments,string={}", escaped(&words.join("\n")))]);
    Ok(qemu)
}

/// A value of QEMU's lists of options.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// The outer initramfs, made once for this QEMU and this Linux.
fn outer_initramfs(linux: &Path) -> Result<PathBuf> {
    let program = Path::new("/usr/bin").join(machine::ensure_qemu(Arch::X86_64)?);
    let path = workspace::cache("debian")?.join("nested-x86_64.cpio");
    let age = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let changes = [age(&program), age(&linux.join("vmlinuz")), age(&std::env::current_exe()?)];
    if age(&path).is_some_and(|made| changes.iter().flatten().all(|change| *change < made)) {
        return Ok(path);
    }
    let mut archive = Archive::default();
    for folder in ["dev", "guest", "proc", "sys", "tmp", "var/tmp"] {
        archive.insert_directory(folder, 0o1777)?;
    }
    let console = Kind::CharacterDevice(Device { major: 5, minor: 1 });
    archive.insert("dev/console", Entry::new(0o600, console))?;
    archive.insert_file("init", 0o755, INIT)?;
    // QEMU stores machines by way of a shell.
    for name in ["sh", "cat"] {
        archive.insert(&format!("bin/{name}"), Entry::new(0o777, Kind::Symlink("busybox".to_owned())))?;
    }
    busybox::insert(&mut archive, Arch::X86_64)?;
    programs::insert(&mut archive, Arch::X86_64, &program, &program.to_string_lossy())?;
    let modules: Vec<_> = LINUX.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".ko")).collect();
    archive.insert_file("modules/order", 0o644, modules.join("\n"))?;
    for name in modules {
        host_files::insert(&mut archive, &linux.join(name), &format!("/modules/{name}"))?;
    }
    for file in FIRMWARE {
        host_files::insert(&mut archive, Path::new(file), file)?;
    }
    // Guests that start side by side write the same file.
    let mut file = tempfile::NamedTempFile::new_in(workspace::cache("debian")?)?;
    std::io::Write::write_all(&mut file, &archive.to_bytes()?)?;
    file.persist(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_of_a_value_are_doubled() {
        assert_eq!(escaped("a,b"), "a,,b");
    }
}
