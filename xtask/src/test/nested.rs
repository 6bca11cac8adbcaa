//! Machines under KVM: Debian's Linux runs QEMU in a machine of the translator, see [`crate::run::nested`].

use anyhow::Result;

use super::boots::push;
use super::guest::{Ending, Guest};
use super::queue::Queue;
use super::{Stage, conformance, image};
use crate::arch::Arch;
use crate::run::Kernel;
use crate::run::machine::Accelerator;
use crate::run::machine::Machine::{self, Microvm, Pc, Q35};

/// What the names of these tests start with.
pub const PREFIX: &str = "nested/";

/// Machines, with properties, CPUs and the number of CPUs.
const MACHINES: [(Machine, &str, &str, u32); 7] = [
    (Microvm, "", "max", 1),
    (Q35, "", "max", 2),
    (Pc, "", "max", 1),
    (Microvm, "pit=off,pic=off,rtc=off", "max", 2),
    (Q35, "kernel-irqchip=split", "max", 2),
    (Q35, "", "host,kvm=off", 2),
    (Microvm, "", "EPYC", 2),
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let archive = image::busybox(stage, arch)?;
    for (machine, properties, cpu, smp) in MACHINES {
        let mut guest = image::guest(stage, arch, &Kernel::Orlop, "nested", &archive)?;
        guest.machine.machine = Some(machine);
        guest.machine.machine_options = Some(properties.to_owned());
        guest.machine.cpu = cpu.to_owned();
        guest.machine.smp = smp;
        guest.machine.accel = Accelerator::Nested;
        let name = format!("{PREFIX}{arch}/{} {cpu}, CPUs: {smp}", guest.machine.qemu_machine()?);
        push(stage, queue, name, move || pipes(&guest));
    }
    conformance::add_nested(stage, arch, queue)
}

/// A command that uses the vector registers in several programs at the same time, and what it prints twice, as coreutils do on Linux.
pub const SUMS: &str = "busybox seq 20000 | busybox md5sum; busybox seq 20000 | busybox md5sum";
pub const SUM: &str = "e071f707df7bbeee2a6a1eb48011ddd0  -\n";

/// Whether the shell runs programs that use the vector registers at the same time.
fn pipes(guest: &Guest) -> Result<Result<(), String>> {
    let (ended, powered_off) = guest.run_one(&["/bin/sh", "-c", SUMS])?;
    let output = String::from_utf8_lossy(&ended.output);
    Ok(if ended.ending == Ending::Status(0) && output == SUM.repeat(2) && powered_off {
        Ok(())
    } else {
        Err(format!("{}, powered off: {powered_off}\n{output}", ended.ending))
    })
}
