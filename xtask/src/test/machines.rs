//! The grid of machines: other loaders and firmware than the other tests have, and machines that lack a part.

use anyhow::{Result, bail};

use super::boots::push;
use super::guest::Guest;
use super::loaders::HELLO;
use super::queue::Queue;
use super::{Stage, bochs, image};
use crate::arch::Arch;
use crate::build;
use crate::run::Kernel;
use crate::run::debugger::{Debugger, Register};
use crate::run::machine::Machine::{self, Microvm, Pc, Q35, Virt};

mod firmware;
mod linux_loaders;
mod randomness;
mod read_backs;

/// What the names of these tests start with.
pub const PREFIX: &str = "machines/";

/// Words for the kernel's command line: it greets, and switches its machine off.
const GREET: &str = r#"rdinit=/bin/sh -- -c "echo hello there; busybox poweroff -f""#;

/// Words with which it says what its clocks run by, sleeps by them, and greets.
const SHOW_COUNTER: &str = concat!(
    r#"rdinit=/bin/sh -- -c "busybox mount -t sysfs sys /sys; cd /sys/devices/system/clocksource/clocksource0; echo by $(busybox cat current*);"#,
    r#" busybox usleep 100000; echo slept; echo hello there; busybox poweroff -f""#
);

/// Where the kernel is linked, above its physical address.
const LINK_OFFSET: u64 = 0xffff_ffff_8000_0000;

/// A machine, what its kernel must write before its first program, and how it must end when that switches it off.
struct Row {
    machine: Machine,
    /// Properties of the machine, in QEMU's words.
    properties: &'static str,
    cpu: &'static str,
    smp: u32,
    written: &'static [&'static str],
    ending: &'static str,
}

/// QEMU's words for a machine that was switched off, and for one that was reset.
const OFF: &str = "guest-shutdown";
const RESET: &str = "guest-reset";

const fn row(machine: Machine, properties: &'static str, written: &'static [&'static str]) -> Row {
    Row { machine, properties, cpu: "max", smp: 1, written, ending: OFF }
}

const fn cpu(machine: Machine, cpu: &'static str) -> Row {
    Row { cpu, ..row(machine, "", &[]) }
}

const NO_TIMER: &str = "lacks an 8254 timer";
const NO_CONTROLLERS: &str = "lacks 8259 interrupt controllers";
const NO_KEYBOARD: &str = "lacks a keyboard controller";
const NO_CLOCK: &str = "lacks a real-time clock";
const NO_ACPI: &str = "lacks ACPI";

const X86_64: [Row; 15] = [
    row(Q35, "pit=off,hpet=off,i8042=off", &[NO_KEYBOARD, NO_TIMER]),
    row(Q35, "pic=off", &[NO_CONTROLLERS]),
    row(Pc, "pit=off,pic=off", &[NO_CONTROLLERS, NO_TIMER]),
    Row { smp: 2, ..row(Microvm, "pit=off", &["CPUs: 2", NO_TIMER]) },
    row(Microvm, "pic=off,rtc=off", &[NO_CONTROLLERS, NO_CLOCK]),
    Row {
        smp: 2,
        ending: RESET,
        ..row(
            Microvm,
            "pit=off,pic=off,rtc=off,acpi=off",
            // By the table that firmware made before there was ACPI.
            &["CPUs: 2", NO_CONTROLLERS, NO_KEYBOARD, NO_TIMER, NO_CLOCK, NO_ACPI],
        )
    },
    cpu(Q35, "Haswell"),
    cpu(Q35, "EPYC"),
    cpu(Microvm, "Nehalem"),
    cpu(Microvm, "max,-smap"),
    cpu(Microvm, "max,-fsgsbase"),
    cpu(Microvm, "max,-xsave"),
    cpu(Microvm, "max,-rdrand,-rdseed"),
    cpu(Microvm, "max,-mce"),
    cpu(Pc, "qemu64,-pdpe1gb,-x2apic"),
];

const AARCH64: [Row; 7] = [
    cpu(Virt, "neoverse-n1"),
    row(Virt, "acpi=off,its=off", &[]),
    // What those cores need, on a core that calls itself so: Cortex-A55, and A53 r0p2.
    Row {
        cpu: "max,midr=0x412fd050",
        smp: 2,
        ..row(Virt, "", &["Erratum 2441007: translations are forgotten twice"])
    },
    Row {
        cpu: "cortex-a53,midr=0x410fd032",
        smp: 2,
        ..row(Virt, "", &["Erratum 826319: caches are cleaned and invalidated", "Erratum 843419"])
    },
    // Cortex-A73, A510 r1p1 and A715.
    Row {
        cpu: "max,midr=0x410fd090",
        smp: 2,
        ..row(Virt, "", &["CPUs: 2", "Erratum 858921: the counter is read twice"])
    },
    Row {
        cpu: "max,midr=0x411fd461",
        smp: 2,
        ..row(
            Virt,
            "",
            &[
                "CPUs: 2",
                "Erratum 2658417: programs do not see BF16",
                "Erratum 2966298: a translation is forgotten at each return",
            ],
        )
    },
    Row {
        cpu: "max,midr=0x410fd4d0",
        smp: 2,
        ..row(Virt, "", &["CPUs: 2", "Erratum 2645198: pages are hidden before they lose execution"])
    },
];

/// Machines and what they measure the time-stamp counter by.
const CLOCKS: [(Machine, &str, &str); 3] = [
    (Microvm, "pit=on", "the interval timer"),
    (Pc, "pit=off", "the power-management timer"),
    (Microvm, "pit=off", "the timer of the APIC"),
];

/// Machines, properties, CPUs and boot words, and the counter that their clocks run by.
const COUNTERS: [(Machine, &str, &str, &str, &str); 6] = [
    (Q35, "", "max", "", "tsc"),
    (Q35, "", "max,-hypervisor", "", "hpet"),
    (Pc, "hpet=off", "max,-hypervisor", "", "acpi_pm"),
    (Q35, "", "Haswell,-hypervisor", "", "tsc"),
    (Q35, "", "max", "tsc=unstable", "hpet"),
    (Pc, "", "max", "clocksource=acpi_pm", "acpi_pm"),
];

/// CPUs without what the kernel cannot do without, and what it calls that. It says so, instead of a triple fault
/// without a word. Where Intel's firmware may have turned the first off, that is looked at before.
const MISSING: [(&str, &str); 3] = [
    ("max,-nx", "pages that are not executed"),
    ("Haswell,-nx", "pages that are not executed"),
    ("max,-apic", "local APIC"),
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let archive = image::busybox(stage, arch)?;
    let guest = || image::guest(stage, arch, &Kernel::Orlop, "machines", &archive);
    let rows: &'static [Row] = match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    };
    for row in rows {
        let mut guest = guest()?;
        guest.machine.machine = Some(row.machine);
        guest.machine.machine_options = Some(row.properties.to_owned());
        guest.machine.cpu = row.cpu.to_owned();
        guest.machine.smp = row.smp;
        guest.append = GREET.to_owned();
        let name = format!("{PREFIX}{arch}/{} {}", guest.machine.qemu_machine()?, row.cpu);
        push(stage, queue, name, move || judge(guest.run_to_ending(&[])?, row.written, row.ending));
    }
    add_provoked(stage, arch, queue, &guest()?);
    randomness::add(stage, arch, queue, &guest()?)?;
    let mut greeter = guest()?;
    greeter.append = GREET.to_owned();
    firmware::add(stage, arch, queue, &greeter)?;
    if arch == Arch::Aarch64 {
        let guest = guest()?;
        push(stage, queue, format!("{PREFIX}{arch}/refused: no pages of 4 KiB"), move || {
            refuses_large_pages(&guest)
        });
    }
    if arch == Arch::X86_64 {
        add_clocks(stage, arch, queue, &guest()?);
        linux_loaders::add(stage, queue, &greeter)?;
        bochs::add_short(stage, arch, queue, &greeter)?;
        add_counters(stage, arch, queue, guest()?)?;
        add_refused(stage, arch, queue, &guest()?);
        let mut guest = guest()?;
        guest.append = HELLO.to_owned();
        let other = guest.clone();
        let name = "a boot that fails";
        push(stage, queue, format!("{PREFIX}{arch}/{name}"), move || fails_on_every_console(other));
        for smp in [1, 2] {
            let mut guest = guest.clone();
            guest.machine.smp = smp;
            guest.append = r#"rdinit=/bin/sh -- -c "echo begin; while :; do :; done""#.to_owned();
            let name = format!("{PREFIX}{arch}/a machine check, {smp} CPUs");
            push(stage, queue, name, move || reports_a_machine_check(&guest));
        }
        let other = guest.clone();
        let name = "memory beyond the direct map";
        push(stage, queue, format!("{PREFIX}{arch}/{name}"), move || leaves_far_memory_alone(other));
        let name = "PVH with registers that the specification leaves open";
        push(stage, queue, format!("{PREFIX}{arch}/{name}"), move || starts_without_a_stack(&guest));
    }
    Ok(())
}

/// Adds the machines of [`CLOCKS`], made of `plain`.
fn add_clocks<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, plain: &Guest) {
    for (machine, properties, by) in CLOCKS {
        let mut guest = plain.clone();
        guest.machine.machine = Some(machine);
        guest.machine.machine_options = Some(properties.to_owned());
        guest.machine.icount = true;
        guest.append = r#"loglevel=8 rdinit=/bin/sh -- -c "busybox sleep 2; busybox poweroff -f""#.to_owned();
        let name = format!("{PREFIX}{arch}/the clock by {by}");
        push(stage, queue, name, move || measures_its_clock(&guest));
    }
}

/// Adds machines on which the kernel does not run, made of `plain`.
fn add_refused<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, plain: &Guest) {
    for (cpu, missing) in MISSING {
        let mut guest = plain.clone();
        guest.machine.machine = Some(Q35);
        guest.machine.cpu = cpu.to_owned();
        push(stage, queue, format!("{PREFIX}{arch}/refused: {cpu}"), move || {
            let output = guest.run_to_end()?;
            let output = String::from_utf8_lossy(&output);
            let said = format!("orlop: this CPU has no {missing}");
            Ok(if output.contains(&said) { Ok(()) } else { Err(output.into_owned()) })
        });
    }
}

/// Adds boots in which something goes wrong on purpose, made of `plain`.
fn add_provoked<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, plain: &Guest) {
    let mut without_register = plain.clone();
    without_register.append = "provoke=register".to_owned();
    let register = if arch == Arch::X86_64 { "LSTAR" } else { "CPACR_EL1" };
    push(stage, queue, format!("{PREFIX}{arch}/a register that keeps nothing"), move || {
        let output = without_register.run_to_end()?;
        let output = String::from_utf8_lossy(&output);
        let is_told =
            output.contains("panic") && output.contains(&format!("CPU 0: {register} holds 0x0 and not"));
        Ok(if is_told { Ok(()) } else { Err(output.into_owned()) })
    });
    if arch == Arch::X86_64 {
        // As one that the kernel before had coming, which another is started from.
        let mut guest = plain.clone();
        guest.append = format!("provoke=interrupt {GREET}");
        push(stage, queue, format!("{PREFIX}{arch}/an interrupt that means nothing"), move || {
            judge(guest.run_to_ending(&[])?, &[], OFF)
        });
        read_backs::add(stage, queue, plain);
    }
}

/// Adds the machines of [`COUNTERS`], made of `plain`.
fn add_counters<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, plain: Guest) -> Result<()> {
    for (machine, properties, cpu, words, counter) in COUNTERS {
        let mut guest = plain.clone();
        guest.machine.machine = Some(machine);
        guest.machine.machine_options = Some(properties.to_owned());
        guest.machine.cpu = cpu.to_owned();
        guest.machine.smp = 2;
        guest.append = format!("{words} {SHOW_COUNTER}");
        let name = format!("{PREFIX}{arch}/counter of {} {cpu} {words}", guest.machine.qemu_machine()?);
        push(stage, queue, name, move || {
            let shown = format!("\nby {counter}\r\nslept");
            judge(guest.run_to_ending(&[])?, &["CPUs: 2", &shown], OFF)
        });
    }
    Ok(())
}

/// Whether a kernel with the words [`GREET`] said what it had to, ran its program, and switched its machine off.
fn runs(ended: (Vec<u8>, String), written: &[&str]) -> Result<Result<(), String>> {
    judge(ended, written, OFF)
}

/// The same, for a machine that may end in another way.
fn judge((output, how): (Vec<u8>, String), written: &[&str], ending: &str) -> Result<Result<(), String>> {
    let output = String::from_utf8_lossy(&output);
    // In any order: what a machine lacks is found out when somebody looks for it.
    let wanted = written.iter().chain(&["\nhello there"]);
    let missing: Vec<_> = wanted.filter(|text| !output.contains(**text)).collect();
    if !missing.is_empty() {
        return Ok(Err(format!("{missing:?} not in\n{output}")));
    }
    Ok(if how == ending { Ok(()) } else { Err(format!("ended by {how}:\n{output}")) })
}

/// Whether the kernel found out how fast the counter runs: where instructions are counted, that is exactly one a
/// nanosecond.
fn measures_its_clock(guest: &Guest) -> Result<Result<(), String>> {
    /// Fifty parts in a million, in megahertz.
    const TOLERANCE: f64 = 0.05;
    let (output, _) = guest.run_to_ending(&[])?;
    let output = String::from_utf8_lossy(&output);
    let found = output.split_once("the counter runs at ").and_then(|(_, rest)| rest.split_once(" MHz"));
    let megahertz = found.and_then(|(text, _)| text.parse::<f64>().ok());
    Ok(match megahertz {
        Some(megahertz) if (megahertz - 1000.0).abs() <= TOLERANCE => Ok(()),
        Some(megahertz) => Err(format!("{megahertz} MHz and not 1000:\n{output}")),
        None => Err(format!("no frequency in\n{output}")),
    })
}

/// Whether an error that was put into a CPU's bank ends the kernel and is what it says. QEMU resets a machine that has
/// machine checks off.
fn reports_a_machine_check(guest: &Guest) -> Result<Result<(), String>> {
    let output = guest.run_disturbed("\nbegin", "mce 0 1 0xbe00000000000134 5 0x12345000 0x8c")?;
    let written = [
        "CPU 0: Machine Check Exception: 5 Bank 1: be00000000000134",
        "ADDR 12345000 MISC 8c",
        "] Kernel panic - not syncing: Fatal machine check",
    ];
    let output = String::from_utf8_lossy(&output);
    let missing: Vec<_> = written.iter().filter(|text| !output.contains(**text)).collect();
    Ok(if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} not in\n{output}")) })
}

/// Whether a kernel that no loader started says so on each serial port and on the emulator's debug port.
fn fails_on_every_console(mut guest: Guest) -> Result<Result<(), String>> {
    const WORDS: &str = "not started by a";
    guest.machine.machine = Some(Pc);
    let folder = tempfile::tempdir()?;
    let files = ["second", "third", "debug"].map(|name| folder.path().join(name));
    let mut arguments = Vec::new();
    for (option, file) in ["-serial", "-serial", "-debugcon"].iter().zip(&files) {
        arguments.extend([(*option).to_owned(), format!("file:{}", file.display())]);
    }
    let entry = physical(&guest, "pvh_entry")?;
    let first = guest.run_prepared(&arguments, |debugger| {
        debugger.run_to(entry)?;
        debugger.set(Register::Rbx, 0)
    })?;
    let mut heard = vec![first];
    for file in &files {
        heard.push(std::fs::read(file)?);
    }
    if let Some(number) = heard.iter().position(|words| !String::from_utf8_lossy(words).contains(WORDS)) {
        return Ok(Err(format!("console {number} is silent")));
    }
    let screen = screen_of_failure(&guest)?;
    Ok(if screen.contains("Kernel panic - not syncing: Attempted to kill init!") {
        Ok(())
    } else {
        Err(screen)
    })
}

/// What the screen shows when the kernel has failed for good, in the middle of its work.
fn screen_of_failure(guest: &Guest) -> Result<String> {
    let arguments = ["-vga".to_owned(), "std".to_owned(), "-no-shutdown".to_owned()];
    let cells = guest.run_to_failure(&arguments, "xp /2000xh 0xb8000")?;
    // Each line has an address, and cells behind it.
    let cells = cells.lines().flat_map(|line| line.split_ascii_whitespace().skip(1));
    let characters = cells.filter_map(|cell| u16::from_str_radix(cell.strip_prefix("0x")?, 16).ok());
    Ok(characters.map(|cell| char::from(cell as u8)).collect())
}

/// The physical address of one of the kernel's entries.
fn physical(guest: &Guest, entry: &str) -> Result<u64> {
    Ok(build::address(&std::fs::read(guest.kernel.with_extension("elf"))?, entry)? - LINK_OFFSET)
}

/// PVH promises no stack (Xen, docs/misc/pvh.pandoc).
fn starts_without_a_stack(guest: &Guest) -> Result<Result<(), String>> {
    let entry = physical(guest, "pvh_entry")?;
    let prepare = |debugger: &mut Debugger| {
        debugger.run_to(entry)?;
        debugger.set(Register::Rsp, 0)?;
        debugger.set(Register::Rbp, 0xdead_beef)
    };
    Ok(greets(&guest.run_prepared(&[], prepare)?))
}

/// Whether a CPU that has pages of 64 KiB alone, by ID_AA64MMFR0_EL1, is refused: QEMU has none, and is told so behind
/// the read.
fn refuses_large_pages(guest: &Guest) -> Result<Result<(), String>> {
    /// Where QEMU puts the image.
    const IMAGE: u64 = 0x4020_0000;
    const NO_SMALL_PAGES: u64 = 0xf << 28;
    let folder = tempfile::tempdir()?;
    let heard = folder.path().join("heard");
    let arguments = [
        "-chardev".to_owned(),
        format!("file,id=heard,path={}", heard.display()),
        "-semihosting-config".to_owned(),
        "enable=on,target=native,chardev=heard".to_owned(),
    ];
    let told = physical(guest, "small_pages_told")? + IMAGE;
    guest.run_prepared(&arguments, |debugger| {
        debugger.run_to(told)?;
        debugger.set(Register::X0, NO_SMALL_PAGES)
    })?;
    let heard = std::fs::read_to_string(&heard)?;
    Ok(if heard.contains("orlop: this CPU has no pages of 4 KiB") { Ok(()) } else { Err(heard) })
}

/// Whether a kernel that is told of more memory than it can map goes without: QEMU's list of memory (Xen,
/// `start_info.h`) has reserved entries, of which one becomes memory at 576 GiB.
fn leaves_far_memory_alone(mut guest: Guest) -> Result<Result<(), String>> {
    const LIST: u64 = 40;
    const COUNT: u64 = 48;
    const ENTRY: u64 = 24;
    const KIND: u64 = 16;
    const MEMORY: u32 = 1;
    guest.machine.machine = Some(Q35);
    let entry = physical(&guest, "pvh_entry")?;
    let output = guest.run_prepared(&[], |debugger| {
        debugger.run_to(entry)?;
        let info = debugger.get(Register::Rbx)?;
        let (list, count) = (debugger.read(info + LIST)?, debugger.read(info + COUNT)? as u32);
        for at in (0..u64::from(count)).map(|number| list + number * ENTRY) {
            if debugger.read(at + KIND)? as u32 != MEMORY {
                let far = [576 << 30, 1 << 30, u64::from(MEMORY)].map(u64::to_le_bytes).concat();
                return debugger.write(at, &far);
            }
        }
        bail!("QEMU lists no reserved memory")
    })?;
    let output_text = String::from_utf8_lossy(&output);
    let is_told = output_text.contains("lacks addresses for all of its memory");
    Ok(if is_told { greets(&output) } else { Err(output_text.into_owned()) })
}

/// Whether a kernel with the words [`HELLO`] came to its shell.
fn greets(output: &[u8]) -> Result<(), String> {
    let output = String::from_utf8_lossy(output);
    if output.contains("\nhello there") { Ok(()) } else { Err(output.into_owned()) }
}
