//! What the kernel's watchdog says, and that it says nothing where a host stops the machine for a while.

use std::time::Duration;

use anyhow::Result;

use super::Stage;
use super::boots::push;
use super::guest::Guest;
use super::queue::Queue;
use crate::arch::Arch;

/// Boot words that make the last CPU do wrong, and what must be written about it. AArch64 cannot interrupt a CPU that masks
/// interrupts, and does not know where it is.
fn faults(arch: Arch) -> [(&'static str, [&'static str; 2]); 2] {
    let hard = match arch {
        Arch::X86_64 => ["hard LOCKUP on cpu 1", "spin_with_interrupts_off"],
        Arch::Aarch64 => ["CPU 1 takes no interrupts", "it does not answer"],
    };
    [
        ("provoke=hardlockup", hard),
        ("provoke=softlockup", ["soft lockup - CPU#1 stuck", "spin_without_preemption"]),
    ]
}

/// The shortest patience that the watchdog can be given.
const QUICK: &str = "watchdog_thresh=1";

/// Adds all of them to `queue`.
pub fn add<'a>(
    stage: &'a Stage<'_>,
    arch: Arch,
    queue: &Queue<'a>,
    guest: &dyn Fn() -> Result<Guest>,
) -> Result<()> {
    for (word, written) in faults(arch) {
        let mut guest = guest()?;
        guest.machine.smp = 2;
        guest.append = format!(r#"{QUICK} {word} rdinit=/bin/sh -- -c "sleep 6""#);
        push(stage, queue, format!("boot/{arch}/{word}"), move || {
            let output = guest.run_to_end()?;
            let output = String::from_utf8_lossy(&output);
            let missing: Vec<_> = written.iter().filter(|text| !output.contains(**text)).collect();
            Ok(if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} not in\n{output}")) })
        });
    }
    let mut guest = guest()?;
    guest.machine.smp = 2;
    let busy = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done";
    guest.append = format!(r#"{QUICK} rdinit=/bin/sh -- -c "echo begin; ({busy})& {busy}; wait; echo over""#);
    push(stage, queue, format!("boot/{arch}/a host that stops the machine"), move || is_left_alone(&guest));
    Ok(())
}

/// Whether the guest says nothing of its CPUs although it was stopped for longer than the watchdog's patience.
fn is_left_alone(guest: &Guest) -> Result<Result<(), String>> {
    let output = guest.run_stopped("begin", Duration::from_secs(3))?;
    let output = String::from_utf8_lossy(&output).into_owned();
    let is_well = output.contains("over\r") && !output.contains("watchdog:");
    Ok(if is_well { Ok(()) } else { Err(output) })
}
