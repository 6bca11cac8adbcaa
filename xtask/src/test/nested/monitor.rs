//! Orlop started by a monitor of rust-vmm's crates under KVM, as Firecracker and cloud-hypervisor start kernels.

use std::time::Duration;

use anyhow::Result;

use super::PREFIX;
use crate::arch::Arch;
use crate::initramfs::archive::Archive;
use crate::run::{Kernel, nested};
use crate::test::boots::push;
use crate::test::queue::Queue;
use crate::test::{Stage, image};

/// A kind of machine, the number of CPUs, what the first program does at last, what the monitor says then, and its
/// status.
struct Case(&'static str, u32, &'static str, &'static str, i32);

const OFF: &str = "busybox poweroff -f";
const CASES: [Case; 8] = [
    Case("bare", 1, OFF, "ended with status 0", 0),
    Case("firecracker", 1, OFF, "ended with status 0", 0),
    Case("firecracker", 2, OFF, "ended with status 0", 0),
    Case("firecracker", 2, "exit", "ended with status 3", 3),
    Case("cloud-hypervisor", 2, OFF, "Off", 0),
    Case("cloud-hypervisor", 1, "busybox reboot -f", "Reset", 0),
    Case("large", 2, OFF, "Off", 0),
    Case("cloud-hypervisor", 2, "exit", "ended with status 3", 3),
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, queue: &Queue<'a>, archive: &Archive) -> Result<()> {
    for Case(kind, cpus, last, said, status) in CASES {
        let mut guest = image::guest(stage, Arch::X86_64, &Kernel::Orlop, "nested", archive)?;
        guest.machine.smp = cpus;
        guest.patience = Duration::from_secs(120);
        // Something that only a timer's interrupt ends, and the vector registers of several programs.
        guest.append = format!(
            r#"rdinit=/bin/sh -- -c "busybox usleep 100000; {sums}; {hypervisor}; echo hello there, $(busybox nproc) CPUs; {last}""#,
            sums = super::SUMS,
            hypervisor = "busybox dmesg | busybox grep -o 'has KVM.s ends of interrupts'",
        );
        let name = format!("{PREFIX}x86_64/a monitor, {kind}, CPUs: {cpus}, {last}");
        push(stage, queue, name, move || {
            let memory = guest.machine.memory().to_string();
            let words = [
                kind,
                nested::KERNEL,
                nested::INITRAMFS,
                &memory,
                &cpus.to_string(),
                &guest.command_line(""),
            ];
            let machine = nested::monitored(&guest.machine, &words, &guest.kernel, &guest.initramfs)?;
            let (output, ended) = guest.run_command(&machine)?;
            let output = String::from_utf8_lossy(&output).replace('\r', "");
            let is_right = output.contains(&format!("\nhello there, {cpus} CPUs\n"))
                // They all tell the kernel of its hypervisor, without whose clock a CPU may be left out.
                && output.contains(&format!("\nhas {}\n", super::ENDS))
                && output.matches(super::SUM.trim_end()).count() == 2
                && output.contains(&format!("monitor: {said}\n"))
                && ended == Some(status);
            Ok(if is_right { Ok(()) } else { Err(format!("{ended:?}\n{output}")) })
        });
    }
    Ok(())
}
