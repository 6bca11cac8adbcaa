//! Conformance programs: each passes on Linux, and then has to pass on Orlop.
//!
//! Every binary of `userspace/conformance` is one test; status 0 means that it passed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Stage;
use super::guest::{Ended, Ending, Guest};
use super::image;
use super::queue::Queue;
use crate::arch::Arch;
use crate::build;
use crate::initramfs::host_files;
use crate::run::Kernel;
use crate::workspace;

/// Where the programs lie in the guest.
const GUEST_FOLDER: &str = "/conformance";

/// How much of a failed program's output is shown.
const SHOWN: usize = 2000;

/// Adds the programs' runs on both kernels to `queue`. On Orlop they run on one CPU as well: what never meets another CPU there
/// waits for its turn instead, and some faults show only so.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let mut runs = vec![
        (Kernel::Linux, "linux", stage.smp),
        (Kernel::Orlop, "orlop", stage.smp),
        (Kernel::Orlop, "orlop-1-cpu", 1),
    ];
    runs.truncate(if stage.smp == 1 { 2 } else { 3 });
    let names = names()?;
    let all = runs.iter().flat_map(|(_, kernel, _)| names.iter().map(|name| test_name(arch, kernel, name)));
    if all.filter(|name| stage.wants(name)).count() == 0 {
        return Ok(());
    }
    let mut programs = build::package(stage.toolchain, arch, "conformance")?;
    programs.push(build::self_test(stage.toolchain, arch)?);
    for (kernel, kernel_name, smp) in runs {
        let name = move |program: &Path| {
            test_name(arch, kernel_name, &program.file_name().unwrap_or_default().to_string_lossy())
        };
        let programs: Vec<_> =
            programs.iter().filter(|program| stage.wants(&name(program))).cloned().collect();
        if programs.is_empty() {
            continue;
        }
        let mut archive = image::bare(stage, arch)?;
        for program in &programs {
            host_files::insert(&mut archive, program, &format!("{GUEST_FOLDER}/"))?;
        }
        let mut guest = image::guest(stage, arch, &kernel, &format!("conformance-{kernel_name}"), &archive)?;
        guest.machine.smp = smp;
        queue.push(move || {
            let results = run(&guest, &programs);
            for (program, result) in programs.iter().zip(results) {
                stage.report.record(&name(program), result);
            }
        });
    }
    Ok(())
}

fn test_name(arch: Arch, kernel: &str, program: &str) -> String {
    format!("conformance/{arch}/{kernel}/{program}")
}

/// The programs' names, by their sources: nothing has to be built to know them.
fn names() -> Result<Vec<String>> {
    let folder = workspace::root().join("userspace/conformance/src/bin");
    let sources = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |source: std::io::Result<std::fs::DirEntry>| {
        Ok(source?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned())
    };
    sources.map(name).chain([Ok("selftest".to_owned())]).collect()
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
