//! Steps of the set-up that a CPU, or whoever imitates it, does not keep, x86_64: see `docs/read-backs.md`.

use anyhow::{Result, bail};

use super::{GREET, OFF, PREFIX, greets, judge, physical};
use crate::run::debugger::Register;
use crate::run::machine::Machine::Q35;
use crate::test::Stage;
use crate::test::boots::push;
use crate::test::guest::Guest;
use crate::test::queue::Queue;

/// Shows what the kernel says of its defence against trained branches, and greets.
const SHOW_BRANCHES: &str = concat!(
    r#"rdinit=/bin/sh -- -c "busybox mount -t sysfs sys /sys; "#,
    r#"echo branches: $(busybox cat /sys/devices/system/cpu/vulnerabilities/spectre_v2); "#,
    r#"echo hello there; busybox poweroff -f""#
);

/// What is told of a write that goes by without a word: its name, words for QEMU and for the kernel, and what it says.
const LOST: [(&str, &[&str], &str, &[&str]); 3] = [
    (
        "a register against trained branches",
        // The translator has no IA32_SPEC_CTRL, takes what is written to it, and reads zero.
        &[],
        "mitigations=test provoke=speculation",
        &["lacks a register that keeps what is written against trained branches", "branches: Vulnerable\r\n"],
    ),
    (
        "banks of machine checks",
        &[],
        "provoke=banks",
        &["lacks banks of machine checks that keep what they are told: errors may go unseen"],
    ),
    (
        // A PC of 1984.
        "an I/O APIC",
        &["-M", "isapc"],
        "",
        &["lacks an I/O APIC where every PC has one: no line of a device interrupts"],
    ),
];

/// Adds all of them to `queue`, made of `plain`.
pub fn add<'a>(stage: &'a Stage<'_>, queue: &Queue<'a>, plain: &Guest) {
    for (what, arguments, words, written) in LOST {
        let mut guest = plain.clone();
        guest.machine.machine = Some(Q35);
        guest.machine.smp = 1;
        let show = if words.contains("speculation") { SHOW_BRANCHES } else { GREET };
        guest.append = format!("{words} {show}");
        let arguments: Vec<_> = arguments.iter().map(|&word| word.to_owned()).collect();
        push(stage, queue, format!("{PREFIX}x86_64/lost: {what}"), move || {
            let (output, ending) = guest.run_to_ending(&arguments)?;
            // A PC of 1984 cannot be switched off.
            let wanted = if arguments.is_empty() { OFF } else { &ending };
            judge((output, ending.clone()), written, wanted)
        });
    }
    let mut guest = plain.clone();
    guest.machine.cpu = "Haswell".to_owned();
    guest.append = GREET.to_owned();
    let name = "no-execute pages that firmware turned off";
    push(stage, queue, format!("{PREFIX}x86_64/{name}"), move || turns_no_execute_on(&guest));
}

/// Whether a kernel that finds no-execute pages turned off by IA32_MISC_ENABLE, which QEMU is told behind CPUID and
/// behind the read, turns them on: the register holds the other bits when it is read once more.
fn turns_no_execute_on(guest: &Guest) -> Result<Result<(), String>> {
    /// The length of RDMSR.
    const READ: u64 = 2;
    /// Bits 32 and 34 (no execute pages), of which the upper half of the register is made.
    const OTHER: u64 = 1 << 0;
    const TURNED_OFF: u64 = 1 << 2;
    let [told, turned_off, turned_on] = ["no_execute_told", "no_execute_turned_off", "no_execute_turned_on"]
        .map(|name| physical(guest, name));
    let (told, turned_off, turned_on) = (told?, turned_off?, turned_on?);
    let output = guest.run_prepared(&[], |debugger| {
        debugger.run_to(told)?;
        debugger.set(Register::Rdx, 0)?;
        debugger.run_to(turned_off)?;
        debugger.set(Register::Rdx, OTHER | TURNED_OFF)?;
        debugger.run_to(turned_on)?;
        debugger.set(Register::Rip, turned_off - READ)?;
        debugger.run_to(turned_off)?;
        match debugger.get(Register::Rdx)? {
            OTHER => Ok(()),
            held => bail!("the upper half of the register holds {held:#x}"),
        }
    })?;
    Ok(greets(&output))
}
