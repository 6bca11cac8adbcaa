//! Where machines have their randomness from: whether a seed counts at once, and whether one that has none still comes
//! to one.

use anyhow::Result;

use super::{OFF, PREFIX, firmware, judge};
use crate::arch::Arch;
use crate::run::machine::Machine::{self, Microvm, Virt};
use crate::test::Stage;
use crate::test::boots::push;
use crate::test::guest::Guest;
use crate::test::queue::Queue;

/// Reads what waits for a seeded generator, and switches the machine off.
const READ: &str = r#"rdinit=/bin/sh -- -c "busybox mkdir -p /dev; busybox mount -t devtmpfs none /dev; busybox head -c 16 /dev/random | busybox wc -c; echo hello there; busybox poweroff -f""#;

const SEEDED: &str = "random: crng init done";
const FIRST_PROGRAM: &str = "Run /bin/sh as init";
const WITHOUT: &str = "nothing on this machine is random";

/// When the generator is seeded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before any program runs: a source counts at once.
    Boot,
    /// When a program waits for it: by the times of a loop.
    Asked,
    /// The same, and the kernel says that there was nothing to be had.
    AskedForNothing,
}

struct Row {
    machine: Machine,
    properties: &'static str,
    cpu: &'static str,
    counts_instructions: bool,
    words: &'static str,
    when: When,
}

const fn row(
    machine: Machine,
    properties: &'static str,
    cpu: &'static str,
    words: &'static str,
    when: When,
) -> Row {
    let counts_instructions = matches!(when, When::AskedForNothing);
    Row { machine, properties, cpu, counts_instructions, words, when }
}

const NONE: &str = "max,-rdrand,-rdseed";
const TRUST_NOTHING: &str = "random.trust_cpu=off random.trust_bootloader=off ";

/// QEMU 7.2's own CPUs have RDRAND and no RDSEED.
const X86_64: [Row; 5] = [
    row(Microvm, "", "max,-rdseed", "", When::Boot),
    row(Microvm, "", "max", TRUST_NOTHING, When::Asked),
    row(Microvm, "", NONE, "", When::Asked),
    row(Microvm, "", NONE, "", When::AskedForNothing),
    row(Machine::Q35, "", NONE, "", When::AskedForNothing),
];

const AARCH64: [Row; 5] = [
    row(Virt, "", "cortex-a57", "", When::Boot),
    row(Virt, "dtb-randomness=off", "max", "", When::Boot),
    row(Virt, "", "cortex-a57", TRUST_NOTHING, When::Asked),
    row(Virt, "dtb-randomness=off", "cortex-a57", "", When::Asked),
    row(Virt, "dtb-randomness=off", "cortex-a57", "", When::AskedForNothing),
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, guest: &Guest) -> Result<()> {
    let rows: &'static [Row] = match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    };
    for row in rows {
        let mut guest = guest.clone();
        guest.machine.machine = Some(row.machine);
        guest.machine.machine_options = Some(row.properties.to_owned());
        guest.machine.cpu = row.cpu.to_owned();
        guest.machine.icount = row.counts_instructions;
        guest.append = format!("{}{READ}", row.words);
        let how = if row.counts_instructions { ", counted" } else { "" };
        let machine = guest.machine.qemu_machine()?;
        let name = format!("{PREFIX}{arch}/randomness, {machine} {}{how} {}", row.cpu, row.words);
        push(stage, queue, name.trim_end().to_owned(), move || {
            let (output, ending) = guest.run_to_ending(&[])?;
            let in_time = is_seeded(&String::from_utf8_lossy(&output), row.when);
            Ok(judge((output, ending), &["\n16"], OFF)?.and(in_time))
        });
    }
    let mut guest = guest.clone();
    let (machine, cpu) = match arch {
        Arch::X86_64 => (Machine::Q35, NONE),
        Arch::Aarch64 => (Virt, "cortex-a57"),
    };
    guest.machine.machine = Some(machine);
    guest.machine.cpu = cpu.to_owned();
    guest.append = READ.to_owned();
    if arch == Arch::X86_64 {
        guest.kernel.set_extension("bzimage");
    } else {
        guest.machine.machine_options = Some("dtb-randomness=off".to_owned());
    }
    push(stage, queue, format!("{PREFIX}{arch}/randomness, UEFI's generator"), move || {
        let mut arguments = firmware::firmware_arguments(arch)?;
        arguments.extend(["-device".to_owned(), "virtio-rng-pci".to_owned()]);
        let (output, ending) = guest.run_to_ending(&arguments)?;
        let in_time = is_seeded(&String::from_utf8_lossy(&output), When::Boot);
        Ok(judge((output, ending), &["\n16"], OFF)?.and(in_time))
    });
    Ok(())
}

/// Whether the log says that the generator was seeded when it had to be.
fn is_seeded(log: &str, wanted: When) -> Result<(), String> {
    let (Some(seeded), Some(program)) = (log.find(SEEDED), log.find(FIRST_PROGRAM)) else {
        return Err(format!("never seeded:\n{log}"));
    };
    let when = match log.contains(WITHOUT) {
        _ if seeded < program => When::Boot,
        true => When::AskedForNothing,
        false => When::Asked,
    };
    if when == wanted { Ok(()) } else { Err(format!("seeded at another time, or by something else:\n{log}")) }
}
