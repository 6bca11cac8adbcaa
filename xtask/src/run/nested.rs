//! KVM where there is none: QEMU's translator emulates a CPU with AMD's virtualisation, or an Arm CPU with EL2, on
//! which Debian's Linux runs Debian's QEMU, which runs the guest by KVM.
//!
//! The outer machine gets the guest's files as disks and QEMU's arguments by `fw_cfg`. What the guest's console says
//! comes out of the outer machine's second serial port as it is, so that whoever talks to a guest need not know; the
//! first one is for the outer Linux's complaints, the third one the inner QEMU's control socket. A guest that is stored
//! in `/tmp/stored` goes on in another QEMU when the first one has ended.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::machine::{self, MachineOptions};
use super::programs;
use crate::arch::Arch;
use crate::busybox;
use crate::command;
use crate::debian;
use crate::initramfs::archive::{Archive, Device, Entry, Kind};
use crate::initramfs::host_files;
use crate::workspace;

mod end;

/// What the outer machine needs besides the guest's memory, in MiB.
const OUTER_MEMORY: u32 = 768;

/// Where the guest's files lie in the outer machine.
pub const KERNEL: &str = "/guest/kernel";
pub const INITRAMFS: &str = "/guest/initramfs";
const MONITOR: &str = "/bin/monitor";

/// What differs between the outer machines.
struct Outer {
    /// The package that brings Linux with its modules.
    linux: &'static str,
    /// KVM's modules, in the order in which they need each other; none where it is part of the kernel.
    hypervisor: &'static [(&'static str, &'static str)],
    /// QEMU's words for the machine.
    machine: &'static [&'static str],
    /// QEMU's words for a serial port that leads to the chardev whose name follows.
    port: (&'static str, &'static str),
    /// Linux's names of the three ports: for its own complaints, for the guest's console, for the control socket.
    lines: [&'static str; 3],
    /// What the inner QEMU itself loads.
    firmware: &'static [&'static str],
}

const X86_64: Outer = Outer {
    linux: "linux-image-cloud-amd64",
    hypervisor: &[
        ("irqbypass.ko", "/lib/modules/*/kernel/virt/lib/irqbypass.ko"),
        ("kvm.ko", "/lib/modules/*/kernel/arch/x86/kvm/kvm.ko"),
        ("kvm-amd.ko", "/lib/modules/*/kernel/arch/x86/kvm/kvm-amd.ko"),
    ],
    machine: &["-M", "q35", "-cpu", "max"],
    port: ("-serial", "chardev:"),
    lines: ["ttyS0", "ttyS1", "ttyS2"],
    firmware: &[
        "/usr/share/seabios/bios-256k.bin",
        "/usr/share/seabios/bios-microvm.bin",
        "/usr/share/qemu/pvh.bin",
        "/usr/share/qemu/linuxboot_dma.bin",
        "/usr/share/qemu/kvmvapic.bin",
        "/usr/share/qemu/firmware",
    ],
};

/// QEMU's translator has EL2, and so Linux has KVM. The board has one port, hence cards for the others. Without
/// performance counters, as the translator (7.2) lets programs read the cycle counter, PMCCNTR_EL0, where KVM is to be
/// asked.
const AARCH64: Outer = Outer {
    linux: "linux-image-cloud-arm64",
    hypervisor: &[],
    machine: &["-M", "virt,virtualization=on,gic-version=3", "-cpu", "max,pauth-impdef=on,pmu=off"],
    port: ("-device", "pci-serial,chardev="),
    lines: ["ttyAMA0", "ttyS0", "ttyS1"],
    firmware: &[],
};

/// What makes disks and QEMU's arguments readable.
const MODULES: [(&str, &str); 7] = [
    ("qemu_fw_cfg.ko", "/lib/modules/*/kernel/drivers/firmware/qemu_fw_cfg.ko"),
    ("virtio_ring.ko", "/lib/modules/*/kernel/drivers/virtio/virtio_ring.ko"),
    ("virtio.ko", "/lib/modules/*/kernel/drivers/virtio/virtio.ko"),
    ("virtio_pci_modern_dev.ko", "/lib/modules/*/kernel/drivers/virtio/virtio_pci_modern_dev.ko"),
    ("virtio_pci_legacy_dev.ko", "/lib/modules/*/kernel/drivers/virtio/virtio_pci_legacy_dev.ko"),
    ("virtio_pci.ko", "/lib/modules/*/kernel/drivers/virtio/virtio_pci.ko"),
    ("virtio_blk.ko", "/lib/modules/*/kernel/drivers/block/virtio_blk.ko"),
];

/// The outer machine's first program. It ends the machine as the inner QEMU ended: off, or with its status, which a
/// machine that knows only off writes to the console ([`end`]).
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
/bin/busybox stty -F CONSOLE raw -onlcr -echo
IFS='
'
set -f
set -- $(/bin/busybox cat /sys/firmware/qemu_fw_cfg/by_name/opt/orlop/arguments/raw)
/bin/busybox head -c "$1" /dev/vda > /guest/kernel
/bin/busybox head -c "$2" /dev/vdb > /guest/initramfs
shift 2
"$@" < CONSOLE > CONSOLE
status=$?
if [ -e /tmp/stored ]; then
    "$@" -incoming "exec:cat /tmp/stored" < CONSOLE > CONSOLE
    status=$?
fi
if [ $status -ne 0 ]; then
    echo "nested: the inner machine's program ended with status $status"
    if [ -e /bin/end ]; then
        printf "\\x$(printf %x $status)" | /bin/end
    fi
    echo "nested: ended with status $status" > CONSOLE
fi
/bin/busybox poweroff -f
"#;

impl Outer {
    const fn of(arch: Arch) -> &'static Outer {
        match arch {
            Arch::X86_64 => &X86_64,
            Arch::Aarch64 => &AARCH64,
        }
    }

    /// Linux and its modules out of one package, since they go together.
    fn files(&self, arch: Arch) -> Result<PathBuf> {
        let kernel = [("vmlinuz", "/boot/vmlinuz-*")];
        let files: Vec<_> = kernel.iter().chain(self.hypervisor).chain(&MODULES).copied().collect();
        debian::files(arch, self.linux, Some("linux-image-"), &files, "nested")
    }

    fn init(&self) -> String {
        INIT.replace("CONSOLE", &format!("/dev/{}", self.lines[1]))
    }
}

/// What gives the inner QEMU its control socket: the outer machine's third serial port.
pub fn control(arch: Arch) -> [String; 4] {
    let chardev = format!("serial,id=control,path=/dev/{}", Outer::of(arch).lines[2]);
    ["-chardev".to_owned(), chardev, "-mon".to_owned(), "chardev=control,mode=control".to_owned()]
}

/// QEMU's command for an outer machine in which `inner` runs, on as many CPUs as the guest is to have. It finds
/// `kernel` and `initramfs` at [`KERNEL`] and [`INITRAMFS`]; who writes to `control` talks to it.
pub fn command(
    guest: &MachineOptions,
    inner: &Command,
    kernel: &Path,
    initramfs: &Path,
    control: Option<&Path>,
) -> Result<Command> {
    let initramfs_of = |linux: &Path| outer_initramfs(guest.arch, linux, None);
    outer_machine(guest, inner, kernel, initramfs, control, &initramfs_of)
}

/// The same with this repository's monitor in place of QEMU, which the words are for. x86_64.
pub fn monitored(guest: &MachineOptions, words: &[&str], kernel: &Path, initramfs: &Path) -> Result<Command> {
    let target = workspace::target("monitor");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]);
    cargo.arg(workspace::root().join("xtask/monitor/Cargo.toml")).arg("--target-dir").arg(&target);
    command::run(&mut cargo)?;
    let program = target.join("release/monitor");
    let mut inner = Command::new(MONITOR);
    inner.args(words);
    let initramfs_of = |linux: &Path| outer_initramfs(guest.arch, linux, Some(&program));
    outer_machine(guest, &inner, kernel, initramfs, None, &initramfs_of)
}

fn outer_machine(
    guest: &MachineOptions,
    inner: &Command,
    kernel: &Path,
    initramfs: &Path,
    control: Option<&Path>,
    initramfs_of: &dyn Fn(&Path) -> Result<PathBuf>,
) -> Result<Command> {
    let outer = Outer::of(guest.arch);
    let linux = outer.files(guest.arch)?;
    let mut qemu = Command::new(machine::ensure_qemu(guest.arch)?);
    qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-accel", "tcg"]).args(outer.machine);
    if guest.arch == Arch::X86_64 {
        qemu.args(end::DEVICE);
    }
    qemu.args(["-smp", &guest.smp.to_string(), "-m", &(guest.memory() + OUTER_MEMORY).to_string()]);
    qemu.args(["-chardev", "file,id=outer,path=/dev/stderr,append=on", "-serial", "chardev:outer"]);
    qemu.args(["-chardev", "stdio,id=console,signal=off"]);
    let socket = control.map(|path| format!("socket,id=control,path={},server=on,wait=off", path.display()));
    qemu.args(["-chardev", socket.as_deref().unwrap_or("null,id=control")]);
    for name in ["console", "control"] {
        qemu.args([outer.port.0, &format!("{}{name}", outer.port.1)]);
    }
    qemu.arg("-kernel").arg(linux.join("vmlinuz")).arg("-initrd").arg(initramfs_of(&linux)?);
    qemu.args(["-append", &format!("console={} loglevel=5 panic=-1 cryptomgr.notests", outer.lines[0])]);
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

/// The outer initramfs, made once for this QEMU and this Linux, with a monitor besides if there is one.
fn outer_initramfs(arch: Arch, linux: &Path, monitor: Option<&Path>) -> Result<PathBuf> {
    let outer = Outer::of(arch);
    // This machine's QEMU, or Debian's for the other one.
    let root = match arch.name() == std::env::consts::ARCH {
        true => PathBuf::from("/"),
        false => debian::tree(arch, "qemu-system-arm")?,
    };
    let program = format!("/usr/bin/{}", machine::ensure_qemu(arch)?);
    let kind = if monitor.is_some() { "monitor" } else { "nested" };
    let path = workspace::cache("debian")?.join(format!("{kind}-{arch}.cpio"));
    let age = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let host = root.join(program.trim_start_matches('/'));
    let own = monitor.and_then(age);
    let changes = [age(&host), age(&linux.join("vmlinuz")), age(&std::env::current_exe()?), own];
    if age(&path).is_some_and(|made| changes.iter().flatten().all(|change| *change < made)) {
        return Ok(path);
    }
    let mut archive = Archive::default();
    for folder in ["dev", "guest", "proc", "sys", "tmp", "var/tmp"] {
        archive.insert_directory(folder, 0o1777)?;
    }
    let console = Kind::CharacterDevice(Device { major: 5, minor: 1 });
    archive.insert("dev/console", Entry::new(0o600, console))?;
    archive.insert_file("init", 0o755, outer.init())?;
    if arch == Arch::X86_64 {
        archive.insert_file("bin/end", 0o755, end::program())?;
    }
    busybox::insert(&mut archive, arch)?;
    programs::insert_from(&root, &mut archive, arch, &program)?;
    if let Some(monitor) = monitor {
        programs::insert(&mut archive, arch, monitor, MONITOR)?;
    }
    let modules: Vec<_> = outer.hypervisor.iter().chain(&MODULES).map(|(name, _)| *name).collect();
    archive.insert_file("modules/order", 0o644, modules.join("\n"))?;
    for name in modules {
        host_files::insert(&mut archive, &linux.join(name), &format!("/modules/{name}"))?;
    }
    for file in outer.firmware {
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
