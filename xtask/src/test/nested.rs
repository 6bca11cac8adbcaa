//! Machines under KVM: Debian's Linux runs QEMU in a machine of the translator, see [`crate::run::nested`].

use std::time::Duration;

use anyhow::Result;

use super::boots::push;
use super::guest::{Ending, Guest};
use super::queue::Queue;
use super::{Stage, conformance, image};
use crate::arch::Arch;
use crate::initramfs::archive::Archive;
use crate::run::Kernel;
use crate::run::machine::Accelerator;
use crate::run::machine::Machine::{self, Microvm, Pc, Q35, Virt};

mod kexec;
mod monitor;

/// What the names of these tests start with.
pub const PREFIX: &str = "nested/";

/// Machines, with properties, CPUs and the number of CPUs.
const MACHINES: [(Machine, &str, &str, u32); 9] = [
    (Microvm, "", "max", 1),
    (Q35, "", "max", 2),
    (Pc, "", "max", 1),
    (Microvm, "pit=off,pic=off,rtc=off", "max", 2),
    (Q35, "kernel-irqchip=split", "max", 2),
    (Q35, "", "host,kvm=off", 2),
    (Microvm, "", "EPYC", 2),
    (Virt, "", "max", 1),
    (Virt, "its=off", "max", 2),
];

/// Boot words, and what the clocks run by: their counter, and the others that could be chosen.
const COUNTERS: [(&str, &str); 4] = [
    ("", "kvm-clock hpet acpi_pm tsc \nkvm-clock\n"),
    ("no-kvmclock", "tsc hpet acpi_pm \ntsc\n"),
    ("provoke=tsc", "kvm-clock hpet acpi_pm \nkvm-clock\n"),
    ("no-kvmclock provoke=tsc", "hpet acpi_pm \nhpet\n"),
];

const X2APIC: &str = "x2APICs";
const DEADLINES: &str = "a timer that keeps deadlines of the time-stamp counter";
const ENDS: &str = "KVM's ends of interrupts";
const MANY: &str = "KVM's interrupts to many CPUs";
const FLUSHES: &str = "KVM's flushes of CPUs that do not run";
const POLLS: &str = "idle CPUs that poll before they sleep";

/// CPUs, boot words, and what the kernel's log says that it uses.
const USES: [(&str, &str, &[&str]); 5] = [
    ("max", "", &[X2APIC, DEADLINES, ENDS, MANY, FLUSHES]),
    ("max", "nox2apic", &[DEADLINES, ENDS, MANY, FLUSHES]),
    ("max", "nopv", &[X2APIC, DEADLINES]),
    ("max,kvm-hint-dedicated=on", "", &[X2APIC, DEADLINES, POLLS, ENDS, MANY]),
    (
        "max,-x2apic,-tsc-deadline,-kvm-pv-eoi,-kvm-steal-time,-kvm-pv-ipi",
        "cpuidle_haltpoll.force=1",
        &[POLLS],
    ),
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let archive = image::busybox(stage, arch)?;
    let is_here = |machine: Machine| (machine == Virt) == (arch == Arch::Aarch64);
    for (machine, properties, cpu, smp) in MACHINES.into_iter().filter(|(machine, ..)| is_here(*machine)) {
        let mut guest = image::guest(stage, arch, &Kernel::Orlop, "nested", &archive)?;
        guest.machine.machine = Some(machine);
        guest.machine.machine_options = Some(properties.to_owned());
        guest.machine.cpu = cpu.to_owned();
        guest.machine.smp = smp;
        guest.machine.accel = Accelerator::Nested;
        let name = format!("{PREFIX}{arch}/{} {cpu}, CPUs: {smp}", guest.machine.qemu_machine()?);
        push(stage, queue, name, move || pipes(&guest));
    }
    let mut lost = image::guest(stage, arch, &Kernel::Orlop, "nested", &archive)?;
    lost.machine.accel = Accelerator::Nested;
    push(stage, queue, format!("{PREFIX}{arch}/a machine that is reset"), move || tells_why(&lost));
    let mut failing = image::guest(stage, arch, &Kernel::Orlop, "nested", &archive)?;
    failing.machine.accel = Accelerator::Nested;
    failing.append = "provoke=register".to_owned();
    push(stage, queue, format!("{PREFIX}{arch}/a kernel that fails"), move || {
        // QEMU's port for it makes 3 of the kernel's 1.
        let wanted = if arch == Arch::X86_64 { 3 } else { 1 };
        let (output, status) = failing.run_to_status()?;
        let output = String::from_utf8_lossy(&output);
        let told = format!("nested: the inner machine's program ended with status {wanted}");
        // The inner AArch64 machine knows only off.
        let is_told = arch == Arch::Aarch64 || output.contains(&told);
        let is_right = output.contains("Kernel panic") && is_told && status == Some(wanted);
        Ok(if is_right { Ok(()) } else { Err(format!("{status:?}\n{output}")) })
    });
    if arch == Arch::X86_64 {
        // KVM takes a bit of EFER that CPUID does not announce for a fault.
        let mut refused = image::guest(stage, arch, &Kernel::Orlop, "nested", &archive)?;
        refused.machine.machine = Some(Q35);
        refused.machine.cpu = "host,-nx".to_owned();
        refused.machine.accel = Accelerator::Nested;
        push(stage, queue, format!("{PREFIX}{arch}/refused: host,-nx"), move || {
            let output = refused.run_to_end()?;
            let output = String::from_utf8_lossy(&output);
            let is_told = output.contains("orlop: this CPU has no pages that are not executed");
            Ok(if is_told { Ok(()) } else { Err(output.into_owned()) })
        });
    }
    kexec::add(stage, arch, queue)?;
    if arch == Arch::X86_64 {
        add_clocks(stage, arch, queue, &archive)?;
        add_uses(stage, arch, queue, &archive)?;
        monitor::add(stage, queue, &archive)?;
    }
    conformance::add_nested(stage, arch, queue)
}

/// Adds what concerns KVM's clock to `queue`.
fn add_clocks<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, archive: &Archive) -> Result<()> {
    for (words, counter) in COUNTERS {
        let mut guest = image::guest(stage, arch, &Kernel::Orlop, "nested", archive)?;
        guest.machine.machine = Some(Q35);
        guest.machine.smp = 2;
        guest.machine.accel = Accelerator::Nested;
        guest.append = words.to_owned();
        push(stage, queue, format!("{PREFIX}{arch}/counter {words}"), move || runs_by(&guest, counter));
    }
    // The time-stamp counter goes on while a machine is stopped, and with it all clocks; where it was stored, it goes
    // on from there.
    for (kind, words) in [(Absence::Stop, ""), (Absence::Store, ""), (Absence::Store, "clocksource=tsc")] {
        let mut guest = image::guest(stage, arch, &Kernel::Orlop, "nested", archive)?;
        guest.machine.machine = Some(Q35);
        guest.machine.smp = 2;
        guest.machine.accel = Accelerator::Nested;
        guest.patience = Duration::from_secs(120);
        guest.append = format!("{words} {LOOK}");
        push(stage, queue, format!("{PREFIX}{arch}/{kind:?} {words}"), move || learns_the_time(&guest, kind));
    }
    Ok(())
}

/// Adds what concerns the parts that only some machines have to `queue`.
fn add_uses<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, archive: &Archive) -> Result<()> {
    for (cpu, words, uses) in USES {
        let mut guest = image::guest(stage, arch, &Kernel::Orlop, "nested", archive)?;
        guest.machine.machine = Some(Q35);
        guest.machine.cpu = cpu.to_owned();
        guest.machine.smp = 2;
        guest.machine.accel = Accelerator::Nested;
        guest.append = words.to_owned();
        push(stage, queue, format!("{PREFIX}{arch}/uses {cpu} {words}"), move || shows_uses(&guest, uses));
    }
    Ok(())
}

/// How a machine is kept from running for a while.
#[derive(Clone, Copy, Debug)]
enum Absence {
    /// It is stopped.
    Stop,
    /// It is stored in a file, and started again from there.
    Store,
}

/// How long at least.
const ABSENCE: Duration = Duration::from_secs(8);

/// Looks by how much the time of day runs ahead of the time since boot, until that changes.
const LOOK: &str = "quiet rdinit=/bin/busybox -- sh -c \"export PATH=/bin; busybox mount -t proc proc /proc; \
    ahead() { echo $(($(busybox date +%s) - $(busybox cut -d. -f1 /proc/uptime))); }; \
    first=$(ahead); last=$first; looks=0; echo; echo begin; \
    while [ $looks -lt 400 ] && [ $((last - first)) -lt 3 ]; do \
    busybox usleep 50000; looks=$((looks + 1)); last=$(ahead); done; \
    echo; echo moved by $((last - first)) s; \
    busybox dmesg | busybox grep watchdog: ; busybox poweroff -f\"";

/// Whether a machine that did not run for a while shows the right time of day, and its time since boot has not moved
/// on; which of both is wrong does not show. And whether its watchdog keeps quiet.
fn learns_the_time(guest: &Guest, absence: Absence) -> Result<Result<(), String>> {
    let mut took = Ok(Duration::ZERO);
    let output = guest.run_controlled("\nbegin", |control| {
        took = match absence {
            Absence::Stop => control.pause(ABSENCE),
            Absence::Store => {
                let before = std::time::Instant::now();
                control.store_for("/tmp/stored", ABSENCE).map(|()| before.elapsed())
            }
        };
    })?;
    let output = String::from_utf8_lossy(&output);
    let moved = output.split_once("\nmoved by ").and_then(|(_, rest)| rest.split_once(" s"));
    let Some((seconds, said)) = moved.and_then(|(text, said)| Some((text.parse::<u64>().ok()?, said))) else {
        return Ok(Err(format!("{took:?}: no answer in\n{output}")));
    };
    // Both clocks are read in whole seconds, one after the other.
    let (least, most) = (ABSENCE.as_secs() - 1, took?.as_secs() + 2);
    // The guest's command line, which has the word too, is in no line of the watchdog's.
    let is_right = (least..=most).contains(&seconds) && !said.contains("] watchdog: ");
    Ok(if is_right { Ok(()) } else { Err(format!("not {least} to {most} s:\n{output}")) })
}

/// A command that uses the vector registers in several programs at the same time, and what it prints twice, as
/// coreutils do on Linux.
pub const SUMS: &str = "busybox seq 20000 | busybox md5sum; busybox seq 20000 | busybox md5sum";
pub const SUM: &str = "e071f707df7bbeee2a6a1eb48011ddd0  -\n";

/// Whether the shell runs programs that use the vector registers at the same time.
fn pipes(guest: &Guest) -> Result<Result<(), String>> {
    let (ended, powered_off) = guest.run_one(&["/bin/sh", "-c", SUMS])?;
    let output = String::from_utf8_lossy(&ended.output);
    Ok(if ended.ending == Ending::Status(0) && output == SUM.repeat(2) && powered_off {
        Ok(())
    } else {
        Err(format!("{}, powered off: {powered_off}\n{output}", ended.ending))
    })
}

/// Whether a program under which the machine ends is told of with why it did.
fn tells_why(guest: &Guest) -> Result<Result<(), String>> {
    let (ended, _) = guest.run_one(&["/bin/sh", "-c", "echo here; echo b > /proc/sysrq-trigger"])?;
    let output = String::from_utf8_lossy(&ended.output);
    let wanted = ["here", "[QEMU: exit status: 0]", "reboot: Power down", "ends: guest-reset"];
    let is_told = wanted.iter().all(|text| output.contains(text));
    Ok(if is_told && ended.ending == Ending::KernelEnded {
        Ok(())
    } else {
        Err(format!("{}\n{output}", ended.ending))
    })
}

/// Whether the kernel says that it uses this and nothing else, and sleeps, wakes and works with it.
fn shows_uses(guest: &Guest, uses: &[&str]) -> Result<Result<(), String>> {
    const COMMAND: &str =
        "busybox seq 200 | while read number; do busybox usleep 500; echo $number; done | busybox tail -n 1;
        busybox dmesg | busybox grep -o 'This machine has .*'";
    let (ended, _) = guest.run_one(&["/bin/sh", "-c", COMMAND])?;
    let output = String::from_utf8_lossy(&ended.output);
    let lines = uses.iter().map(|what| format!("This machine has {what}\n"));
    let wanted: String = std::iter::once("200\n".to_owned()).chain(lines).collect();
    Ok(if ended.ending == Ending::Status(0) && output == wanted {
        Ok(())
    } else {
        Err(format!("{}\n{output}", ended.ending))
    })
}

/// Whether the clocks run by this counter, all CPUs included.
fn runs_by(guest: &Guest, counter: &str) -> Result<Result<(), String>> {
    const COMMAND: &str = "cd /sys/devices/system/clocksource/clocksource0;
        busybox cat available_clocksource current_clocksource; busybox usleep 100000; busybox nproc";
    let (ended, _) = guest.run_one(&["/bin/sh", "-c", COMMAND])?;
    let output = String::from_utf8_lossy(&ended.output);
    let wanted = format!("{counter}2\n");
    Ok(if ended.ending == Ending::Status(0) && output == wanted {
        Ok(())
    } else {
        Err(format!("{}\n{output}", ended.ending))
    })
}
