//! A small virtual machine monitor for x86_64, of rust-vmm's crates: it starts a kernel as Firecracker and
//! cloud-hypervisor do.
//!
//! `monitor KIND KERNEL INITRAMFS MIB CPUS COMMAND-LINE`. The kernel is an ELF file. All kinds have a serial port at
//! 0x3f8 that goes to standard output, and a keyboard controller that only resets.
//!
//! | kind | entry | what the kernel finds besides |
//! |---|---|---|
//! | `bare` | PVH | KVM's interrupt controllers; no tables, so one CPU |
//! | `firecracker` | long mode, Linux's boot parameters | the same, KVM's 8254, Intel's MP table |
//! | `cloud-hypervisor` | PVH | KVM's local APICs, an I/O APIC that is not KVM's, neither 8259 nor 8254; ACPI, hardware-reduced |
//! | `large` | PVH | the same, the CPUs' identifiers 300 apart |
//!
//! It ends as QEMU does by the status that the kernel writes to port 0xf4, or with success when the kernel resets it or
//! switches it off.
//!
//! Structures and registers: Linux, Documentation/x86/boot.rst; Xen, docs/misc/pvh.pandoc; the places where they lie,
//! and what stands in ACPI's tables, are those monitors'.

mod acpi;
mod boot;
mod devices;
mod kind;
mod machine;
mod mp_table;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use devices::End;
use kind::Kind;
use machine::Machine;

fn main() -> ExitCode {
    match run() {
        Ok(End::Status(status)) => {
            println!("\nmonitor: ended with status {status}");
            ExitCode::from(status)
        }
        Ok(end) => {
            println!("\nmonitor: {end:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("monitor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<End> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [kind, kernel, initramfs, mebibytes, cpus, command_line] = &words[..] else {
        bail!("monitor KIND KERNEL INITRAMFS MIB CPUS COMMAND-LINE");
    };
    let kind = Kind::named(kind)?;
    let mebibytes: u64 = mebibytes.parse().context("the size of memory is no number")?;
    let cpus: u8 = cpus.parse().context("the number of CPUs is none")?;
    let machine = Machine::new(mebibytes << 20, cpus, &kind)?;
    let registers = boot::load(&machine, &kind, kernel, initramfs, command_line)?;
    machine.run(&kind, &registers)
}
