//! Orlop in Bochs: a short part that is one of the usual machines, and all conformance programs where they are asked
//! for.

use anyhow::Result;

use super::boots::push;
use super::guest::{Ending, Guest};
use super::machines;
use super::queue::Queue;
use super::{Stage, conformance, nested};
use crate::arch::Arch;
use crate::run::machine::Accelerator;

/// What the names of the tests start with that nobody runs by accident.
pub const PREFIX: &str = "bochs/";

/// So much longer than in QEMU may a program take.
pub const SLOWNESS: u32 = 10;

/// CPUs that differ in what they have: AVX-512, x2APIC and PCID; a timer that keeps deadlines besides; AMD's; neither
/// XSAVE nor 1 GiB pages.
const CPUS: [&str; 4] = ["corei7_skylake_x", "corei7_icelake_u", "ryzen", "core2_penryn_t9600"];

/// Adds what belongs to the usual machines to `queue`.
pub fn add_short<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, guest: &Guest) -> Result<()> {
    for cpu in CPUS {
        let mut guest = guest.clone();
        guest.append = String::new();
        guest.machine.accel = Accelerator::Bochs;
        guest.machine.cpu = cpu.to_owned();
        guest.machine.smp = 1;
        let name = format!("{}{arch}/Bochs, {cpu}", machines::PREFIX);
        push(stage, queue, name, move || {
            // Bochs' own status says nothing of how its machine ended.
            let (ended, _) = guest.run_one(&["/bin/sh", "-c", nested::SUMS])?;
            let output = String::from_utf8_lossy(&ended.output);
            let is_right = ended.ending == Ending::Status(0) && output == nested::SUM.repeat(2);
            Ok(if is_right { Ok(()) } else { Err(format!("{}\n{output}", ended.ending)) })
        });
    }
    Ok(())
}

/// Adds all conformance programs to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    if arch == Arch::X86_64 { conformance::add_bochs(stage, arch, queue) } else { Ok(()) }
}
