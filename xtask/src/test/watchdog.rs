//! What the kernel says of a stack that is used up, what its watchdog says, and that it says nothing where a host stops
//! the machine for a while; and what the kernel says of a program that does not end.

use std::time::Duration;

use anyhow::Result;

use super::Stage;
use super::boots::push;
use super::guest::{Ending, Guest};
use super::queue::Queue;
use crate::arch::Arch;

/// Boot words that make a CPU do wrong, and what must be written about it.
const FAULTS: [(&str, [&str; 2]); 4] = [
    ("provoke=hardlockup", ["hard LOCKUP on cpu 1", "spin_with_interrupts_off"]),
    ("provoke=softlockup", ["soft lockup - CPU#1 stuck", "spin_without_preemption"]),
    ("provoke=overflow", ["not syncing: Fatal exception", "exhaust_stack"]),
    ("provoke=overflow-of-task", ["not syncing: Fatal exception", "exhaust_stack"]),
];

/// Properties of QEMU's machines that have interrupt controllers of their own kinds.
const fn controllers(arch: Arch) -> &'static [Option<&'static str>] {
    match arch {
        Arch::X86_64 => &[None],
        Arch::Aarch64 => &[None, Some("gic-version=3")],
    }
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
    for ((word, written), options) in
        FAULTS.into_iter().flat_map(|fault| controllers(arch).iter().map(move |options| (fault, *options)))
    {
        let mut guest = guest()?;
        guest.machine.smp = 2;
        guest.machine.machine_options = options.map(str::to_owned);
        guest.append = format!(r#"{QUICK} {word} rdinit=/bin/sh -- -c "sleep 6""#);
        let with = options.map(|options| format!(", {options}")).unwrap_or_default();
        push(stage, queue, format!("boot/{arch}/{word}{with}"), move || {
            let output = guest.run_to_end()?;
            let output = String::from_utf8_lossy(&output);
            let missing: Vec<_> = written.iter().filter(|text| !output.contains(**text)).collect();
            Ok(if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} not in\n{output}")) })
        });
    }
    let mut stopped = guest()?;
    stopped.machine.smp = 2;
    let busy = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done";
    stopped.append =
        format!(r#"{QUICK} rdinit=/bin/sh -- -c "echo begin; ({busy})& {busy}; wait; echo over""#);
    push(stage, queue, format!("boot/{arch}/a host that stops the machine"), move || is_left_alone(&stopped));
    let mut endless = guest()?;
    endless.patience = Duration::from_secs(2);
    push(stage, queue, format!("boot/{arch}/a program that does not end"), move || is_found(&endless));
    Ok(())
}

/// Whether the kernel, asked on the console, tells what threads are at: here, one that sleeps.
fn is_found(guest: &Guest) -> Result<Result<(), String>> {
    let (ended, _) = guest.run_one(&["/bin/sleep", "1000"])?;
    let output = String::from_utf8_lossy(&ended.output);
    let threads = output.split_once("sysrq: Show State").map_or("", |(_, threads)| threads);
    let sleeper = threads.split("] task:").find(|task| task.starts_with("sleep state:S"));
    let is_told = sleeper.is_some_and(|sleeper| sleeper.contains("sched::sleep"));
    let is_well = is_told && ended.ending == Ending::TimedOut;
    Ok(if is_well { Ok(()) } else { Err(format!("{}\n{output}", ended.ending)) })
}

/// Whether the guest says nothing of its CPUs although it was stopped for longer than the watchdog's patience.
fn is_left_alone(guest: &Guest) -> Result<Result<(), String>> {
    let output = guest.run_stopped("begin", Duration::from_secs(3))?;
    let output = String::from_utf8_lossy(&output).into_owned();
    let is_well = output.contains("over\r") && !output.contains("watchdog:");
    Ok(if is_well { Ok(()) } else { Err(output) })
}
