//! A small virtual machine monitor for x86_64, of rust-vmm's crates: it starts a kernel as Firecracker and cloud-hypervisor do.
//!
//! `monitor linux|pvh KERNEL INITRAMFS MIB COMMAND-LINE`. The kernel is an ELF file, entered in long mode with Linux's boot parameters, or at its
//! PVH entry in protected mode. The machine has one CPU, KVM's interrupt controllers, with `linux` KVM's 8254 too, a serial port at 0x3f8 that
//! goes to standard output, and a keyboard controller that only resets. There are no tables of ACPI or Intel's. It ends as QEMU does by the status that the
//! kernel writes to port 0xf4, or with success when the kernel resets it, as Firecracker does.
//!
//! Structures and registers: Linux, Documentation/x86/boot.rst; Xen, docs/misc/pvh.pandoc; the places where they lie are Firecracker's.

mod boot;
mod devices;
mod machine;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use boot::Protocol;
use machine::Machine;

fn main() -> ExitCode {
    match run() {
        Ok(status) => {
            println!("\nmonitor: ended with status {status}");
            ExitCode::from(status)
        }
        Err(error) => {
            eprintln!("monitor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u8> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, kernel, initramfs, mebibytes, command_line] = &words[..] else {
        bail!("monitor linux|pvh KERNEL INITRAMFS MIB COMMAND-LINE");
    };
    let protocol = match protocol.as_str() {
        "linux" => Protocol::Linux,
        "pvh" => Protocol::Pvh,
        other => bail!("{other} is no protocol"),
    };
    let mebibytes: u64 = mebibytes.parse().context("the size of memory is no number")?;
    let machine = Machine::new(mebibytes << 20, protocol)?;
    let registers = boot::load(&machine, protocol, kernel, initramfs, command_line)?;
    machine.run(&registers)
}
