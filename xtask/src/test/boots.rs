//! Boots in many machines, and what the exit channel has to do in each.

use anyhow::Result;

use super::guest::{Ending, Guest};
use super::queue::Queue;
use super::{Stage, beginnings, debugged, image, loaders, watchdog};
use crate::arch::Arch;
use crate::run::Kernel;
use crate::run::machine::Machine::{self, Microvm, Pc, Q35, Virt};

/// A machine that must run a program and power off.
struct Place {
    name: &'static str,
    machine: Machine,
    /// Properties of the machine.
    options: &'static str,
    cpu: &'static str,
    memory: u32,
    smp: u32,
}

const fn place(name: &'static str, machine: Machine, cpu: &'static str, memory: u32) -> Place {
    Place { name, machine, options: "", cpu, memory, smp: 1 }
}

const fn virt(name: &'static str, options: &'static str, cpu: &'static str, memory: u32) -> Place {
    Place { name, machine: Virt, options, cpu, memory, smp: 1 }
}

const X86_64: [Place; 16] = [
    place("microvm", Microvm, "max", 512),
    place("q35", Q35, "max", 512),
    place("pc", Pc, "max", 512),
    place("microvm with an old CPU", Microvm, "qemu64", 512),
    place("q35 with an old CPU", Q35, "qemu64", 512),
    place("pc with an old CPU", Pc, "qemu64", 512),
    place("q35 with a Nehalem", Q35, "Nehalem", 512),
    Place { smp: 2, ..place("microvm with 2 Haswells", Microvm, "Haswell", 512) },
    place("microvm with 32 MiB", Microvm, "max", 32),
    place("q35 with 32 MiB", Q35, "qemu64", 32),
    place("q35 with 8 GiB", Q35, "max", 8192),
    place("microvm with 8 GiB", Microvm, "max", 8192),
    Place { smp: 2, ..place("pc with 2 old CPUs", Pc, "qemu64", 512) },
    Place { smp: 4, ..place("q35 with 4 CPUs", Q35, "max", 512) },
    Place { smp: 8, ..place("microvm with 8 CPUs", Microvm, "max", 512) },
    Place { smp: 64, ..place("q35 with 64 CPUs", Q35, "max", 512) },
];

const AARCH64: [Place; 10] = [
    virt("virt", "", "max", 512),
    virt("virt with a Cortex-A53", "gic-version=3", "cortex-a53", 512),
    virt("virt with a Cortex-A72, GICv2 and 64 MiB", "gic-version=2", "cortex-a72", 64),
    virt(
        "virt with a Neoverse N1, GICv3 and 8 GiB, in EL2",
        "gic-version=3,virtualization=on",
        "neoverse-n1",
        8192,
    ),
    virt("virt with GICv2, in EL2, below EL3", "gic-version=2,virtualization=on,secure=on", "max", 512),
    virt("virt with GICv3, below EL3", "gic-version=3,secure=on", "max", 512),
    virt("virt with 32 MiB, all of it low", "highmem=off", "max", 32),
    Place { smp: 4, ..virt("virt with GICv3 and 4 CPUs", "gic-version=3", "max", 512) },
    Place { smp: 8, ..virt("virt with GICv2 and 8 CPUs", "gic-version=2", "cortex-a72", 512) },
    Place { smp: 64, ..virt("virt with GICv3 and 64 CPUs", "gic-version=3", "max", 512) },
];

fn places(arch: Arch) -> &'static [Place] {
    match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    }
}

/// What a shell command must end with.
const STATUSES: [(&str, u8); 6] = [
    ("exit 0", 0),
    ("exit 1", 1),
    ("exit 127", 127),
    ("exit 255", 255),
    ("kill -KILL $$", 137),
    ("kill -SEGV $$", 139),
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let archive = image::busybox(stage, arch)?;
    let guest = || image::guest(stage, arch, &Kernel::Orlop, "boot", &archive);
    for place in places(arch) {
        let mut guest = guest()?;
        guest.machine.machine = Some(place.machine);
        guest.machine.machine_options = Some(place.options.to_owned());
        guest.machine.cpu = place.cpu.to_owned();
        guest.machine.memory = Some(place.memory);
        guest.machine.smp = place.smp;
        push(stage, queue, format!("boot/{arch}/{}", place.name), move || counts_cpus(&guest));
    }
    for (command, status) in STATUSES {
        let guest = guest()?;
        push(stage, queue, format!("boot/{arch}/{command}"), move || ends_with(&guest, command, status));
    }
    let crashing = guest()?;
    push(stage, queue, format!("boot/{arch}/a crash by its source"), move || tells_lines(&crashing));
    watchdog::add(stage, arch, queue, &guest)?;
    if arch == Arch::Aarch64 {
        loaders::add(stage, queue, &guest)?;
    }
    debugged::add(stage, arch, queue)?;
    beginnings::add(stage, arch, queue)
}

/// Adds one test to `queue`, if it is wanted.
pub fn push<'a>(
    stage: &'a Stage<'_>,
    queue: &Queue<'a>,
    name: String,
    test: impl FnOnce() -> Result<Result<(), String>> + Send + 'a,
) {
    if stage.wants(&name) {
        queue.push(move || {
            let result = test().unwrap_or_else(|error| Err(format!("{error:#}")));
            stage.report.record(&name, result);
        });
    }
}

/// A program sees all CPUs, and the machine goes off.
fn counts_cpus(guest: &Guest) -> Result<Result<(), String>> {
    let (ended, powered_off) = guest.run_one(&["/bin/busybox", "nproc"])?;
    let output = String::from_utf8_lossy(&ended.output).into_owned();
    Ok(if ended.ending != Ending::Status(0) || output != format!("{}\n", guest.machine.smp) {
        Err(format!("{}: {output}", ended.ending))
    } else if !powered_off {
        Err("the machine did not power off".to_owned())
    } else {
        Ok(())
    })
}

fn ends_with(guest: &Guest, command: &str, status: u8) -> Result<Result<(), String>> {
    let (ended, _) = guest.run_one(&["/bin/sh", "-c", command])?;
    Ok(if ended.ending == Ending::Status(status) { Ok(()) } else { Err(ended.ending.to_string()) })
}

/// A kernel that fails while a program runs is told of by lines of its source, of functions in others too.
fn tells_lines(guest: &Guest) -> Result<Result<(), String>> {
    let (ended, _) = guest.run_one(&["/bin/sh", "-c", "echo c > /proc/sysrq-trigger"])?;
    let output = String::from_utf8_lossy(&ended.output).into_owned();
    let expected = [
        "kernel/orlop/src/tty/sysrq.rs:",
        " orlop::tty::sysrq::answer\n",
        "kernel/orlop/src/syscall/io.rs:",
        " orlop::syscall::io::write\n",
    ];
    let missing: Vec<_> = expected.into_iter().filter(|text| !output.contains(text)).collect();
    Ok(if missing.is_empty() && ended.ending == Ending::KernelEnded {
        Ok(())
    } else {
        Err(format!("{missing:?} not in\n{output}"))
    })
}
