//! Bochs: an emulator that shares no code with QEMU, is strict about reserved bits, and has CPUs with parts that QEMU's
//! translator lacks: x2APIC, PCID, the TSC's deadline, AVX-512.
//!
//! It starts the kernel as a PC does: BIOS, GRUB, bzImage. The first serial port comes out of its standard output,
//! behind a few lines of its own. It executes some 30 million instructions a second, and the guest's clock goes by
//! their number: as if they were three times as many, so that a program has done as much in its time as elsewhere.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::iso;
use super::machine::MachineOptions;
use crate::arch::Arch;
use crate::toolchain::packages::{self, Package};

const BIOS: &str = "/usr/share/bochs/BIOS-bochs-latest";
const VIDEO_BIOS: &str = "/usr/share/vgabios/vgabios.bin";

const PACKAGES: [Package; 3] = [
    Package { name: "bochs", provides: "/usr/bin/bochs" },
    Package { name: "bochsbios", provides: BIOS },
    Package { name: "vgabios", provides: VIDEO_BIOS },
];

/// What a guest gets whose CPU is not chosen.
const CPU: &str = "corei7_skylake_x";
/// Instructions in a second of the guest's time.
const SPEED: u32 = 100_000_000;

/// Bochs' command. What it needs is put beside the initramfs.
pub fn command(
    guest: &MachineOptions,
    kernel: &Path,
    initramfs: &Path,
    command_line: &str,
) -> Result<Command> {
    if guest.arch != Arch::X86_64 {
        bail!("--accel bochs runs guests for x86_64 only");
    }
    packages::ensure("Bochs, which executes the guest,", &PACKAGES)?;
    let [image, settings, debugger, log] =
        ["iso", "bochs", "debugger", "log"].map(|name| initramfs.with_extension(name));
    iso::write(&image, &kernel.with_extension("bzimage"), initramfs, command_line)?;
    std::fs::write(
        &settings,
        configuration(guest, &image.display().to_string(), &log.display().to_string()),
    )?;
    // Debian's Bochs is built with a debugger, which has to be told to go on.
    std::fs::write(&debugger, "c\n")?;
    // What it says of itself before it opens its log is no news.
    let mut bochs = Command::new("sh");
    bochs.args(["-c", "exec bochs \"$@\" 2> /dev/null", "bochs", "-q", "-f"]);
    bochs.arg(settings).arg("-rc").arg(debugger);
    Ok(bochs)
}

fn configuration(guest: &MachineOptions, image: &str, log: &str) -> String {
    let cpu = if guest.cpu == "max" { CPU } else { &guest.cpu };
    let (count, memory) = (guest.smp, guest.memory());
    // Of the displays in Debian's package this is the one that wants neither a terminal nor a screen.
    format!(
        "display_library: rfb, options=\"timeout=0\"\n\
         config_interface: textconfig\n\
         plugin_ctrl: serial=1\n\
         megs: {memory}\n\
         romimage: file={BIOS}\n\
         vgaromimage: file={VIDEO_BIOS}\n\
         cpu: model={cpu}, count={count}, ips={SPEED}, reset_on_triple_fault=0, ignore_bad_msrs=0\n\
         clock: sync=none, time0=utc\n\
         ata0-master: type=cdrom, path={image}, status=inserted\n\
         ata1: enabled=0\n\
         boot: cdrom\n\
         com1: enabled=1, mode=file, dev=/dev/stdout\n\
         log: {log}\n\
         panic: action=fatal\n\
         error: action=report\n\
         info: action=ignore\n\
         debug: action=ignore\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::machine::Accelerator;

    #[test]
    fn the_cpu_can_be_chosen() {
        let of = |cpu: &str| {
            let cpu = cpu.to_owned();
            let (machine, machine_options, accel) = (None, None, Accelerator::Bochs);
            let memory = Some(64);
            let guest = MachineOptions {
                arch: Arch::X86_64,
                machine,
                machine_options,
                cpu,
                smp: 2,
                memory,
                accel,
                icount: false,
            };
            configuration(&guest, "/a.iso", "/a.log")
        };
        assert!(of("max").contains("cpu: model=corei7_skylake_x, count=2,"));
        assert!(of("ryzen").contains("cpu: model=ryzen,") && of("ryzen").contains("megs: 64\n"));
    }
}
