//! Shell scripts whose output on Linux is committed beside them.
//!
//! A script `NAME.sh` writes, on either architecture, what stands in `NAME.expected`; the last line there is the
//! script's status. `--bless` lets Linux write the files anew.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Stage;
use super::guest::{Ended, Guest};
use super::image;
use super::queue::Queue;
use crate::arch::Arch;
use crate::initramfs::archive::Archive;
use crate::initramfs::host_files;
use crate::run::Kernel;
use crate::workspace;

/// Where the scripts lie in the guest.
const GUEST_FOLDER: &str = "/tests";

/// Scripts for one shell.
struct Suite {
    name: &'static str,
    /// Relative to the root of the source tree.
    folder: &'static str,
    shell: &'static [&'static str],
    image: fn(&Stage<'_>, Arch) -> Result<Archive>,
}

const SUITES: [Suite; 2] = [
    Suite { name: "busybox", folder: "tests/busybox", shell: &["/bin/busybox", "sh"], image: image::busybox },
    Suite { name: "sh", folder: "userspace/programs/tests", shell: &["/bin/sh"], image: image::everyday },
];

/// Adds the scripts' runs to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    for suite in &SUITES {
        let scripts = suite.wanted(stage, arch)?;
        if scripts.is_empty() {
            continue;
        }
        let guest = suite.guest(stage, arch, stage.kernel)?;
        queue.push(move || match suite.run(&guest, &scripts) {
            Ok(ended) => {
                for (script, ended) in scripts.iter().zip(ended) {
                    stage.report.record(&suite.test_name(arch, script), compare(script, &ended));
                }
            }
            Err(error) => stage.report.fail(&format!("{}/{arch}", suite.name), &format!("{error:#}")),
        });
    }
    Ok(())
}

/// Lets Linux write the files of expected output.
pub fn bless(stage: &Stage<'_>) -> Result<()> {
    for suite in &SUITES {
        let scripts = suite.wanted(stage, Arch::X86_64)?;
        if scripts.is_empty() {
            continue;
        }
        let guest = suite.guest(stage, Arch::X86_64, &Kernel::Linux)?;
        for (script, ended) in scripts.iter().zip(suite.run(&guest, &scripts)?) {
            let path = script.with_extension("expected");
            std::fs::write(&path, transcript(&ended))
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!("wrote   {}", path.display());
        }
    }
    Ok(())
}

impl Suite {
    fn wanted(&self, stage: &Stage<'_>, arch: Arch) -> Result<Vec<PathBuf>> {
        let folder = workspace::root().join(self.folder);
        let mut scripts = Vec::new();
        if !folder.exists() {
            return Ok(scripts);
        }
        for file in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", self.folder))? {
            let path = file?.path();
            let is_script = path.extension().is_some_and(|extension| extension == "sh");
            if is_script && stage.wants(&self.test_name(arch, &path)) {
                scripts.push(path);
            }
        }
        scripts.sort();
        Ok(scripts)
    }

    fn test_name(&self, arch: Arch, script: &Path) -> String {
        format!("{}/{arch}/{}", self.name, script.file_stem().unwrap_or_default().display())
    }

    fn guest(&self, stage: &Stage<'_>, arch: Arch, kernel: &Kernel) -> Result<Guest> {
        let mut archive = (self.image)(stage, arch)?;
        host_files::insert(&mut archive, &workspace::root().join(self.folder), GUEST_FOLDER)?;
        image::guest(stage, arch, kernel, self.name, &archive)
    }

    fn run(&self, guest: &Guest, scripts: &[PathBuf]) -> Result<Vec<Ended>> {
        let words = |script: &PathBuf| {
            let path = format!("{GUEST_FOLDER}/{}", script.file_name().unwrap_or_default().display());
            let shell = self.shell.iter().map(|word| (*word).to_owned());
            shell.chain([path]).collect()
        };
        guest.run(&scripts.iter().map(words).collect::<Vec<_>>())
    }
}

/// A script's output and, in a line of its own, how it ended.
fn transcript(ended: &Ended) -> String {
    let output = String::from_utf8_lossy(&ended.output);
    let newline = if output.is_empty() || output.ends_with('\n') { "" } else { "\n" };
    format!("{output}{newline}{}\n", ended.ending)
}

fn compare(script: &Path, ended: &Ended) -> Result<(), String> {
    let path = script.with_extension("expected");
    let expected = std::fs::read_to_string(&path)
        .map_err(|_| format!("{} is missing: cargo xtask test --bless", path.display()))?;
    match first_difference(&expected, &transcript(ended)) {
        None => Ok(()),
        Some((line, expected, found)) => {
            Err(format!("{}:{line}\nexpected: {expected}\nfound:    {found}", path.display()))
        }
    }
}

/// The first line that differs, with its number and both versions.
fn first_difference<'a>(expected: &'a str, found: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let (mut left, mut right) = (expected.lines(), found.lines());
    for line in 1.. {
        match (left.next(), right.next()) {
            (None, None) => break,
            (left, right) if left == right => {}
            (left, right) => return Some((line, left.unwrap_or("(nothing)"), right.unwrap_or("(nothing)"))),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::guest::Ending;
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\nd\n"), Some((2, "b", "c")));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some((2, "(nothing)", "b")));
    }

    #[test]
    fn the_status_has_a_line_of_its_own() {
        let ended = Ended { output: b"no newline".to_vec(), ending: Ending::Status(3) };
        assert_eq!(transcript(&ended), "no newline\nstatus 3\n");
    }
}
