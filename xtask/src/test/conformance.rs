//! Conformance programs: each passes on Linux, and then has to pass on Orlop.
//!
//! Every binary of `userspace/conformance` is one test; status 0 means that it passed.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::guest::{Ended, Ending, Guest};
use super::queue::Queue;
use super::{Stage, bochs, image, nested};
use crate::arch::Arch;
use crate::build;
use crate::initramfs::host_files;
use crate::run::Kernel;
use crate::run::machine::Accelerator;

/// Where the programs lie in the guest.
const GUEST_FOLDER: &str = "/conformance";

/// How much of a failed program's output is shown.
const SHOWN: usize = 6000;

/// One run of all the programs.
struct Run {
    /// What the names of its tests start with.
    prefix: String,
    kernel: Kernel,
    smp: u32,
    accel: Accelerator,
}

/// Adds the programs' runs on both kernels to `queue`. On Orlop they run on one CPU as well: what never meets another
/// CPU there waits for its turn instead, and some faults show only so.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let run = |name, kernel, smp| Run {
        prefix: format!("conformance/{arch}/{name}"),
        kernel,
        smp,
        accel: Accelerator::Tcg,
    };
    let mut runs = vec![
        run("linux", Kernel::Linux, stage.smp),
        run("orlop", Kernel::Orlop, stage.smp),
        run("orlop-1-cpu", Kernel::Orlop, 1),
    ];
    runs.truncate(if stage.smp == 1 { 2 } else { 3 });
    add_runs(stage, arch, queue, runs)
}

/// Adds the programs' runs on Orlop under KVM, with one CPU and with two.
pub fn add_nested<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let runs = [1, 2].map(|smp| Run {
        prefix: format!("{}{arch}/conformance, CPUs: {smp}", nested::PREFIX),
        kernel: Kernel::Orlop,
        smp,
        accel: Accelerator::Nested,
    });
    add_runs(stage, arch, queue, runs.into())
}

/// Adds the programs' runs on Orlop in Bochs.
pub fn add_bochs<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let prefix = format!("{}{arch}", bochs::PREFIX);
    add_runs(
        stage,
        arch,
        queue,
        vec![Run { prefix, kernel: Kernel::Orlop, smp: 1, accel: Accelerator::Bochs }],
    )
}

fn add_runs<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>, runs: Vec<Run>) -> Result<()> {
    let names = names()?;
    let all = runs.iter().flat_map(|run| names.iter().map(|name| format!("{}/{name}", run.prefix)));
    if all.filter(|name| stage.wants(name)).count() == 0 {
        return Ok(());
    }
    let mut programs = build::package(stage.toolchain, arch, "conformance")?;
    programs.push(build::self_test(stage.toolchain, arch)?);
    for Run { prefix, kernel, smp, accel } in runs {
        let name = move |program: &Path| {
            format!("{prefix}/{}", program.file_name().unwrap_or_default().to_string_lossy())
        };
        let programs: Vec<_> =
            programs.iter().filter(|program| stage.wants(&name(program))).cloned().collect();
        let Some(first) = programs.first() else { continue };
        let image_name = name(first).rsplit_once('/').map_or("", |(start, _)| start).replace('/', "-");
        let mut archive = image::bare(stage, arch)?;
        for program in &programs {
            host_files::insert(&mut archive, program, &format!("{GUEST_FOLDER}/"))?;
        }
        let mut guest = image::guest(stage, arch, &kernel, &image_name, &archive)?;
        guest.machine.smp = smp;
        guest.machine.accel = accel;
        if accel == Accelerator::Bochs {
            guest.patience *= bochs::SLOWNESS;
        }
        queue.push(move || {
            let results = run(&guest, &programs);
            for (program, result) in programs.iter().zip(results) {
                stage.report.record(&name(program), result);
            }
        });
    }
    Ok(())
}

/// The programs' names, by their sources: nothing has to be built to know them.
fn names() -> Result<Vec<String>> {
    let mut names = build::conformance_names()?;
    names.push("selftest".to_owned());
    Ok(names)
}

fn run(guest: &Guest, programs: &[PathBuf]) -> Vec<Result<(), String>> {
    let words = |program: &PathBuf| {
        vec![format!("{GUEST_FOLDER}/{}", program.file_name().unwrap_or_default().display())]
    };
    match guest.run(&programs.iter().map(words).collect::<Vec<_>>()) {
        Ok(ended) => ended.into_iter().map(judge).collect(),
        Err(error) => vec![Err(format!("{error:#}")); programs.len()],
    }
}

fn judge(ended: Ended) -> Result<(), String> {
    if ended.ending == Ending::Status(0) {
        return Ok(());
    }
    let start = ended.output.len().saturating_sub(SHOWN);
    Err(format!("{}\n{}", ended.ending, String::from_utf8_lossy(&ended.output[start..])))
}
