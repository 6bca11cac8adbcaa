//! The grid: a boot to the shell in every machine that this kernel promises to run on.
//!
//! Rows are combinations of machine, CPU model and memory, and for AArch64 of interrupt controller, exception level and
//! the places where a loader may put the image and the device tree.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::arch::Arch;
use crate::run::machine::{Machine, MachineOptions};
use crate::run::placement::{MEMORY, Placement};
use crate::test::guest::Guest;
use crate::test::loaders;

/// One boot.
pub struct Row {
    /// What is told of it.
    pub name: String,
    machine: MachineOptions,
    start: Start,
}

/// How the kernel gets into memory.
enum Start {
    /// By QEMU.
    Loaded,
    /// By QEMU, which unpacks it.
    Packed,
    /// By a loader that puts image and tree where it likes.
    Placed(Placement),
}

const MEMORY_SIZES: [u32; 6] = [32, 64, 128, 512, 2048, 8192];

/// Every row for the architecture of `usual`, which says everything that a row does not.
pub fn rows(usual: &MachineOptions) -> Vec<Row> {
    match usual.arch {
        Arch::X86_64 => pc_rows(usual),
        Arch::Aarch64 => virt_rows(usual),
    }
}

fn row(usual: &MachineOptions, machine: Machine, options: &str, cpu: &str, memory: u32, smp: u32) -> Row {
    let machine = MachineOptions {
        machine: Some(machine),
        machine_options: (!options.is_empty()).then(|| options.to_owned()),
        cpu: cpu.to_owned(),
        memory: Some(memory),
        smp,
        ..usual.clone()
    };
    let place = machine.qemu_machine().unwrap_or_default();
    Row { name: format!("{place} · {cpu} · {memory} MiB · {smp} CPUs"), machine, start: Start::Loaded }
}

fn pc_rows(usual: &MachineOptions) -> Vec<Row> {
    let mut rows = Vec::new();
    for machine in [Machine::Microvm, Machine::Q35, Machine::Pc] {
        for cpu in ["max", "qemu64"] {
            rows.extend(MEMORY_SIZES.map(|memory| row(usual, machine, "", cpu, memory, 1)));
            rows.extend([2, 4, 8].map(|smp| row(usual, machine, "", cpu, 512, smp)));
        }
    }
    rows
}

fn virt_rows(usual: &MachineOptions) -> Vec<Row> {
    const CPUS: [&str; 6] = ["cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1", "max"];
    const LEVELS: [&str; 4] =
        ["virtualization=on", "secure=on", "virtualization=on,secure=on", "highmem=off"];
    let mut rows = Vec::new();
    let virt = |options: &str, cpu: &str, memory, smp| row(usual, Machine::Virt, options, cpu, memory, smp);
    for controller in ["gic-version=2", "gic-version=3"] {
        for cpu in CPUS {
            rows.extend(MEMORY_SIZES.map(|memory| virt(controller, cpu, memory, 1)));
        }
        for (level, cpu) in LEVELS.iter().flat_map(|level| [(level, "cortex-a72"), (level, "max")]) {
            rows.push(virt(&format!("{controller},{level}"), cpu, 512, 1));
        }
        rows.extend((2..=8).map(|smp| virt(controller, "max", 512, smp)));
        rows.push(virt(&format!("{controller},virtualization=on"), "cortex-a72", 512, 4));
    }
    rows.extend([16, 64].map(|smp| virt("gic-version=3", "max", 512, smp)));
    rows.push(Row {
        name: "virt · max · 512 MiB · a packed image".to_owned(),
        start: Start::Packed,
        ..virt("", "max", 512, 1)
    });
    rows.extend(placements().into_iter().enumerate().map(|(index, placement)| {
        let level = ["gic-version=3", "gic-version=3,virtualization=on"][index % 2];
        let Placement { image, tree, .. } = placement;
        Row {
            name: format!("virt,{level} · max · 8192 MiB · image at {image:#x}, tree at {tree:#x}"),
            start: Start::Placed(placement),
            ..virt(level, "max", 8192, 1)
        }
    }));
    rows
}

/// Images low, high, at odd multiples of 2 MiB, below and above 4 GiB, and in the last 2 MiB; trees that cross a
/// boundary of 2 MiB, and at the very end of memory.
fn placements() -> Vec<Placement> {
    const END: u64 = MEMORY + (8 << 30);
    const MIB: u64 = 1 << 20;
    let images = [4 * MIB, 254 * MIB, 1022 * MIB, 3070 * MIB, 3072 * MIB, 5118 * MIB, 8190 * MIB];
    let trees = [126 * MIB - 4096, 256 * MIB - 8, 512 * MIB, 8188 * MIB - 4096];
    let place =
        |image, tree| Placement { image: MEMORY + image, tree: MEMORY + tree, change: |_| {}, firmware: &[] };
    let mut placements: Vec<_> = images.into_iter().map(|image| place(image, trees[0])).collect();
    placements.extend(trees.into_iter().map(|tree| place(images[2], tree)));
    placements.push(Placement { tree: END - 0x1_0000, ..placements[0] });
    placements
}

/// Boots `row` with what else `usual` has.
pub fn boot(row: &Row, usual: &Guest, folder: &Path) -> Result<Result<(), String>> {
    // All CPUs must be there.
    let count = format!("test $(grep -c processor /proc/cpuinfo) = {}", row.machine.smp);
    let program = ["/bin/sh", "-c", &count];
    let mut guest = Guest { machine: row.machine.clone(), ..usual.clone() };
    match row.start {
        Start::Loaded => Ok(super::boots::boot(&guest, &program)),
        Start::Packed => {
            guest.kernel = folder.join("Image.gz");
            let mut packer = GzEncoder::new(std::fs::File::create(&guest.kernel)?, Compression::fast());
            packer.write_all(&std::fs::read(&usual.kernel)?)?;
            packer.finish()?;
            Ok(super::boots::boot(&guest, &program))
        }
        Start::Placed(placement) => {
            guest.append = loaders::HELLO.to_owned();
            loaders::says(&guest, &placement)
        }
    }
}
