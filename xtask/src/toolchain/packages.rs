//! Installs Debian packages where that is allowed: as root, or after a yes at the prompt.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

use crate::command;

/// A Debian package and the file by which it is recognised.
#[derive(Clone, Copy)]
pub struct Package {
    /// What `apt-get install` calls it.
    pub name: &'static str,
    /// A file that is there exactly if the package is.
    pub provides: &'static str,
}

/// The names of those `packages` that are not installed.
pub fn missing(packages: &[Package]) -> Vec<&'static str> {
    packages
        .iter()
        .filter(|package| !Path::new(package.provides).exists())
        .map(|package| package.name)
        .collect()
}

/// Makes sure that all `packages` are there; `purpose` says what they are needed for.
pub fn ensure(purpose: &str, packages: &[Package]) -> Result<()> {
    ensure_names(purpose, || missing(packages))
}

/// Installs what `missing` names, if it names any, or fails with the command that would.
///
/// Threads that start guests side by side miss the same: one installs, as the package manager allows, and the others
/// look again.
pub fn ensure_names(purpose: &str, missing: impl Fn() -> Vec<&'static str>) -> Result<()> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    if missing().is_empty() {
        return Ok(());
    }
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let names = missing();
    if names.is_empty() { Ok(()) } else { install(purpose, &names) }
}

fn install(purpose: &str, names: &[&str]) -> Result<()> {
    let by_hand = format!("sudo apt-get install {}", names.join(" "));
    if !command::exists("apt-get") {
        bail!("{purpose} is missing, and this is no Debian: install what Debian calls {}", names.join(" "));
    }
    let root = rustix::process::geteuid().is_root();
    let allowed = root || command::exists("sudo") && agreed(purpose, &by_hand)?;
    if !allowed {
        bail!("{purpose} is missing. Install it with: {by_hand}");
    }
    eprintln!("installing {} for {purpose}", names.join(" "));
    apt_get(root, &["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(names);
    apt_get(root, &arguments)
}

fn apt_get(root: bool, arguments: &[&str]) -> Result<()> {
    let mut apt = Command::new(if root { "apt-get" } else { "sudo" });
    if !root {
        apt.arg("apt-get");
    }
    command::run(apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Asks at the terminal; without one the answer is no.
fn agreed(purpose: &str, by_hand: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("{purpose} is missing. Run `{by_hand}` now? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_known_by_its_file() {
        let here = Package { name: "here", provides: "/" };
        let gone = Package { name: "gone", provides: "/no/such/file" };
        assert_eq!(missing(&[here, gone]), ["gone"]);
    }

    #[test]
    fn what_another_thread_has_installed_is_not_installed_again() {
        let asked = std::cell::Cell::new(0);
        let missing = || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 { vec!["no such package"] } else { vec![] }
        };
        ensure_names("a test", missing).unwrap();
        assert_eq!(asked.get(), 2);
    }
}
