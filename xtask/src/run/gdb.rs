//! GDB at a machine: which GDB, a port for it, and what it reads first.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::command;
use crate::toolchain;
use crate::workspace;

/// Knows both architectures, whichever this machine has.
const DEBUGGER: &str = "gdb-multiarch";

/// What GDB has to know of a machine.
pub struct Target<'a> {
    /// The machine's architecture.
    pub arch: Arch,
    /// The port at which QEMU listens.
    pub port: u16,
    /// The kernel as it is booted; beside it lies the one with symbols.
    pub kernel: &'a Path,
    /// The program that is of interest.
    pub program: Option<&'a Path>,
}

/// The debugger, installed if it is missing and that is allowed. Any other GDB will do for this machine's own
/// architecture.
pub fn program(arch: Arch) -> Result<&'static str> {
    if !command::exists(DEBUGGER) && arch == Arch::host() && command::exists("gdb") {
        return Ok("gdb");
    }
    toolchain::ensure_program(DEBUGGER, DEBUGGER)?;
    Ok(DEBUGGER)
}

/// A port of this machine that nobody uses; QEMU takes it at once.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port is free for a debugger")?;
    Ok(listener.local_addr()?.port())
}

impl Target<'_> {
    /// Writes what GDB shall read first into `folder`, and returns its path.
    pub fn write_script(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("attach.gdb");
        std::fs::write(&path, self.script()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    fn script(&self) -> String {
        let architecture = match self.arch {
            Arch::X86_64 => "i386:x86-64",
            Arch::Aarch64 => "aarch64",
        };
        let symbols = self.kernel.with_extension("elf");
        let mut lines = vec![format!("set architecture {architecture}")];
        if symbols.exists() {
            lines.push(format!("file {}", symbols.display()));
        }
        lines.push(format!("source {}", workspace::root().join("xtask/gdb/orlop.py").display()));
        if let Some(program) = self.program {
            lines.push(format!("python PROGRAM = {:?}", program.display().to_string()));
        }
        lines.push(format!("target remote 127.0.0.1:{}", self.port));
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_machine_and_program() {
        let target = Target {
            arch: Arch::Aarch64,
            port: free_port().unwrap(),
            kernel: Path::new("/no/such/orlop"),
            program: Some(Path::new("/x/a.out")),
        };
        let script = target.script();
        assert!(script.starts_with("set architecture aarch64\nsource /"));
        let end = format!("python PROGRAM = \"/x/a.out\"\ntarget remote 127.0.0.1:{}\n", target.port);
        assert!(script.ends_with(&end), "{script}");
    }
}
