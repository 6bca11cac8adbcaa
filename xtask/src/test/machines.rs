//! The grid of machines: other loaders and firmware than the other tests have, and machines that lack a part.

use anyhow::Result;

use super::boots::push;
use super::guest::Guest;
use super::loaders::HELLO;
use super::queue::Queue;
use super::{Stage, image};
use crate::arch::Arch;
use crate::build;
use crate::run::Kernel;
use crate::run::debugger::{Debugger, Register};

/// What the names of these tests start with.
pub const PREFIX: &str = "machines/";

/// Where the kernel is linked, above its physical address.
const LINK_OFFSET: u64 = 0xffff_ffff_8000_0000;

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let archive = image::busybox(stage, arch)?;
    if arch == Arch::X86_64 {
        let mut guest = image::guest(stage, arch, &Kernel::Orlop, "machines", &archive)?;
        guest.append = HELLO.to_owned();
        let name = "PVH with registers that the specification leaves open";
        push(stage, queue, format!("{PREFIX}{arch}/{name}"), move || starts_without_a_stack(&guest));
    }
    Ok(())
}

/// PVH promises no stack (Xen, docs/misc/pvh.pandoc).
fn starts_without_a_stack(guest: &Guest) -> Result<Result<(), String>> {
    let entry = build::address(&std::fs::read(guest.kernel.with_extension("elf"))?, "pvh_entry")?;
    let prepare = |debugger: &mut Debugger| {
        debugger.run_to(entry - LINK_OFFSET)?;
        debugger.set(Register::Rsp, 0)?;
        debugger.set(Register::Rbp, 0xdead_beef)
    };
    Ok(greets(&guest.run_prepared(prepare)?))
}

/// Whether a kernel with the words [`HELLO`] came to its shell.
fn greets(output: &[u8]) -> Result<(), String> {
    let output = String::from_utf8_lossy(output);
    if output.contains("\nhello there") { Ok(()) } else { Err(output.into_owned()) }
}
