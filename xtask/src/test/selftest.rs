//! libsyscall's and ulib's own test program, on this machine's Linux.
//!
//! The program for the other architecture runs under QEMU's user-mode translator. On Orlop it is run among the
//! conformance programs.

use std::process::Command;

use anyhow::{Context, Result};

use super::Stage;
use crate::arch::Arch;
use crate::build;
use crate::toolchain;

/// Runs it for `arch`.
pub fn run(stage: &Stage<'_>, arch: Arch) -> Result<()> {
    let name = format!("selftest/{arch}/linux");
    if !stage.wants(&name) {
        return Ok(());
    }
    let program = build::self_test(stage.toolchain, arch)?;
    let mut command = if arch.name() == std::env::consts::ARCH {
        Command::new(program)
    } else {
        let emulator = user_mode_qemu(arch);
        toolchain::ensure_program(emulator, "qemu-user")?;
        let mut command = Command::new(emulator);
        // The emulator cannot replace itself: tests that call execve are left out.
        command.arg(program).arg("emulated");
        command
    };
    let output = command.output().context("cannot start the test program")?;
    let verdict = if output.status.success() {
        Ok(())
    } else {
        let [written, complained] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Err(format!("{}\n{written}{complained}", output.status))
    };
    stage.report.record(&name, verdict);
    Ok(())
}

fn user_mode_qemu(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "qemu-x86_64",
        Arch::Aarch64 => "qemu-aarch64",
    }
}
