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

/// Protocols, what the first program does at last, and the monitor's status then: the machine is off, or the kernel has failed.
const CASES: [(&str, &str, i32); 4] = [
    ("linux", "busybox poweroff -f", 0),
    ("linux", "exit", 3),
    ("pvh", "busybox poweroff -f", 0),
    ("pvh", "exit", 3),
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, queue: &Queue<'a>, archive: &Archive) -> Result<()> {
    for (protocol, last, status) in CASES {
        let mut guest = image::guest(stage, Arch::X86_64, &Kernel::Orlop, "nested", archive)?;
        guest.machine.smp = 1;
        guest.patience = Duration::from_secs(120);
        // Something that only a timer's interrupt ends, and the vector registers of several programs.
        guest.append = format!(
            r#"rdinit=/bin/sh -- -c "busybox usleep 100000; {sums}; echo hello there; {last}""#,
            sums = super::SUMS
        );
        let name = format!("{PREFIX}x86_64/a monitor by {protocol}, {last}");
        push(stage, queue, name, move || {
            let memory = guest.machine.memory().to_string();
            let words = [protocol, nested::KERNEL, nested::INITRAMFS, &memory, &guest.command_line("")];
            let machine = nested::monitored(&guest.machine, &words, &guest.kernel, &guest.initramfs)?;
            let (output, ended) = guest.run_command(&machine)?;
            let output = String::from_utf8_lossy(&output).replace('\r', "");
            let is_right = output.contains("\nhello there")
                && output.matches(super::SUM.trim_end()).count() == 2
                && output.contains(&format!("monitor: ended with status {status}\n"))
                && ended == Some(status);
            Ok(if is_right { Ok(()) } else { Err(format!("{ended:?}\n{output}")) })
        });
    }
    Ok(())
}
