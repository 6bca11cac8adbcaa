//! Finds, or installs, a compiler for the bare-metal targets.
//!
//! Two providers are known:
//! - **rustup**: the toolchain that runs this program, with its targets added (`rustup target add …`);
//! - **Debian**: `rustc-web` and its companions from Debian 12's security archive, which build the standard library's
//!   `core` and `alloc` from source. For machines on which rustup cannot fetch targets.
//!
//! Host programs and host tests always use the cargo that started xtask.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::command;
use crate::workspace;

pub mod packages;

pub use packages::{Package, ensure};

/// Debian's compiler packages, and the file by which each is recognised.
const DEBIAN_COMPILER: [Package; 5] = [
    Package { name: "rustc-web", provides: "/usr/bin/rustc" },
    Package { name: "cargo-web", provides: "/usr/bin/cargo" },
    Package { name: "rust-web-src", provides: "/usr/lib/rustlib/src/rust/library/core/Cargo.toml" },
    Package { name: "rustfmt-web", provides: "/usr/bin/rustfmt" },
    Package { name: "rust-web-clippy", provides: "/usr/bin/cargo-clippy" },
];

const DEBIAN_LINKER: Package = Package { name: "lld", provides: "/usr/bin/ld.lld" };

/// A compiler for the bare-metal targets.
pub struct Toolchain {
    provider: Provider,
}

enum Provider {
    /// The toolchain that runs this program has the targets.
    Rustup { cargo: PathBuf },
    /// Debian's compiler with `-Zbuild-std`, and the linker to use.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// Finds a provider for every target, installing what is missing if that is allowed, and says which it took.
    pub fn find() -> Result<Self> {
        let sysroot = host_sysroot()?;
        let provider = if has_targets(&sysroot) {
            rustup(&sysroot)
        } else if packages::missing(&DEBIAN_COMPILER).is_empty() {
            debian(&sysroot)?
        } else if add_targets(&sysroot) {
            rustup(&sysroot)
        } else {
            debian(&sysroot)?
        };
        let toolchain = Self { provider };
        eprintln!("toolchain: {toolchain}");
        Ok(toolchain)
    }

    /// `cargo <subcommand>` for a bare-metal target, to be run at the root of the workspace.
    pub fn cargo(&self, subcommand: &str, target: &str) -> Command {
        let mut command = match &self.provider {
            Provider::Rustup { cargo } => Command::new(cargo),
            Provider::Debian { .. } => Command::new("/usr/bin/cargo"),
        };
        forget_outer_cargo(&mut command);
        command.current_dir(workspace::root()).arg(subcommand).args(["--target", target]);
        match &self.provider {
            Provider::Rustup { cargo } => drop(command.env("RUSTC", cargo.with_file_name("rustc"))),
            Provider::Debian { linker } => use_debian(&mut command, linker, target),
        }
        command
    }
}

impl std::fmt::Display for Toolchain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.provider {
            Provider::Rustup { cargo } => write!(formatter, "rustup's targets, {}", cargo.display()),
            Provider::Debian { linker } => {
                let linker = linker.file_name().unwrap_or_default().display();
                write!(formatter, "Debian's /usr/bin/rustc with build-std and {linker}")
            }
        }
    }
}

/// The cargo that started this program.
pub fn host_cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Every target that a full build needs.
fn targets() -> Vec<&'static str> {
    let mut targets: Vec<_> =
        Arch::ALL.iter().flat_map(|arch| [arch.kernel_target(), arch.program_target()]).collect();
    targets.dedup();
    targets
}

/// The folder above `bin/cargo` of the toolchain that started this program. Asking `rustc` would say the same, but
/// costs a tenth of a second on each run.
fn host_sysroot() -> Result<PathBuf> {
    let cargo = host_cargo();
    if cargo.is_absolute() && cargo.parent().is_some_and(|bin| bin.join("rustc").exists()) {
        return Ok(cargo
            .parent()
            .and_then(Path::parent)
            .context("cargo lies in the root folder")?
            .to_owned());
    }
    let sysroot = command::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(sysroot.trim()))
}

fn has_targets(sysroot: &Path) -> bool {
    targets().iter().all(|target| sysroot.join("lib/rustlib").join(target).join("lib").is_dir())
}

fn rustup(sysroot: &Path) -> Provider {
    Provider::Rustup { cargo: sysroot.join("bin/cargo") }
}

/// Lets rustup fetch the targets; false where there is no rustup or it cannot fetch them.
fn add_targets(sysroot: &Path) -> bool {
    let Some(toolchain) = sysroot.file_name().filter(|_| command::exists("rustup")) else {
        return false;
    };
    eprintln!("toolchain: rustup target add {}", targets().join(" "));
    let added = Command::new("rustup")
        .args(["target", "add", "--toolchain"])
        .arg(toolchain)
        .args(targets())
        .env("RUST_BACKTRACE", "0")
        .status()
        .is_ok_and(|status| status.success());
    if !added {
        eprintln!("toolchain: rustup cannot fetch them here; Debian's compiler can do without");
    }
    added && has_targets(sysroot)
}

fn debian(sysroot: &Path) -> Result<Provider> {
    ensure("a Rust compiler that can build for bare metal", &DEBIAN_COMPILER)?;
    if let Some(linker) = rustup_linker(sysroot) {
        return Ok(Provider::Debian { linker });
    }
    ensure("a linker for bare metal", &[DEBIAN_LINKER])?;
    Ok(Provider::Debian { linker: PathBuf::from(DEBIAN_LINKER.provides) })
}

/// The `rust-lld` that comes with every rustup toolchain.
fn rustup_linker(sysroot: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    folders.flatten().map(|folder| folder.path().join("bin/rust-lld")).find(|linker| linker.exists())
}

/// Removes what the cargo that started this program has put into the environment for its own purposes.
fn forget_outer_cargo(command: &mut Command) {
    let names =
        ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "LD_LIBRARY_PATH"];
    for name in names {
        command.env_remove(name);
    }
}

fn use_debian(command: &mut Command, linker: &Path, target: &str) {
    let path = std::env::var("PATH").unwrap_or_default();
    let linker_variable = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    command
        .args(["-Zbuild-std=core,alloc,compiler_builtins", "-Zbuild-std-features=compiler-builtins-mem"])
        .env("PATH", format!("/usr/bin:{path}"))
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env(linker_variable, linker);
}

/// Fails unless `package`s that provide programs for this run are there, after trying to install them.
pub fn ensure_program(program: &'static str, package: &'static str) -> Result<()> {
    packages::ensure_names(program, || if command::exists(program) { vec![] } else { vec![package] })?;
    if !command::exists(program) {
        bail!("{program} is still missing after {package} was installed");
    }
    Ok(())
}
