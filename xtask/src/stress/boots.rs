//! Many boots of one machine, since what fails once in a hundred boots fails no single test.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use super::{Options, keep_log};
use crate::build;
use crate::test::guest::{Ending, Guest};
use crate::test::queue::Queue;
use crate::toolchain::Toolchain;

/// Boots as often as `options` say and tells how many boots went wrong.
pub fn run(options: &Options) -> Result<ExitCode> {
    let guest = guest(options)?;
    let mut program: Vec<_> = options.words.iter().map(String::as_str).collect();
    if program.is_empty() {
        program = vec!["/bin/echo", "hello"];
    }
    let (done, failed) = (AtomicU32::new(0), AtomicU32::new(0));
    let queue = Queue::default();
    for _ in 0..options.boots {
        queue.push(|| {
            if let Err(reason) = boot(&guest, &program) {
                failed.fetch_add(1, Ordering::Relaxed);
                println!("\nFAILED  {reason}");
                if let Err(error) = keep_log(options, "boot", &reason, &[]) {
                    println!("{error:#}");
                }
            }
            eprint!("\r{} of {} boots", done.fetch_add(1, Ordering::Relaxed) + 1, options.boots);
        });
    }
    queue.run();
    let failed = failed.load(Ordering::Relaxed);
    println!("\n{} passed, {failed} failed", options.boots - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The machine with the everyday initramfs.
pub fn guest(options: &Options) -> Result<Guest> {
    let toolchain = Toolchain::find()?;
    Ok(Guest {
        machine: options.kernel.machine(&options.machine),
        kernel: options.kernel_file(&toolchain)?,
        initramfs: build::initramfs(&toolchain, options.machine.arch)?,
        append: options.append.clone(),
        patience: crate::test::PATIENCE,
    })
}

/// Boots once; the program has to end with status 0 and the machine has to go off.
pub fn boot(guest: &Guest, program: &[&str]) -> Result<(), String> {
    let (ended, powered_off) = guest.run_one(program).map_err(|error| format!("{error:#}"))?;
    let output = String::from_utf8_lossy(&ended.output);
    match ended.ending {
        Ending::Status(0) if powered_off => Ok(()),
        Ending::Status(0) => Err(format!("the machine did not power off\n{output}")),
        other => Err(format!("{other}\n{output}")),
    }
}
