//! The stress programs, each for a few seconds in turn, until the time is over.
//!
//! One boot serves as many turns as it survives: after a program that fails, hangs or takes the kernel down the machine
//! is booted again and the next one has its turn.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use super::{Options, keep_log};
use crate::build;
use crate::initramfs::{self, host_files};
use crate::test::guest::{Ended, Ending, Guest};
use crate::toolchain::Toolchain;
use crate::workspace;

/// Where the program lies in the guest.
const PROGRAM: &str = "/conformance/stress";

/// How much longer than its turn a program may take. Its last round may have just begun, and the host may have other
/// work.
const GRACE: Duration = Duration::from_secs(120);

/// The table's row for machines that did not go off after their last program.
const POWER_OFF: &str = "power off";

/// Goes through the programs for `duration` and prints the table of what they did.
pub fn run(options: &Options, duration: Duration) -> Result<ExitCode> {
    let guest = guest(options)?;
    let names = names(options, &guest)?;
    let end = Instant::now() + duration;
    let mut tally = Tally::new(names.iter().map(String::as_str).chain([POWER_OFF]));
    while Instant::now() < end {
        let cycle: Vec<_> = names.iter().map(|name| words(options, name)).collect();
        let mut left = cycle.as_slice();
        while !left.is_empty() && Instant::now() < end {
            left = &left[one_boot(options, &guest, left, &mut tally)?..];
        }
    }
    print!("{}", tally.table());
    Ok(if tally.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs programs until one fails or all have ended; how many of them had their turn.
fn one_boot(options: &Options, guest: &Guest, programs: &[Vec<String>], tally: &mut Tally) -> Result<usize> {
    let mut turns = 0;
    let (ended, powered_off) = guest.boot(programs, &mut |ended| {
        let name = &programs[turns][1];
        turns += 1;
        eprintln!("{name}: {}", shown(ended));
    })?;
    for (program, ended) in programs.iter().zip(&ended) {
        let name = &program[1];
        match rounds(ended) {
            Some(rounds) => tally.passed(name, rounds),
            None => {
                tally.failed(name);
                let log = keep_log(options, name, &ended.ending.to_string(), &ended.output)?;
                println!("FAILED  {name}: {}, kept in {}", ended.ending, log.display());
            }
        }
    }
    if ended.iter().all(|ended| rounds(ended).is_some()) {
        if powered_off { tally.passed(POWER_OFF, 1) } else { tally.failed(POWER_OFF) }
    }
    Ok(ended.len())
}

fn shown(ended: &Ended) -> String {
    match rounds(ended) {
        Some(rounds) => format!("{rounds} rounds"),
        None => ended.ending.to_string(),
    }
}

/// What a program says when it has ended well: `NAME: 12 rounds`.
fn rounds(ended: &Ended) -> Option<u64> {
    if ended.ending != Ending::Status(0) {
        return None;
    }
    let output = String::from_utf8_lossy(&ended.output);
    let (_, said) = output.lines().next_back()?.split_once(": ")?;
    said.strip_suffix(" rounds")?.parse().ok()
}

fn words(options: &Options, name: &str) -> Vec<String> {
    let mut words = vec![PROGRAM.to_owned(), name.to_owned()];
    if let Some(threads) = options.threads {
        words.extend(["--threads".to_owned(), threads.to_string()]);
    }
    words.extend(["--seconds".to_owned(), options.turn.to_string()]);
    words
}

/// The machine, with all of the house's programs and this one.
fn guest(options: &Options) -> Result<Guest> {
    let toolchain = Toolchain::find()?;
    let arch = options.machine.arch;
    let programs = build::package(&toolchain, arch, "conformance")?;
    let stress = programs.iter().find(|program| program.ends_with("stress")).context("there is no stress")?;
    let mut archive = initramfs::default_image(&build::programs(&toolchain, arch)?)?;
    host_files::insert(&mut archive, stress, PROGRAM)?;
    let path = workspace::out(arch)?.join("stress.cpio");
    initramfs::write(&path, &archive.to_bytes()?)?;
    Ok(Guest {
        machine: options.kernel.machine(&options.machine),
        kernel: options.kernel_file(&toolchain)?,
        initramfs: path,
        append: options.append.clone(),
        patience: Duration::from_secs(options.turn) + GRACE,
    })
}

/// The programs that are wanted, asked of the program itself.
fn names(options: &Options, guest: &Guest) -> Result<Vec<String>> {
    let (list, _) = guest.run_one(&[PROGRAM, "--list"])?;
    let output = String::from_utf8_lossy(&list.output);
    if list.ending != Ending::Status(0) {
        bail!("stress --list: {}\n{output}", list.ending);
    }
    let names: Vec<_> = output.lines().map(str::trim).filter(|name| name.contains(&options.filter)).collect();
    if names.is_empty() {
        bail!("no stress program's name contains {:?}; there are:\n{output}", options.filter);
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_tells_the_rounds() {
        let ended = |ending, output: &str| Ended { output: output.as_bytes().to_vec(), ending };
        assert_eq!(rounds(&ended(Ending::Status(0), "kernel: x\nfutex_lock: 12 rounds\n")), Some(12));
        assert_eq!(rounds(&ended(Ending::Status(0), "")), None);
        assert_eq!(rounds(&ended(Ending::Status(1), "futex_lock: 12 rounds\n")), None);
    }
}
